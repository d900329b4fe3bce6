import type { Clock } from '../store/clock.ts'

/** A place that one transfer takes in a bucket of concurrent ones. Held and released as the same object. */
export type Lease = {
  /** Of the bucket and the identity. */
  readonly key: string
  /** Unique in the key. */
  readonly id: string
}

export type LeaseKeeperOptions = {
  /**
   * Lets up to {@link maxBatch} leases of one key last longer, also in a store that has forgotten them. Where it fails it
   * is tried at the next turn.
   */
  readonly renew: (key: string, ids: readonly string[]) => Promise<unknown>
  /** Gives up to {@link maxBatch} leases of one key back. Where it fails their time to live ends them. */
  readonly giveBack: (key: string, ids: readonly string[]) => Promise<unknown>
  readonly clock: Clock
}

export type LeaseKeeper = {
  /** Has a lease that was taken renewed from now on; after {@link close} it is given back at once. */
  hold(lease: Lease): void
  /** Gives a lease back, without waiting for the store; nothing when it is not held. */
  release(lease: Lease): void
  /** Gives all back. Resolves when the store has answered for them, and for what was released before, whatever it said. */
  close(): Promise<void>
  readonly held: number
}

/** A third of the time to live of a lease: two renewals may fail. */
const renewalMs = 10_000
export const maxBatch = 500

/** Keeps all leases of this process alive: one timer for all, while there are any. */
export function createLeaseKeeper({ renew, giveBack, clock }: LeaseKeeperOptions): LeaseKeeper {
  const held = new Set<Lease>()
  const underWay = new Set<Promise<void>>()
  let cancelTimer: (() => void) | undefined
  let isClosed = false

  /** The observer of the store has been told of a failure; here it changes nothing. */
  async function attempt(call: LeaseKeeperOptions['renew'], key: string, ids: readonly string[]): Promise<void> {
    try {
      await call(key, ids)
    } catch {
      return
    }
  }
  function start(call: LeaseKeeperOptions['renew'], key: string, ids: readonly string[]): void {
    const attempted = attempt(call, key, ids)
    underWay.add(attempted)
    void attempted.then(() => underWay.delete(attempted))
  }
  function startAll(call: LeaseKeeperOptions['renew']): void {
    for (const [key, leases] of Map.groupBy(held, (lease) => lease.key)) {
      const ids = leases.map(({ id }) => id)
      for (let from = 0; from < ids.length; from += maxBatch) start(call, key, ids.slice(from, from + maxBatch))
    }
  }
  function arm(): void {
    if (cancelTimer !== undefined || held.size === 0) return
    cancelTimer = clock.after(renewalMs, () => {
      cancelTimer = undefined
      startAll(renew)
      arm()
    })
  }

  return {
    hold: (lease) => {
      if (isClosed) {
        start(giveBack, lease.key, [lease.id])
        return
      }
      held.add(lease)
      arm()
    },
    release: (lease) => {
      if (held.delete(lease)) start(giveBack, lease.key, [lease.id])
    },
    close: async () => {
      isClosed = true
      cancelTimer?.()
      startAll(giveBack)
      held.clear()
      await Promise.all(underWay)
    },
    get held() {
      return held.size
    },
  }
}
