import type { Clock } from './clock.ts'

/** How often each network wanted a check lately, in this process alone: who asks most often is served last. */
export type RecentAttempts = {
  /** Counts one more; how many there were before. */
  add(network: string): number
  /** Takes one back, since it was right. */
  takeBack(network: string): void
}

const windowMs = 60_000
/** Of more networks than these, those are forgotten that have not asked for the longest time. */
const maxNetworks = 10_000

type Count = { readonly sinceMs: number; readonly attempts: number }

export function createRecentAttempts(clock: Pick<Clock, 'nowMs'>): RecentAttempts {
  const counts = new Map<string, Count>()

  function take(network: string): Count {
    const held = counts.get(network)
    counts.delete(network)
    const isOver = held === undefined || clock.nowMs() >= held.sinceMs + windowMs
    return isOver ? { sinceMs: clock.nowMs(), attempts: 0 } : held
  }

  function put(network: string, count: Count): void {
    counts.set(network, count)
    if (counts.size <= maxNetworks) return
    const [longestAgo] = counts.keys()
    if (longestAgo !== undefined) counts.delete(longestAgo)
  }

  return {
    add(network) {
      const { sinceMs, attempts } = take(network)
      put(network, { sinceMs, attempts: attempts + 1 })
      return attempts
    },
    takeBack(network) {
      const { sinceMs, attempts } = take(network)
      if (attempts > 1) put(network, { sinceMs, attempts: attempts - 1 })
    },
  }
}
