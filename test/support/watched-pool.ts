import { createBufferPool } from '../../src/proxy/buffer-pool.ts'
import type { BufferPool } from '../../src/proxy/buffer-pool.ts'

/** A pool that sees misuse: a buffer given twice, given without having been taken, or written to after it was given. */
export type WatchedPool = BufferPool & {
  /** What was done wrong, in words. */
  readonly misuses: readonly string[]
  /** Sizes of all buffers taken. */
  readonly sizes: ReadonlySet<number>
  /** Buffers taken and not given back, now and at most. */
  readonly out: number
  readonly mostOut: number
  /** Shares that were joined and not left. */
  readonly shares: number
}

const poison = 0xdd

/** Whoever reads a buffer after giving it back reads poison; whoever writes to it leaves a trace that is found later. */
export function createWatchedPool(): WatchedPool {
  const pool = createBufferPool({ maxFreeBytes: 16 * 1024 * 1024, maxSharedBytes: 8 * 1024 * 1024 })
  const misuses: string[] = []
  const sizes = new Set<number>()
  const out = new Set<Buffer>()
  const given = new WeakSet<Buffer>()
  let mostOut = 0
  let shares = 0
  return {
    misuses,
    sizes,
    get out() {
      return out.size
    },
    get mostOut() {
      return mostOut
    },
    get shares() {
      return shares
    },
    take: (size) => {
      const buffer = pool.take(size)
      if (out.has(buffer)) misuses.push('handed out twice')
      if (given.has(buffer) && !buffer.equals(Buffer.alloc(size, poison))) misuses.push('written to after it was given')
      sizes.add(size)
      out.add(buffer)
      mostOut = Math.max(mostOut, out.size)
      return buffer
    },
    give: (buffer) => {
      if (!out.delete(buffer)) misuses.push('given without being taken, or twice')
      buffer.fill(poison)
      given.add(buffer)
      pool.give(buffer)
    },
    join: () => {
      const share = pool.join()
      shares += 1
      return {
        get largest() {
          return share.largest
        },
        leave: () => {
          shares -= 1
          share.leave()
        },
      }
    },
  }
}
