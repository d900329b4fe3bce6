/** What another policy would have decided otherwise, gathered in bounded memory. */
import { evaluate } from '../authorization/evaluate.ts'
import type { Decision } from '../authorization/evaluate.ts'
import type { Judgement, Policy } from '../authorization/policy.ts'
import { actionOf } from '../registry/access.ts'
import type { RuleReference } from '../registry/grant.ts'
import type { RegistryRequest } from '../registry/route.ts'
import { nameOf } from './policy-question.ts'
import type { Decided } from './policy-replay-line.ts'

/**
 * `risks`: a push that went through would have met a protected tag; whether it moved that tag, the audit does not tell.
 */
export type Change = 'loses' | 'gains' | 'risks'

/** Decisions that change in the same way: of one user, one action and one repository, with its tag if one was named. */
export type ChangeGroup = {
  readonly change: Change
  readonly user: string
  /** `mount` for a mount of a blob from another repository: without it the blob is uploaded instead. */
  readonly action: string
  /** Such as `team/app:v1`, `team/app from public/base` for a mount, or what else was asked for. */
  readonly target: string
  readonly times: number
  /** Milliseconds since the epoch. */
  readonly firstAt: number
  readonly lastAt: number
  /** The rule that decides the first of them now; absent where none does. */
  readonly rule: RuleReference | undefined
  /** What the client would be told the first time; absent where it may. */
  readonly sentence: string | undefined
}

export type ChangeTotals = Readonly<
  Record<
    Change,
    { readonly groups: readonly ChangeGroup[]; readonly decisions: number; readonly decisionsNotKept: number }
  >
>

export type ChangeGatherer = {
  /** Asks the new policy. */
  readonly replay: (decided: Decided) => void
  /** The groups of each kind, the largest first. */
  readonly totals: () => ChangeTotals
}

type Mutable = { -readonly [Name in keyof ChangeGroup]: ChangeGroup[Name] }

/** @param maxGroups how many groups are kept; what belongs to further ones is only counted */
export function createChangeGatherer(policy: Policy, maxGroups: number): ChangeGatherer {
  const groups = new Map<string, Mutable>()
  const decisions: Record<Change, number> = { loses: 0, gains: 0, risks: 0 }
  const notKept: Record<Change, number> = { loses: 0, gains: 0, risks: 0 }

  function count({ principal, circumstances }: Decided, found: Found) {
    const { change, action, target } = found
    const at = circumstances.now
    const user = nameOf(principal)
    // Names hold no line feed, so two groups never share a key.
    const key = [change, principal.kind, user, action, target].join('\n')
    decisions[change] += 1
    const group = groups.get(key)
    if (group !== undefined) {
      group.times += 1
      group.firstAt = Math.min(group.firstAt, at)
      group.lastAt = Math.max(group.lastAt, at)
    } else if (groups.size < maxGroups) {
      groups.set(key, { change, user, action, target, times: 1, firstAt: at, lastAt: at, ...found.reason() })
    } else notKept[change] += 1
  }

  const totalOf = (change: Change): ChangeTotals[Change] => ({
    groups: [...groups.values()].filter((group) => group.change === change).sort(byTimes),
    decisions: decisions[change],
    decisionsNotKept: notKept[change],
  })

  return {
    replay: (decided) => {
      const decision = evaluate(policy, decided.principal, decided.request, decided.circumstances)
      for (const found of [changeOf(decided, decision), changeOfMount(decided, decision)])
        if (found !== undefined) count(decided, found)
    },
    totals: () => ({ loses: totalOf('loses'), gains: totalOf('gains'), risks: totalOf('risks') }),
  }
}

type Reason = Pick<ChangeGroup, 'rule' | 'sentence'>

/** One decision that changes; its reason is made only where it is kept. */
type Found = Pick<ChangeGroup, 'change' | 'action' | 'target'> & { readonly reason: () => Reason }

function changeOf(decided: Decided, decision: Decision): Found | undefined {
  const change = kindOf(decided, decision)
  if (change === undefined) return undefined
  const { request } = decided
  return { change, action: actionOf(request), target: targetOf(request), reason: () => reasonOf(change, decision) }
}

function kindOf({ was, passedProtection }: Decided, decision: Decision): Change | undefined {
  if (decision.kind === 'refused') return was === 'granted' ? 'loses' : undefined
  const isHeld = decision.grant.preconditions.protectedTags.length > 0
  switch (was) {
    case 'refused':
      return 'gains'
    case 'held':
      return isHeld ? undefined : 'gains'
    case 'granted':
      // What was found as it had to be under the old protection is so under the new one.
      return isHeld && passedProtection !== true ? 'risks' : undefined
  }
}

function reasonOf(change: Change, decision: Decision): Reason {
  const rule = ruleOf(decision.trace.judgements.at(-1))
  if (decision.kind === 'refused') return { rule, sentence: decision.sentence() }
  const { protectedTags, refusal } = decision.grant.preconditions
  const [tag] = protectedTags
  return { rule, sentence: change === 'risks' && tag !== undefined ? refusal(tag) : undefined }
}

function ruleOf(judgement: Judgement | undefined): RuleReference | undefined {
  return judgement !== undefined && 'rule' in judgement.verdict ? judgement.verdict.rule : undefined
}

function changeOfMount({ request, was, mounted }: Decided, decision: Decision): Found | undefined {
  if (mounted === undefined || was !== 'granted' || decision.kind === 'refused') return undefined
  if (decision.grant.mountRemoved === !mounted) return undefined
  const from = request.kind === 'upload-start' ? request.mount?.from : undefined
  return {
    change: mounted ? 'loses' : 'gains',
    action: 'mount',
    target: `${targetOf(request)} from ${from ?? ''}`,
    reason: () => ({ rule: ruleOf(decision.trace.mount), sentence: undefined }),
  }
}

function targetOf(request: RegistryRequest): string {
  switch (request.kind) {
    case 'base':
      return '/v2/'
    case 'catalog':
      return 'the catalog'
    case 'manifest': {
      const { repository, reference, tags } = request
      const named = reference.kind === 'tag' ? [reference.tag] : tags
      return named.length === 0 ? repository : `${repository}:${named.join(',')}`
    }
    case 'tags':
    case 'blob':
    case 'referrers':
    case 'upload-start':
    case 'upload-session':
      return request.repository
  }
}

function byTimes(one: ChangeGroup, other: ChangeGroup): number {
  return other.times - one.times || one.firstAt - other.firstAt
}
