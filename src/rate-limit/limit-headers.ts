/**
 * What an answer tells of limits: the fields of draft-ietf-httpapi-ratelimit-headers-10, those of Docker Hub, and a
 * `Warning` while there is still something left.
 */
import type { BucketSettings } from '../config/limits-settings.ts'
import type { BucketState } from './bucket-state.ts'
import { nameOf, warningSentence } from './limit-words.ts'

export type LimitHeader = readonly [name: string, value: string]

/** From here on a pull tells how much is left. */
const warnedShare = 0.8

/**
 * The headers of a manifest that was asked for.
 *
 * @param states of all buckets that were asked
 * @param isPull whether it is a GET, whose client is told in words too
 */
export function limitHeaders(states: readonly BucketState[], isPull: boolean): readonly LimitHeader[] {
  if (states.length === 0) return []
  const pulls = tightestPull(states)
  const warned = isPull && pulls !== undefined && isNearlyUsed(pulls) ? [warning(pulls)] : []
  return [policies(states), limits(states), ...hubHeaders(pulls), ...warned]
}

/**
 * The headers of a refusal. Only what refused stands in `RateLimit`: `Retry-After` must not be earlier than a `t` of it.
 *
 * @param refused those of `states` that refused
 */
export function refusalHeaders(
  states: readonly BucketState[],
  refused: readonly BucketState[],
): readonly LimitHeader[] {
  return [policies(states), limits(refused), ...hubHeaders(tightestPull(refused) ?? tightestPull(states))]
}

const quotaUnits = { requests: '', bytes: ';qu="content-bytes"', concurrent: ';qu="concurrent-requests"' } as const

/** A list of strings with parameters (RFC 9651 section 3.1); names of buckets need no escape. */
function policies(states: readonly BucketState[]): LimitHeader {
  let items = ''
  let last: BucketSettings | undefined
  for (const { bucket } of states) {
    // The groups of a user share a bucket, and stand side by side.
    if (bucket === last) continue
    last = bucket
    const window = bucket.unit === 'concurrent' ? '' : `;w=${bucket.windowSeconds}`
    items += `${items === '' ? '' : ', '}"${bucket.name}";q=${bucket.quota}${quotaUnits[bucket.unit]}${window}`
  }
  return ['RateLimit-Policy', items]
}

/** `t` is when there is more than `r`: a quota here comes back evenly, and has no moment at which it is renewed. */
function limits(states: readonly BucketState[]): LimitHeader {
  let items = ''
  for (const { bucket, remaining, nextMs } of states) {
    const isWhole = nextMs === undefined || nextMs === 0
    items += `${items === '' ? '' : ', '}"${bucket.name}";r=${remaining}${isWhole ? '' : `;t=${Math.max(1, Math.ceil((nextMs - 0.01) / 1000))}`}`
  }
  return ['RateLimit', items]
}

/** The bucket of pulls that will refuse first. */
function tightestPull(states: readonly BucketState[]): BucketState | undefined {
  let least: BucketState | undefined
  for (const state of states) {
    if (state.bucket.class !== 'pull' || state.bucket.unit !== 'requests') continue
    if (least === undefined || state.remaining < least.remaining) least = state
  }
  return least
}

function hubHeaders(pulls: BucketState | undefined): readonly LimitHeader[] {
  if (pulls === undefined || pulls.bucket.unit === 'concurrent') return []
  const { bucket, identity, remaining } = pulls
  const window = `;w=${bucket.windowSeconds}`
  return [
    ['ratelimit-limit', `${bucket.quota}${window}`],
    ['ratelimit-remaining', `${remaining}${window}`],
    ['docker-ratelimit-source', visible(nameOf(identity))],
  ]
}

function isNearlyUsed({ bucket, remaining }: BucketState): boolean {
  return bucket.unit !== 'concurrent' && bucket.burst - remaining >= warnedShare * bucket.burst
}

/** RFC 9111 section 5.5: code, agent, and a quoted string. */
function warning(pulls: BucketState): LimitHeader {
  const text = visible(warningSentence(pulls)).replace(/["\\]/g, '\\$&')
  return ['Warning', `299 - "${text}"`]
}

/** A name may hold what a field value may not. */
function visible(text: string): string {
  return text.replace(/[^ -~]/gu, '?')
}
