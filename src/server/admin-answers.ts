/** What the admin socket answers about limits and lockouts, as plain JSON: names that scripts rely on. */
import type { LockedAddress } from '../authentication/lockout.ts'
import type { BucketClass, BucketScope } from '../config/limits-settings.ts'
import type { BucketState } from '../rate-limit/bucket-state.ts'
import { nameOf, quotaText } from '../rate-limit/limit-words.ts'

/** What is left of one bucket that counts a user. */
export type LimitState = {
  readonly bucket: string
  readonly scope: BucketScope
  /** The user or the group that it counts; nothing where it counts all together. */
  readonly subject: string | null
  readonly class: BucketClass
  readonly unit: 'requests' | 'bytes' | 'concurrent'
  readonly quota: number
  /** Nothing for `concurrent`. */
  readonly windowSeconds: number | null
  /** What is allowed, in words, such as `1000 pulls in 6 hours`. */
  readonly quotaText: string
  /** What may be taken at this moment; never less than 0. */
  readonly remaining: number
  /** In how many seconds it is whole again if nothing is taken; nothing for `concurrent`. */
  readonly resetSeconds: number | null
}

/** Logins that are refused without being checked. */
export type LockedOut = {
  /** An address, or the /64 of IPv6. */
  readonly address: string
  /** For how long nobody new can log in from there; 0 where only some users have to wait. */
  readonly lockedSeconds: number
  /** Different wrong passwords that came from there lately. */
  readonly failures: number
  /** How many users have to wait there; who they are is not kept. */
  readonly lockedUsers: number
}

export function limitAnswer({ bucket, identity, remaining, wholeMs }: BucketState): LimitState {
  return {
    bucket: bucket.name,
    scope: bucket.scope,
    subject: identity === 'all' ? null : nameOf(identity),
    class: bucket.class,
    unit: bucket.unit,
    quota: bucket.quota,
    windowSeconds: bucket.unit === 'concurrent' ? null : bucket.windowSeconds,
    quotaText: quotaText(bucket),
    remaining,
    resetSeconds: wholeMs === undefined ? null : Math.ceil(wholeMs / 1000),
  }
}

export function lockedAnswer({ address, lockedMs, failures, lockedUsers }: LockedAddress): LockedOut {
  return { address, lockedSeconds: Math.ceil(lockedMs / 1000), failures, lockedUsers }
}
