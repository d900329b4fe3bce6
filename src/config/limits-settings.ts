/** The settings of who may use how much: limits of requests, of bytes and of transfers at one time. */
import { z } from 'zod'
import { defaultBuckets } from './default-buckets.ts'
import { basicUserName, feature, key, network, plainText } from './values.ts'
import type { Network } from './values.ts'

/** Whom a bucket counts together. For a client without a login, `user` is its address. */
export type BucketScope = 'user' | 'group' | 'address' | 'global'

/** What a bucket counts: logins that a backend has to check, tokens, pulls, pushes, listings, or everything. */
export type BucketClass = 'login' | 'token' | 'pull' | 'push' | 'api' | 'requests'

/** A bucket after every check, with its defaults filled in. */
export type BucketSettings = {
  readonly name: string
  readonly scope: BucketScope
  readonly class: BucketClass
  /** Only these users and the members of `groups`; everybody where both are empty. */
  readonly users: readonly string[]
  /** For `scope: group`, each of these groups is counted for itself. */
  readonly groups: readonly string[]
  /** Whether clients without a login are counted: with the others, not at all, or they alone. */
  readonly anonymous: boolean | 'only'
  readonly exemptUsers: readonly string[]
  readonly exemptGroups: readonly string[]
  readonly exemptAddresses: readonly Network[]
} & (RequestQuota | ByteQuota | ConcurrentQuota)

export type RequestQuota = {
  readonly unit: 'requests'
  readonly quota: number
  readonly windowSeconds: number
  /** How many may come at once. */
  readonly burst: number
}

export type ByteQuota = {
  readonly unit: 'bytes'
  readonly direction: 'down' | 'up'
  readonly quota: number
  readonly windowSeconds: number
  readonly burst: number
  /** `slow` lets the bytes flow at the pace of the quota, for each gateway, and refuses nothing. */
  readonly onExceeded: 'refuse' | 'slow'
}

export type ConcurrentQuota = {
  readonly unit: 'concurrent'
  /** Transfers at one time. */
  readonly quota: number
}

/** 30 days. */
const maxWindowSeconds = 2_592_000
/** A structured field (RFC 9651 section 3.3.1) holds no integer that is longer. */
const maxQuota = 999_999_999_999_999
/** Beyond it the interval between two requests, in whole microseconds, would be too coarse. */
const maxRequestsPerSecond = 10_000

const bucketShape = {
  name: key(
    z
      .string()
      .regex(/^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/, 'must be lower-case words with hyphens, such as pulls-per-user')
      .max(64),
    'Names the bucket in answers, headers and metrics; lower-case words with hyphens, each name once.',
    { samples: ['pulls-per-user'] },
  ),
  scope: key(
    z.enum(['user', 'group', 'address', 'global']),
    'Whom it counts together: each user (a client without a login by its address), each of `groups`, each address ' +
      '(IPv6: each /64), or all.',
  ),
  class: key(
    z.enum(['login', 'token', 'pull', 'push', 'api', 'requests']),
    'What it counts: logins that have to be checked, tokens, pulls, pushes, listings (catalog, tags, referrers), or ' +
      'every request.',
  ),
  unit: key(
    z.enum(['requests', 'bytes', 'concurrent']).default('requests'),
    'In what: how often, how many bytes, or how many transfers at one time.',
  ),
  direction: key(z.enum(['down', 'up']).optional(), 'Which bytes: `down` to the client or `up` from it.', {
    unset: '`up` for `push`, `down` for `pull` and `api`; `requests` must say',
  }),
  quota: key(z.int().min(1).max(maxQuota), 'How many in a window, or at one time.'),
  windowSeconds: key(
    z.int().min(1).max(maxWindowSeconds).optional(),
    'In how long the quota comes back; it does so evenly, not all at once. Required, but for `concurrent`.',
    { unit: 's' },
  ),
  burst: key(z.int().min(1).max(maxQuota).optional(), 'How many may come at once.', { unset: 'the quota' }),
  users: key(z.array(basicUserName).max(1_000).default([]), 'Only these users (and the members of `groups`).', {
    kind: 'list of users',
  }),
  groups: key(
    z.array(plainText).max(1_000).default([]),
    'Only the members of these groups (and `users`); those of the login and those of the policies.',
    { kind: 'list of groups' },
  ),
  anonymous: key(
    z.union([z.boolean(), z.literal('only')]).optional(),
    'Whether it counts clients without a login: with the others, not at all, or them alone.',
    { kind: '`true`, `false`, `only`', unset: '`true`, but `false` with `users` or `groups`' },
  ),
  exemptUsers: key(z.array(basicUserName).max(1_000).default([]), 'Users that it never counts.', {
    kind: 'list of users',
  }),
  exemptGroups: key(z.array(plainText).max(1_000).default([]), 'Groups whose members it never counts.', {
    kind: 'list of groups',
  }),
  exemptAddresses: key(z.array(network).max(1_000).default([]), 'Addresses that it never counts.', {
    kind: 'list of addresses and CIDR ranges',
    samples: [['10.0.0.0/8']],
  }),
  onExceeded: key(
    z.enum(['refuse', 'slow']).default('refuse'),
    'What happens beyond it: 429, or, for bytes, the transfers of one gateway slow down to the pace of the quota.',
  ),
} as const

type BucketDocument = z.output<z.ZodObject<typeof bucketShape>>

const bucket = z
  .strictObject(bucketShape)
  .superRefine((document, context) => {
    for (const [name, message] of faultsOf(document)) context.addIssue({ code: 'custom', path: [name], message })
  })
  .transform(bucketOf)

type Fault = readonly [key: keyof BucketDocument, sentence: string]

function faultsOf(document: BucketDocument): readonly Fault[] {
  return [...faultsOfSubject(document), ...faultsOfUnit(document), ...faultsOfQuota(document)]
}

/** Nobody is known before a login, and a group is a list of somebody. */
function* faultsOfSubject({ class: counted, scope, users, groups, ...rest }: BucketDocument): Generator<Fault> {
  if (counted === 'login') {
    if (scope === 'user' || scope === 'group')
      yield ['scope', 'must be address or global for class login: nobody is known before the login is checked']
    for (const name of ['users', 'groups', 'exemptUsers', 'exemptGroups'] as const) {
      if ({ users, groups, ...rest }[name].length > 0)
        yield [name, 'must be left out for class login: nobody is known before the login is checked']
    }
    if (rest.anonymous !== undefined)
      yield ['anonymous', 'must be left out for class login: whoever logs in is not anonymous']
    return
  }
  if (scope === 'group' && groups.length === 0)
    yield ['groups', 'is required for scope group: the groups of which each has a bucket of its own']
  if (scope === 'group' && users.length > 0)
    yield ['users', 'must be left out for scope group, which counts the members of groups; use scope user for users']
  const isForSome = users.length > 0 || groups.length > 0
  if (isForSome && rest.anonymous !== undefined && rest.anonymous !== false)
    yield ['anonymous', 'must be left out beside users or groups: a client without a login is none of them']
  if (rest.anonymous === 'only' && rest.exemptUsers.length + rest.exemptGroups.length > 0)
    yield ['anonymous', 'only counts no user, so that exemptUsers and exemptGroups mean nothing; leave them out']
}

function* faultsOfUnit({ class: counted, unit, direction, onExceeded }: BucketDocument): Generator<Fault> {
  if (unit !== 'requests' && (counted === 'login' || counted === 'token'))
    yield ['unit', `must be requests for class ${counted}, in which nothing is transferred`]
  if (unit !== 'bytes' && direction !== undefined)
    yield ['direction', 'is for unit bytes alone; leave it out or set unit to bytes']
  if (unit !== 'bytes' && onExceeded === 'slow')
    yield ['onExceeded', 'can be slow for unit bytes alone; requests and transfers are refused or admitted']
  if (unit !== 'bytes') return
  if ((counted === 'pull' || counted === 'api') && direction === 'up')
    yield ['direction', `must be down for class ${counted}, which sends no content up; use class push for that`]
  if (counted === 'push' && direction === 'down')
    yield ['direction', 'must be up for class push, which gets no content down; use class pull for that']
  if (counted === 'requests' && direction === undefined)
    yield ['direction', 'is required for the bytes of class requests: down or up']
}

function* faultsOfQuota({ unit, quota, windowSeconds, burst, onExceeded }: BucketDocument): Generator<Fault> {
  if (unit === 'concurrent') {
    if (windowSeconds !== undefined)
      yield ['windowSeconds', 'must be left out for unit concurrent, which counts what is under way at one time']
    if (burst !== undefined) yield ['burst', 'must be left out for unit concurrent; quota is how many at one time']
    if (quota > 100_000) yield ['quota', 'must be at most 100000 for unit concurrent']
    return
  }
  if (windowSeconds === undefined) {
    yield ['windowSeconds', 'is required: the seconds in which the quota comes back, such as 3600']
  } else if (unit === 'requests' && quota > windowSeconds * maxRequestsPerSecond) {
    yield ['quota', `must be at most ${maxRequestsPerSecond} for each second of windowSeconds`]
  }
  if (onExceeded === 'refuse' && burst !== undefined && burst > quota)
    yield ['burst', `must be at most the quota, ${quota}; raise quota, or windowSeconds with it`]
  if (unit === 'bytes' && onExceeded === 'slow' && burst !== undefined)
    yield ['burst', 'must be left out where onExceeded is slow, which evens the bytes out within a quarter of a second']
}

function bucketOf(document: BucketDocument): BucketSettings {
  const { unit, direction, quota, windowSeconds = 1, burst = quota, onExceeded, anonymous, ...rest } = document
  const isForSome = rest.users.length > 0 || rest.groups.length > 0
  const common = { ...rest, anonymous: anonymous ?? !isForSome }
  switch (unit) {
    case 'requests':
      return { ...common, unit, quota, windowSeconds, burst }
    case 'bytes': {
      const implied = rest.class === 'push' ? 'up' : 'down'
      return { ...common, unit, direction: direction ?? implied, quota, windowSeconds, burst, onExceeded }
    }
    case 'concurrent':
      return { ...common, unit, quota }
  }
}

const buckets = z
  .array(bucket)
  .max(64)
  .superRefine((all, context) => {
    const names = all.map(({ name }) => name)
    for (const [index, name] of names.entries()) {
      const first = names.indexOf(name)
      if (first === index) continue
      const message = `is also the name of buckets[${first}]; give each bucket its own`
      context.addIssue({ code: 'custom', path: [index, 'name'], message })
    }
  })

export const rateLimit = feature(
  'Limits for users, groups and addresses, and for all. They are counted in Redis where `redis.enabled` is true, ' +
    'else for each gateway by itself.',
  false,
  'Whether anything is limited.',
  {
    onStoreError: key(
      z.enum(['local', 'allow', 'deny']).default('local'),
      'What happens while Redis does not answer: `local` counts in the memory of each gateway, `allow` admits ' +
        'uncounted, `deny` answers 503.',
    ),
    refusalWaitMs: key(
      z.int().min(0).max(10_000).default(1_000),
      'How long a request is held before it is refused, for clients that try again at once; it is admitted when its ' +
        'turn comes meanwhile. 0 refuses at once.',
      { unit: 'ms' },
    ),
    buckets: key(
      buckets.optional().transform((some) => some ?? z.parse(buckets, defaultBuckets)),
      'The limits, in any number; all that apply to a request must admit it. A list of your own replaces the default.',
      {
        kind: 'list',
        unset: 'the buckets in [rate limits](rate-limits.md#the-default)',
        samples: [[{ name: 'pulls-per-user', scope: 'user', class: 'pull', quota: 1_000, windowSeconds: 3_600 }]],
      },
    ),
  },
)
