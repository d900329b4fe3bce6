/** Buffers that downloads are read into, used again and again so that the collector has nothing to do. */

/**
 * The sizes of a read, in bytes. A larger one saves system calls and calls into OpenSSL (docs/explanation/streaming.md
 * has the figures), and costs memory for as long as the client leaves it untaken.
 */
export const readSizes = [64 * 1024, 256 * 1024, 1024 * 1024] as const
export type ReadSize = (typeof readSizes)[number]

export type BufferPool = {
  /** A buffer whose content is left from before: only what was read into it may leave it. */
  take(size: ReadSize): Buffer
  /** Gives a buffer back that nothing reads or writes any more, not even the kernel. */
  give(buffer: Buffer): void
  /** Begins a download; the fewer are under way, the larger its reads may be. */
  join(): PoolShare
}

export type PoolShare = {
  readonly largest: ReadSize
  /** Called once, when the download has ended. */
  leave(): void
}

export type BufferPoolLimits = {
  /** Bytes of buffers kept while nobody uses them; more are left to the collector. */
  readonly maxFreeBytes: number
  /** Bytes that all downloads together may read at once, beyond the smallest size for each. */
  readonly maxSharedBytes: number
}

export function createBufferPool({ maxFreeBytes, maxSharedBytes }: BufferPoolLimits): BufferPool {
  const free = new Map<number, Buffer[]>(readSizes.map((size) => [size, []]))
  let freeBytes = 0
  let downloads = 0
  return {
    take: (size) => {
      const known = free.get(size)?.pop()
      // Not zeroed, and of no slab that holds anything else.
      if (known === undefined) return Buffer.allocUnsafeSlow(size)
      freeBytes -= size
      return known
    },
    give: (buffer) => {
      if (freeBytes + buffer.length > maxFreeBytes) return
      freeBytes += buffer.length
      free.get(buffer.length)?.push(buffer)
    },
    join: () => {
      downloads += 1
      return {
        get largest() {
          return readSizes.findLast((size) => size * downloads <= maxSharedBytes) ?? readSizes[0]
        },
        leave: () => {
          downloads -= 1
        },
      }
    },
  }
}
