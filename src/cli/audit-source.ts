/** Where the lines of the audit are read from: a file to its end, a file that grows and is rotated, or a stream. */
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { isOpenAt } from '../telemetry/audit-file.ts'

/** `end`: everything there is has been read. `cut`: what follows does not go on with the last line. */
export type SourceEvent =
  { readonly kind: 'bytes'; readonly bytes: Uint8Array } | { readonly kind: 'end' } | { readonly kind: 'cut' }

const bufferBytes = 256 * 1024

/** Reads a stream; `isFollowed`: everything that comes is new. */
export async function* readStream(chunks: AsyncIterable<Uint8Array>, isFollowed: boolean): AsyncGenerator<SourceEvent> {
  if (isFollowed) yield { kind: 'end' }
  for await (const bytes of chunks) yield { kind: 'bytes', bytes }
  yield { kind: 'cut' }
  yield { kind: 'end' }
}

export type FollowOptions = {
  /** Waits between two looks; rejects when nobody wants to know any more. */
  readonly pause: () => Promise<void>
  /** Told once, when the file is not there yet. */
  readonly onMissing: () => void
}

/**
 * Reads a file and whatever is appended to it, for ever. When the path names another file (rotation), the one before is
 * read to its end once more after a pause, because its writer may not have noticed yet.
 */
export async function* follow(path: string, { pause, onMissing }: FollowOptions): AsyncGenerator<SourceEvent> {
  let file = await openReading(path)
  if (file === undefined) onMissing()
  let isLeaving = false
  let position = 0
  const buffer = Buffer.alloc(bufferBytes)
  try {
    for (;;) {
      while (file !== undefined) {
        const { bytesRead } = await file.read(buffer, 0, bufferBytes, position)
        if (bytesRead === 0) break
        position += bytesRead
        yield { kind: 'bytes', bytes: Buffer.from(buffer.subarray(0, bytesRead)) }
      }
      yield { kind: 'end' }
      const next = file === undefined || isLeaving ? await openReading(path) : undefined
      const isTruncated = next === undefined && file !== undefined && (await file.stat()).size < position
      if (next !== undefined) {
        await file?.close()
        file = next
        isLeaving = false
      } else if (!isTruncated) {
        isLeaving = file !== undefined && !(await isOpenAt(path, file))
        await pause()
        continue
      }
      position = 0
      yield { kind: 'cut' }
    }
  } finally {
    await file?.close()
  }
}

async function openReading(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r')
  } catch (error) {
    if (typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

const lineFeed = 0x0a
const maxLineBytes = 1024 * 1024

/** Cuts bytes into lines. A line longer than 1 MiB comes out cut off, and so as broken as it must be. */
export function createLineCutter() {
  let parts: Uint8Array[] = []
  let length = 0
  function keep(part: Uint8Array): void {
    if (length < maxLineBytes) parts.push(part)
    length += part.length
  }
  function take(): string {
    const line = Buffer.concat(parts).toString()
    parts = []
    length = 0
    return line
  }
  return {
    /** The lines that these bytes end. */
    cut(bytes: Uint8Array): readonly string[] {
      const lines: string[] = []
      let start = 0
      for (let end = bytes.indexOf(lineFeed); end !== -1; end = bytes.indexOf(lineFeed, start)) {
        keep(bytes.subarray(start, end))
        lines.push(take())
        start = end + 1
      }
      if (start < bytes.length) keep(bytes.subarray(start))
      return lines
    },
    /** What has come of a line that is not ended; empty where there is none. */
    rest: take,
  }
}
