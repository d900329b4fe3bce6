import type { TagReach } from '../registry/access.ts'
import type { Circumstances } from '../registry/grant.ts'
import type { Principal } from '../registry/principal.ts'
import { createMoment } from './conditions.ts'
import type { AskedTag, Moment } from './conditions.ts'
import { variableValue } from './repository-pattern.ts'
import type { Rule } from './rule.ts'
import { groupsOf, subjectsOf } from './subject.ts'
import type { Memberships, Subject } from './subject.ts'

/** Who is asking, as rules name it. */
export type Identity = {
  /** Every subject that it is, as it is written in rules. */
  readonly subjects: ReadonlySet<string>
  /** What `${user}` stands for; nothing where the name cannot stand in a repository name. */
  readonly user: string | undefined
  /** What `${group}` stands for in turn. */
  readonly groups: readonly string[]
}

/** A principal under circumstances, as rules ask for it. */
export type Asker = Identity & { readonly moment: Moment }

export function identityOf(principal: Principal, memberships: Memberships): Identity {
  const groups = groupsOf(principal, memberships)
  return {
    subjects: subjectsOf(principal, groups),
    user: principal.kind === 'user' ? variableValue(principal.name) : undefined,
    groups: groups.filter((group) => variableValue(group) !== undefined),
  }
}

export function askerOf(principal: Principal, circumstances: Circumstances, memberships: Memberships): Asker {
  return { ...identityOf(principal, memberships), moment: createMoment(principal, circumstances) }
}

/** Whether the principal is one of the subjects. */
export function isAmong(subjects: readonly Subject[], asker: Identity): boolean {
  return subjects.some(({ text }) => asker.subjects.has(text))
}

/** Whether a rule for this subject and repository meets after all. */
export function meets({ except, conditions }: Rule, asker: Asker, tag: AskedTag): boolean {
  if (isAmong(except, asker)) return false
  return conditions.every(({ holds }) => holds(asker.moment, tag))
}

/** The tags of a question one by one: each of them has to be allowed. */
export function askedTags(reach: TagReach | undefined): readonly [AskedTag, ...AskedTag[]] {
  if (reach === undefined) return [undefined]
  if (reach.kind === 'any') return [reach]
  const [first, ...others] = reach.tags
  return [{ kind: 'named', tag: first }, ...others.map((tag) => ({ kind: 'named', tag }) as const)]
}
