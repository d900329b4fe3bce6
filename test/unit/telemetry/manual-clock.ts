import type { Clock } from '../../../src/telemetry/clock.ts'

/** A clock that stands until a test moves it. */
export type ManualClock = Clock & {
  /** Moves on and runs what became due, in order. */
  advance(byMs: number): void
  /** How many timers wait. */
  waiting(): number
}

export function createManualClock(startMs = 1_700_000_000_000): ManualClock {
  let nowMs = startMs
  let timers: readonly { readonly atMs: number; readonly run: () => void }[] = []
  return {
    now: () => nowMs,
    after: (delayMs, run) => {
      const timer = { atMs: nowMs + delayMs, run }
      timers = [...timers, timer].sort((one, other) => one.atMs - other.atMs)
      return () => {
        timers = timers.filter((candidate) => candidate !== timer)
      }
    },
    advance: (byMs) => {
      nowMs += byMs
      for (let due = timers[0]; due !== undefined && due.atMs <= nowMs; due = timers[0]) {
        timers = timers.slice(1)
        due.run()
      }
    },
    waiting: () => timers.length,
  }
}
