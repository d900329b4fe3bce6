/** The form of a table of cases: what a policy is expected to decide. One file is read here, and asked of a policy elsewhere. */
import { isIP } from 'node:net'
import { z } from 'zod'
import { actions } from '../registry/access.ts'
import type { Action } from '../registry/access.ts'
import { parseRepositoryName, parseTag } from '../registry/name.ts'
import type { RepositoryName, Tag } from '../registry/name.ts'
import { authenticationMethods } from '../registry/principal.ts'
import type { Principal } from '../registry/principal.ts'
import { byPlace, parseDocument } from './document.ts'
import type { Fault } from './document.ts'
import { explain } from './explain.ts'
import { knownKeys, nearestBy, printName, printPath } from './keys.ts'
import type { PathStep } from './keys.ts'
import { basicUserName, key, plainText } from './values.ts'

const maxUsers = 100
const maxItems = 1_000
const maxExpectations = 100_000

type Parsed<T> = { readonly kind: 'ok'; readonly value: T } | { readonly kind: 'fault'; readonly sentence: string }

/** What is asked about: a repository, and perhaps a tag of it. */
export type Target = { readonly repository: RepositoryName; readonly tag: Tag | undefined }

/** Reads `REPOSITORY[:TAG]`, as cases and the command line write it; the sentence of a fault lacks its subject. */
export function parseTarget(text: string): Parsed<Target> {
  if (text.includes('@'))
    return fault('names a digest; leave it out, since policies ask for tags alone: REPOSITORY or REPOSITORY:TAG')
  const [name = '', ...rest] = text.split(':')
  const repository = parseRepositoryName(name)
  if (rest.length > 1 || rest.some((part) => part.includes('/')))
    return fault('must be REPOSITORY or REPOSITORY:TAG, without the host of the registry in front')
  if (repository === undefined)
    return fault('must be REPOSITORY or REPOSITORY:TAG; a repository is such as team/app, in lower case')
  const [tagText] = rest
  const tag = tagText === undefined ? undefined : parseTag(tagText)
  if (tagText !== undefined && tag === undefined)
    return fault('must be REPOSITORY or REPOSITORY:TAG; a tag has at most 128 letters, digits, dots, _ and -')
  return { kind: 'ok', value: { repository, tag } }
}

/** Prints what {@link parseTarget} reads. */
export function printTarget({ repository, tag }: Target): string {
  return tag === undefined ? repository : `${repository}:${tag}`
}

/** Reads an instant with its offset from UTC. @returns milliseconds since the epoch; nothing for other text */
export function parseInstant(text: string): number | undefined {
  const result = instant.safeParse(text)
  return result.success ? result.data : undefined
}

function fault(sentence: string): Parsed<never> {
  return { kind: 'fault', sentence }
}

function parseAction(text: string): Parsed<Action> {
  const action = actions.find((known) => known === text)
  if (action !== undefined) return { kind: 'ok', value: action }
  const meant = nearestBy(actions, text, (known) => known)
  return fault(
    meant === undefined ? `is no action; known are ${actions.join(', ')}` : `is no action; did you mean ${meant}?`,
  )
}

function parseUser(text: string): Parsed<string> {
  const result = basicUserName.safeParse(text)
  return result.success ? { kind: 'ok', value: text } : fault('is no user name: it must not be empty or hold a colon')
}

/** A text or a list of texts, each read by a parser. */
function oneOrMore<T>(parse: (text: string) => Parsed<T>, max: number) {
  return z.union([z.string(), z.array(z.string()).min(1).max(max)]).transform((value, context): readonly T[] => {
    const texts = typeof value === 'string' ? [{ text: value, path: [] }] : value.map(atIndex)
    return texts.flatMap(({ text, path }) => {
      const parsed = parse(text)
      if (parsed.kind === 'ok') return [parsed.value]
      context.addIssue({ code: 'custom', path: [...path], message: `${printName(text)} ${parsed.sentence}` })
      return []
    })
  })
}

function atIndex(text: string, index: number): { readonly text: string; readonly path: readonly number[] } {
  return { text, path: [index] }
}

const instant = z.iso
  .datetime({ offset: true, error: 'must be an instant with its offset from UTC, such as 2026-12-01T09:00:00Z' })
  .transform((text) => Date.parse(text))

const address = z.string().refine((text) => isIP(text) !== 0, { error: 'must be one address, such as 10.1.2.3 or ::1' })

const caseSchema = z
  .strictObject({
    user: key(oneOrMore(parseUser, maxUsers).optional(), 'Who asks: a user. A case has this or `anonymous`.', {
      kind: 'user name, or a list of them',
    }),
    anonymous: key(z.literal(true).optional(), 'Who asks: somebody who has not logged in.'),
    groups: key(
      z.array(plainText).max(maxItems).optional(),
      'Groups that the login brings, besides those that the policy defines.',
      { kind: 'list of groups' },
    ),
    method: key(z.enum(authenticationMethods).default('htpasswd'), 'How the user logged in.'),
    address: key(address.optional(), 'The client’s address.', {
      unset: 'not known: no condition on it lets anybody in',
    }),
    at: key(instant.optional(), 'When.', { unset: 'now', kind: 'instant', samples: ['2026-12-01T09:00:00Z'] }),
    may: key(oneOrMore(parseAction, maxItems).optional(), 'What must be allowed.', {
      kind: 'action, or a list of them',
    }),
    mayNot: key(oneOrMore(parseAction, maxItems).optional(), 'What must be refused.', {
      kind: 'action, or a list of them',
    }),
    on: key(oneOrMore(parseTarget, maxItems), 'On what.', {
      kind: 'REPOSITORY, REPOSITORY:TAG, or a list of them',
      samples: ['team/app:v1'],
    }),
    message: key(plainText.optional(), 'What of the policy the refused person must be told; only beside `mayNot`.', {
      samples: ['releases go through ci'],
    }),
  })
  .superRefine(({ user, anonymous, groups, may, mayNot, message }, context) => {
    const refuse = (path: readonly PathStep[], sentence: string): void => {
      context.addIssue({ code: 'custom', path: [...path], message: sentence })
    }
    if (user === undefined && anonymous === undefined)
      refuse([], 'says not who asks; it needs user, or anonymous: true')
    if (user !== undefined && anonymous !== undefined) refuse(['anonymous'], 'stands beside user; make two cases of it')
    if (groups !== undefined && user === undefined) refuse(['groups'], 'needs a user, who is in them')
    if (may === undefined && mayNot === undefined) refuse([], 'expects nothing; it needs may or mayNot')
    if (message !== undefined && mayNot === undefined) refuse(['message'], 'needs mayNot: only who is refused is told')
    const both = may?.find((action) => mayNot?.includes(action))
    if (both !== undefined) refuse(['mayNot'], `holds ${both}, which stands in may too; take it out of one of them`)
  })

/** Every key of a file of cases. */
export const policyCasesSchema = z.strictObject({
  cases: key(z.array(caseSchema).min(1), 'Who may do what, and who may not; each case stands for itself.'),
})

const known = knownKeys(policyCasesSchema)

/** One decision that a policy is expected to make, and where that is written. */
export type Expectation = {
  /** Where the action stands, and the key around it, such as `cases[0].mayNot`. */
  readonly place: Pick<Fault, 'file' | 'line' | 'column' | 'key'>
  readonly principal: Principal
  /** Empty where it is not known. */
  readonly address: string
  /** Milliseconds since the epoch; absent where the case is about now. */
  readonly at: number | undefined
  readonly action: Action
  readonly target: Target
  readonly expected: 'allowed' | 'refused'
  /** What the sentence for who is refused must hold. */
  readonly message: string | undefined
}

/** The answer of {@link readPolicyCases}. */
export type CasesReading =
  | { readonly kind: 'ok'; readonly caseCount: number; readonly expectations: readonly Expectation[] }
  | { readonly kind: 'faults'; readonly faults: readonly Fault[] }

/** Reads one file of cases. Never throws: whatever is wrong, all of it, comes back as faults in the order of the file. */
export function readPolicyCases(source: { readonly text: string; readonly file: string }): CasesReading {
  const parsed = parseDocument(source)
  if (parsed.kind === 'faults') return parsed
  const { value, placeOf } = parsed
  const placeAt = (path: readonly PathStep[]): Expectation['place'] => {
    return { file: source.file, ...placeOf(path), key: printPath(path) }
  }
  const result = policyCasesSchema.safeParse(value ?? {}, { reportInput: true })
  if (!result.success) {
    const faults = explain(result.error.issues, known).map(({ path, sentence }) => ({ ...placeAt(path), sentence }))
    return { kind: 'faults', faults: faults.sort(byPlace) }
  }
  const { cases } = result.data
  const counts = cases.map(countOf)
  if (counts.reduce((sum, count) => sum + count, 0) > maxExpectations) {
    const sentence = `asks for more than ${maxExpectations} decisions; make several files of it`
    return { kind: 'faults', faults: [{ ...placeAt(['cases']), sentence }] }
  }
  const expectations = cases.flatMap((one, index) => expectationsOf(one, ['cases', index], placeAt))
  return { kind: 'ok', caseCount: cases.length, expectations }
}

type Case = z.output<typeof caseSchema>

function countOf({ user = [''], may = [], mayNot = [], on }: Case): number {
  return user.length * on.length * (may.length + mayNot.length)
}

function expectationsOf(
  { user, groups = [], method, address = '', at, may = [], mayNot = [], on, message }: Case,
  path: readonly PathStep[],
  placeAt: (path: readonly PathStep[]) => Expectation['place'],
): readonly Expectation[] {
  const principals: readonly Principal[] = user?.map((name): Principal => ({ kind: 'user', name, groups, method })) ?? [
    { kind: 'anonymous' },
  ]
  const expect = (name: 'may' | 'mayNot', list: readonly Action[]) =>
    list.flatMap((action, index) => {
      // Where the action is no list, its key stands for it.
      const place = { ...placeAt([...path, name, index]), key: printPath([...path, name]) }
      const expected = name === 'may' ? ('allowed' as const) : ('refused' as const)
      const asked = { place, address, at, action, expected, message: name === 'may' ? undefined : message }
      return principals.flatMap((principal) => on.map((target): Expectation => ({ ...asked, principal, target })))
    })
  return [...expect('may', may), ...expect('mayNot', mayNot)]
}
