import { describe, expect, test } from '@jest/globals'
import type { PasswordQuestion, UserPrincipal } from '../../../src/authentication/authenticator.ts'
import type { LockoutAnswer, LoginGuard } from '../../../src/authentication/lockout.ts'
import { openAttempt } from '../../../src/authentication/login-attempt.ts'
import { createPlaces } from '../../../src/authentication/places.ts'
import { createRecentAttempts } from '../../../src/authentication/recent-attempts.ts'
import { createVerifiedCredentials } from '../../../src/authentication/verified-credentials.ts'
import { createFakeClock } from './fake-clock.ts'

const alice: UserPrincipal = { kind: 'user', name: 'alice', groups: [], method: 'htpasswd' }
const home = '192.0.2.1'
const elsewhere = '203.0.113.66'

/** A backend that knows alice, whose password is `right`, behind a guard that says what it is told to say. */
function create(ttlMs = 60_000) {
  const clock = createFakeClock()
  const memory = createVerifiedCredentials<UserPrincipal>({
    ...{ secret: Buffer.alloc(32), ttlMs, negativeTtlMs: 10_000, capacity: 100, clock },
    events: { credentialCacheAsked: () => undefined },
  })
  const state = { failures: 0, isLocked: false }
  const asked: string[] = []
  const checked: string[] = []
  const guard: LoginGuard = {
    ask: (address, _username, password) => {
      asked.push(`${address} ${password}`)
      const open: LockoutAnswer = { kind: 'open', failures: state.failures, settle: () => undefined }
      return Promise.resolve(state.isLocked ? { kind: 'locked', retryAfterMs: 60_000 } : open)
    },
  }
  const question: PasswordQuestion = {
    ...{ memory, backend: 'htpasswd', current: 'hash', isPossible: (password) => password !== 'impossible' },
    check: (password, rank) => {
      checked.push(`${password} ${rank}`)
      return Promise.resolve(password === 'right' ? alice : 'wrong')
    },
  }
  const openPlace = createPlaces(1)
  const recent = createRecentAttempts(clock)
  const login = async (address: string, password: string) => {
    const place = openPlace()
    const attempt = openAttempt({ username: 'alice', password }, address, place, {
      ...{ guard, admitLogin: () => Promise.resolve(), recent },
    })
    try {
      const answer = await attempt.verify(question)
      attempt.settle(answer === alice ? 'succeeded' : 'failed')
      return answer
    } finally {
      place.leave()
    }
  }
  return { clock, state, asked, checked, login, openPlace }
}

const locked = { id: 'loginLocked', status: 429, retryAfterSeconds: 60 }

describe('a login that was right from this address', () => {
  test('is answered from memory, locked or not, without a place', async () => {
    const { state, login, asked, checked, openPlace } = create()
    await login(home, 'right')
    state.isLocked = true
    openPlace().take()
    expect(await login(home, 'right')).toBe(alice)
    expect([asked, checked]).toEqual([[`${home} right`], ['right 1']])
  })

  test('is checked first for a day when memory has forgotten it, locked or not', async () => {
    const { state, login, asked, checked, clock } = create()
    await login(home, 'right')
    state.isLocked = true
    await clock.advance(3_600_000)
    expect(await login(home, 'right')).toBe(alice)
    expect([asked, checked]).toEqual([[`${home} right`], ['right 1', 'right 0']])
    await clock.advance(86_400_000)
    await expect(login(home, 'right')).rejects.toMatchObject(locked)
  })

  test('counts from a locked address as a guess does: the right one is not told from the wrong ones', async () => {
    const { state, login, checked } = create()
    await login(home, 'right')
    state.isLocked = true
    for (const guess of ['wrong', 'right', 'other']) {
      await expect(login(elsewhere, guess)).rejects.toMatchObject(locked)
    }
    expect(checked).toHaveLength(1)
  })

  test('needs no check from another address that is not locked', async () => {
    const { login, asked, checked } = create()
    await login(home, 'right')
    expect(await login(elsewhere, 'right')).toBe(alice)
    expect(await login(elsewhere, 'right')).toBe(alice)
    expect([asked, checked]).toEqual([[`${home} right`, `${elsewhere} right`], ['right 1']])
  })

  test('is known from all addresses of its /64', async () => {
    const { state, login } = create()
    await login('2001:db8::1', 'right')
    state.isLocked = true
    expect(await login('2001:db8::2', 'right')).toBe(alice)
    await expect(login('2001:db8:0:1::1', 'right')).rejects.toMatchObject(locked)
  })

  test('is no reason to let another password pass', async () => {
    const { state, login } = create()
    await login(home, 'right')
    state.isLocked = true
    await expect(login(home, 'guess')).rejects.toMatchObject(locked)
  })
})

test('a wrong password that was checked a moment ago is not asked about again', async () => {
  const { login, asked } = create()
  expect([await login(home, 'wrong'), await login(home, 'wrong'), await login(elsewhere, 'wrong')]).toEqual(
    Array(3).fill('wrong'),
  )
  expect(asked).toEqual([`${home} wrong`])
})

test('a password that could not be right is no guess', async () => {
  const { login, asked, checked } = create()
  expect(await login(home, 'impossible')).toBe('wrong')
  expect([asked, checked]).toEqual([[], []])
})

test.each([
  [0, 1],
  [1, 2],
  [2, 3],
  [3, 3],
  [4, 4],
  [31, 6],
  [32, 7],
  [1_000_000, 7],
])('after %i wrong passwords of the address its rank is %i', async (failures, rank) => {
  const { state, login, checked } = create()
  state.failures = failures
  await login(home, 'guess')
  expect(checked).toEqual([`guess ${rank}`])
})

test('who was turned away is served after those who ask for the first time, although nothing was counted against them', async () => {
  const { login, checked } = create(0)
  await login(elsewhere, 'guess')
  await login(elsewhere, 'another')
  await login(elsewhere, 'third')
  await login(home, 'right')
  await login('192.0.2.2', 'right')
  expect(checked).toEqual(['guess 1', 'another 2', 'third 3', 'right 1', 'right 1'])
})
