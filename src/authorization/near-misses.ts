/** Rules that allow what was asked for, but for something. */
import type { Action } from '../registry/access.ts'
import { askedTags, isAmong } from './asker.ts'
import type { Asker } from './asker.ts'
import type { AskedTag, ConditionName } from './conditions.ts'
import { askedRepository, createPatternIndex } from './pattern-index.ts'
import type { Question } from './policy.ts'
import type { Rule } from './rule.ts'

/** What keeps a rule from meeting. */
export type Lack = 'subject' | 'repository' | 'action' | ConditionName

/** What a rule that allows would have to have besides, to allow this; nothing where it does. */
export function lacksOf(
  rule: Rule,
  asker: Asker,
  { action, tag, isRepository }: { readonly action: Action; readonly tag: AskedTag; readonly isRepository: boolean },
): readonly Lack[] {
  return [
    ...(isAmong(rule.to, asker) ? [] : ['subject' as const]),
    ...(isRepository ? [] : ['repository' as const]),
    ...(gives(rule, action) ? [] : ['action' as const]),
    ...rule.conditions.filter(({ holds }) => !holds(asker.moment, tag)).map(({ name }) => name),
  ]
}

/**
 * How far a rule is from allowing: one for the principal that asks for a condition is nearer than one for others, and one
 * for another repository is about something else.
 */
export function distanceOf(lacks: readonly Lack[]): number {
  return lacks.reduce((sum, lack) => sum + (distances[lack] ?? 1), 0)
}

const distances: Readonly<Partial<Record<Lack, number>>> = { action: 2, subject: 3, repository: 20 }

/** What may be pulled may be listed. */
function gives({ actions }: Rule, action: Action): boolean {
  return actions.has(action) || (action === 'list' && actions.has('pull'))
}

/** The messages of rules that allow, found while a request is served. */
export type Hints = (question: Question, asker: Asker) => string | undefined

/** So many rules of one pattern are compared at most: who is refused again and again may not cost much. */
const maxCompared = 100

/**
 * Looks for the rule with a message that is nearest to what was refused, among those for this repository: it lacks the
 * least, and of several it is the first.
 */
export function createHints(rules: readonly Rule[]): Hints {
  const index = createPatternIndex<Rule[]>()
  for (const rule of rules.filter(({ effect, message }) => effect === 'allow' && message !== undefined))
    for (const pattern of rule.on) {
      const shelf = index.at(pattern, () => [])
      if (shelf.length < maxCompared) shelf.push(rule)
    }
  const ranks = new Map(rules.map((rule, rank) => [rule, rank]))

  return ({ repository, action, tags }, asker) => {
    const [tag] = askedTags(tags)
    const found = new Set(index.matching(askedRepository(repository, asker)).flat())
    let nearest: { readonly message: string | undefined; readonly distance: number; readonly rank: number } | undefined
    for (const rule of found) {
      const distance = distanceOf(lacksOf(rule, asker, { action, tag, isRepository: true }))
      const rank = ranks.get(rule) ?? 0
      if (
        nearest === undefined ||
        distance < nearest.distance ||
        (distance === nearest.distance && rank < nearest.rank)
      )
        nearest = { message: rule.message, distance, rank }
    }
    return nearest?.message
  }
}
