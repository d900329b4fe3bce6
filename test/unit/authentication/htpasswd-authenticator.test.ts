import { describe, expect, test } from '@jest/globals'
import type { UserPrincipal } from '../../../src/authentication/authenticator.ts'
import { createHtpasswd } from '../../../src/authentication/htpasswd-authenticator.ts'
import type { HtpasswdTable } from '../../../src/authentication/htpasswd.ts'
import { openGuard } from '../../../src/authentication/lockout.ts'
import { openAttempt } from '../../../src/authentication/login-attempt.ts'
import type { Admission } from '../../../src/authentication/login-attempt.ts'
import { createPasswordHashing } from '../../../src/authentication/password-hashing.ts'
import type { Place } from '../../../src/authentication/places.ts'
import { createVerifiedCredentials } from '../../../src/authentication/verified-credentials.ts'
import { RegistryError } from '../../../src/registry/error.ts'
import { createFakeClock, settle, watch } from './fake-clock.ts'

/** A stand-in for bcrypt: the hash of a password ends in its letters, and a check of cost 10 takes 64 ms. */
const hashOf = (password: string, cost = 10): string =>
  `$2y$${String(cost).padStart(2, '0')}$${password.padStart(53, '.')}`
const costOf = (hash: string): number => Number(hash.slice(4, 6))
const file = (users: Readonly<Record<string, string>>): HtpasswdTable => ({
  hashes: new Map(Object.entries(users)),
  maxCost: Math.max(0, ...Object.values(users).map(costOf)),
  faults: [],
})
const durationMs = (hash: string): number => 2 ** (costOf(hash) - 4)

async function create(table = file({ alice: hashOf('secret'), bob: hashOf('hunter') })) {
  const clock = createFakeClock()
  const checks: string[] = []
  const work = (ms: number) => new Promise<void>((resolve) => clock.after(ms, resolve))
  const hashing = createPasswordHashing({
    ...{ maxConcurrent: 1, maxQueued: 64, maxQueueWaitMs: 2_000, clock },
    events: { passwordHashed: () => undefined, hashTurnedAway: () => undefined },
    bcrypt: {
      verify: async (password, hash) => {
        checks.push(`${password} ${costOf(hash)}`)
        await work(durationMs(hash))
        return hash.endsWith(`.${password}`)
      },
    },
  })
  const verified = createVerifiedCredentials<UserPrincipal>({
    ...{ secret: Buffer.alloc(32), ttlMs: 60_000, negativeTtlMs: 10_000, capacity: 100, clock },
    events: { credentialCacheAsked: () => undefined },
  })
  /** Waits in the time of the clock, which it moves on. */
  const within = async <T>(ms: number, promise: Promise<T>): Promise<T> => {
    await clock.advance(ms)
    const outcome = watch(promise)
    await settle()
    if (outcome().kind === 'pending') throw new Error(`still pending after ${ms} ms`)
    return promise
  }
  const htpasswd = await within(20_000, createHtpasswd({ table, hashing, verified, clock }))
  const measurements = checks.splice(0)
  const attempt = (username: string, password: string, admission: Partial<Admission> = {}) => {
    let taken = 0
    const place: Place = { take: () => (taken += 1), isTaken: () => taken > 0, leave: () => undefined }
    const recent = { add: () => 0, takeBack: () => undefined }
    const open = { guard: openGuard, admitLogin: () => Promise.resolve(), recent }
    const opened = openAttempt({ username, password }, '192.0.2.1', place, { ...open, ...admission })
    return { ...opened, taken: () => taken }
  }
  const login = (username: string, password: string) => within(500, htpasswd.check(attempt(username, password)))
  return { clock, checks, measurements, within, htpasswd, attempt, login }
}

const isAlice = {
  kind: 'authenticated',
  principal: { kind: 'user', name: 'alice', groups: [], method: 'htpasswd' },
}

describe('a name of the file', () => {
  test('logs in with its password, which is hashed once', async () => {
    const { login, checks } = await create()
    expect(await login('alice', 'secret')).toEqual(isAlice)
    expect(await login('alice', 'secret')).toEqual(isAlice)
    expect(checks).toEqual(['secret 10'])
  })

  test('is refused with any other password, remembered login or not', async () => {
    const { login, checks } = await create()
    await login('alice', 'secret')
    for (const wrong of ['Secret', 'secret ', 'hunter', 'ecret']) {
      expect(await login('alice', wrong)).toEqual({ kind: 'refused' })
    }
    expect(checks).toHaveLength(5)
    expect(await login('alice', 'Secret')).toEqual({ kind: 'refused' })
    expect(checks).toHaveLength(5)
  })

  test.each([
    ['more than 72 bytes', 'x'.repeat(73)],
    ['more than 72 bytes in 37 letters', 'ä'.repeat(37)],
    ['NUL', 'secret\0'],
  ])('is refused with a password of %s, without a hash', async (_title, password) => {
    const { htpasswd, attempt, login, checks } = await create()
    expect(await login('alice', password)).toEqual({ kind: 'refused' })
    const unknown = attempt('mallory', password)
    await htpasswd.checkUnknown(unknown)
    expect(unknown.taken()).toBe(0)
    expect(checks).toEqual([])
  })

  test('is hashed once for many requests at the same time', async () => {
    const { within, htpasswd, attempt, checks } = await create()
    const right = Array.from({ length: 100 }, () => htpasswd.check(attempt('alice', 'secret')))
    const wrong = Array.from({ length: 100 }, () => htpasswd.check(attempt('alice', 'wrong')))
    const answers = await within(1_000, Promise.all([...right, ...wrong]))
    expect(answers.slice(0, 100)).toEqual(Array(100).fill(isAlice))
    expect(answers.slice(100)).toEqual(Array(100).fill({ kind: 'refused' }))
    expect(checks).toHaveLength(2)
  })
})

describe('a name that is not in the file', () => {
  test.each(['mallory', 'Alice', 'ALICE', 'alice ', '__proto__', ''])(
    '%j is not mine, without a hash',
    async (name) => {
      const { login, checks } = await create()
      expect(await login(name, 'secret')).toEqual({ kind: 'notMine' })
      expect(checks).toEqual([])
    },
  )

  test('costs what the costliest user costs', async () => {
    const table = file({ alice: hashOf('secret', 5), bob: hashOf('x', 12), ci: hashOf('x', 8) })
    const { within, htpasswd, attempt, checks } = await create(table)
    await within(1_000, htpasswd.checkUnknown(attempt('mallory', 'guess')))
    expect(checks).toEqual(['guess 12'])
  })
})

describe('the time of a refusal', () => {
  const table = file({ alice: hashOf('secret', 5), bob: hashOf('hunter', 12) })

  test('is that of the highest cost for every cost', async () => {
    const costs = { four: 4, eight: 8, eleven: 11, twelve: 12 }
    const all = Object.entries(costs).map(([name, cost]) => [name, hashOf('secret', cost)] as const)
    const { clock, checks, htpasswd, attempt } = await create(file(Object.fromEntries(all)))
    for (const [name, cost] of Object.entries(costs)) {
      checks.length = 0
      const startedAtMs = clock.nowMs()
      let endedAtMs = 0
      const answer = htpasswd.check(attempt(name, 'wrong')).then(() => (endedAtMs = clock.nowMs()))
      await clock.advance(1_000)
      await answer
      expect(endedAtMs - startedAtMs).toBe(256)
      const others = [4, 5, 6, 7, 8, 9, 10, 11].filter((other) => other >= cost)
      expect(checks).toEqual([cost, ...others].map((one) => `wrong ${one}`))
    }
  })

  test('is the same for many at once, whose turns come one after the other', async () => {
    const times = async (name: string): Promise<readonly number[]> => {
      const { clock, htpasswd, attempt } = await create(table)
      const startedAtMs = clock.nowMs()
      const ends = Array.from({ length: 5 }, async (_, index) => {
        const asked = attempt(name, `wrong ${index}`)
        await (name === 'mallory' ? htpasswd.checkUnknown(asked) : htpasswd.check(asked))
        return clock.nowMs() - startedAtMs
      })
      await clock.advance(5_000)
      return Promise.all(ends)
    }
    expect(await times('alice')).toEqual([256, 512, 768, 1_024, 1_280])
    expect(await times('bob')).toEqual(await times('alice'))
    expect(await times('mallory')).toEqual(await times('alice'))
  })

  test('is known to the stage as the slowest check', async () => {
    const { htpasswd } = await create(table)
    expect(htpasswd.slowestCheckMs()).toBe(512)
  })
})

describe('a place', () => {
  test('is taken before a check, and not by a login that is remembered', async () => {
    const { htpasswd, attempt, within } = await create()
    const first = attempt('alice', 'secret')
    const answer = htpasswd.check(first)
    expect(first.taken()).toBe(1)
    await within(500, answer)
    const second = attempt('alice', 'secret')
    expect(await within(0, htpasswd.check(second))).toEqual(isAlice)
    expect(second.taken()).toBe(0)
  })
})

describe('a login that the guard refuses', () => {
  const refuse = () => Promise.reject(new RegistryError('rateLimited'))
  test.each<readonly [string, Partial<Admission>, string]>([
    ['is locked', { guard: { ask: () => Promise.resolve({ kind: 'locked', retryAfterMs: 1 }) } }, 'loginLocked'],
    ['is over the limit of logins', { admitLogin: refuse }, 'rateLimited'],
  ])('%s, and nothing is hashed, whether the name is known or not', async (_title, admission, id) => {
    const { htpasswd, checks, attempt } = await create()
    await expect(htpasswd.check(attempt('alice', 'secret', admission))).rejects.toMatchObject({ id })
    await expect(htpasswd.checkUnknown(attempt('mallory', 'secret', admission))).rejects.toMatchObject({ id })
    expect(checks).toEqual([])
  })
})

describe('other users', () => {
  test('count at once: a removed name is gone, remembered or not', async () => {
    const { htpasswd, login, within } = await create()
    await login('alice', 'secret')
    await within(0, htpasswd.replace(file({ bob: hashOf('hunter') })))
    expect(await login('alice', 'secret')).toEqual({ kind: 'notMine' })
  })

  test('count at once: a changed password', async () => {
    const { htpasswd, login, within } = await create()
    await login('alice', 'secret')
    await login('alice', 'fresh')
    await within(0, htpasswd.replace(file({ alice: hashOf('fresh') })))
    expect(await login('alice', 'secret')).toEqual({ kind: 'refused' })
    expect(await login('alice', 'fresh')).toEqual(isAlice)
  })

  test('decide a check that began under those before', async () => {
    const { htpasswd, attempt, clock, within } = await create()
    const removed = htpasswd.check(attempt('alice', 'secret'))
    const changed = htpasswd.check(attempt('bob', 'hunter'))
    await clock.advance(10)
    await htpasswd.replace(file({ bob: hashOf('fresh') }))
    expect(await within(1_000, removed)).toEqual({ kind: 'notMine' })
    expect(await within(1_000, changed)).toEqual({ kind: 'refused' })
  })

  test('are measured only when their highest cost is another', async () => {
    const { htpasswd, within, checks, measurements } = await create()
    await within(0, htpasswd.replace(file({ ci: hashOf('x', 10) })))
    expect([measurements, checks]).toEqual([[' 10'], []])
    await within(500, htpasswd.replace(file({ ci: hashOf('x', 11) })))
    expect(checks).toEqual([' 11'])
    expect(htpasswd.slowestCheckMs()).toBe(256)
  })

  test('who are nobody are refused, and those before stay', async () => {
    const { htpasswd, login } = await create()
    await expect(htpasswd.replace(file({}))).rejects.toMatchObject({ code: 'HTPASSWD_UNUSABLE' })
    expect(await login('alice', 'secret')).toEqual(isAlice)
  })

  test('who came last stay, although those before them take longer to measure', async () => {
    const { htpasswd, within, login } = await create()
    const slow = htpasswd.replace(file({ alice: hashOf('one', 12) }))
    const quick = htpasswd.replace(file({ alice: hashOf('two', 5) }))
    await within(1_000, Promise.all([slow, quick]))
    expect(await login('alice', 'two')).toEqual(isAlice)
  })
})

test('a file of nobody makes no authenticator', async () => {
  await expect(create(file({}))).rejects.toMatchObject({ code: 'HTPASSWD_UNUSABLE' })
})
