import type { Store } from '../../src/store/store.ts'
import { addTo } from './redis-store.ts'
import type { Outcome } from './redis-store.ts'
import { until } from './until.ts'

/** Calls that come whether or not those before them were answered. */
export type StoreLoad = {
  /** What has ended so far. */
  readonly outcomes: readonly Outcome[]
  /** Waits until a call that begins after this moment was answered. */
  untilAnswered(options?: { readonly deadlineMs?: number }): Promise<void>
  /** Waits until a call that begins after this moment was not answered. */
  untilFailed(): Promise<void>
  /** Ends it, and waits for all that is under way. */
  stop(): Promise<readonly Outcome[]>
}

const everyMs = 5
const callsAtOnce = 4

/** Some 800 calls in a second, over as many counters as are named. */
export function startStoreLoad(store: Store, keys: readonly string[] = ['{load}']): StoreLoad {
  const outcomes: Outcome[] = []
  const underWay = new Set<Promise<void>>()
  const failures: unknown[] = []
  let calls = 0
  const call = (): void => {
    const key = keys[calls % keys.length]
    calls += 1
    const run = addTo(store, key).then(
      (outcome) => void outcomes.push(outcome),
      (error: unknown) => void failures.push(error),
    )
    underWay.add(run)
    void run.then(() => underWay.delete(run))
  }
  const timer = setInterval(() => {
    for (let left = callsAtOnce; left > 0; left -= 1) call()
  }, everyMs)
  const untilOne = async (isAnswered: boolean, what: string, deadlineMs?: number): Promise<void> => {
    // What is under way may have begun before what the test has just done.
    await Promise.all(underWay)
    const from = outcomes.length
    const isThere = (): boolean => outcomes.slice(from).some(({ end }) => (end === 'answered') === isAnswered)
    await until(isThere, { what, ...(deadlineMs === undefined ? {} : { deadlineMs }) })
  }
  return {
    outcomes,
    untilAnswered: ({ deadlineMs } = {}) => untilOne(true, 'the store answers', deadlineMs),
    untilFailed: () => untilOne(false, 'the store fails'),
    stop: async () => {
      clearInterval(timer)
      await Promise.all(underWay)
      if (failures.length > 0) throw new AggregateError(failures, 'calls ended with something else than a StoreError')
      return outcomes
    },
  }
}

/** Milliseconds that half of the calls took at most, and that all did. */
export function timesOf(outcomes: readonly Outcome[]): { readonly medianMs: number; readonly slowestMs: number } {
  const times = outcomes.map(({ afterMs }) => afterMs).toSorted((a, b) => a - b)
  return { medianMs: times[Math.floor(times.length / 2)] ?? 0, slowestMs: times.at(-1) ?? 0 }
}
