import fc from 'fast-check'

/** How long a call may keep the processor, in milliseconds: nothing that a stranger sends is worth more. */
const maxCallMs = 100

export type Trial = {
  readonly seed: number
  readonly milliseconds: number
  /** Told of each input before it is tried, as JSON: who watches from outside knows what it was that never ended. */
  readonly began: (input: string) => void
}

export type Outcome =
  | { readonly kind: 'held'; readonly runs: number; readonly slowestMs: number }
  | { readonly kind: 'failed'; readonly runs: number; readonly input: string; readonly reason: string }

/** One thing that must stand whatever it is given. */
export type FuzzTarget = {
  readonly name: string
  /** Tries generated inputs until the time is over; the input of a failure is made as small as the time allows. */
  readonly run: (trial: Trial) => Promise<Outcome>
  /** Tries one input, as a failure printed it; rejects when it fails. */
  readonly reproduce: (input: string) => Promise<void>
}

/**
 * Makes a target of a check, which throws when its subject does anything but what it promises. Inputs are JSON, so that
 * one that fails can be printed and tried again.
 *
 * @param calls how often a check calls what it checks, each of which may take its time
 */
export function createFuzzTarget<Input>(
  name: string,
  inputs: fc.Arbitrary<Input>,
  check: (input: Input) => void | Promise<void>,
  calls = 1,
): FuzzTarget {
  const maxMs = calls * maxCallMs
  return {
    name,
    run: async ({ seed, milliseconds, began }) => {
      let slowestMs = 0
      let last: { readonly input: Input; readonly done: Promise<number> } | undefined
      const property = fc.asyncProperty(inputs, async (input) => {
        began(JSON.stringify(input))
        last = { input, done: quickly(() => check(input), maxMs) }
        slowestMs = Math.max(slowestMs, await last.done)
      })
      const numRuns = Number.MAX_SAFE_INTEGER
      const time = { interruptAfterTimeLimit: milliseconds, markInterruptAsFailure: false }
      const { numRuns: runs, ...details } = await fc.check(property, { seed, numRuns, ...time })
      if (details.failed && details.counterexample !== null) {
        const error = details.errorInstance
        const reason = error instanceof Error ? (error.stack ?? error.message) : String(error)
        return { kind: 'failed', runs, input: JSON.stringify(details.counterexample[0]), reason }
      }
      // The time was over in the middle of a call, which may have been one without an end.
      if (last === undefined || (await settles(last.done))) return { kind: 'held', runs, slowestMs }
      return { kind: 'failed', runs, input: JSON.stringify(last.input), reason: 'never settles' }
    },
    reproduce: async (input) => {
      await quickly(() => check(JSON.parse(input) as Input), maxMs)
    },
  }
}

/**
 * Says how long something kept the processor, which is not how long it took: other programs run here too. What is too slow
 * gets two more tries, since the compiler and the collector of garbage take turns with it.
 */
async function quickly(work: () => void | Promise<void>, maxMs: number): Promise<number> {
  let bestMs = Number.POSITIVE_INFINITY
  for (let attempt = 0; attempt < 3 && bestMs > maxMs; attempt += 1) {
    const started = process.threadCpuUsage()
    await work()
    const { user, system } = process.threadCpuUsage(started)
    bestMs = Math.min(bestMs, (user + system) / 1_000)
  }
  if (bestMs > maxMs) throw new Error(`took ${bestMs.toFixed(0)} ms, and ${String(maxMs)} ms are allowed`)
  return bestMs
}

async function settles(promise: Promise<unknown>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>()
  const deadline = setTimeout(resolve, 50 * maxCallMs, false)
  const settled = promise.then(
    () => true,
    () => true,
  )
  return Promise.race([settled, late]).finally(() => {
    clearTimeout(deadline)
  })
}

/** Throws with the sentence unless what must hold holds. */
export function must(holds: boolean, sentence: string): asserts holds {
  if (!holds) throw new Error(sentence)
}
