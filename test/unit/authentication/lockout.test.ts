import { describe, expect, test } from '@jest/globals'
import { createLockout } from '../../../src/authentication/lockout.ts'
import type { GuessOutcome, Lockout, LockoutOptions } from '../../../src/authentication/lockout.ts'
import { shareSecret } from '../../../src/authentication/lockout-list-script.ts'
import { createMemoryStore } from '../../../src/store/memory-store.ts'
import { StoreError } from '../../../src/store/store.ts'
import type { Store } from '../../../src/store/store.ts'
import { createFakeClock, settle } from './fake-clock.ts'

const mallory = '203.0.113.66'
const victim = '192.0.2.1'
const defaults: LockoutOptions['settings'] = {
  ...{ enabled: true, freeAttempts: 5, freeAttemptsPerAddress: 50, windowSeconds: 900, maxDelaySeconds: 900 },
  exemptAddresses: [],
}

function create(settings: Partial<LockoutOptions['settings']> = {}, others: Partial<LockoutOptions> = {}) {
  const clock = createFakeClock()
  const store = createMemoryStore({ clock, maxKeys: 100_000 })
  const told: string[] = []
  const options: LockoutOptions = {
    ...{ settings: { ...defaults, ...settings }, isExempt: (address) => address === '10.1.1.1', store, clock },
    observe: { lockoutAsked: (verdict) => told.push(verdict) },
    ...others,
  }
  return { clock, store, told, options, lockout: createLockout({ ...options, secret: Buffer.alloc(32, 1) }) }
}

/** One login from its question to its end: `ok`, or how many milliseconds it has to wait. */
async function login(
  lockout: Lockout,
  address: string,
  username: string,
  password: string,
  outcome: GuessOutcome = 'failed',
): Promise<number | 'ok'> {
  const answer = await lockout.ask(address, username, password)
  if (answer.kind === 'locked') return answer.retryAfterMs
  answer.settle(outcome)
  await settle()
  return 'ok'
}

async function guesses(
  lockout: Lockout,
  count: number,
  address = mallory,
  user = 'alice',
): Promise<readonly unknown[]> {
  const answers: unknown[] = []
  for (let number = 0; number < count; number += 1) {
    answers.push(await login(lockout, address, user, `guess ${number} for ${user}`))
  }
  return answers
}

describe('wrong passwords for one user from one address', () => {
  test('are free five times, then each waits twice as long as the one before, up to the longest', async () => {
    const { lockout, clock } = create({ maxDelaySeconds: 60 })
    expect(await guesses(lockout, 6)).toEqual(['ok', 'ok', 'ok', 'ok', 'ok', 1_000])
    const waits: unknown[] = []
    for (let number = 10; number < 18; number += 1) {
      const wait = await login(lockout, mallory, 'alice', String(number))
      waits.push(wait)
      await clock.advance(Number(wait) - 1)
      expect(await login(lockout, mallory, 'alice', 'too soon')).toBe(1)
      await clock.advance(1)
      expect(await login(lockout, mallory, 'alice', `late ${number}`)).toBe('ok')
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
  })

  test('do not make the wait longer while it lasts', async () => {
    const { lockout, clock } = create()
    await guesses(lockout, 5)
    for (let number = 0; number < 100; number += 1) {
      expect(await login(lockout, mallory, 'alice', `hammer ${number}`)).toBe(1_000 - number)
      await clock.advance(1)
    }
    await clock.advance(900)
    expect(await login(lockout, mallory, 'alice', 'after')).toBe('ok')
  })

  test('are forgotten when the window has passed since the end of the last wait', async () => {
    const { lockout, clock } = create()
    await guesses(lockout, 5)
    await clock.advance(900_999)
    expect(await guesses(lockout, 2, mallory)).toEqual(['ok', 'ok'])
    const { lockout: other, clock: otherClock } = create()
    await guesses(other, 5)
    await otherClock.advance(901_000)
    expect(await guesses(other, 6)).toEqual(['ok', 'ok', 'ok', 'ok', 'ok', 1_000])
  })

  test.each([
    ['another user', mallory, 'bob'],
    ['another address', victim, 'alice'],
    ['another /64', '2001:db8:0:2::1', 'alice'],
  ])('concern no login of %s', async (_title, address, user) => {
    const { lockout } = create()
    await guesses(lockout, 6)
    await guesses(lockout, 6, '2001:db8:0:1::1')
    expect(await login(lockout, address, user, 'guess')).toBe('ok')
  })

  test('are those of the whole /64, and of one name in all its spellings', async () => {
    const { lockout } = create()
    const spellings = ['alice', 'Alice', 'ALICE', ' alice', 'ａlice']
    for (const [index, name] of spellings.entries()) {
      expect(await login(lockout, `2001:db8:0:1::${index}`, name, `x${index}`)).toBe('ok')
    }
    expect(await login(lockout, '2001:db8:0:1:ffff::1', 'alice', 'y')).toBe(1_000)
  })

  test('that are one and the same count once, however often it comes', async () => {
    const { lockout } = create()
    for (let time = 0; time < 1_000; time += 1) {
      expect(await login(lockout, mallory, 'ci', 'the password of last year')).toBe('ok')
    }
    expect(await guesses(lockout, 5, mallory, 'ci')).toEqual(['ok', 'ok', 'ok', 'ok', 1_000])
  })

  test('are counted before they are checked, so that four hundred at one time get no more than five', async () => {
    const { lockout } = create()
    const all = await Promise.all(
      Array.from({ length: 400 }, (_, number) => lockout.ask(mallory, 'alice', `guess ${number}`)),
    )
    expect(all.filter(({ kind }) => kind === 'open')).toHaveLength(5)
  })
})

describe('wrong passwords of one address for many users', () => {
  test('are free fifty times, then nobody is checked there', async () => {
    const { lockout, clock } = create()
    const answers = []
    for (let number = 0; number < 51; number += 1) answers.push(await login(lockout, mallory, `user${number}`, 'x'))
    expect(answers).toEqual([...Array<unknown>(50).fill('ok'), 1_000])
    expect(await login(lockout, mallory, 'alice', 'right', 'succeeded')).toBe(1_000)
    expect(await login(lockout, victim, 'alice', 'right', 'succeeded')).toBe('ok')
    await clock.advance(1_000)
    expect(await login(lockout, mallory, 'bob', 'y')).toBe('ok')
    expect(await login(lockout, mallory, 'ci', 'z')).toBe(2_000)
  })

  test('are told, so that others can be served first', async () => {
    const { lockout } = create()
    await guesses(lockout, 3)
    await guesses(lockout, 4, mallory, 'bob')
    expect(await lockout.ask(mallory, 'ci', 'x')).toMatchObject({ kind: 'open', failures: 7 })
    expect(await lockout.ask(victim, 'ci', 'x')).toMatchObject({ kind: 'open', failures: 0 })
  })

  test('are not forgiven for a login of their own that is right', async () => {
    const { lockout } = create()
    let checked = 0
    for (let number = 0; number < 200; number += 1) {
      if ((await login(lockout, mallory, 'mallory', 'own password', 'succeeded')) !== 'ok') break
      if ((await login(lockout, mallory, `user${number}`, 'x')) === 'ok') checked += 1
    }
    expect(checked).toBe(50)
  })
})

describe('a login that was counted', () => {
  test('and is right clears its user, and leaves the others', async () => {
    const { lockout } = create({ freeAttemptsPerAddress: 9 })
    await guesses(lockout, 4)
    expect(await login(lockout, mallory, 'alice', 'right', 'succeeded')).toBe('ok')
    expect(await guesses(lockout, 4)).toEqual(['ok', 'ok', 'ok', 'ok'])
    expect(await login(lockout, mallory, 'bob', 'one')).toBe('ok')
    expect(await login(lockout, mallory, 'bob', 'two')).toBe(1_000)
  })

  test.each<GuessOutcome>(['succeeded', 'undecided'])('and %s leaves nothing of itself', async (outcome) => {
    const { lockout, clock } = create({ freeAttempts: 1, freeAttemptsPerAddress: 1 })
    for (let number = 0; number < 100; number += 1) {
      expect(await login(lockout, victim, `user${number}`, `password ${number}`, outcome)).toBe('ok')
    }
    expect(await guesses(lockout, 2)).toEqual(['ok', 1_000])
    await clock.advance(1_000)
    // Who waited long enough is checked; that it was not, or was right, makes nobody wait for what came before.
    expect(await login(lockout, mallory, 'bob', 'x', outcome)).toBe('ok')
    expect(await login(lockout, mallory, 'ci', 'x', outcome)).toBe('ok')
    expect(await login(lockout, mallory, 'bob', 'wrong')).toBe('ok')
    expect(await login(lockout, mallory, 'ci', 'wrong')).toBe(2_000)
  })

  test('and was not decided because another one was in between takes back its own and no other', async () => {
    const { lockout } = create()
    const first = await lockout.ask(mallory, 'alice', 'one')
    await guesses(lockout, 4)
    if (first.kind === 'open') first.settle('undecided')
    await settle()
    expect(await login(lockout, mallory, 'alice', 'six')).toBe('ok')
    expect(await login(lockout, mallory, 'alice', 'seven')).toBe(1_000)
  })
})

test('an exempt address is never refused, and nothing is kept of it', async () => {
  const { lockout, told, store } = create({ freeAttempts: 1 })
  expect(await guesses(lockout, 100, '10.1.1.1')).toEqual(Array(100).fill('ok'))
  expect(told).toEqual([])
  expect(await lockout.list()).toEqual([])
  await store.close()
})

test('all names are refused alike, since nothing is known here of which exist', async () => {
  const names = ['alice', 'nobody', '', 'x'.repeat(8_000), 'ünïcödé', '{}', '\u0000', '\ud800', '__proto__', '../../..']
  for (const [index, name] of names.entries()) {
    const { lockout } = create()
    expect(await guesses(lockout, 7, `192.0.2.${index}`, name)).toEqual([...Array<unknown>(5).fill('ok'), 1_000, 1_000])
  }
})

test('it tells of each question that was counted', async () => {
  const { lockout, told } = create({ freeAttempts: 2 })
  await guesses(lockout, 3)
  expect(told).toEqual(['open', 'open', 'locked'])
})

describe('the list', () => {
  test('names the addresses that have to wait, how long, and how many users', async () => {
    const { lockout, clock } = create({ freeAttemptsPerAddress: 12 })
    await guesses(lockout, 4, victim)
    await guesses(lockout, 5, '2001:db8:0:1::7')
    await guesses(lockout, 5)
    await guesses(lockout, 5, mallory, 'bob')
    await guesses(lockout, 2, mallory, 'ci')
    expect(await lockout.list()).toEqual([
      { address: '2001:db8:0:1::/64', lockedMs: 0, failures: 5, lockedUsers: 1 },
      { address: mallory, lockedMs: 1_000, failures: 12, lockedUsers: 2 },
    ])
    await clock.advance(1_000)
    expect(await lockout.list()).toEqual([])
  })

  test('does not name who was only checked', async () => {
    const { lockout } = create({ freeAttempts: 1 })
    await login(lockout, victim, 'alice', 'right', 'succeeded')
    expect(await lockout.list()).toEqual([])
  })
})

describe('clearing', () => {
  async function locked() {
    const { lockout } = create()
    await guesses(lockout, 5)
    await guesses(lockout, 5, mallory, 'bob')
    await guesses(lockout, 5, '2001:db8:0:1::1')
    return lockout
  }
  const asked: readonly (readonly [string, string])[] = [
    [mallory, 'alice'],
    [mallory, 'bob'],
    ['2001:db8:0:1::1', 'alice'],
  ]
  test.each([
    ['an address', { address: mallory }, 1, ['ok', 'ok', 1_000]],
    ['any address of a /64', { address: '2001:db8:0:1::ffff' }, 1, [1_000, 1_000, 'ok']],
    ['the network as the list names it', { address: '2001:db8:0:1::/64' }, 1, [1_000, 1_000, 'ok']],
    ['a user at an address', { address: mallory, user: 'alice' }, 1, ['ok', 1_000, 1_000]],
    ['a user', { user: 'alice' }, 2, ['ok', 1_000, 'ok']],
    ['all', {}, 2, ['ok', 'ok', 'ok']],
    ['an address that has nothing', { address: victim }, 0, [1_000, 1_000, 1_000]],
  ])('%s', async (_title, what, count, answers) => {
    const lockout = await locked()
    expect(await lockout.clear(what)).toBe(count)
    const now = await Promise.all(asked.map(([address, user]) => login(lockout, address, user, 'next')))
    expect(now).toEqual(answers)
  })
})

test('clearing all reaches those whose wait is over, which would be twice as long the next time', async () => {
  const { lockout, clock } = create()
  await guesses(lockout, 5)
  await clock.advance(1_000)
  expect(await lockout.list()).toEqual([])
  expect(await lockout.clear({})).toBe(1)
  expect(await guesses(lockout, 6)).toEqual(['ok', 'ok', 'ok', 'ok', 'ok', 1_000])
})

describe('the secret', () => {
  /** A known one, so that no two guesses of the test happen to have one fingerprint. */
  const giveSecret = (store: Store) => store.run(shareSecret, ['lockout:secret'], ['5'.repeat(64), 86_400_000])

  test('is one for all that share a store', async () => {
    const { options: shared, clock, store } = create()
    await giveSecret(store)
    const [one, other] = [createLockout(shared), createLockout(shared)]
    for (const [index, lockout] of [one, other, one, other, one].entries()) {
      expect(await login(lockout, mallory, 'alice', `guess ${index}`)).toBe('ok')
    }
    expect(await login(other, mallory, 'alice', 'guess 9')).toBe(1_000)
    expect(await login(other, victim, 'alice', 'same')).toBe('ok')
    expect(await one.ask(victim, 'alice', 'same')).toMatchObject({ kind: 'open', failures: 1 })
    expect(clock.pending()).toBeLessThan(2)
    await store.close()
  })

  test('is taken over from a store that comes back', async () => {
    const { options: shared, clock, store } = create()
    await giveSecret(store)
    let isDown = true
    const moody: Store = {
      ...store,
      run: (script, keys, args) => {
        if (isDown && script.name === 'lockout-secret') return Promise.reject(new StoreError('down', 'down'))
        return store.run(script, keys, args)
      },
    }
    const one = createLockout({ ...shared, store: moody })
    await guesses(one, 4)
    isDown = false
    await guesses(createLockout(shared), 4, victim)
    await clock.advance(30_000)
    await guesses(one, 1, '198.51.100.1')
    await settle()
    expect(await guesses(one, 2, victim)).toEqual(['ok', 'ok'])
    expect(await login(one, victim, 'alice', 'fifth')).toBe('ok')
    expect(await login(one, victim, 'alice', 'sixth')).toBe(1_000)
  })
})

test('a store that fails is not taken for an open guard', async () => {
  const { lockout } = create(
    {},
    { store: { isSharded: false, run: () => Promise.reject(new Error('x')), close: () => Promise.resolve() } },
  )
  await expect(lockout.ask(victim, 'alice', 'x')).rejects.toThrow('x')
})

test('a store that fails only when the end is told breaks nothing', async () => {
  const { options, store } = create()
  const run: Store['run'] = (script, keys, args) =>
    script.name === 'lockout-ask' ? store.run(script, keys, args) : Promise.reject(new StoreError('down', 'down'))
  const lockout = createLockout({ ...options, store: { ...store, run } })
  expect(await login(lockout, victim, 'alice', 'x', 'succeeded')).toBe('ok')
  expect(await guesses(lockout, 5)).toHaveLength(5)
})
