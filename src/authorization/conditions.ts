/** What must hold besides subject and repository for a rule to meet. */
import type { TagReach } from '../registry/access.ts'
import type { Circumstances } from '../registry/grant.ts'
import type { Tag } from '../registry/name.ts'
import type { AuthenticationMethod, Principal } from '../registry/principal.ts'
import { addressWords, isInRange } from './address-range.ts'
import type { AddressRange, AddressWords } from './address-range.ts'
import { matchesEveryTag, matchesTag } from './tag-pattern.ts'
import type { TagPattern } from './tag-pattern.ts'
import { createWallClock, isInWindow } from './weekly-window.ts'
import type { WallTime, WeeklyWindow } from './weekly-window.ts'

export type Effect = 'allow' | 'deny'

/** Every condition that is given must hold. */
export type Conditions = {
  readonly addresses: readonly AddressRange[] | undefined
  readonly methods: ReadonlySet<AuthenticationMethod> | undefined
  readonly tags: readonly TagPattern[] | undefined
  readonly hours: WeeklyWindow | undefined
  /** Milliseconds since the epoch, that instant included. */
  readonly notBefore: number | undefined
  /** Milliseconds since the epoch, that instant included. */
  readonly notAfter: number | undefined
}

export type ConditionName = keyof Conditions

/** Principal and circumstances as conditions ask for them; what costs time is found out once, when it is asked for. */
export type Moment = {
  readonly method: AuthenticationMethod | undefined
  readonly now: number
  /** Nothing where the address is not known. */
  readonly address: () => AddressWords | undefined
  readonly wallTime: (timeZone: string) => WallTime
}

/** What one question asks of tags: one that is named, any of the repository, or none that could be named. */
export type AskedTag = { readonly kind: 'named'; readonly tag: Tag } | Exclude<TagReach, { kind: 'named' }> | undefined

export function createMoment(principal: Principal, { address, now }: Circumstances): Moment {
  let words: { readonly value: AddressWords | undefined } | undefined
  const wallTimes = new Map<string, WallTime>()
  return {
    method: principal.kind === 'user' ? principal.method : undefined,
    now,
    address: () => (words ??= { value: addressWords(address) }).value,
    wallTime: (timeZone) => {
      const time = wallTimes.get(timeZone) ?? wallClock(timeZone)(now)
      wallTimes.set(timeZone, time)
      return time
    },
  }
}

const wallClocks = new Map<string, (now: number) => WallTime>()

function wallClock(timeZone: string): (now: number) => WallTime {
  const clock = wallClocks.get(timeZone) ?? createWallClock(timeZone)
  wallClocks.set(timeZone, clock)
  return clock
}

/** One condition of a rule. */
export type Condition = {
  readonly name: ConditionName
  readonly holds: (moment: Moment, tag: AskedTag) => boolean
}

/** The conditions that are given, one by one; those that take no time come first. */
export function conditionsOf(given: Conditions, effect: Effect): readonly Condition[] {
  const { addresses, methods, tags, hours, notBefore, notAfter } = given
  const conditions: Condition[] = []
  const add = (name: ConditionName, holds: Condition['holds']): void => {
    conditions.push({ name, holds })
  }
  if (notBefore !== undefined) add('notBefore', ({ now }) => now >= notBefore)
  if (notAfter !== undefined) add('notAfter', ({ now }) => now <= notAfter)
  if (methods !== undefined) add('methods', ({ method }) => method !== undefined && methods.has(method))
  if (tags !== undefined) add('tags', (_, tag) => tagsHold(tags, effect, tag))
  if (addresses !== undefined) add('addresses', ({ address }) => addressesHold(addresses, effect, address()))
  if (hours !== undefined) add('hours', ({ wallTime }) => isInWindow(hours, wallTime(hours.timeZone)))
  return conditions
}

/** Of an address that is not known, a rule that forbids expects the worst, and a rule that allows too. */
function addressesHold(ranges: readonly AddressRange[], effect: Effect, words: AddressWords | undefined): boolean {
  return words === undefined ? effect === 'deny' : ranges.some((range) => isInRange(words, range))
}

/**
 * An allow rule that names tags allows what can touch no tag, else no push could work: blobs, uploads, listings,
 * manifests by digest. A deny rule that names tags forbids only what names one of them. What may touch any tag, such as
 * deleting by digest, is not allowed by the first and is forbidden by the second.
 */
function tagsHold(patterns: readonly TagPattern[], effect: Effect, asked: AskedTag): boolean {
  if (asked === undefined) return effect === 'allow'
  if (asked.kind === 'any') return effect === 'deny' || patterns.some(matchesEveryTag)
  return patterns.some((pattern) => matchesTag(pattern, asked.tag))
}
