/** What limits do with a transfer that they have admitted: leases, bytes that are charged as they flow, and pace. */
import type { RegistryRequest } from '../registry/route.ts'
import type { Transfer } from '../registry/transfer.ts'
import type { Adjustment } from './adjust-script.ts'
import { costUs } from './bucket.ts'
import type { Bucket } from './bucket.ts'
import { createByteSteps } from './byte-steps.ts'
import { pushPassMs } from './charges.ts'
import type { Asked, ByteCharge } from './charges.ts'
import type { Clock } from '../store/clock.ts'
import { createLeaseKeeper } from './lease-keeper.ts'
import type { LimitStore } from './limit-store.ts'
import { limitTransfer } from './limited-transfer.ts'
import type { PushPasses } from './push-passes.ts'
import { leaseTtlMs } from './taking.ts'
import { createThrottle } from './throttle.ts'
import type { Throttle } from './throttle.ts'

export type Transfers = {
  /** The transfer to forward with: `inner` itself where nothing is to be done. */
  around(inner: Transfer, asked: Asked, request: RegistryRequest, leaseId: string): Transfer
  /** Gives all leases back. */
  close(): Promise<void>
}

/** A pass lasts so long that the end of a transfer need not tell of itself when its request has just done so. */
const shortTransferMs = 10_000

export function createTransfers({
  buckets,
  limits,
  passes,
  clock,
}: {
  readonly buckets: readonly Bucket[]
  readonly limits: LimitStore
  readonly passes: PushPasses
  readonly clock: Clock
}): Transfers {
  const throttles = new Map(buckets.flatMap((bucket) => throttleOf(bucket, clock)))
  const steps = createByteSteps(clock)
  const keeper = createLeaseKeeper({
    clock,
    renew: (key, ids) => limits.adjustNow(ids.map((id) => ({ kind: 'hold', key, id, ttlMs: leaseTtlMs }))),
    giveBack: (key, ids) => limits.adjustNow(ids.map((id) => ({ kind: 'release', key, id }))),
  })

  function charge(flowing: readonly ByteCharge[], bytes: number): void {
    for (const group of limits.isSharded ? Map.groupBy(flowing, ({ identity }) => identity).values() : [flowing]) {
      limits.adjust(
        group.map(({ key, rate }): Adjustment => {
          return { kind: 'charge', key, costUs: costUs(rate, bytes), ceilingUs: rate.ceilingUs }
        }),
      )
    }
  }

  /** Lets the pass of a push last while its content flows; what is returned is told of the end. */
  function holdPass(key: string): () => void {
    const release = passes.hold(key)
    const sinceMs = clock.nowMs()
    return () => {
      const rememberedAgeMs = release()
      if (clock.nowMs() - sinceMs < shortTransferMs) return
      limits.adjust([{ kind: 'push-pass', key, ttlMs: pushPassMs, rememberedAgeMs }])
    }
  }

  return {
    around: (inner, { charges, pass, direction, flowing, slowed }, request, leaseId) => {
      const leases = charges.flatMap(({ item: { kind, key } }) => (kind === 'lease' ? [{ key, id: leaseId }] : []))
      const shares = slowed.flatMap(({ bucket, identity }) => throttles.get(bucket)?.share(identity) ?? [])
      const step =
        flowing.length === 0
          ? undefined
          : steps.join((bytes) => {
              charge(flowing, bytes)
            })
      const onEnd = pass?.kind === 'part' && direction === 'up' ? holdPass(pass.key) : undefined
      return limitTransfer(
        inner,
        {
          leases,
          shares: { up: direction === 'up' ? shares : [], down: direction === 'down' ? shares : [] },
          steps: direction === undefined || step === undefined ? {} : { [direction]: step },
          waits: request.kind !== 'manifest' || request.method !== 'PUT',
          ...(onEnd && { onEnd }),
        },
        keeper,
      )
    },
    close: () => keeper.close(),
  }
}

function throttleOf(bucket: Bucket, clock: Clock): readonly (readonly [Bucket, Throttle])[] {
  const { settings } = bucket
  if (settings.unit !== 'bytes' || settings.onExceeded !== 'slow') return []
  const { quota, windowSeconds } = settings
  return [[bucket, createThrottle({ bytesPerSecond: quota / windowSeconds, maxDebtBytes: quota, clock })]]
}
