import { constants } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import type { AuditSink } from './audit-sink.ts'

/** What is appended at once is never mixed with what others append; a slow disk wants few large writes. */
const chunkBytes = 1024 * 1024

/** A pipe with a name is opened without waiting for its reader, and refuses what it has no room for. */
const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK

const lineFeed = 0x0a

/**
 * Opens a file as sink, made with mode 0600 and appended to.
 *
 * It takes whole lines. Of a line that stopped in the middle (a full disk) the rest is written at the next attempt, into
 * the same file; what a crash left without an end is ended when the file is opened. Between lines it follows its path:
 * when the path names another file or none, that one is opened, so that a rotation by renaming needs no signal.
 *
 * @throws Error of `open`
 */
export async function openAuditFile(path: string): Promise<AuditSink> {
  let { file, identity } = await openAppending(path)
  /** Bytes of the next line that are in the file already. */
  let torn = 0

  async function replace(): Promise<void> {
    const previous = file
    ;({ file, identity } = await openAppending(path))
    torn = 0
    await previous.close()
  }

  /** A line that begins nowhere any more has to be written whole. */
  async function forgetLostBeginning(): Promise<void> {
    const { nlink, size } = await file.stat()
    if (nlink === 0 || size === 0) torn = 0
  }

  return {
    maxChunkBytes: chunkBytes,
    async write(chunk) {
      if (torn > 0) await forgetLostBeginning()
      if (torn === 0 && !(await isAt(path, identity))) await replace()
      let written = torn
      try {
        while (written < chunk.length) {
          const { bytesWritten } = await file.write(chunk, written)
          if (bytesWritten === 0) throw new Error('the file takes no bytes')
          written += bytesWritten
        }
      } catch (error) {
        const whole = chunk.subarray(0, written).lastIndexOf(lineFeed) + 1
        torn = written - whole
        if (whole === 0) throw error
        return whole
      }
      torn = 0
      return chunk.length
    },
    // The rest of a line that was begun belongs to the file that it was begun in.
    reopen: async () => {
      if (torn === 0) await replace()
    },
    close: () => file.close(),
  }
}

/** What tells a file from every other as long as it is open; it never changes. */
type Identity = { readonly ino: bigint; readonly dev: bigint }

async function identityOf(file: FileHandle): Promise<Identity> {
  return file.stat({ bigint: true })
}

/** Whether the path still names the file that is open; not so, where it names none. */
export async function isOpenAt(path: string, file: FileHandle): Promise<boolean> {
  return isAt(path, await identityOf(file))
}

async function isAt(path: string, { ino, dev }: Identity): Promise<boolean> {
  try {
    const named = await stat(path, { bigint: true })
    return named.ino === ino && named.dev === dev
  } catch (error) {
    if (typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT') return false
    throw error
  }
}

async function openAppending(path: string): Promise<{ readonly file: FileHandle; readonly identity: Identity }> {
  const file = await open(path, flags, 0o600)
  try {
    if (await endsInsideLine(path, file)) await file.write('\n')
    return { file, identity: await identityOf(file) }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Where the end cannot be read, it may be one: an empty line hurts less than two lines in one. */
async function endsInsideLine(path: string, file: FileHandle): Promise<boolean> {
  const status = await file.stat()
  if (!status.isFile() || status.size === 0) return false
  try {
    await using reader = await open(path, 'r')
    const { buffer, bytesRead } = await reader.read(Buffer.alloc(1), 0, 1, status.size - 1)
    return bytesRead === 1 && buffer[0] !== lineFeed
  } catch {
    return true
  }
}
