/** How a bucket stands for one identity, in the units of the configuration. */
import type { BucketSettings } from '../config/limits-settings.ts'
import type { Charge } from './charges.ts'
import type { Identity } from './identity.ts'

export type BucketState = {
  readonly bucket: BucketSettings
  readonly identity: Identity
  /** Requests, bytes or transfers that are left; never less than 0. */
  readonly remaining: number
  /** Until one more is there than `remaining`; 0 when it is whole, and nothing for transfers, whose end nobody knows. */
  readonly nextMs: number | undefined
  /** Until the bucket is whole; nothing for transfers. */
  readonly wholeMs: number | undefined
  /** Until the request that was asked for would be admitted by this bucket: 0 when it is; nothing when nobody knows. */
  readonly waitMs: number | undefined
}

/** @param used as the store told it: microseconds until a rate is whole, or transfers under way */
export function bucketState({ bucket: { settings, rate }, identity, item }: Charge, used: number): BucketState {
  const about = { bucket: settings, identity }
  if (item.kind !== 'rate' || rate === undefined) {
    const isFull = used >= settings.quota
    const remaining = Math.max(0, settings.quota - used)
    return { ...about, remaining, nextMs: undefined, wholeMs: undefined, waitMs: isFull ? undefined : 0 }
  }
  const { intervalUs, limitUs } = rate
  const free = Math.max(0, limitUs - used)
  // A byte may take less than a microsecond, so that a full bucket would seem short of a few.
  const remaining = used === 0 && settings.unit !== 'concurrent' ? settings.burst : Math.floor(free / intervalUs)
  const nextUs = used === 0 ? 0 : used - (limitUs - (remaining + 1) * intervalUs)
  const waitUs = item.needUs === 0 ? 0 : Math.max(0, used + item.needUs - limitUs)
  return {
    ...about,
    remaining,
    nextMs: Math.max(0, nextUs) / 1000,
    wholeMs: used / 1000,
    waitMs: waitUs / 1000,
  }
}
