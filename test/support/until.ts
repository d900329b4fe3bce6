import { setTimeout as delay } from 'node:timers/promises'

/**
 * What takes a moment, on a machine that is ten times as slow and runs other tests beside: half a minute. It is never
 * waited for in a run that passes. The settings of the tests keep every deadline of a gateway that is not under test
 * beyond it, so that what such a deadline ended at last does not pass for prompt.
 */
export const soonMs = 30_000

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
 * @throws Error naming `what` when the deadline (`soonMs` unless told) has passed.
 */
export async function until<Value>(
  probe: () => Value | Promise<Value>,
  { what, deadlineMs = soonMs, intervalMs = 20 }: UntilOptions,
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
