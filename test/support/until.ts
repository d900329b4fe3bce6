import { setTimeout as delay } from 'node:timers/promises'

/** How long to wait for a condition, how often to look, and what to call it in the message of a failure. */
export type UntilOptions = {
  readonly what: string
  readonly deadlineMs?: number
  readonly intervalMs?: number
}

/**
 * Resolves with the first truthy value of `probe`. A probe that throws counts as "not yet"; its last error is the cause
 * of the failure. This is the one place of the tests that polls: for what cannot report by an event.
 *
 * @throws Error naming `what` when the deadline (10 s unless told) has passed.
 */
export async function until<Value>(
  probe: () => Value | Promise<Value>,
  { what, deadlineMs = 10_000, intervalMs = 20 }: UntilOptions,
): Promise<Exclude<Value, false | null | undefined | 0 | ''>> {
  const deadline = performance.now() + deadlineMs
  let cause: unknown
  for (;;) {
    try {
      const value = await probe()
      if (isReached(value)) return value
      cause = undefined
    } catch (error) {
      cause = error
    }
    if (performance.now() >= deadline) throw new Error(`not within ${String(deadlineMs)} ms: ${what}`, { cause })
    await delay(intervalMs)
  }
}

function isReached<Value>(value: Value): value is Exclude<Value, false | null | undefined | 0 | ''> {
  return Boolean(value)
}
