/** What people read about limits. */
import type { BucketClass, BucketSettings } from '../config/limits-settings.ts'
import type { BucketState } from './bucket-state.ts'
import type { Identity } from './identity.ts'

const nouns: Readonly<Record<BucketClass, readonly [one: string, many: string]>> = {
  login: ['login', 'logins'],
  token: ['token', 'tokens'],
  pull: ['pull', 'pulls'],
  push: ['push', 'pushes'],
  api: ['listing', 'listings'],
  requests: ['request', 'requests'],
}

/**
 * Why a request is refused: whose quota, how much in how long, and the wait.
 *
 * @param waitMs until it would be admitted; nothing when nobody knows
 */
export function refusalSentence({ bucket, identity }: BucketState, waitMs: number | undefined): string {
  const { who, has } = holderOf(identity)
  if (bucket.unit === 'concurrent') {
    const transfers = bucket.quota === 1 ? 'the one transfer' : `all ${bucket.quota} transfers`
    return `${who} ${has} under way ${transfers} that the limit ${bucket.name} allows at one time; try again when one has ended`
  }
  const next = bucket.unit === 'bytes' ? 'the next transfer may begin' : 'the next is free'
  return `${who} ${has} used the ${quotaText(bucket)} of the limit ${bucket.name}; ${next} in ${waitText(waitMs ?? 0)}`
}

/** For `Warning` (RFC 9111 section 5.5), before a quota ends. */
export function warningSentence({ bucket, identity, remaining }: BucketState): string {
  const { who, has } = holderOf(identity)
  return `${who} ${has} ${remaining} left of the ${quotaText(bucket)} of the limit ${bucket.name}`
}

/** A name, an address or a group as `docker-ratelimit-source` and the commands show it. */
export function nameOf(identity: Identity): string {
  return identity === 'all' ? 'all' : decodeURIComponent(identity.slice(2))
}

function holderOf(identity: Identity): { readonly who: string; readonly has: 'has' | 'have' } {
  const name = nameOf(identity)
  if (identity.startsWith('u=')) return { who: name, has: 'has' }
  if (identity.startsWith('a=')) return { who: `the address ${name}`, has: 'has' }
  if (identity.startsWith('g=')) return { who: `the group ${name}`, has: 'has' }
  return { who: 'all clients together', has: 'have' }
}

/** `1000 pulls in 1 hour`, `20 GiB down in 1 day`, `10 pulls at once (of 100 in 1 hour)`. */
export function quotaText(bucket: BucketSettings): string {
  if (bucket.unit === 'concurrent') return `${bucket.quota} transfers at one time`
  const [one, many] = nouns[bucket.class]
  const window = durationText(bucket.windowSeconds)
  if (bucket.unit === 'bytes') return `${bytesText(bucket.quota)} ${bucket.direction} in ${window}`
  const amount = (count: number): string => `${count} ${count === 1 ? one : many}`
  if (bucket.burst < bucket.quota) return `${amount(bucket.burst)} at once (of ${bucket.quota} in ${window})`
  return `${amount(bucket.quota)} in ${window}`
}

const binaryUnits = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'] as const
const decimalUnits = ['bytes', 'kB', 'MB', 'GB', 'TB'] as const

/** In the units in which the number is round; both kinds of people write configurations. */
export function bytesText(bytes: number): string {
  const isBinary = bytes % 1024 === 0 && bytes % 1000 !== 0
  const [base, units] = isBinary ? [1024, binaryUnits] : [1000, decimalUnits]
  const power = Math.min(units.length - 1, Math.floor(Math.log(bytes) / Math.log(base) + 1e-9))
  return `${Number((bytes / base ** power).toFixed(1))} ${units[power] ?? 'bytes'}`
}

const spans = [
  [86_400, 'day'],
  [3_600, 'hour'],
  [60, 'minute'],
] as const

/** `6 hours`, `90 seconds`: in the largest unit in which it is whole. */
export function durationText(seconds: number): string {
  const [length, word] = spans.find(([span]) => seconds % span === 0) ?? [1, 'second']
  const count = seconds / length
  return `${count} ${word}${count === 1 ? '' : 's'}`
}

/** `36 s`, `5 min`, `2 h 5 min`: at least a second, and to the minute where `Retry-After` is for machines. */
export function waitText(waitMs: number): string {
  const seconds = Math.max(1, Math.ceil((waitMs - 0.01) / 1000))
  if (seconds <= 120) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  if (minutes <= 120) return `${minutes} min`
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60]
  return rest === 0 ? `${hours} h` : `${hours} h ${rest} min`
}
