/** The limits of requests, bytes and transfers: the stage between the grant and the forwarding of a request. */
import type { BucketSettings } from '../config/limits-settings.ts'
import { anonymous } from '../registry/principal.ts'
import type { Principal } from '../registry/principal.ts'
import type { RegistryRequest } from '../registry/route.ts'
import type { Transfer } from '../registry/transfer.ts'
import type { Store } from '../store/store.ts'
import type { LimitEvents } from '../telemetry/limit-events.ts'
import type { StoreErrorVerdict } from '../telemetry/labels.ts'
import type { BucketState } from './bucket-state.ts'
import { compileBucket } from './bucket.ts'
import type { Asker, NetworksOf } from './bucket.ts'
import { compileCharges, loginCharges, pushPassMs } from './charges.ts'
import type { Clock } from '../store/clock.ts'
import { createDecide } from './decide.ts'
import { createIdentities } from './identity.ts'
import { limitHeaders } from './limit-headers.ts'
import { createLimitStore } from './limit-store.ts'
import { createPushPasses } from './push-passes.ts'
import { createStanding } from './standing.ts'
import { createTransfers } from './transfers.ts'
import { createWaitingRoom } from './waiting-room.ts'
import type { Leaving } from './waiting-room.ts'

export type AskedRequest = {
  readonly principal: Principal
  /** The one of the grant, which is what will be done. */
  readonly request: RegistryRequest
  /** The client's address, after trusted proxies. */
  readonly address: string
  /** Counts the bytes for the exchange. */
  readonly transfer: Transfer
  /** Whoever waits while the request is held; it may leave. */
  readonly client: Leaving
}

export type RateLimit = {
  /**
   * Admits a request, and charges it. The answer is the transfer to forward with; its `end` must be called whatever
   * becomes of the request. Where no bucket applies it is `asked.transfer`, and nothing was asked.
   *
   * @param setHeader takes what the answer tells of limits, before this resolves or rejects
   * @throws RegistryError `rateLimited` beyond a limit; `limitsUnavailable` where the store does not answer and
   *   `onStoreError` is `deny`
   */
  admit(asked: AskedRequest, setHeader: (name: string, value: string) => void): Promise<Transfer>
  /**
   * Admits a login that a backend has to check.
   *
   * @throws RegistryError as `admit`
   */
  admitLogin(address: string, client?: Leaving): Promise<void>
  /**
   * How the buckets of a user stand: its own, those of its groups by policy, and those of all.
   *
   * @throws StoreError when the store does not answer
   */
  show(user: string): Promise<readonly BucketState[]>
  /**
   * Makes the buckets of a user whole: its own, or the one that is named, also where others share it.
   *
   * @returns the names of those buckets
   * @throws StoreError when the store does not answer
   */
  reset(user: string, bucket?: string): Promise<readonly string[]>
  /** Gives back leases, lets go whoever waits, and resolves when the store was told. */
  close(): Promise<void>
}

export type RateLimitOptions = {
  readonly buckets: readonly BucketSettings[]
  readonly store: Store
  /** Counts in the memory of this process while the store does not answer and `onStoreError` is `local`. */
  readonly local: Store
  readonly onStoreError: StoreErrorVerdict
  readonly refusalWaitMs: number
  /** All groups of a principal, those of the policies too. */
  readonly groupsOf: (principal: Principal) => readonly string[]
  readonly networksOf: NetworksOf
  readonly clock: Clock
  /** Random; tells the leases of this process from those of others. */
  readonly processId: string
  readonly observe: Pick<LimitEvents, 'limitDecided' | 'limitsUncounted'>
}

/** Requests that may be held at one time before they are refused. */
const maxHeld = 1_000
/** Pushes that are remembered in the process. */
const maxPasses = 10_000

export function createRateLimit(options: RateLimitOptions): RateLimit {
  const { store, local, onStoreError, refusalWaitMs, groupsOf, clock, observe } = options
  const identities = createIdentities()
  const buckets = options.buckets.map((settings) => compileBucket(settings, identities, options.networksOf))
  const chargesOf = compileCharges(buckets)
  const chargesOfLogin = loginCharges(buckets)
  const limits = createLimitStore({ store, local, onStoreError, uncounted: observe.limitsUncounted })
  const room = createWaitingRoom(maxHeld, clock)
  const passes = createPushPasses({
    ttlMs: pushPassMs,
    capacity: maxPasses,
    clock,
    onLasting: (key, rememberedAgeMs) => {
      limits.adjust([{ kind: 'push-pass', key, ttlMs: pushPassMs, rememberedAgeMs }])
    },
  })
  const transfers = createTransfers({ buckets, limits, passes, clock })
  const { processId } = options
  const decide = createDecide({ limits, passes, room, onStoreError, refusalWaitMs, processId, observe })
  const askerOf = (principal: Principal, address: string): Asker => {
    let groups: readonly string[] | undefined
    const own = principal.kind === 'user' ? identities.user(principal.name) : identities.address(address)
    return { principal, own, address, groups: () => (groups ??= groupsOf(principal)) }
  }

  return {
    admit: async ({ principal, request, address, transfer, client }, setHeader) => {
      const asked = chargesOf(askerOf(principal, address), request)
      if (asked === undefined) return transfer
      const { states, leaseId } = await decide(asked, client, setHeader)
      if (asked.isShown) {
        for (const [name, value] of limitHeaders(states(), request.method === 'GET')) setHeader(name, value)
      }
      return transfers.around(transfer, asked, request, leaseId)
    },
    admitLogin: async (address, client) => {
      const asked = chargesOfLogin(askerOf(anonymous, address))
      if (asked === undefined) return
      await decide(asked, client, () => {
        // A login has no headers of its own: the refusal of the request that brought it says all.
      })
    },
    ...createStanding({ buckets, store, local, askerOf }),
    close: async () => {
      room.close()
      passes.close()
      await transfers.close()
      await limits.settled()
    },
  }
}
