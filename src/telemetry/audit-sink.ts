import { fstat, write } from 'node:fs'
import type { Writable } from 'node:stream'
import { promisify } from 'node:util'
import { openAuditFile } from './audit-file.ts'

/** Where audit lines go: one chunk at a time, in order. */
export type AuditSink = {
  /** Several lines may go into one chunk of this size; a chunk always ends with a line. */
  readonly maxChunkBytes: number
  /**
   * Writes a chunk and tells how many of its bytes were taken; rejects when none were. The next chunk begins with the
   * first byte that was not taken.
   */
  write(chunk: Uint8Array): Promise<number>
  /** Lets go of a file that was renamed and opens its path anew; never called while a write runs. */
  reopen(): Promise<void>
  close(): Promise<void>
}

/** What goes to a file that was opened by somebody else. */
const descriptorChunkBytes = 64 * 1024
/** A pipe takes this much whole (PIPE_BUF), so that no other writer of the same pipe gets into a line. */
const pipeChunkBytes = 4096

/** Standard output as the command line hands it in. */
export type StandardOutput = Writable & { readonly fd?: number }

/**
 * Opens the destination of the audit. A file is appended to and made with mode 0600.
 *
 * @param destination `stdout` or a path
 * @throws Error of `open`, when the file cannot be opened
 */
export async function openAuditSink(destination: string, standardOutput: StandardOutput): Promise<AuditSink> {
  if (destination !== 'stdout') return openAuditFile(destination)
  const { fd } = standardOutput
  // Node writes a redirected standard output synchronously, which would let a slow disk stop every transfer.
  return fd !== undefined && (await isFile(fd)) ? descriptorSink(fd) : streamSink(standardOutput)
}

async function isFile(fd: number): Promise<boolean> {
  const status = await promisify(fstat)(fd)
  return status.isFile()
}

function descriptorSink(fd: number): AuditSink {
  return {
    maxChunkBytes: descriptorChunkBytes,
    write: (chunk) =>
      new Promise((resolve, reject) => {
        write(fd, chunk, (error, bytesWritten) => {
          if (error === null) resolve(bytesWritten)
          else reject(error)
        })
      }),
    reopen: () => Promise.resolve(),
    close: () => Promise.resolve(),
  }
}

/**
 * A stream as sink. Its errors (EPIPE, when the reader has gone) come back from `write`; the stream's own error event
 * would end the process, so it is heard here. The stream stays open: it is not ours.
 */
export function streamSink(stream: Writable): AuditSink {
  stream.on('error', () => undefined)
  return {
    maxChunkBytes: pipeChunkBytes,
    write: (chunk) =>
      new Promise((resolve, reject) => {
        stream.write(chunk, (error) => {
          if (error === null || error === undefined) resolve(chunk.length)
          else reject(error)
        })
      }),
    reopen: () => Promise.resolve(),
    close: () => Promise.resolve(),
  }
}
