/** Why a policy decided as it did: the rules behind an explanation, as they are written. */
import type { LoadedPolicy } from '../authorization/compile-policy.ts'
import type { Explanation, NearMiss } from '../authorization/explain.ts'
import type { Judgement } from '../authorization/policy.ts'
import { protectionOfTag } from '../authorization/protected-tags.ts'
import type { Target } from '../config/policy-cases.ts'
import type { Action } from '../registry/access.ts'
import { printRule } from './policy-rule-text.ts'
import type { RuleTexts, WrittenRule } from './policy-rule-text.ts'

/** One access that was needed, and the rule that gave or refused it. */
export type Reason = {
  readonly action: Action | undefined
  readonly verdict: Judgement['verdict']['kind']
  /** Absent where no rule matched. */
  readonly rule: WrittenRule | undefined
  /** For `overwrite`: the entry of `protectedTags` that made it needed. */
  readonly protection: WrittenRule | undefined
}

/** A rule that almost allows what was refused. */
export type WrittenMiss = Pick<NearMiss, 'missing' | 'message'> & { readonly rule: WrittenRule }

type Source = { readonly policy: LoadedPolicy; readonly ruleTexts: RuleTexts }

/** What was found for each access that was needed; the last of them decided. */
export function reasonsOf({ judgements }: Explanation, target: Target, source: Source): readonly Reason[] {
  return judgements.map(({ action, verdict }) => ({
    action,
    verdict: verdict.kind,
    rule: 'rule' in verdict ? source.ruleTexts(verdict.rule) : undefined,
    protection: action === 'overwrite' ? protectionOf(target, source) : undefined,
  }))
}

/** The entry of `protectedTags` that a target stands under. */
export function protectionOf({ repository, tag }: Target, { policy, ruleTexts }: Source): WrittenRule | undefined {
  const protection = tag === undefined ? policy.protectionIn(repository) : protectionOfTag(policy, repository, tag)
  return protection === undefined ? undefined : ruleTexts(protection.rule, 'protectedTags')
}

/** The near misses, but for rules that lack nothing and are not asked at all; rules about other repositories only where there is none about this one. */
export function nearestOf({ nearest }: Explanation, { ruleTexts }: Source): readonly WrittenMiss[] {
  const lacking = nearest.filter(({ missing }) => missing.length > 0)
  const here = lacking.filter(({ missing }) => missing.every(({ kind }) => kind !== 'repository'))
  return (here.length > 0 ? here : lacking).map(({ rule, missing, message }) => ({
    rule: ruleTexts(rule),
    missing,
    message,
  }))
}

/** The reason in one line: `by FILE:LINE rules[0]: ...`, or that there is none and what comes nearest. */
export function printReason(reasons: readonly Reason[], nearest: readonly WrittenMiss[]): string {
  const last = reasons.at(-1)
  if (last?.rule !== undefined) return `by ${printRule(last.rule)}`
  const [first] = nearest
  const need =
    last?.protection === undefined ? '' : ` overwrite, which ${printRule(last.protection, 'protectedTags')} asks for`
  const near = first === undefined ? '' : `; the nearest, ${printRule(first.rule)}, ${printMissing(first)}`
  return `since no rule allows${need === '' ? ' it' : need}${near}`
}

/** What a near miss lacks, in one line. */
export function printMissing({ missing }: Pick<NearMiss, 'missing'>): string {
  return missing.map(({ sentence }) => sentence).join(', and ')
}
