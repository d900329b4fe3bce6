/** Buffers that downloads are read into, used again and again so that the collector has nothing to do. */

/** The sizes of a read in bytes: `small` to begin with, `large` while a client takes all it is given. */
export const readBytes = { small: 64 * 1024, large: 256 * 1024 } as const

export type BufferPool = {
  /** A buffer of at least so many bytes whose content is left from before: only what was read into it may leave it. */
  take(bytes: number): Buffer
  /** Gives a buffer back that nothing reads or writes any more, not even the kernel. */
  give(buffer: Buffer): void
}

/** Creates a pool that keeps at most `maxBytes` of buffers that nobody uses; others are left to the collector. */
export function createBufferPool(maxBytes: number): BufferPool {
  const free = { small: [] as Buffer[], large: [] as Buffer[] }
  let freeBytes = 0
  return {
    take: (bytes) => {
      const size = bytes > readBytes.small ? 'large' : 'small'
      const known = free[size].pop()
      // Not zeroed and not of Node's shared slab: a pool of a process that moves gigabytes.
      if (known === undefined) return Buffer.allocUnsafeSlow(readBytes[size])
      freeBytes -= known.length
      return known
    },
    give: (buffer) => {
      if (freeBytes + buffer.length > maxBytes) return
      freeBytes += buffer.length
      free[buffer.length === readBytes.large ? 'large' : 'small'].push(buffer)
    },
  }
}
