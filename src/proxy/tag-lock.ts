import { RegistryError } from '../registry/error.ts'

/** How long work may wait for its turn. */
export type TagLockWait = {
  /** For all keys together, in milliseconds. */
  readonly waitMs: number
  /** Ends the waiting early, when nobody wants the result any more; work that has begun is not ended by it. */
  readonly signal?: AbortSignal
}

/**
 * Lets only one piece of work at a time go on with a key: this process's own lock, or the one that the replicas share, for
 * which nothing here returns at once and nothing is asked that a lease in Redis could not do.
 */
export type TagLock = {
  /**
   * Runs `work` while holding all `keys`, and gives them back when it has settled, however it did. `work` must come to
   * an end by deadlines of its own: nobody takes a key away from it.
   *
   * @throws RegistryError `tagBusy` when the turn does not come in time or too many wait; `signal.reason` when the
   *   signal ends the waiting. `work` has not begun then.
   */
  run<Result>(keys: readonly string[], work: () => Promise<Result>, wait: TagLockWait): Promise<Result>
}

type Waiter = { readonly proceed: () => void }

/**
 * The lock of this process: each key in order of arrival. Keys are taken one after the other in one order for all, so
 * that two pieces of work never wait for each other.
 *
 * @param maxWaiting how many may wait, over all keys; the next is refused at once
 */
export function createTagLock(maxWaiting: number): TagLock {
  /** Every key that is held, with those who wait for it. */
  const queues = new Map<string, Waiter[]>()
  let waiting = 0

  async function acquire(key: string, endsAtMs: number, signal: AbortSignal | undefined): Promise<void> {
    const queue = queues.get(key)
    if (queue === undefined) {
      queues.set(key, [])
      return
    }
    if (waiting >= maxWaiting) throw new RegistryError('tagBusy', { cause: new Error(`${maxWaiting} are waiting`) })
    const { promise: turn, resolve, reject } = Promise.withResolvers<undefined>()
    const waiter = {
      proceed: () => {
        resolve(undefined)
      },
    }
    const giveUp = (reason: unknown): void => {
      const place = queue.indexOf(waiter)
      // Its turn has come at the same moment: the key is its own and has to be given back by whoever waited.
      if (place === -1) return
      queue.splice(place, 1)
      reject(reason)
    }
    const onAbort = (): void => {
      giveUp(signal?.reason)
    }
    const timer = setTimeout(
      () => {
        giveUp(new RegistryError('tagBusy', { cause: new Error('the turn did not come in time') }))
      },
      Math.max(0, endsAtMs - performance.now()),
    )
    queue.push(waiter)
    waiting += 1
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      await turn
    } finally {
      waiting -= 1
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  function release(key: string): void {
    const next = queues.get(key)?.shift()
    if (next === undefined) queues.delete(key)
    else next.proceed()
  }

  return {
    run: async (keys, work, { waitMs, signal }) => {
      const endsAtMs = performance.now() + waitMs
      const taken: string[] = []
      try {
        for (const key of new Set([...keys].sort())) {
          signal?.throwIfAborted()
          await acquire(key, endsAtMs, signal)
          taken.push(key)
        }
        signal?.throwIfAborted()
        return await work()
      } finally {
        for (const key of taken) release(key)
      }
    },
  }
}
