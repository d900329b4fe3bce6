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

/** The conditions that do not hold; those that take no time come first. */
export function unmetConditions(
  conditions: Conditions,
  effect: Effect,
  moment: Moment,
  tag: AskedTag,
): readonly ConditionName[] {
  return checks.filter(([, holds]) => !holds(conditions, effect, moment, tag)).map(([name]) => name)
}

/** Whether all conditions hold. */
export function conditionsHold(conditions: Conditions, effect: Effect, moment: Moment, tag: AskedTag): boolean {
  return checks.every(([, holds]) => holds(conditions, effect, moment, tag))
}

type Check = (conditions: Conditions, effect: Effect, moment: Moment, tag: AskedTag) => boolean

const checks: readonly (readonly [ConditionName, Check])[] = [
  ['notBefore', ({ notBefore }, _, { now }) => notBefore === undefined || now >= notBefore],
  ['notAfter', ({ notAfter }, _, { now }) => notAfter === undefined || now <= notAfter],
  ['methods', ({ methods }, _, { method }) => methods === undefined || (method !== undefined && methods.has(method))],
  ['tags', ({ tags }, effect, _, tag) => tags === undefined || tagsHold(tags, effect, tag)],
  [
    'addresses',
    ({ addresses }, effect, moment) => {
      if (addresses === undefined) return true
      const words = moment.address()
      // Of an address that is not known, a rule that forbids expects the worst, and a rule that allows too.
      if (words === undefined) return effect === 'deny'
      return addresses.some((range) => isInRange(words, range))
    },
  ],
  ['hours', ({ hours }, _, moment) => hours === undefined || isInWindow(hours, moment.wallTime(hours.timeZone))],
]

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
