/** The form of a policy file: every key once, with its sentence. What patterns, subjects and roles mean is not known here. */
import { z } from 'zod'
import { authenticationMethods } from '../registry/principal.ts'
import { byPlace, parseDocument } from './document.ts'
import type { Fault, Place } from './document.ts'
import { explain } from './explain.ts'
import type { Finding } from './explain.ts'
import { knownKeys, printPath } from './keys.ts'
import type { PathStep } from './keys.ts'
import { key, network, plainText } from './values.ts'

const maxItems = 1_000
const maxMembers = 10_000
const maxMessageLength = 300

/** Text, or a list of texts. */
function oneOrMore(max = maxItems) {
  return z.union([z.string(), z.array(z.string()).min(1).max(max)])
}

const message = plainText.refine(({ length }) => length <= maxMessageLength, {
  error: `must have at most ${maxMessageLength} characters`,
})

const instant = z.iso
  .datetime({ offset: true, error: 'must be an instant with its offset from UTC, such as 2026-12-01T00:00:00Z' })
  .transform((text) => Date.parse(text))

const maxMinute = 1_440

const timeOfDay = z
  .string()
  .regex(/^(?:[01]\d|2[0-3]):[0-5]\d$|^24:00$/, {
    error: 'must be a time of day in quotes, "00:00" to "24:00"',
    abort: true,
  })
  .transform((text) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3)))

const timeZone = z.string().refine(isTimeZone, {
  error: 'must be a name of the IANA time zone database, such as Europe/Berlin or UTC',
})

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: name }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}

const hours = z
  .strictObject({
    from: key(timeOfDay.prefault('00:00'), 'The first minute.', { kind: 'time of day', samples: ['09:00'] }),
    until: key(
      timeOfDay.prefault('24:00'),
      'The first minute that is not in it any more. Earlier than `from`, it is a minute of the next day.',
      { kind: 'time of day', samples: ['17:00'] },
    ),
    days: key(
      z
        .array(z.enum(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']))
        .min(1)
        .optional(),
      'The days on which it begins.',
      { unset: 'every day', kind: 'list of `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`' },
    ),
    timeZone: key(timeZone.default('UTC'), 'Whose clocks are meant, by the IANA time zone database.', {
      samples: ['Europe/Berlin'],
    }),
  })
  .refine(({ from, until }) => from !== until && from < maxMinute && until > 0, {
    error: 'is no time at all; from is 00:00 to 23:59, until is another and later than 00:00',
  })

const conditions = z
  .strictObject({
    addresses: key(
      z.array(network).min(1).max(maxItems).optional(),
      'The client’s address lies in one of these ranges (`trustedProxies` of the configuration says whom to believe).',
      { kind: 'list of addresses and CIDR ranges', samples: [['10.0.0.0/8']] },
    ),
    methods: key(z.array(z.enum(authenticationMethods)).min(1).optional(), 'How the user logged in.', {
      kind: `list of ${authenticationMethods.map((method) => `\`${method}\``).join(', ')}`,
    }),
    tags: key(
      z.array(z.string()).min(1).max(maxItems).optional(),
      'The tag that is asked for, or set, matches one of these patterns; see below for what has no tag.',
      { kind: 'list of tag patterns', samples: [['v*', 'latest']] },
    ),
    hours: key(hours.optional(), 'The time of the week.', { kind: 'map' }),
    notBefore: key(instant.optional(), 'The rule begins with this instant.', {
      kind: 'instant',
      samples: ['2026-12-01T00:00:00Z'],
    }),
    notAfter: key(instant.optional(), 'The rule ends with this instant.', { kind: 'instant' }),
  })
  .refine(({ notBefore, notAfter }) => notBefore === undefined || notAfter === undefined || notBefore <= notAfter, {
    error: 'can never hold: notAfter is before notBefore',
  })

const ruleShape = {
  allow: key(oneOrMore().optional(), 'What the rule allows: actions or roles. A rule has this or `deny`.', {
    kind: 'role or action, or a list of them',
  }),
  deny: key(oneOrMore().optional(), 'What the rule forbids, whatever other rules allow.', {
    kind: 'role or action, or a list of them',
  }),
  to: key(oneOrMore(), 'Whom it is for.', { kind: 'subject, or a list of them' }),
  except: key(oneOrMore().optional(), 'Whom it is not for after all; only beside `deny`.', {
    kind: 'subject, or a list of them',
  }),
  on: key(oneOrMore(), 'Which repositories it is about.', { kind: 'pattern, or a list of them' }),
  when: key(conditions.optional(), 'What must hold besides: every condition that is given.', { unset: 'always' }),
  message: key(
    message.optional(),
    'One sentence for the person who is refused: by this rule that denies, or for want of this rule that allows.',
    { samples: ['releases go through ci'] },
  ),
}

const protectedTagsShape = {
  on: key(oneOrMore(), 'In which repositories.', { kind: 'pattern without variables, or a list of them' }),
  tags: key(oneOrMore(), 'Which tags.', { kind: 'tag pattern, or a list of them' }),
  message: key(message.optional(), 'One sentence for the person who may not move or delete such a tag.'),
}

const shape = {
  rules: key(z.array(z.strictObject(ruleShape)).optional(), 'Who may do what, and where. The order does not matter.'),
  roles: key(
    z.record(z.string(), z.array(z.string()).min(1).max(maxItems)).optional(),
    'Roles of your own: a name, and the actions that it stands for.',
    { kind: 'map of lists of actions', samples: [{ releaser: ['pull', 'push', 'overwrite'] }] },
  ),
  groups: key(
    z.record(z.string(), z.array(z.string()).max(maxMembers)).optional(),
    'Groups: a name, and the users in it. A user is in these groups and in those that the login brought.',
    { kind: 'map of lists of users', samples: [{ developers: ['alice', 'bob'] }] },
  ),
  protectedTags: key(
    z.array(z.strictObject(protectedTagsShape)).optional(),
    'Tags that nobody moves or deletes without the action `overwrite`.',
  ),
}

/** Every key of a policy file. An empty file says nothing, which is not wrong where other files say something. */
export const policySchema = z.strictObject(shape)

export type PolicyDocument = z.output<typeof policySchema>
export type RuleDocument = NonNullable<PolicyDocument['rules']>[number]
export type ProtectedTagsDocument = NonNullable<PolicyDocument['protectedTags']>[number]
export type ConditionsDocument = NonNullable<RuleDocument['when']>

/**
 * What could be read of a file. Where there are faults, what is sound stands there nevertheless, so that further faults
 * can be found in it; it is not to be used for anything else.
 */
export type PolicyReading = {
  readonly faults: readonly Fault[]
  readonly rules: readonly Partial<RuleDocument>[]
  readonly protectedTags: readonly Partial<ProtectedTagsDocument>[]
  readonly roles: ReadonlyMap<string, readonly string[]>
  readonly groups: ReadonlyMap<string, readonly string[]>
  readonly placeOf: (path: readonly PathStep[]) => Place
}

const known = knownKeys(policySchema)

/** Reads one policy file. Never throws: whatever is wrong comes back as faults in the order of the file. */
export function readPolicyDocument(source: { readonly text: string; readonly file: string }): PolicyReading {
  const parsed = parseDocument(source)
  if (parsed.kind === 'faults') return { ...nothing, faults: parsed.faults, placeOf: () => top }
  const { value, placeOf } = parsed
  if (value === null) return { ...nothing, placeOf }
  const result = policySchema.safeParse(value, { reportInput: true })
  const findings = [...namelessEntries(value), ...(result.success ? [] : explain(result.error.issues, known))]
  const faults = findings.map(({ path, sentence }) => ({
    file: source.file,
    ...placeOf(path),
    key: printPath(path),
    sentence,
  }))
  return { ...sectionsOf(result.success ? result.data : soundPart(value)), faults: faults.sort(byPlace), placeOf }
}

/** The one name that a schema passes over without a word. */
function namelessEntries(value: unknown): readonly Finding[] {
  return ['roles', 'groups']
    .filter((section) => fieldOf(fieldOf(value, section), '__proto__') !== undefined)
    .map((section) => ({ path: [section, '__proto__'], sentence: 'is no name that can be given' }))
}

const top: Place = { line: 1, column: 1 }

const nothing: Omit<PolicyReading, 'placeOf'> = {
  faults: [],
  rules: [],
  protectedTags: [],
  roles: new Map(),
  groups: new Map(),
}

type Sound = {
  readonly rules?: readonly Partial<RuleDocument>[] | undefined
  readonly protectedTags?: readonly Partial<ProtectedTagsDocument>[] | undefined
  readonly roles?: Readonly<Record<string, readonly string[]>> | undefined
  readonly groups?: Readonly<Record<string, readonly string[]>> | undefined
}

function sectionsOf({
  rules = [],
  protectedTags = [],
  roles = {},
  groups = {},
}: Sound): Omit<PolicyReading, 'placeOf' | 'faults'> {
  return { rules, protectedTags, roles: new Map(Object.entries(roles)), groups: new Map(Object.entries(groups)) }
}

/** Of a document that does not fit the schema, the values that fit theirs. */
function soundPart(value: unknown): Sound {
  const sections = soundFields(shape, value)
  return {
    ...sections,
    rules: sections.rules ?? itemsAt(value, 'rules').map((item) => soundFields(ruleShape, item)),
    protectedTags:
      sections.protectedTags ?? itemsAt(value, 'protectedTags').map((item) => soundFields(protectedTagsShape, item)),
  }
}

function itemsAt(value: unknown, name: string): readonly unknown[] {
  const items = fieldOf(value, name)
  return Array.isArray(items) ? items : []
}

function soundFields<Shape extends z.ZodRawShape>(
  fields: Shape,
  value: unknown,
): Partial<z.output<z.ZodObject<Shape>>> {
  const sound = Object.entries(fields).flatMap(([name, schema]) => {
    const field = fieldOf(value, name)
    const result = field === undefined ? undefined : z.safeParse(schema, field)
    return result?.success === true ? [[name, result.data] as const] : []
  })
  return Object.fromEntries(sound) as Partial<z.output<z.ZodObject<Shape>>>
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? Reflect.get(value, name)
    : undefined
}
