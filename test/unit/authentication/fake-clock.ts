import { setImmediate } from 'node:timers/promises'
import type { Clock } from '../../../src/authentication/clock.ts'

export type FakeClock = Clock & {
  /** Moves time on; timers that come due run in their order, each at its own time. */
  advance(byMs: number): Promise<void>
  /** Timers that have neither run nor been cancelled. */
  readonly pending: () => number
}

/** Lets everything run that only waits for promises. */
export async function settle(): Promise<void> {
  await setImmediate()
}

export function createFakeClock(): FakeClock {
  let nowMs = 1_000
  const timers = new Set<{ readonly atMs: number; readonly run: () => void }>()
  return {
    nowMs: () => nowMs,
    after(delayMs, run) {
      const timer = { atMs: nowMs + delayMs, run }
      timers.add(timer)
      return () => {
        timers.delete(timer)
      }
    },
    pending: () => timers.size,
    async advance(byMs) {
      const endMs = nowMs + byMs
      await settle()
      for (;;) {
        const [next] = [...timers].filter(({ atMs }) => atMs <= endMs).sort((one, other) => one.atMs - other.atMs)
        if (next === undefined) break
        timers.delete(next)
        nowMs = Math.max(nowMs, next.atMs)
        next.run()
        await settle()
      }
      nowMs = endMs
    },
  }
}

export type Outcome<T> =
  | { readonly kind: 'pending' }
  | { readonly kind: 'value'; readonly value: T }
  | { readonly kind: 'error'; readonly error: unknown }

/** Looks at a promise without waiting for it. */
export function watch<T>(promise: Promise<T>): () => Outcome<T> {
  let outcome: Outcome<T> = { kind: 'pending' }
  promise.then(
    (value) => {
      outcome = { kind: 'value', value }
    },
    (error: unknown) => {
      outcome = { kind: 'error', error }
    },
  )
  return () => outcome
}
