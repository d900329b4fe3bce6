/** What of a policy can be used but is probably not meant: rules that change nothing, and names that nobody has. */
import type { Fault } from '../config/document.ts'
import { nearestBy } from '../config/keys.ts'
import type { Action } from '../registry/access.ts'
import type { LoadedPolicy } from './compile-policy.ts'
import { inOrder } from './load-policy.ts'
import { createPatternTree } from './pattern-tree.ts'
import type { PatternTree } from './pattern-tree.ts'
import type { RepositoryPattern } from './repository-pattern.ts'
import { printReference } from './rule.ts'
import type { Rule } from './rule.ts'
import type { Memberships, Subject } from './subject.ts'

/**
 * Finds what is probably not meant, with its places. Takes longer than loading: for `check`, not for a reload.
 *
 * @param now milliseconds since the epoch, to tell rules whose time is over
 * @param maxComparisons of pairs of rules; a policy in which more overlap is told that not all were compared
 */
export function policyWarnings(policy: LoadedPolicy, now: number, maxComparisons = 200_000): readonly Fault[] {
  const warnings = policy.rules.flatMap((rule) => [
    ...unknownGroups(rule, policy.groups),
    ...pointlessVariables(rule),
    ...pastTime(rule, now),
  ])
  return inOrder([...warnings, ...ineffectiveRules(policy, maxComparisons)])
}

function warning({ reference: { file, index }, place }: Rule, key: string, sentence: string): Fault {
  return { file, ...place, key: `rules[${index}]${key}`, sentence }
}

function unknownGroups(rule: Rule, groups: ReadonlySet<string>): readonly Fault[] {
  const check = (subjects: readonly Subject[], key: string): readonly Fault[] =>
    subjects
      .filter(({ kind, name }) => kind === 'group' && !groups.has(name))
      .map(({ text, name }) => {
        const meant = nearestBy([...groups], name, (group) => group)
        const advice = meant === undefined ? 'only a login can bring it' : `did you mean group:${meant}?`
        return warning(rule, key, `${text} is defined in no file of the policy; ${advice}`)
      })
  return [...check(rule.to, '.to'), ...check(rule.except, '.except')]
}

function pointlessVariables(rule: Rule): readonly Fault[] {
  if (rule.to.some(({ kind }) => kind !== 'anonymous')) return []
  return rule.on
    .filter(({ variables }) => variables.size > 0)
    .map(({ text }) => warning(rule, '.on', `${text} matches nothing, since anonymous has neither a name nor groups`))
}

function pastTime(rule: Rule, now: number): readonly Fault[] {
  const { notAfter } = rule.when ?? {}
  if (notAfter === undefined || notAfter >= now) return []
  return [
    warning(
      rule,
      '.when.notAfter',
      `is over since ${new Date(notAfter).toISOString()}; the rule does nothing any more`,
    ),
  ]
}

/** Rules by what another must have in common with one that it covers. */
type CoverIndex = {
  /** Rules that, for this effect, action and subject and under no or the same conditions, cover the pattern. */
  covering(
    effect: Rule['effect'],
    action: Action,
    subject: string,
    conditions: string,
    pattern: RepositoryPattern,
  ): readonly (readonly Rule[])[]
}

function ineffectiveRules({ rules, memberships }: LoadedPolicy, maxComparisons: number): readonly Fault[] {
  const index = indexForCovers(rules)
  const ranks = new Map(rules.map((rule, rank) => [rule, rank]))
  let comparisons = 0

  /** A single other rule that meets whenever this one does. */
  function coverOf(rule: Rule, effect: Rule['effect']): Rule | undefined {
    const candidates = fewestCandidates(rule, effect, index, memberships)
    return findIn(candidates, (other) => {
      if (other === rule || comparisons >= maxComparisons) return false
      comparisons += 1
      if (!covers(other, rule, memberships)) return false
      // Of two that say the same, the later is the one too many.
      const isMutual = effect === rule.effect && covers(rule, other, memberships)
      return !isMutual || (ranks.get(other) ?? 0) < (ranks.get(rule) ?? 0)
    })
  }

  const warnings = rules.flatMap((rule) => {
    const denier = rule.effect === 'allow' ? coverOf(rule, 'deny') : undefined
    if (denier !== undefined)
      return [warning(rule, '', `allows nothing, since ${printReference(denier.reference)} denies all of it`)]
    const wider = coverOf(rule, rule.effect)
    if (wider === undefined) return []
    return [warning(rule, '', `changes nothing, since ${printReference(wider.reference)} says the same or more`)]
  })
  const [first] = rules
  if (comparisons < maxComparisons || first === undefined) return warnings
  return [...warnings, warning(first, '', 'and others overlap so much that not all of them were compared')]
}

function findIn<T>(lists: readonly (readonly T[])[], fits: (item: T) => boolean): T | undefined {
  for (const list of lists) {
    const found = list.find(fits)
    if (found !== undefined) return found
  }
  return undefined
}

/** Pairs of a rule for which candidates are looked up; any of them would do, the one with the fewest is the fastest. */
const maxSampled = 5

/** The rules that cover one of the pairs of a rule, for the pair that the fewest cover. */
function fewestCandidates(
  rule: Rule,
  effect: Rule['effect'],
  index: CoverIndex,
  memberships: Memberships,
): readonly (readonly Rule[])[] {
  const [action = 'pull'] = rule.actions
  const keys = new Set(['', conditionsKey(rule)])
  let fewest: readonly (readonly Rule[])[] = []
  let least = Number.POSITIVE_INFINITY
  for (const subject of rule.to.slice(0, maxSampled)) {
    const wider = widerSubjects(subject, memberships)
    for (const pattern of rule.on.slice(0, maxSampled)) {
      const found = wider.flatMap((text) =>
        [...keys].flatMap((key) => index.covering(effect, action, text, key, pattern)),
      )
      const count = found.reduce((sum, { length }) => sum + length, 0)
      if (count < least) [fewest, least] = [found, count]
    }
  }
  return fewest
}

function indexForCovers(rules: readonly Rule[]): CoverIndex {
  const trees = new Map<string, PatternTree<Rule[]>>()
  for (const rule of rules)
    for (const action of rule.actions)
      for (const { text } of rule.to) {
        const key = JSON.stringify([rule.effect, action, text, conditionsKey(rule)])
        const tree = trees.get(key) ?? createPatternTree<Rule[]>()
        trees.set(key, tree)
        for (const pattern of rule.on) tree.at(pattern, () => []).push(rule)
      }
  return {
    covering: (effect, action, subject, conditions, pattern) =>
      trees.get(JSON.stringify([effect, action, subject, conditions]))?.covering(pattern) ?? [],
  }
}

/** Whether one rule meets whenever the other does; where that is not certain, it is said not to. */
function covers(wide: Rule, narrow: Rule, memberships: Memberships): boolean {
  if (wide.when !== undefined && conditionsKey(wide) !== conditionsKey(narrow)) return false
  // With the same tags, a rule that allows also allows what has no tag, and a rule that denies does not deny that.
  if (wide.when?.tags !== undefined && wide.effect !== narrow.effect) return false
  if (![...narrow.actions].every((action) => wide.actions.has(action))) return false
  if (wide.except.length > 0 && exceptKey(wide) !== exceptKey(narrow)) return false
  const subjects = new Set(wide.to.map(({ text }) => text))
  if (!narrow.to.every((subject) => widerSubjects(subject, memberships).some((wider) => subjects.has(wider))))
    return false
  const tree = createPatternTree<true>()
  for (const pattern of wide.on) tree.at(pattern, () => true)
  return narrow.on.every((pattern) => tree.covering(pattern).length > 0)
}

/** A subject, and those that everyone is who is it. */
function widerSubjects({ kind, name, text }: Subject, memberships: Memberships): readonly string[] {
  switch (kind) {
    case 'user':
      return [text, ...(memberships.get(name) ?? []).map((group) => `group:${group}`), 'authenticated']
    case 'group':
      return [text, 'authenticated']
    case 'authenticated':
    case 'anonymous':
      return [text]
  }
}

const conditionKeys = new WeakMap<Rule, string>()

/** Conditions as text: rules whose texts are equal hold at the same times. */
function conditionsKey(rule: Rule): string {
  if (rule.when === undefined) return ''
  const known = conditionKeys.get(rule)
  if (known !== undefined) return known
  const key = JSON.stringify(rule.when, (_, value: unknown) => (value instanceof Set ? [...value].sort() : value))
  conditionKeys.set(rule, key)
  return key
}

function exceptKey({ except }: Rule): string {
  return JSON.stringify(except.map(({ text }) => text).sort())
}
