/** Why a policy says what it says: the same decision as when serving, and what would have to be otherwise. */
import type { Access, Action, TagReach } from '../registry/access.ts'
import type { Circumstances, RuleReference } from '../registry/grant.ts'
import type { RepositoryName, Tag } from '../registry/name.ts'
import type { Principal } from '../registry/principal.ts'
import { askedTags, askerOf } from './asker.ts'
import type { Asker } from './asker.ts'
import type { LoadedPolicy } from './compile-policy.ts'
import type { ConditionName } from './conditions.ts'
import { isGranted, judgeAccess, overwriteAccess } from './evaluate.ts'
import { distanceOf, lacksOf } from './near-misses.ts'
import type { Lack } from './near-misses.ts'
import { askedRepository, createPatternIndex } from './pattern-index.ts'
import type { Judge, Judgement, Question } from './policy.ts'
import { protectionOfTag } from './protected-tags.ts'
import { refusalSentence } from './refusal.ts'
import type { Rule } from './rule.ts'

/** What somebody wants to do, as the command line asks for it. */
export type Wanted = {
  readonly action: Action
  readonly repository: RepositoryName
  /** Without a tag, `pull`, `push` and `delete` are of blobs and of manifests by digest. */
  readonly tag?: Tag | undefined
}

export type Explanation = {
  readonly kind: 'allowed' | 'refused'
  /** One for each access that is needed, up to the first that refuses: `delete` may need `overwrite` besides. */
  readonly judgements: readonly Judgement[]
  /** For a push to a protected tag: whether it may move a tag that is there, or only create one that is not. */
  readonly mayMoveTag: boolean | undefined
  /** What the client is told; absent where it is allowed. */
  readonly sentence: string | undefined
  /** The rules that almost allow what was refused, nearest first; none where a rule denies it. */
  readonly nearest: readonly NearMiss[]
}

/** A rule that allows, and what it lacks to allow this. */
export type NearMiss = {
  readonly rule: RuleReference
  readonly missing: readonly {
    readonly kind: 'subject' | 'repository' | 'action' | 'condition'
    /** Such as `is for group:developers, which bob is not in`. */
    readonly sentence: string
  }[]
  readonly message: string | undefined
}

const maxNearest = 5

/** Decides as {@link evaluate} does, and tells why. Takes time in proportion to the rules: not for serving. */
export function explain(
  policy: LoadedPolicy,
  principal: Principal,
  wanted: Wanted,
  circumstances: Circumstances,
): Explanation {
  const judge = policy.judgeFor(principal, circumstances)
  const judgements: Judgement[] = []
  for (const access of accessesOf(policy, wanted)) {
    const judgement = judgeAccess(judge, principal, access)
    judgements.push(judgement)
    if (isGranted(judgement)) continue
    const asker = askerOf(principal, circumstances, policy.memberships)
    return {
      kind: 'refused',
      judgements,
      mayMoveTag: undefined,
      sentence: refusalSentence({ policy, principal, judge }, judgement),
      nearest:
        judgement.verdict.kind === 'denied'
          ? []
          : nearestRules(policy, principal, asker, questionOf(judgement, wanted)),
    }
  }
  return {
    kind: 'allowed',
    judgements,
    mayMoveTag: mayMoveTag(policy, judge, wanted),
    sentence: undefined,
    nearest: [],
  }
}

function accessesOf(policy: LoadedPolicy, { action, repository: name, tag }: Wanted): readonly Access[] {
  const access: Access = { type: 'repository', name, anyOf: [action], ...reachOf(action, tag) }
  return action === 'delete' ? [access, ...overwriteAccess(policy, name, tag)] : [access]
}

/** The tags that an action touches: where none is named, `delete` and `overwrite` touch whatever tags a manifest has. */
function reachOf(action: Action, tag: Tag | undefined): { readonly tags?: TagReach } {
  if (tag !== undefined) return { tags: { kind: 'named', tags: [tag] } }
  return action === 'overwrite' || action === 'delete' ? { tags: { kind: 'any' } } : {}
}

function questionOf({ access, action }: Judgement, wanted: Wanted): Question {
  const tags = access.type === 'repository' ? access.tags : undefined
  return { repository: wanted.repository, action: action ?? wanted.action, tags }
}

function mayMoveTag(policy: LoadedPolicy, judge: Judge, { action, repository, tag }: Wanted): boolean | undefined {
  if (action !== 'push' || tag === undefined || protectionOfTag(policy, repository, tag) === undefined) return undefined
  return judge.judge({ repository, action: 'overwrite', tags: { kind: 'named', tags: [tag] } }).kind === 'allowed'
}

function nearestRules(
  policy: LoadedPolicy,
  principal: Principal,
  asker: Asker,
  question: Question,
): readonly NearMiss[] {
  const asked = askedRepository(question.repository, asker)
  const [tag] = askedTags(question.tags)
  const misses = policy.rules.flatMap((rule) => {
    if (rule.effect === 'deny') return []
    const index = createPatternIndex<true>()
    for (const pattern of rule.on) index.at(pattern, () => true)
    const isRepository = index.matching(asked).length > 0
    const lacks = lacksOf(rule, asker, { action: question.action, tag, isRepository })
    return [{ rule, lacks, distance: distanceOf(lacks) }]
  })
  return misses
    .sort((one, other) => one.distance - other.distance)
    .slice(0, maxNearest)
    .map(({ rule, lacks }) => ({
      rule: rule.reference,
      missing: lacks.map((lack) => missing(lack, rule, principal, question)),
      message: rule.message,
    }))
}

function missing(lack: Lack, rule: Rule, principal: Principal, question: Question): NearMiss['missing'][number] {
  if (lack === 'subject')
    return { kind: lack, sentence: `is for ${list(textsOf(rule.to))}, not for ${nameOf(principal)}` }
  if (lack === 'repository')
    return { kind: lack, sentence: `is about ${list(textsOf(rule.on))}, not about ${question.repository}` }
  if (lack === 'action') return { kind: lack, sentence: `allows ${list([...rule.actions])}, not ${question.action}` }
  return { kind: 'condition', sentence: `does not meet by its condition ${lack}: ${conditionSentences[lack]}` }
}

function textsOf(written: readonly { readonly text: string }[]): readonly string[] {
  return written.map(({ text }) => text)
}

const conditionSentences: Readonly<Record<ConditionName, string>> = {
  addresses: 'the client’s address lies in none of the ranges',
  methods: 'the login was of another kind',
  tags: 'the tag matches none of the patterns, or it is not known which tags it would touch',
  hours: 'it is another time of the week',
  notBefore: 'its time has not begun',
  notAfter: 'its time is over',
}

function list(items: readonly string[]): string {
  return items.length > 5 ? `${items.slice(0, 5).join(', ')} and ${items.length - 5} more` : items.join(', ')
}

function nameOf(principal: Principal): string {
  return principal.kind === 'user' ? principal.name : 'anonymous'
}
