import type { Transfer, TransferOutcome } from '../registry/transfer.ts'
import type { ByteStep } from './byte-steps.ts'
import type { Lease, LeaseKeeper } from './lease-keeper.ts'
import type { ThrottleShare } from './throttle.ts'

/** What limits do with a transfer that was admitted. */
export type LimitParts = {
  /** Who slows it: a share for each bucket of that kind. */
  readonly shares: { readonly up: readonly ThrottleShare[]; readonly down: readonly ThrottleShare[] }
  /**
   * Whether the transfer waits for its shares. A manifest that is pushed does not: it may be held in memory for a bounded
   * time, pauses included, so its bytes are owed.
   */
  readonly waits: boolean
  /** Who is told of its bytes, for each direction that is counted in the store. */
  readonly steps: { readonly up?: ByteStep; readonly down?: ByteStep }
  readonly leases: readonly Lease[]
  /** Told once, after everything was let go. Must not throw. */
  readonly onEnd?: (outcome: TransferOutcome) => void
}

/**
 * Puts limits around the transfer that counts for the exchange. The leases are held from now on.
 *
 * Whoever gets it sees to it that `end` is called, whatever becomes of the exchange: the first call lets go of all parts,
 * and of whoever waits. Bytes that are charged later are counted by `inner` alone.
 */
export function limitTransfer(inner: Transfer, parts: LimitParts, keeper: LeaseKeeper): Transfer {
  const { shares, waits, steps, leases, onEnd } = parts
  if (isEmpty(parts)) return inner
  let isEnded = false
  for (const lease of leases) keeper.hold(lease)
  return {
    charge: (direction, bytes) => {
      const counted = inner.charge(direction, bytes)
      if (isEnded) return counted
      steps[direction]?.add(bytes)
      return pay(shares[direction], bytes, waits, counted)
    },
    end: (outcome) => {
      if (isEnded) return
      isEnded = true
      inner.end(outcome)
      steps.up?.end()
      steps.down?.end()
      for (const share of shares.up) share.leave()
      for (const share of shares.down) share.leave()
      for (const lease of leases) keeper.release(lease)
      onEnd?.(outcome)
    },
  }
}

function isEmpty({ shares, steps, leases, onEnd }: LimitParts): boolean {
  const counts = steps.up !== undefined || steps.down !== undefined || onEnd !== undefined
  return !counts && shares.up.length + shares.down.length + leases.length === 0
}

function pay(
  shares: readonly ThrottleShare[],
  bytes: number,
  waits: boolean,
  before: void | Promise<void>,
): void | Promise<void> {
  let waiting = before
  for (const share of shares) {
    if (waits) waiting = both(waiting, share.take(bytes))
    else share.owe(bytes)
  }
  return waiting
}

function both(one: void | Promise<void>, other: void | Promise<void>): void | Promise<void> {
  if (one === undefined) return other
  return other === undefined ? one : Promise.all([one, other]).then(() => undefined)
}
