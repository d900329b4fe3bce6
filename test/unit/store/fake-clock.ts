import type { Clock } from '../../../src/store/clock.ts'

/** A clock that a test moves. */
export type FakeClock = Clock & {
  /** Moves the time on, and runs what falls due on the way, in its order. */
  pass(ms: number): void
  /** In how many milliseconds each timer falls due. */
  readonly timers: () => readonly number[]
}

export function createFakeClock(): FakeClock {
  const timers = new Map<object, { readonly atMs: number; readonly run: () => void }>()
  let nowMs = 1_000
  return {
    nowMs: () => nowMs,
    after: (delayMs, run) => {
      const timer = {}
      timers.set(timer, { atMs: nowMs + delayMs, run })
      return () => {
        timers.delete(timer)
      }
    },
    pass: (ms) => {
      const endMs = nowMs + ms
      for (;;) {
        const [next] = [...timers].filter(([, { atMs }]) => atMs <= endMs).sort(([, a], [, b]) => a.atMs - b.atMs)
        if (next === undefined) break
        timers.delete(next[0])
        nowMs = Math.max(nowMs, next[1].atMs)
        next[1].run()
      }
      nowMs = endMs
    },
    timers: () => [...timers.values()].map(({ atMs }) => atMs - nowMs),
  }
}
