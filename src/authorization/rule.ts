/** Rules as they are after reading: everything they name is parsed, and each knows where it stands. */
import type { Place } from '../config/document.ts'
import type { Action } from '../registry/access.ts'
import type { RuleReference } from '../registry/grant.ts'
import type { Condition, Conditions, Effect } from './conditions.ts'
import type { RepositoryPattern } from './repository-pattern.ts'
import type { Subject } from './subject.ts'
import type { TagPattern } from './tag-pattern.ts'

export type Rule = {
  readonly effect: Effect
  readonly actions: ReadonlySet<Action>
  readonly to: readonly Subject[]
  /** Whom it does not meet although `to` does; empty on rules that allow. */
  readonly except: readonly Subject[]
  readonly on: readonly RepositoryPattern[]
  /** What was written under `when`, for comparing rules. */
  readonly when: Conditions | undefined
  /** The same, for asking. */
  readonly conditions: readonly Condition[]
  readonly message: string | undefined
  readonly reference: RuleReference
  readonly place: Place
}

export type ProtectedTags = {
  readonly on: readonly RepositoryPattern[]
  readonly tags: readonly TagPattern[]
  readonly message: string | undefined
  readonly reference: RuleReference
  readonly place: Place
}

/** A rule as people find it: `policies/team.yaml:12 rules[3]`. */
export function printReference({ file, line, index }: RuleReference, list = 'rules'): string {
  return `${file}:${line} ${list}[${index}]`
}
