import { describe, expect, test } from '@jest/globals'
import { createAuthentication } from '../../../src/authentication/authentication.ts'
import type { AuthenticationOptions } from '../../../src/authentication/authentication.ts'
import type {
  Answer,
  Authenticator,
  LoginAttempt,
  PasswordQuestion,
  UserPrincipal,
} from '../../../src/authentication/authenticator.ts'
import { basicChallenges } from '../../../src/authentication/challenge.ts'
import { createVerifiedCredentials } from '../../../src/authentication/verified-credentials.ts'
import type { LoginGuard } from '../../../src/authentication/lockout.ts'
import { RegistryError } from '../../../src/registry/error.ts'
import { parseRegistryRequest } from '../../../src/registry/route.ts'
import { basic } from '../../support/personas.ts'
import { createFakeClock, settle, watch } from './fake-clock.ts'

const address = '192.0.2.1'
const ping = parseRegistryRequest('GET', '/v2/')
const alice = { kind: 'user', name: 'alice', groups: [], method: 'htpasswd' } as const
const isAlice: Answer = { kind: 'authenticated', principal: alice }

/** A memory that forgets at once, so that everything is checked. */
const memory = createVerifiedCredentials<UserPrincipal>({
  ...{ secret: Buffer.alloc(32), ttlMs: 0, negativeTtlMs: 0, capacity: 1, clock: createFakeClock() },
  events: { credentialCacheAsked: () => undefined },
})
const question = (check: PasswordQuestion['check']): PasswordQuestion => ({
  ...{ memory, backend: 'htpasswd', current: '', isPossible: () => true, check },
})

type Backend = Authenticator & { readonly asked: string[] }

/** A backend that answers as it is told, and remembers what it was asked. */
function backend(answer: Answer | Error, options: Partial<Authenticator> = {}): Backend {
  const asked: string[] = []
  return {
    ...{ strategy: 'basic', backend: 'htpasswd', asked },
    check: async (attempt) => {
      await attempt.verify(
        question((password) => {
          asked.push(`${attempt.username} ${password}`)
          return Promise.resolve('notMine')
        }),
      )
      if (answer instanceof Error) throw answer
      return answer
    },
    checkUnknown: ({ username }) => {
      asked.push(`unknown ${username}`)
      return Promise.resolve()
    },
    slowestCheckMs: () => 0,
    ...options,
  }
}

function create(
  authenticators: readonly Authenticator[],
  options: Pick<AuthenticationOptions, 'maxPendingLogins' | 'anonymousEnabled' | 'guard' | 'admitLogin'> = {},
) {
  const clock = createFakeClock()
  const told: unknown[] = []
  const authentication = createAuthentication({
    ...{ authenticators, challenges: basicChallenges, failureFloorMs: 500, clock, ...options },
    events: { loginChecked: (login) => told.push(login) },
  })
  const start = (authorization: string | undefined) =>
    watch(authentication.authenticate({ headers: { authorization } }, ping, address))
  return { authentication, clock, told, start }
}

const wrong = basic('alice', 'wrong')

describe('a request', () => {
  test.each([undefined, '', 'Basic Og=='])('with the header %j is asked to log in, at once', async (header) => {
    const asked = backend(isAlice)
    const { start, told } = create([asked])
    const outcome = start(header)
    await settle()
    expect(outcome()).toMatchObject({
      error: { id: 'credentialsMissing', status: 401, challenge: basicChallenges.missing },
    })
    expect(asked.asked).toEqual([])
    expect(told).toEqual([])
  })

  test.each([undefined, '', 'Basic Og=='])(
    'with the header %j is nobody, where the policies decide on that',
    async (header) => {
      const asked = backend(isAlice)
      const { start, told } = create([asked], { anonymousEnabled: true })
      const outcome = start(header)
      await settle()
      expect(outcome()).toEqual({ kind: 'value', value: { kind: 'anonymous' } })
      expect(asked.asked).toEqual([])
      expect(told).toEqual([])
    },
  )

  test.each([wrong, basic('', 'secret'), 'Bearer x', 'Basic'])(
    'with the header %j is no anonymous one, although those are let through',
    async (header) => {
      const { start, clock } = create([backend({ kind: 'refused' })], { anonymousEnabled: true })
      const outcome = start(header)
      await settle()
      await clock.advance(1_000)
      expect(outcome()).toMatchObject({ error: { id: 'credentialsInvalid', status: 401 } })
    },
  )

  test('with a right login is somebody, at once', async () => {
    const { start, told } = create([backend(isAlice)])
    const outcome = start(basic('alice', 'se:cret'))
    await settle()
    expect(outcome()).toEqual({ kind: 'value', value: alice })
    expect(told).toEqual([{ backend: 'htpasswd', outcome: 'authenticated', durationMs: 0 }])
  })

  test('with a header of more than 8 KiB is refused as such', async () => {
    const { start } = create([backend(isAlice)])
    const outcome = start(basic('alice', 'x'.repeat(8_192)))
    await settle()
    expect(outcome()).toMatchObject({ error: { id: 'headersTooLarge', status: 431 } })
  })

  test('is read in its Authorization header only, and never written to', async () => {
    const asked = backend(isAlice)
    const { authentication } = create([asked])
    const headers = Object.freeze({
      authorization: undefined,
      cookie: 'connect.sid=x',
      'proxy-authorization': basic('alice', 'secret'),
      'x-forwarded-user': 'alice',
    })
    const elsewhere = { username: 'alice', password: 'secret' }
    const request = Object.freeze({ headers, query: elsewhere, body: elsewhere, user: alice })
    await expect(authentication.authenticate(request, ping, address)).rejects.toMatchObject({
      id: 'credentialsMissing',
    })
    const loggedIn = Object.freeze({ headers: Object.freeze({ authorization: basic('alice', 'secret') }) })
    expect(await authentication.authenticate(loggedIn, ping, address)).toEqual(alice)
    expect(asked.asked).toEqual(['alice secret'])
  })
})

describe('every failed login takes the same time', () => {
  const failures: readonly (readonly [string, string, Answer, string])[] = [
    ['a wrong password', wrong, { kind: 'refused' }, 'refused'],
    ['an unknown name', wrong, { kind: 'notMine' }, 'unknown'],
    ['an empty password', basic('alice', ''), isAlice, 'malformed'],
    ['an empty name', basic('', 'secret'), isAlice, 'malformed'],
    ['no colon', 'Basic YWxpY2U=', isAlice, 'malformed'],
    ['a header that is not Base64', 'Basic ???', isAlice, 'malformed'],
    ['another scheme', 'Digest username="alice"', isAlice, 'malformed'],
    ['a token', 'Bearer abc', isAlice, 'malformed'],
  ]
  test.each(failures)('%s', async (_title, header, answer, outcome) => {
    const { clock, start, told } = create([backend(answer)])
    const login = start(header)
    await clock.advance(499)
    expect(login()).toEqual({ kind: 'pending' })
    await clock.advance(1)
    expect(login()).toMatchObject({
      error: { id: 'credentialsInvalid', status: 401, challenge: basicChallenges.invalid },
    })
    const by = outcome === 'refused' ? 'htpasswd' : 'none'
    expect(told).toEqual([{ backend: by, outcome, durationMs: 500 }])
  })

  test('which counts from its start, however long the check took', async () => {
    const gate = Promise.withResolvers<Answer>()
    const { clock, start } = create([backend(isAlice, { check: () => gate.promise })])
    const login = start(wrong)
    await clock.advance(400)
    gate.resolve({ kind: 'refused' })
    await clock.advance(99)
    expect(login().kind).toBe('pending')
    await clock.advance(1)
    expect(login().kind).toBe('error')
  })

  test('which is at least that of the slowest check', async () => {
    const slow = backend({ kind: 'refused' }, { slowestCheckMs: () => 2_000 })
    const { clock, start } = create([slow])
    const logins = [wrong, basic('alice', ''), 'Basic ???'].map(start)
    await clock.advance(1_999)
    expect(logins.map((login) => login().kind)).toEqual(['pending', 'pending', 'pending'])
    await clock.advance(1)
    expect(logins.map((login) => login().kind)).toEqual(['error', 'error', 'error'])
  })

  test('and a wrong password and an unknown name have the same error, but for what only the audit sees', async () => {
    const errors = [{ kind: 'refused' } as const, { kind: 'notMine' } as const].map(async (answer) => {
      const { clock, start } = create([backend(answer)])
      const login = start(wrong)
      await clock.advance(500)
      return login()
    })
    const [refused, unknown] = await Promise.all(errors)
    expect(refused).toMatchObject({ kind: 'error', error: { status: 401, attemptedUser: 'alice' } })
    expect(unknown).toMatchObject({ kind: 'error', error: { status: 401, attemptedUser: undefined } })
    const seen = (login: unknown): string =>
      JSON.stringify(login, (key, value: unknown) => (key === 'attemptedUser' ? undefined : value))
    expect(seen(unknown)).toBe(seen(refused))
  })
})

describe('with several backends', () => {
  const refused: Answer = { kind: 'refused' }
  const notMine: Answer = { kind: 'notMine' }
  const unavailable: Answer = { kind: 'unavailable', cause: new Error('down') }
  const cases: readonly (readonly [string, Answer | Error, Answer, string, number])[] = [
    ['the first that knows the name lets in', isAlice, refused, 'alice', 1],
    ['the first that knows the name refuses', refused, isAlice, 'credentialsInvalid', 1],
    ['not mine goes on', notMine, isAlice, 'alice', 2],
    ['not mine goes on to a refusal', notMine, refused, 'credentialsInvalid', 2],
    ['unavailable goes on', unavailable, isAlice, 'alice', 2],
    ['unavailable goes on to a refusal', unavailable, refused, 'credentialsInvalid', 2],
    ['unavailable and not mine is unavailable', unavailable, notMine, 'authenticationUnavailable', 2],
    ['not mine and unavailable is unavailable', notMine, unavailable, 'authenticationUnavailable', 2],
    ['both unavailable is unavailable', unavailable, unavailable, 'authenticationUnavailable', 2],
    ['a fault is unavailable', new TypeError('fault'), notMine, 'authenticationUnavailable', 2],
    [
      'an overload ends it, although the next would let in',
      new RegistryError('loginsOverloaded'),
      isAlice,
      'loginsOverloaded',
      1,
    ],
  ]
  test.each(cases)('%s', async (_title, one, other, expected, askedCount) => {
    const backends = [backend(one, { strategy: 'basic' }), backend(other, { strategy: 'ldapauth' })]
    const { clock, start } = create(backends)
    const login = start(wrong)
    await clock.advance(1_000)
    const outcome = login()
    const shown = outcome.kind === 'value' ? alice.name : outcome.kind === 'error' && outcome.error
    expect(shown instanceof RegistryError ? shown.id : shown).toBe(expected)
    const asked = backends.flatMap(({ asked }) => asked).filter((text) => !text.startsWith('unknown'))
    expect(asked).toHaveLength(askedCount)
  })

  test('a name that none knows does the work of a wrong password, once', async () => {
    const backends = [backend(notMine), backend(notMine, { strategy: 'ldapauth' })]
    const { clock, start } = create(backends)
    start(wrong)
    await clock.advance(500)
    expect(backends.map(({ asked }) => asked)).toEqual([['alice wrong', 'unknown alice'], ['alice wrong']])
  })

  test('what goes wrong with that work is not told as a refusal', async () => {
    const broken = backend(notMine, { checkUnknown: () => Promise.reject(new Error('broken')) })
    const full = backend(notMine, { checkUnknown: () => Promise.reject(new RegistryError('loginsOverloaded')) })
    const outcomes = [create([broken]), create([full])].map(({ start }) => start(wrong))
    await settle()
    expect(outcomes.map((outcome) => outcome())).toMatchObject([
      { error: { id: 'authenticationUnavailable' } },
      { error: { id: 'loginsOverloaded' } },
    ])
  })
})

test('an empty password or name reaches no backend', async () => {
  const asked = backend(isAlice)
  const { clock, start } = create([asked])
  for (const header of [basic('alice', ''), basic('', 'x')]) start(header)
  await clock.advance(500)
  expect(asked.asked).toEqual([])
})

describe('logins that are pending', () => {
  const malformed = ['Basic ???', basic('alice', ''), 'Bearer x']
  const overloaded = { error: { id: 'loginsOverloaded', status: 503, retryAfterSeconds: 2 } }

  test('are bounded; one too many gets 503 at once', async () => {
    const { clock, start, told } = create([backend({ kind: 'refused' })], { maxPendingLogins: 3 })
    const held = [wrong, wrong, wrong].map(start)
    await settle()
    const more = [wrong, basic('mallory', 'x')].map(start)
    await settle()
    expect(held.map((login) => login().kind)).toEqual(['pending', 'pending', 'pending'])
    expect(more.map((login) => login())).toMatchObject([overloaded, overloaded])
    expect(told).toMatchObject([{ outcome: 'overloaded' }, { outcome: 'overloaded' }])
    await clock.advance(500)
    const next = start(wrong)
    await clock.advance(500)
    expect(next()).toMatchObject({ error: { id: 'credentialsInvalid' } })
  })

  test('and fail without a check are bounded for themselves, and take no place from those that are checked', async () => {
    const { clock, start } = create([backend({ kind: 'refused' })], { maxPendingLogins: 3 })
    const held = malformed.map(start)
    await settle()
    const more = malformed.map(start)
    const checked = start(wrong)
    await settle()
    expect(held.map((login) => login().kind)).toEqual(['pending', 'pending', 'pending'])
    expect(more.map((login) => login())).toMatchObject([overloaded, overloaded, overloaded])
    expect(checked().kind).toBe('pending')
    await clock.advance(500)
    expect([...held, checked].map((login) => login())).toMatchObject(
      Array(4).fill({ error: { id: 'credentialsInvalid' } }),
    )
  })

  test('do not keep out a login that is answered from memory', async () => {
    const check = async (attempt: LoginAttempt): Promise<Answer> => {
      if (attempt.username === 'alice') return isAlice
      await attempt.verify(question(() => Promise.resolve('wrong')))
      return { kind: 'refused' }
    }
    const { start } = create([backend(isAlice, { check })], { maxPendingLogins: 1 })
    start(basic('mallory', 'guess'))
    await settle()
    const login = start(basic('alice', 'secret'))
    await settle()
    expect(login()).toEqual({ kind: 'value', value: alice })
  })
})

describe('the guard', () => {
  /** A guard that lets through, and remembers what it was asked and told. */
  function recordingGuard(answer: 'open' | 'locked' = 'open') {
    const heard: string[] = []
    const guard: LoginGuard = {
      ask: (address, username, password) => {
        heard.push(`${address} ${username} ${password}`)
        if (answer === 'locked') return Promise.resolve({ kind: 'locked', retryAfterMs: 1_001 })
        return Promise.resolve({ kind: 'open', failures: 0, settle: (outcome) => heard.push(outcome) })
      },
    }
    return { guard, heard }
  }
  const asked = `${address} alice wrong`
  const unavailable: Answer = { kind: 'unavailable', cause: new Error('down') }
  const cases: readonly (readonly [string, Answer | Error, string])[] = [
    ['a right password', isAlice, 'succeeded'],
    ['a wrong password', { kind: 'refused' }, 'failed'],
    ['a name that nobody knows', { kind: 'notMine' }, 'failed'],
    ['a backend that cannot answer', unavailable, 'undecided'],
    ['a fault', new TypeError('fault'), 'undecided'],
    ['an overload', new RegistryError('loginsOverloaded'), 'undecided'],
  ]
  test.each(cases)('is told once how it ended: %s', async (_title, answer, outcome) => {
    const { guard, heard } = recordingGuard()
    const { clock, start } = create([backend(answer)], { guard })
    const login = start(wrong)
    await clock.advance(500)
    expect(login().kind).not.toBe('pending')
    expect(heard).toEqual([asked, outcome])
  })

  test('is told as soon as it is known, and not when the floor is over', async () => {
    const { guard, heard } = recordingGuard()
    const { start } = create([backend({ kind: 'refused' })], { guard })
    const login = start(wrong)
    await settle()
    expect([login().kind, heard]).toEqual(['pending', [asked, 'failed']])
  })

  test('is asked once, however many backends are', async () => {
    const { guard, heard } = recordingGuard()
    const backends = [backend({ kind: 'notMine' }), backend({ kind: 'notMine' }, { strategy: 'ldapauth' })]
    const { clock, start } = create(backends, { guard })
    start(wrong)
    await clock.advance(500)
    expect(heard).toEqual([asked, 'failed'])
  })

  test.each(['Basic ???', basic('alice', ''), 'Bearer x', undefined])(
    'is not asked about the header %j, which holds no guess',
    async (header) => {
      const { guard, heard } = recordingGuard()
      const { clock, start } = create([backend(isAlice)], { guard })
      start(header)
      await clock.advance(500)
      expect(heard).toEqual([])
    },
  )

  test('refuses with 429 at once, before any backend sees the password, and holds no place', async () => {
    const { guard } = recordingGuard('locked')
    const asked = backend(isAlice)
    const { start } = create([asked], { guard, maxPendingLogins: 1 })
    const logins = []
    for (const header of [wrong, wrong, basic('nobody', 'x')]) {
      logins.push(start(header))
      await settle()
    }
    const locked = { error: { id: 'loginLocked', status: 429, code: 'TOOMANYREQUESTS', retryAfterSeconds: 2 } }
    expect(logins.map((login) => login())).toMatchObject([locked, locked, locked])
    expect(asked.asked).toEqual([])
  })

  test('comes before the limit of logins, which gets the address; a refusal of the limit is no guess', async () => {
    const { guard, heard } = recordingGuard()
    const admitLogin = (from: string) => {
      heard.push(`limit ${from}`)
      return Promise.reject(new RegistryError('rateLimited'))
    }
    const asked = backend(isAlice)
    const { start } = create([asked], { guard, admitLogin })
    const login = start(wrong)
    await settle()
    expect(login()).toMatchObject({ error: { id: 'rateLimited' } })
    expect(heard).toEqual([`${address} alice wrong`, `limit ${address}`, 'undecided'])
    expect(asked.asked).toEqual([])
  })

  test('and logins that a limit makes wait take no place from others', async () => {
    const admitLogin = (from: string) => (from === address ? new Promise<void>(() => undefined) : Promise.resolve())
    const { authentication, start } = create([backend(isAlice)], { admitLogin, maxPendingLogins: 1 })
    const waiting = [start(wrong)]
    await settle()
    waiting.push(start(wrong))
    await settle()
    expect(waiting.map((login) => login().kind)).toEqual(['pending', 'pending'])
    const other = { headers: { authorization: basic('alice', 'secret') } }
    expect(await authentication.authenticate(other, ping, '192.0.2.2')).toEqual(alice)
  })

  test('that fails lets nobody in', async () => {
    const guard: LoginGuard = { ask: () => Promise.reject(new Error('broken')) }
    const { start } = create([backend(isAlice)], { guard })
    const login = start(wrong)
    await settle()
    expect(login()).toMatchObject({ error: { id: 'authenticationUnavailable', status: 503 } })
  })
})
