import { randomUUID } from 'node:crypto'
import { RegistryError } from '../registry/error.ts'
import { StoreError } from '../store/store.ts'
import type { Store } from '../store/store.ts'
import type { StoreFault } from '../telemetry/labels.ts'
import type { TagLock } from './tag-lock.ts'
import { giveBackTagLeases, renewTagLeases, takeTagLeases } from './tag-lease-script.ts'

/** What the lock tells of, since each of these opens it a little. */
export type SharedTagLockObserver = {
  /** The store did not answer; the work goes on with the lock of this process alone. */
  tagLockNotShared(fault: StoreFault): void
  /** A lease ended before its work did, and another gateway has it now; the work goes on. */
  tagLeaseLost(): void
}

export type SharedTagLockOptions = {
  /**
   * How long a lease outlives a gateway that is killed, in milliseconds. It is renewed at every third of that while the
   * work goes on.
   */
  readonly leaseMs: number
  readonly observe: SharedTagLockObserver
}

/** Leases of one piece of work; the token is its own, so that nobody else's are ever given back. */
type Leases = { readonly keys: readonly string[]; readonly token: string }

/** Until a lease that another has is asked for again, in milliseconds: at first, and at most. */
const pausesMs = { first: 5, longest: 160 }

/**
 * The lock of all gateways that share a store: first the lock of this process, in which its own take turns, so that one at
 * most of each gateway asks for a lease; then the leases of all keys at once, or none. They are asked for again until
 * `waitMs`, both waits together, is over; unlike in one process, nobody is promised a turn by order of arrival.
 *
 * It holds as well as leases do: their end never ends the work, and where the store does not answer, or forgets, the lock
 * of this process is all there is. `docs/explanation/protected-tags.md` tells what that can cost.
 *
 * @param local the lock of this process
 * @param store the one that is shared, without a fallback of its own; keys of one call are tags of one repository
 */
export function createSharedTagLock(local: TagLock, store: Store, options: SharedTagLockOptions): TagLock {
  const { leaseMs, observe } = options

  /** Waits for the leases. False when the store does not answer. @throws RegistryError `tagBusy`; the signal's reason */
  async function take({ keys, token }: Leases, endsAtMs: number, signal: AbortSignal | undefined): Promise<boolean> {
    for (let pauseMs = pausesMs.first; ; pauseMs = Math.min(2 * pauseMs, pausesMs.longest)) {
      signal?.throwIfAborted()
      try {
        if (await store.run(takeTagLeases, keys, [token, leaseMs])) return true
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
        observe.tagLockNotShared(error.fault)
        return false
      }
      const leftMs = endsAtMs - performance.now()
      if (leftMs <= 0) throw new RegistryError('tagBusy', { cause: new Error('another gateway has the tag') })
      await pause(Math.min(pauseMs, leftMs), signal)
    }
  }

  /** Renews leases. @returns what ends that; none is under way when it has resolved */
  function keep({ keys, token }: Leases): () => Promise<void> {
    let isOver = false
    let renewal = Promise.resolve()
    let timer = setTimeout(begin, leaseMs / 3)

    function begin(): void {
      renewal = renew()
    }

    async function renew(): Promise<void> {
      // A renewal that fails is made up for by the next; should the lease end meanwhile, the next takes it again.
      const lost = await store.run(renewTagLeases, keys, [token, leaseMs]).catch(() => 0)
      if (lost > 0) observe.tagLeaseLost()
      else if (!isOver) timer = setTimeout(begin, leaseMs / 3)
    }

    return () => {
      isOver = true
      clearTimeout(timer)
      return renewal
    }
  }

  /** What cannot be given back ends by itself. */
  async function giveBack({ keys, token }: Leases): Promise<void> {
    await store.run(giveBackTagLeases, keys, [token]).catch(() => 0)
  }

  async function withLeases<Result>(
    leases: Leases,
    work: () => Promise<Result>,
    endsAtMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Result> {
    if (!(await take(leases, endsAtMs, signal))) {
      // The store may have taken them and not said so in time. It has cost enough time: nothing more waits for it.
      void giveBack(leases)
      return work()
    }
    const stop = keep(leases)
    try {
      signal?.throwIfAborted()
      return await work()
    } finally {
      await stop()
      await giveBack(leases)
    }
  }

  return {
    run: (keys, work, wait) => {
      if (keys.length === 0) return local.run(keys, work, wait)
      const endsAtMs = performance.now() + wait.waitMs
      const leases = { keys: [...new Set(keys)].map(leaseKey), token: randomUUID() }
      return local.run(keys, () => withLeases(leases, work, endsAtMs, wait.signal), wait)
    },
  }
}

/** `REPOSITORY:TAG` as a key of the store; Redis Cluster keeps all tags of a repository on one server. */
function leaseKey(key: string): string {
  const end = key.indexOf(':')
  return `tag:{${key.slice(0, end)}}${key.slice(end)}`
}

/** @throws the reason of the signal */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer)
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the signal's own reason is the contract
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
