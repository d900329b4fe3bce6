/** Whom and what a matrix is about, where nobody says it: the people and the repositories that the policy names. */
import type { LoadedPolicy } from '../authorization/compile-policy.ts'
import type { Piece, RepositoryPattern, Segment } from '../authorization/repository-pattern.ts'
import { variableValue } from '../authorization/repository-pattern.ts'
import { parseSubject } from '../authorization/subject.ts'
import type { Subject } from '../authorization/subject.ts'
import { parseTarget } from '../config/policy-cases.ts'
import type { Target } from '../config/policy-cases.ts'
import { printName } from '../config/keys.ts'
import type { AuthenticationMethod, Principal } from '../registry/principal.ts'
import { PolicyCommandError } from './policy-source.ts'

/** One column: somebody, or anybody of a kind. */
export type Person = { readonly label: string; readonly principal: Principal }

/** Somebody whom no rule names. */
const stranger = 'somebody-else'
/** What stands where a wildcard does, and for a group where there is none. */
const example = 'example'

function personOf({ kind, name, text }: Subject, method: AuthenticationMethod): Person {
  switch (kind) {
    case 'user':
      return { label: labelOf(isWord(name) ? text : name), principal: { kind: 'user', name, groups: [], method } }
    case 'group':
      return { label: labelOf(text), principal: { kind: 'user', name: stranger, groups: [name], method } }
    case 'authenticated':
      return { label: text, principal: { kind: 'user', name: stranger, groups: [], method } }
    case 'anonymous':
      return { label: text, principal: { kind: 'anonymous' } }
  }
}

/** A name may hold anything; one that could be taken for more than a name stands in quotes. */
function labelOf(text: string): string {
  return /^[\w.@:+-]+$/.test(text) ? text : printName(text)
}

/** Whether it stands for people of a kind where it is written alone. */
function isWord(text: string): boolean {
  return text === 'anonymous' || text === 'authenticated'
}

/** Reads a list such as `alice,group:developers,anonymous`. @throws PolicyCommandError with what cannot be read */
export function namedPeople(list: string, method: AuthenticationMethod): readonly Person[] {
  return list.split(',').map((text) => {
    const parsed = parseSubject(text.includes(':') || isWord(text) ? text : `user:${text}`)
    if (parsed.kind === 'ok') return personOf(parsed.value, method)
    throw new PolicyCommandError([`wharfgate: --users: ${JSON.stringify(text)} ${parsed.sentence}`])
  })
}

/**
 * Everybody whom rules and groups name, then groups that the policy uses and does not define, then whoever else has
 * logged in, and who has not.
 */
export function peopleOf(
  { rules, groups, memberships }: LoadedPolicy,
  method: AuthenticationMethod,
): readonly Person[] {
  const subjects = rules.flatMap(({ to, except }) => [...to, ...except])
  const named = (kind: Subject['kind']): readonly string[] =>
    subjects.filter((subject) => subject.kind === kind).map(({ name }) => name)
  const users = [...new Set([...named('user'), ...memberships.keys()])].sort()
  const foreign = [...new Set(named('group'))].filter((group) => !groups.has(group)).sort()
  const texts = [...users.map((name) => `user:${name}`), ...foreign.map((name) => `group:${name}`)]
  return [...texts, 'authenticated', 'anonymous'].flatMap((text) => {
    const parsed = parseSubject(text)
    return parsed.kind === 'ok' ? [personOf(parsed.value, method)] : []
  })
}

const shownFaults = 20

/** Reads names of repositories, perhaps with tags. @throws PolicyCommandError with those that cannot be read */
export function namedTargets(names: readonly string[], source: string): readonly Target[] {
  const readings = names.map((name) => ({ name, parsed: parseTarget(name) }))
  const wrong = readings.flatMap(({ name, parsed }) =>
    parsed.kind === 'fault' ? [`wharfgate: ${source}: ${JSON.stringify(name)} ${parsed.sentence}`] : [],
  )
  const rest = wrong.length - shownFaults
  const further = rest > 0 ? [`wharfgate: ${source}: ${rest} more names cannot be read`] : []
  if (wrong.length > 0) throw new PolicyCommandError([...wrong.slice(0, shownFaults), ...further])
  return readings.flatMap(({ parsed }) => (parsed.kind === 'ok' ? [parsed.value] : []))
}

export type Examples = {
  readonly targets: readonly Target[]
  /** Whether names were made up for wildcards. */
  readonly areInvented: boolean
  /** How many more there would be. */
  readonly left: number
}

const maxExamples = 200

/** A repository for each pattern of the policy; `example` stands where a wildcard does. */
export function exampleTargets(policy: LoadedPolicy, people: readonly Person[]): Examples {
  const patterns = [...policy.rules, ...policy.protectedTags].flatMap(({ on }) => on)
  const users = people.flatMap(({ principal }) =>
    principal.kind === 'user' && principal.name !== stranger ? [principal.name] : [],
  )
  const groupsOfRules = policy.rules.flatMap(({ to }) => to.filter(({ kind }) => kind === 'group'))
  const groups = [...policy.groups, ...groupsOfRules.map(({ name }) => name)]
  const values = { user: namesIn(users, stranger), group: namesIn(groups, example) }
  const names = [...new Set(patterns.flatMap((pattern) => examplesOf(pattern, values)))].sort()
  const targets = names.flatMap((name) => {
    const parsed = parseTarget(name)
    return parsed.kind === 'ok' ? [parsed.value] : []
  })
  return {
    targets: targets.slice(0, maxExamples),
    areInvented: patterns.some(({ segments }) => segments.some(isWild)),
    left: Math.max(0, targets.length - maxExamples),
  }
}

type Values = { readonly user: readonly string[]; readonly group: readonly string[] }

/** @param otherwise what stands where the policy names nobody */
function namesIn(names: readonly string[], otherwise: string): readonly string[] {
  const found = [...new Set(names)].filter((name) => variableValue(name) !== undefined)
  return found.length === 0 ? [otherwise] : found
}

function isWild(segment: Segment): boolean {
  return segment.kind !== 'literal' && !(segment.kind === 'glob' && segment.pieces.length === 1)
}

/** A pattern with variables is shown for everybody whom they can stand for. */
function examplesOf({ segments, variables }: RepositoryPattern, { user, group }: Values): readonly string[] {
  const users = variables.has('user') ? user : ['']
  const groups = variables.has('group') ? group : ['']
  return users.flatMap((name) =>
    groups.map((groupName) =>
      segments.map((segment) => exampleOf(segment, { user: name, group: groupName })).join('/'),
    ),
  )
}

function exampleOf(segment: Segment, values: Readonly<Record<'user' | 'group', string>>): string {
  switch (segment.kind) {
    case 'literal':
      return segment.text
    case 'any':
    case 'deep':
      return example
    case 'glob':
      return segment.pieces.map((piece) => textOf(piece, values)).join(example)
  }
}

function textOf(piece: Piece, values: Readonly<Record<'user' | 'group', string>>): string {
  return piece.map((part) => (typeof part === 'string' ? part : values[part.variable])).join('')
}
