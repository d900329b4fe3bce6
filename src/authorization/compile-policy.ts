/** Rules as an index that answers in the time of the question, not of the number of rules. */
import type { Action } from '../registry/access.ts'
import type { Principal } from '../registry/principal.ts'
import { askedTags, identityOf, meets } from './asker.ts'
import type { Asker, Identity } from './asker.ts'
import { createMoment } from './conditions.ts'
import type { AskedTag, Effect } from './conditions.ts'
import { createHints } from './near-misses.ts'
import type { Hints } from './near-misses.ts'
import { askedRepository, createPatternIndex } from './pattern-index.ts'
import type { PatternIndex } from './pattern-index.ts'
import { createPatternTree } from './pattern-tree.ts'
import type { Judge, Policy, Protection, Verdict } from './policy.ts'
import type { ProtectedTags, Rule } from './rule.ts'
import type { Memberships } from './subject.ts'
import { matchesTag } from './tag-pattern.ts'

/** A policy that was made from files, with what it was made from. */
export type LoadedPolicy = Policy & {
  /** File by file, each in its order; the place of a rule says nothing about its rank. */
  readonly rules: readonly Rule[]
  readonly protectedTags: readonly ProtectedTags[]
  /** The groups that the files define. */
  readonly groups: ReadonlySet<string>
  /** The groups of each user that the files name in one. */
  readonly memberships: Memberships
}

export type PolicyParts = Pick<
  LoadedPolicy,
  'name' | 'generation' | 'rules' | 'protectedTags' | 'groups' | 'memberships'
>

/** A rule where it stands in the index; of several that decide alike, the first of the files is named. */
type Entry = { readonly order: number; readonly rule: Rule }

/** The rules of one subject at one pattern. */
type Shelf = Readonly<Record<Effect, Partial<Record<Action, Entry[]>>>>

/** The rules of one subject. */
type SubjectRules = {
  readonly shelves: PatternIndex<Shelf>
  /** Whether any of them allows to list. */
  lists: boolean
}

/** What of a principal depends on the policy alone. */
type Known = { readonly identity: Identity; readonly own: readonly SubjectRules[] }

export function compilePolicy(parts: PolicyParts): LoadedPolicy {
  const bySubject = indexRules(parts.rules)
  const hints = createHints(parts.rules)
  const protectionsOf = indexProtections(parts.protectedTags)
  const known = new WeakMap<Principal, Known>()
  /** A principal never changes, and comes with request after request while its login is remembered. */
  const knownOf = (principal: Principal): Known => {
    const before = known.get(principal)
    if (before !== undefined) return before
    const identity = identityOf(principal, parts.memberships)
    const now = { identity, own: [...identity.subjects].flatMap((subject) => bySubject.get(subject) ?? []) }
    known.set(principal, now)
    return now
  }
  return {
    ...parts,
    judgeFor: (principal, circumstances) => {
      const { identity, own } = knownOf(principal)
      return createJudge({ ...identity, moment: createMoment(principal, circumstances) }, own, hints)
    },
    protectionOf: (repository, tag) =>
      nearestProtection(
        protectionsOf(repository).filter(({ tags }) => tags.some((pattern) => matchesTag(pattern, tag))),
      ),
    protectionIn: (repository) => nearestProtection(protectionsOf(repository)),
  }
}

function indexRules(rules: readonly Rule[]): ReadonlyMap<string, SubjectRules> {
  const bySubject = new Map<string, SubjectRules>()
  rules.forEach((rule, order) => {
    for (const subject of new Set(rule.to.map(({ text }) => text))) {
      const own = bySubject.get(subject) ?? { shelves: createPatternIndex<Shelf>(), lists: false }
      bySubject.set(subject, own)
      own.lists ||= rule.effect === 'allow' && (rule.actions.has('list') || rule.actions.has('pull'))
      for (const pattern of rule.on) {
        const shelf = own.shelves.at(pattern, () => ({ allow: {}, deny: {} }))[rule.effect]
        for (const action of rule.actions) (shelf[action] ??= []).push({ order, rule })
      }
    }
  })
  return bySubject
}

function createJudge(asker: Asker, own: readonly SubjectRules[], hints: Hints): Judge {
  let last: { readonly repository: string; readonly shelves: readonly Shelf[] } | undefined

  function shelvesFor(repository: string): readonly Shelf[] {
    if (last?.repository === repository) return last.shelves
    const asked = askedRepository(repository, asker)
    const shelves = own.flatMap((rules) => rules.shelves.matching(asked))
    last = { repository, shelves }
    return shelves
  }

  /** The first rule of the files that meets. */
  function find(effect: Effect, repository: string, action: Action, tag: AskedTag): Rule | undefined {
    let found: Entry | undefined
    for (const shelf of shelvesFor(repository)) {
      for (const entry of shelf[effect][action] ?? []) {
        if (found !== undefined && entry.order >= found.order) break
        if (meets(entry.rule, asker, tag)) found = entry
      }
    }
    return found?.rule
  }

  function judgeTag(repository: string, action: Action, tag: AskedTag): Verdict {
    const denied = find('deny', repository, action, tag)
    if (denied !== undefined) return { kind: 'denied', rule: denied.reference, message: denied.message }
    const allowed = find('allow', repository, action, tag)
    if (allowed !== undefined) return { kind: 'allowed', rule: allowed.reference }
    // What may be pulled may be seen.
    return action === 'list' ? judgeTag(repository, 'pull', tag) : { kind: 'unmatched' }
  }

  return {
    judge: ({ repository, action, tags }) => {
      const [first, ...others] = askedTags(tags)
      let verdict = judgeTag(repository, action, first)
      for (const tag of others) {
        if (verdict.kind !== 'allowed') break
        verdict = judgeTag(repository, action, tag)
      }
      return verdict
    },
    listsAnything: own.some(({ lists }) => lists),
    messageFor: (question) => hints(question, asker),
  }
}

function indexProtections(all: readonly ProtectedTags[]): (repository: string) => readonly ProtectedTags[] {
  const tree = createPatternTree<ProtectedTags[]>()
  for (const protectedTags of all)
    for (const pattern of protectedTags.on) tree.at(pattern, () => []).push(protectedTags)
  const ranks = new Map(all.map((protectedTags, rank) => [protectedTags, rank]))
  const rankOf = (protectedTags: ProtectedTags): number => ranks.get(protectedTags) ?? 0
  return (repository) =>
    tree
      .matching(repository.split('/'), {})
      .flat()
      .sort((one, other) => rankOf(one) - rankOf(other))
}

/** The first that has something to say, else the first. */
function nearestProtection(meeting: readonly ProtectedTags[]): Protection | undefined {
  const speaking = meeting.find(({ message }) => message !== undefined) ?? meeting[0]
  return speaking === undefined ? undefined : { rule: speaking.reference, message: speaking.message }
}
