/** The settings of the Redis in which gateways count together. */
import { z } from 'zod'
import { redisAddress, redisUrl } from './redis-address.ts'
import type { RedisAddress } from './redis-address.ts'
import { feature, key, milliseconds, plainText } from './values.ts'
import type { PathSchema } from './values.ts'

/** A name and a password of Redis; without a name it is the user `default`. */
export type RedisLogin = { readonly username?: string; readonly password: string }

/** Which servers, by the way they are found. */
export type RedisServers =
  | ({ readonly kind: 'standalone' } & RedisAddress)
  | {
      readonly kind: 'sentinel'
      /** What the Sentinels call the primary. */
      readonly name: string
      readonly addresses: readonly RedisAddress[]
      /** For the Sentinels themselves. */
      readonly login?: RedisLogin
    }
  | { readonly kind: 'cluster'; readonly addresses: readonly RedisAddress[] }

/** How Redis proves who it is, and perhaps the gateway. */
export type RedisTls = {
  readonly caFile?: string | undefined
  readonly certificateFile?: string | undefined
  readonly keyFile?: string | undefined
  /** The name that the certificate is checked for, where it is not the host. */
  readonly serverName?: string | undefined
}

/** A Redis to connect to, after every check. */
export type RedisConnection = {
  readonly enabled: true
  readonly servers: RedisServers
  readonly login?: RedisLogin
  /** Absent: no TLS. */
  readonly tls?: RedisTls
  readonly database: number
  /** Stands in front of every key. */
  readonly keyPrefix: string
  readonly commandTimeoutMs: number
  readonly connectTimeoutMs: number
}

/** The section, after every check. */
export type RedisSettings = { readonly enabled: false } | RedisConnection

const usernameSentence = 'User of Redis (ACL), of version 6 or later.'

const prefix = plainText.refine((text) => !/[{}]/.test(text), {
  error: 'must not contain { or }, which say in Redis Cluster what lies together',
})

const sentinels = key(
  z
    .strictObject({
      name: key(plainText, 'What the Sentinels call the primary.', { kind: 'text', samples: ['mymaster'] }),
      addresses: key(z.array(redisAddress(26_379)).min(1), 'The Sentinels; some of them are enough.', {
        kind: 'list of host or host:port',
        samples: [['sentinel-1.example.org:26379']],
      }),
      username: key(plainText.optional(), 'User at the Sentinels, where they ask for a login.', {
        kind: 'text',
        unset: '`default`',
      }),
      password: key(plainText.optional(), 'Password at the Sentinels.', {
        kind: 'text',
        secret: true,
        unset: 'no login',
      }),
    })
    .refine(({ username, password }) => username === undefined || password !== undefined, {
      path: ['username'],
      error: 'is given without a password; add redis.sentinels.password or redis.sentinels.passwordFile',
    })
    .optional(),
  'Redis behind Sentinels, which say where the primary is.',
)

const cluster = key(
  z
    .strictObject({
      addresses: key(
        z.array(redisAddress(6_379)).min(1),
        'Servers of the cluster; some are enough to find the others.',
        {
          kind: 'list of host or host:port',
          samples: [['redis-1.example.org:6379', 'redis-2.example.org:6379']],
        },
      ),
    })
    .optional(),
  'Redis Cluster.',
)

function tlsOf(path: PathSchema) {
  return key(
    z
      .strictObject({
        caFile: key(path.optional(), 'PEM file with the authorities that may vouch for Redis.', {
          kind: 'path',
          unset: 'the authorities that Node.js trusts',
        }),
        certificateFile: key(path.optional(), 'PEM file with the certificate that the gateway shows to Redis.', {
          kind: 'path',
          unset: 'none is shown',
        }),
        keyFile: key(path.optional(), 'PEM file with the private key of that certificate.', {
          kind: 'path',
          unset: 'none is shown',
        }),
        serverName: key(plainText.optional(), 'The name that the certificate of Redis must be for.', {
          kind: 'text',
          unset: 'the host that is connected to',
        }),
      })
      .refine(({ certificateFile, keyFile }) => (certificateFile === undefined) === (keyFile === undefined), {
        error: 'has one of certificateFile and keyFile; a certificate of the gateway needs both',
      })
      .optional(),
    'TLS to Redis, and to the Sentinels. With `url`, the address must begin with `rediss://`, which is enough where no ' +
      'key here is needed; `{}` switches it on for `sentinels` and `cluster`.',
    { unset: 'as `url` says; else none' },
  )
}

function shapeOf(path: PathSchema) {
  return {
    url: key(redisUrl.optional(), 'A single Redis: `redis://`, or `rediss://` for TLS.', {
      kind: 'redis or rediss address',
      secret: true,
      unset: 'one of `url`, `sentinels` and `cluster` is required',
      samples: ['redis://redis.example.org:6379'],
    }),
    sentinels,
    cluster,
    username: key(plainText.optional(), usernameSentence, { kind: 'text', unset: '`default`' }),
    password: key(plainText.optional(), 'Password of that user.', { kind: 'text', secret: true, unset: 'no login' }),
    tls: tlsOf(path),
    database: key(z.int().min(0).max(99_999).optional(), 'Number of the database; Redis Cluster has only 0.', {
      unset: 'as `url` says; else 0',
    }),
    keyPrefix: key(
      prefix.prefault('wharfgate:'),
      'Stands in front of every key. Gateways with the same one count together; give each registry its own.',
      { kind: 'text' },
    ),
    commandTimeoutMs: key(
      z.int().min(5).max(10_000).default(50),
      'How long a request waits for Redis before `rateLimit.onStoreError` decides.',
      { unit: 'ms' },
    ),
    connectTimeoutMs: key(
      milliseconds.max(60_000).default(2_000),
      'Until a connection stands, TLS included. No request waits for it; the start of the gateway does.',
      { unit: 'ms' },
    ),
  }
}

type Document = z.output<z.ZodObject<ReturnType<typeof shapeOf>>>
type Fault = readonly [path: string, sentence: string]

/** The section `redis`. */
export function redisSection(path: PathSchema) {
  const sentence = 'The Redis (6.2 or later) or Valkey in which all gateways of a registry count together.'
  return key(
    feature(sentence, false, 'Whether there is one; without it every gateway counts by itself.', shapeOf(path))
      .superRefine((document, context) => {
        if (!document.enabled) return
        for (const [name, message] of faultsOf(document)) {
          context.addIssue({ code: 'custom', path: name === '' ? [] : [name], message })
        }
      })
      .transform((document): RedisSettings => (document.enabled ? settingsOf(document) : { enabled: false })),
    sentence,
  )
}

function* faultsOf({ url, sentinels, cluster, ...rest }: Document): Generator<Fault> {
  const named = Object.entries({ url, sentinels, cluster }).filter(([, value]) => value !== undefined)
  if (named.length === 0)
    yield ['', 'says nowhere which Redis: give one of redis.url, redis.sentinels and redis.cluster']
  const [first, ...others] = named.map(([name]) => name)
  for (const name of others) yield [name, `stands beside redis.${first ?? ''}; keep one of the two`]
  yield* faultsOfLogin(url, rest)
  if (url !== undefined && !url.isTls && rest.tls !== undefined)
    yield ['tls', 'has no effect on an address that begins with redis://; write rediss:// in redis.url, or remove it']
  if (url?.database !== undefined && rest.database !== undefined)
    yield ['database', 'stands beside a database in redis.url; keep one of the two']
  if (cluster !== undefined && rest.database !== undefined && rest.database !== 0)
    yield ['database', 'must be 0 for redis.cluster, which has no other']
}

function* faultsOfLogin(
  url: Document['url'],
  { username, password }: Pick<Document, 'username' | 'password'>,
): Generator<Fault> {
  if (url?.password !== undefined && password !== undefined)
    yield ['password', 'stands beside a password in redis.url; keep one of the two']
  if (username !== undefined && (url?.username ?? url?.password) !== undefined)
    yield ['username', 'stands beside a login in redis.url; keep one of the two']
  if ((username ?? url?.username) !== undefined && (password ?? url?.password) === undefined)
    yield ['username', 'is given without a password; add redis.password or redis.passwordFile']
}

function settingsOf({
  url,
  sentinels,
  cluster,
  tls,
  username,
  password,
  database,
  ...rest
}: Document): RedisConnection {
  const login = loginOf(url?.username ?? username, url?.password ?? password)
  return {
    enabled: true,
    servers: serversOf({ url, sentinels, cluster }),
    ...(login === undefined ? {} : { login }),
    ...(tls !== undefined || url?.isTls === true ? { tls: tls ?? {} } : {}),
    database: url?.database ?? database ?? 0,
    keyPrefix: rest.keyPrefix,
    commandTimeoutMs: rest.commandTimeoutMs,
    connectTimeoutMs: rest.connectTimeoutMs,
  }
}

function serversOf({ url, sentinels, cluster }: Pick<Document, 'url' | 'sentinels' | 'cluster'>): RedisServers {
  if (url !== undefined) return { kind: 'standalone', host: url.host, port: url.port }
  if (cluster !== undefined) return { kind: 'cluster', addresses: cluster.addresses }
  const { name = '', addresses = [], username, password } = sentinels ?? {}
  const login = loginOf(username, password)
  return { kind: 'sentinel', name, addresses, ...(login === undefined ? {} : { login }) }
}

function loginOf(username: string | undefined, password: string | undefined): RedisLogin | undefined {
  if (password === undefined) return undefined
  return username === undefined ? { password } : { username, password }
}
