/** What is wrong with a value, in sentences: zod's issues, told without repeating what may be a secret. */
import type { z } from 'zod'
import { nearestKey, printName, printPath } from './keys.ts'
import type { KnownKey, PathStep } from './keys.ts'

/** One thing that is wrong, and where in the value. */
export type Finding = {
  readonly path: readonly PathStep[]
  readonly sentence: string
}

type Issue = z.core.$ZodIssue

/**
 * Turns every issue into findings; an issue about several unknown keys becomes one finding for each of them.
 * The issues must carry their input (`reportInput`), of which only the kind, a number or a mistaken choice is repeated.
 */
export function explain(issues: readonly Issue[], known: readonly KnownKey[]): readonly Finding[] {
  let suggestions = 0
  return issues.flatMap((issue) => {
    const path = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step))
    if (issue.code === 'invalid_union') return explainUnion(issue, path, known)
    if (issue.code !== 'unrecognized_keys') return [{ path, sentence: sentenceOf(issue, known) }]
    return issue.keys.map((key) => {
      suggestions += 1
      const sentence = suggestions > maxSuggestions ? 'unknown key' : unknownKey(known, [...path, key])
      return { path: [...path, key], sentence }
    })
  })
}

/** Comparing names takes time, and a document with more unknown keys than this is not one of ours. */
const maxSuggestions = 100

function unknownKey(known: readonly KnownKey[], path: readonly PathStep[]): string {
  const nearest = nearestKey(known, path)
  if (nearest !== undefined) return `unknown key; did you mean ${nearest}?`
  const parent = printPath(path.slice(0, -1).map((step) => (typeof step === 'number' ? '[]' : step)))
  const siblings = known.filter((key) => printPath(key.path.slice(0, -1)) === parent)
  return siblings.length === 0
    ? 'unknown key'
    : `unknown key; known here are ${siblings.map((key) => key.path.at(-1)).join(', ')}`
}

function explainUnion(
  issue: Extract<Issue, { code: 'invalid_union' }>,
  path: readonly PathStep[],
  known: readonly KnownKey[],
): readonly Finding[] {
  if ('options' in issue) {
    const input: unknown = isObject(issue.input) ? Reflect.get(issue.input, path.at(-1) ?? '') : undefined
    return [{ path, sentence: choice(issue.options, input) }]
  }
  // The form that was probably meant is the one whose kind fits: its faults lie deeper than the value itself.
  const meant = issue.errors.find((branch) =>
    branch.every(({ path, code }) => path.length > 0 || code === 'unrecognized_keys'),
  )
  if (issue.input === undefined) return [{ path, sentence: 'is required' }]
  if (meant === undefined) return [{ path, sentence: `has none of the forms allowed here; got ${kindOf(issue.input)}` }]
  return explain(
    meant.map((inner) => ({ ...inner, path: [...path, ...inner.path] })),
    known,
  )
}

function sentenceOf(issue: Issue, known: readonly KnownKey[]): string {
  const { input } = issue
  if (input === null) return 'is empty; give it a value or remove the key'
  if (issue.code === 'invalid_value') return choice(issue.values, input)
  if (issue.code === 'too_small') return `must ${measured(issue.origin, 'at least', issue.minimum)}; ${got(input)}`
  if (issue.code === 'too_big') return `must ${measured(issue.origin, 'at most', issue.maximum)}; ${got(input)}`
  if (issue.code !== 'invalid_type') return issue.message
  if (input === undefined) return 'is required'
  const advice = issue.expected === 'string' && !isObject(input) ? ': put it in quotes' : ''
  return `must be ${wantedKind(issue, known)}; got ${kindOf(input)}${advice}`
}

/** zod first asks for any number and then for a whole one; a person wants to be told both at once. */
function wantedKind({ expected, path }: Extract<Issue, { code: 'invalid_type' }>, known: readonly KnownKey[]): string {
  if (expected === 'number') {
    const generic = printPath(path.map((step) => (typeof step === 'number' ? '[]' : String(step))))
    if (known.some((key) => key.schema.type === 'integer' && printPath(key.path) === generic)) return 'a whole number'
  }
  return kinds[expected] ?? expected
}

const kinds: Readonly<Record<string, string>> = {
  object: 'a map',
  array: 'a list',
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
}

function measured(origin: string, bound: string, limit: number | bigint): string {
  switch (origin) {
    case 'array':
      return `have ${bound} ${limit} ${limit === 1 ? 'item' : 'items'}`
    case 'string':
      return `have ${bound} ${limit} ${limit === 1 ? 'character' : 'characters'}`
    default:
      return `be ${bound} ${limit}`
  }
}

function choice(values: readonly unknown[], input: unknown): string {
  const words = values.filter((value) => value !== undefined).map(String)
  // zod lists what a feature may be in the order of its variants, off first; people say it the other way round.
  if (words[0] === 'false') words.reverse()
  const allowed = words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1) ?? ''}`
  if (input === undefined) return `is required: ${allowed}`
  if (input === null) return `is empty; it must be ${allowed}`
  return `must be ${allowed}; got ${typeof input === 'string' && input.length <= 20 ? printName(input) : kindOf(input)}`
}

function got(input: unknown): string {
  return typeof input === 'number' ? `got ${input}` : `got ${kindOf(input)}`
}

function kindOf(input: unknown): string {
  if (input === undefined || input === null) return 'nothing'
  if (Array.isArray(input)) return `a list of ${input.length}`
  return kinds[typeof input] ?? typeof input
}

function isObject(input: unknown): input is object {
  return typeof input === 'object' && input !== null
}
