/** What can be asked over the admin socket. */
import { isIP } from 'node:net'
import type { Lockout } from '../authentication/lockout.ts'
import { basicUserName } from '../config/values.ts'
import { parseAddress } from '../listener/client-address.ts'
import type { RateLimit } from '../rate-limit/rate-limit.ts'
import { StoreError } from '../store/store.ts'
import { limitAnswer, lockedAnswer } from './admin-answers.ts'
import type { ReloadOutcome } from './reloading.ts'

/** Everything that changes state or shows one user's data belongs here. What is switched off is absent. */
export type AdminCommands = {
  readonly reload: () => Promise<readonly ReloadOutcome[]>
  /** Forgets the logins that this gateway remembers, right or wrong; never those that another remembers. */
  readonly flush: () => void
  readonly limits?: Pick<RateLimit, 'show' | 'reset'> | undefined
  readonly lockout?: Pick<Lockout, 'list' | 'clear'> | undefined
  /** Whether the counters are those of all replicas; else they are this gateway's alone. */
  readonly isShared?: boolean
}

export type AdminAnswer = { readonly status: number; readonly value: object; readonly allow?: string }

type Values = ReadonlyMap<string, string>

/** Reads the value of a parameter; `fault` goes on after its name. */
type Read = (text: string) => { readonly value: string } | { readonly fault: string }

type Route = {
  readonly method: 'GET' | 'POST'
  readonly path: string
  /** As a person would write it. */
  readonly usage: string
  readonly parameters: Readonly<Record<string, { readonly read: Read | 'flag'; readonly isRequired?: true }>>
  readonly answer: (commands: AdminCommands, values: Values) => Promise<AdminAnswer>
}

const routes: readonly Route[] = [
  {
    method: 'POST',
    path: '/reload',
    usage: 'POST /reload',
    parameters: {},
    answer: async ({ reload }) => ok({ outcomes: await reload() }),
  },
  {
    method: 'GET',
    path: '/limits',
    usage: 'GET /limits?user=U',
    parameters: { user: { read: readUser, isRequired: true } },
    answer: async ({ limits, isShared = false }, values) => {
      const user = values.get('user') ?? ''
      if (limits === undefined) return limitsOff
      return ok({ user, isShared, limits: (await limits.show(user)).map(limitAnswer) })
    },
  },
  {
    method: 'POST',
    path: '/limits/reset',
    usage: 'POST /limits/reset?user=U[&bucket=B]',
    parameters: { user: { read: readUser, isRequired: true }, bucket: { read: readBucket } },
    answer: resetLimits,
  },
  {
    method: 'GET',
    path: '/lockout',
    usage: 'GET /lockout',
    parameters: {},
    answer: async ({ lockout, isShared = false }) =>
      lockout === undefined ? lockoutOff : ok({ isShared, locked: (await lockout.list()).map(lockedAnswer) }),
  },
  {
    method: 'POST',
    path: '/lockout/clear',
    usage: 'POST /lockout/clear?address=A&user=U (one or both), or POST /lockout/clear?all',
    parameters: { address: { read: readAddress }, user: { read: readUser }, all: { read: 'flag' } },
    answer: clearLockout,
  },
  {
    method: 'POST',
    path: '/credentials/flush',
    usage: 'POST /credentials/flush',
    parameters: {},
    answer: ({ flush }) => {
      flush()
      return Promise.resolve(ok({ flushed: true }))
    },
  },
]

const limitsOff = refused(
  409,
  'limits are off in this gateway, so that nothing is counted; they are switched on by rateLimit.enabled, with a restart',
)
const lockoutOff = refused(
  409,
  'the lockout is off in this gateway, so that nobody is locked out; it is switched on by lockout.enabled, with a restart',
)

/**
 * Answers one request. Never rejects: what does not parse is refused with what is right, and a store that does not
 * answer is told.
 *
 * @param target the raw target of the request: path and query
 */
export async function answerAdmin(method: string, target: string, commands: AdminCommands): Promise<AdminAnswer> {
  const [path = '', ...rest] = target.split('?')
  const there = routes.filter((route) => route.path === path)
  if (there.length === 0) return refused(404, 'there is no such path', routes)
  const route = there.find((candidate) => candidate.method === method)
  if (route === undefined) {
    const allow = there.map((candidate) => candidate.method).join(', ')
    return { ...refused(405, `${path} is a ${allow}`, there), allow }
  }
  const query = readQuery(rest.join('?'), route.parameters)
  if ('fault' in query) return refused(400, query.fault, [route])
  try {
    return await route.answer(commands, query.values)
  } catch (error) {
    return failed(error)
  }
}

async function resetLimits({ limits, isShared = false }: AdminCommands, values: Values): Promise<AdminAnswer> {
  if (limits === undefined) return limitsOff
  const [user, bucket] = [values.get('user') ?? '', values.get('bucket')]
  const reset = await limits.reset(user, bucket)
  if (bucket === undefined || reset.length > 0) return ok({ user, isShared, reset })
  return refused(404, `no bucket ${bucket} counts ${user}; wharfgate limits show --user ${user} lists those that do`)
}

async function clearLockout({ lockout, isShared = false }: AdminCommands, values: Values): Promise<AdminAnswer> {
  if (lockout === undefined) return lockoutOff
  const [address, user] = [values.get('address'), values.get('user')]
  const isNamed = address !== undefined || user !== undefined
  if (values.has('all') === isNamed) return refused(400, 'name either an address, a user or both, or all')
  const selection = { ...(address !== undefined && { address }), ...(user !== undefined && { user }) }
  return ok({ isShared, cleared: await lockout.clear(selection) })
}

function readQuery(
  text: string,
  parameters: Route['parameters'],
): { readonly values: Values } | { readonly fault: string } {
  const values = new Map<string, string>()
  for (const pair of text === '' ? [] : text.split('&')) {
    const [name = '', ...rest] = pair.split('=')
    const given = rest.length === 0 ? undefined : rest.join('=')
    const parameter = Object.hasOwn(parameters, name) ? parameters[name] : undefined
    if (parameter === undefined) return { fault: 'there is a parameter that is not known' }
    if (values.has(name)) return { fault: `${name} is given twice` }
    const read = readValue(given, parameter.read)
    if ('fault' in read) return { fault: `${name} ${read.fault}` }
    values.set(name, read.value)
  }
  for (const [name, { isRequired }] of Object.entries(parameters)) {
    if (isRequired && !values.has(name)) return { fault: `${name} is missing` }
  }
  return { values }
}

function readValue(text: string | undefined, read: Read | 'flag'): ReturnType<Read> {
  if (read === 'flag') return text === undefined ? { value: '' } : { fault: 'has no value' }
  // A plus sign is a space to some and itself to others.
  if (text?.includes('+')) return { fault: 'has a plus sign, which is written %2B' }
  try {
    return read(decodeURIComponent(text ?? ''))
  } catch {
    return { fault: 'is not UTF-8 in percent encoding' }
  }
}

function readUser(text: string): ReturnType<Read> {
  if (text.length > 256) return { fault: 'has more than 256 characters' }
  const parsed = basicUserName.safeParse(text)
  return parsed.success ? { value: parsed.data } : { fault: parsed.error.issues[0]?.message ?? 'is no user name' }
}

function readBucket(text: string): ReturnType<Read> {
  const isName = text.length <= 64 && /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/.test(text)
  return isName ? { value: text } : { fault: 'must be the name of a bucket, such as pulls-per-user' }
}

/** An address, or an IPv6 /64 as the list of what is locked shows it. */
function readAddress(text: string): ReturnType<Read> {
  const [plain = '', ...prefix] = text.split('/')
  const address = plain.includes('%') ? undefined : parseAddress(plain)
  const isSound = prefix.length === 0 || (prefix.join('/') === '64' && isIP(plain) === 6)
  if (address === undefined || !isSound) return { fault: 'must be an address, such as 192.0.2.7 or 2001:db8::/64' }
  return { value: address }
}

function failed(error: unknown): AdminAnswer {
  if (error instanceof StoreError) {
    return refused(
      503,
      `Redis does not answer (${error.fault}); what was to be changed may have been or not. Ask again when it does: see ` +
        'that it runs, that redis.* of the configuration is right, and what the log of the gateway says',
    )
  }
  const reason = error instanceof Error ? error.message : String(error)
  return refused(500, `the gateway could not do it: ${reason}; its log may say more`)
}

function ok(value: object): AdminAnswer {
  return { status: 200, value }
}

/** @param right the routes that would be */
function refused(status: number, error: string, right: readonly Route[] = []): AdminAnswer {
  const usage = right.map((route) => route.usage)
  return { status, value: { error, ...(usage.length > 0 && { usage }) } }
}
