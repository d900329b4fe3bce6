import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createVerifiedCredentials } from '../../../src/authentication/verified-credentials.ts'
import type { CredentialParts } from '../../../src/authentication/verified-credentials.ts'
import { createFakeClock, settle, watch } from './fake-clock.ts'

type Person = { readonly name: string }

const home = '192.0.2.1'
const elsewhere = '198.51.100.7'

type Options = { readonly ttlMs?: number; readonly negativeTtlMs?: number; readonly capacity?: number }

function create(options: Options = {}) {
  const clock = createFakeClock()
  const results: string[] = []
  const verified = createVerifiedCredentials<Person>({
    secret: Buffer.alloc(32, 7),
    ttlMs: 60_000,
    negativeTtlMs: 10_000,
    capacity: 100,
    ...options,
    clock,
    events: { credentialCacheAsked: (result) => results.push(result) },
  })
  /** Asks as a login does, with a backend that knows one credential. */
  const ask = async (asked: CredentialParts, right: boolean, network = home): Promise<string> => {
    const key = verified.keyOf(asked)
    const remembered = verified.recall(key, network)
    if (remembered !== undefined) return `remembered ${remembered.name}`
    if (verified.isWrong(key)) return 'wrong'
    const answer = await verified.verify(key, network, () => {
      checks.push(asked)
      return Promise.resolve(right ? { name: asked.username } : 'wrong')
    })
    return typeof answer === 'string' ? answer : `verified ${answer.name}`
  }
  const checks: CredentialParts[] = []
  return { clock, results, verified, ask, checks }
}

const alice: CredentialParts = { backend: 'htpasswd', username: 'alice', password: 'secret', current: 'hash1' }

describe('the key of a credential', () => {
  test.each([
    ['a name that takes a letter of the password', { ...alice, username: 'alices', password: 'ecret' }],
    ['another backend', { ...alice, backend: 'ldap' }],
    ['another user with the same password', { ...alice, username: 'bob' }],
    ['another password', { ...alice, password: 'Secret' }],
    ['a hash that has changed', { ...alice, current: 'hash2' }],
    ['a password that takes a letter of the hash', { ...alice, password: 'secreth', current: 'ash1' }],
    ['names in capitals', { ...alice, username: 'ALICE' }],
  ])('differs for %s', (_title, other) => {
    const { verified } = create()
    expect(verified.keyOf(other)).not.toBe(verified.keyOf(alice))
  })

  test('differs for a long name with another password', () => {
    const { verified } = create()
    const long = { ...alice, username: 'u'.repeat(60) }
    expect(verified.keyOf({ ...long, password: 'one' })).not.toBe(verified.keyOf({ ...long, password: 'two' }))
  })

  test('differs for a name with the length of the next part in it', () => {
    const { verified } = create()
    const one = { ...alice, username: 'a\0\0\0\u0001b', password: 'c' }
    const two = { ...alice, username: 'a', password: 'b\0\0\0\u0001c' }
    expect(verified.keyOf(one)).not.toBe(verified.keyOf(two))
  })

  test('differs whenever a part differs', () => {
    const { verified } = create()
    const part = fc.string({ unit: fc.constantFrom('a', 'b', '\0', ':'), maxLength: 4 })
    const parts = fc.record({ backend: part, username: part, password: part, current: part })
    const same = (one: CredentialParts, two: CredentialParts): boolean => JSON.stringify(one) === JSON.stringify(two)
    fc.assert(
      fc.property(parts, parts, (one, two) => {
        expect(verified.keyOf(one) === verified.keyOf(two)).toBe(same(one, two))
      }),
      { numRuns: 1_000 },
    )
  })

  test('is another one in another process', () => {
    const options = { ttlMs: 1, negativeTtlMs: 1, capacity: 1, clock: createFakeClock() }
    const events = { credentialCacheAsked: () => undefined }
    const make = (secret: Uint8Array) => createVerifiedCredentials({ ...options, events, secret })
    expect(make(Buffer.alloc(32, 1)).keyOf(alice)).not.toBe(make(Buffer.alloc(32, 2)).keyOf(alice))
  })
})

describe('a credential that was right', () => {
  test('is remembered for its time to live, counted from its check and not from its use', async () => {
    const { ask, clock, results, checks } = create()
    expect(await ask(alice, true)).toBe('verified alice')
    await clock.advance(59_999)
    expect(await ask(alice, true)).toBe('remembered alice')
    await clock.advance(1)
    expect(await ask(alice, true)).toBe('verified alice')
    expect(results).toEqual(['miss', 'hit', 'miss'])
    expect(checks).toHaveLength(2)
  })

  test('says nothing about another password', async () => {
    const { ask, checks } = create()
    await ask(alice, true)
    expect(await ask({ ...alice, password: 'wrong' }, false)).toBe('wrong')
    expect(checks).toHaveLength(2)
  })

  test('is not known any more when the hash has changed', async () => {
    const { ask } = create()
    await ask(alice, true)
    expect(await ask({ ...alice, current: 'hash2' }, false)).toBe('wrong')
  })

  test('is checked every time where the time to live is 0', async () => {
    const { ask, checks } = create({ ttlMs: 0 })
    await ask(alice, true)
    expect(await ask(alice, true)).toBe('verified alice')
    expect(checks).toHaveLength(2)
  })
})

describe('a credential that was wrong', () => {
  test('is refused without a check for a short time', async () => {
    const { ask, clock, results, checks } = create()
    await ask(alice, false)
    await clock.advance(9_999)
    expect(await ask(alice, true)).toBe('wrong')
    expect(checks).toHaveLength(1)
    await clock.advance(1)
    expect(await ask(alice, true)).toBe('verified alice')
    expect(results).toEqual(['miss', 'negative-hit', 'miss'])
  })

  test('is checked at once when the hash has changed', async () => {
    const { ask } = create()
    await ask(alice, false)
    expect(await ask({ ...alice, current: 'hash2' }, true)).toBe('verified alice')
  })

  test('is checked every time where that is asked for', async () => {
    const { ask, checks } = create({ negativeTtlMs: 0 })
    await ask(alice, false)
    await ask(alice, false)
    expect(checks).toHaveLength(2)
  })
})

describe('checks at the same time', () => {
  test('of one credential run once, and everybody gets their answer', async () => {
    const { verified, results } = create()
    let end: (identity: Person) => void = () => undefined
    let count = 0
    const check = () => {
      count += 1
      return new Promise<Person>((resolve) => {
        end = resolve
      })
    }
    const all = Array.from({ length: 200 }, () => watch(verified.verify(verified.keyOf(alice), home, check)))
    await settle()
    expect(count).toBe(1)
    end({ name: 'alice' })
    await settle()
    expect(new Set(all.map((one) => JSON.stringify(one())))).toEqual(
      new Set(['{"kind":"value","value":{"name":"alice"}}']),
    )
    expect(results.filter((result) => result === 'joined')).toHaveLength(199)
  })

  test('of different credentials are never joined', async () => {
    const { ask, checks } = create()
    const others = ['a', 'b', 'c'].map((password) => ({ ...alice, password }))
    const answers = await Promise.all([ask(alice, true), ...others.map((other) => ask(other, false))])
    expect(answers).toEqual(['verified alice', 'wrong', 'wrong', 'wrong'])
    expect(checks).toHaveLength(4)
  })

  test('that fail are not remembered, whether they fail at once or later', async () => {
    const { verified, ask } = create()
    const key = verified.keyOf(alice)
    const failing = () => Promise.reject(new Error('broken'))
    const throwing = () => {
      throw new Error('broken')
    }
    await expect(verified.verify(key, home, failing)).rejects.toThrow('broken')
    await expect(verified.verify(key, home, throwing)).rejects.toThrow('broken')
    expect(await ask(alice, true)).toBe('verified alice')
  })
})

test('so many are remembered, and those used longest ago are forgotten', async () => {
  const { ask } = create({ capacity: 3 })
  const user = (username: string): CredentialParts => ({ ...alice, username })
  for (const name of ['a', 'b', 'c']) await ask(user(name), true)
  await ask(user('a'), true)
  await ask(user('d'), true)
  expect(await ask(user('a'), true)).toBe('remembered a')
  expect(await ask(user('c'), true)).toBe('remembered c')
  expect(await ask(user('d'), true)).toBe('remembered d')
  expect(await ask(user('b'), true)).toBe('verified b')
})

test('a flood of wrong credentials does not push out a right one', async () => {
  const { ask } = create({ capacity: 3 })
  await ask(alice, true)
  for (let index = 0; index < 50; index += 1) await ask({ ...alice, password: String(index) }, false)
  expect(await ask(alice, true)).toBe('remembered alice')
})

describe('a network', () => {
  test('that the credential did not come from gets no answer from memory, but needs no check once it may ask', async () => {
    const { verified, ask, checks } = create()
    await ask(alice, true)
    expect(verified.recall(verified.keyOf(alice), elsewhere)).toBeUndefined()
    expect(await ask(alice, true, elsewhere)).toBe('verified alice')
    expect(await ask(alice, true, elsewhere)).toBe('remembered alice')
    expect(checks).toHaveLength(1)
  })

  test('is known for a credential for a day after it was last verified there', async () => {
    const { verified, ask, clock } = create()
    const key = verified.keyOf(alice)
    expect(verified.isKnown(key, home)).toBe(false)
    await ask(alice, true)
    await clock.advance(86_399_999)
    expect([verified.isKnown(key, home), verified.isKnown(key, elsewhere)]).toEqual([true, false])
    expect(verified.recall(key, home)).toBeUndefined()
    await clock.advance(1)
    expect(verified.isKnown(key, home)).toBe(false)
  })

  test('is not known for another password, or after the password has changed', async () => {
    const { verified, ask } = create({ ttlMs: 0 })
    await ask(alice, true)
    expect(verified.isKnown(verified.keyOf({ ...alice, password: 'guess' }), home)).toBe(false)
    expect(verified.isKnown(verified.keyOf({ ...alice, current: 'hash2' }), home)).toBe(false)
    await ask(alice, false)
    expect(verified.isKnown(verified.keyOf(alice), home)).toBe(false)
  })
})

test('a name that is not the backend’s is asked about each time', async () => {
  const { verified, results } = create()
  const key = verified.keyOf(alice)
  const ask = () => verified.verify(key, home, () => Promise.resolve('notMine'))
  expect([await ask(), await ask()]).toEqual(['notMine', 'notMine'])
  expect([verified.isWrong(key), verified.isKnown(key, home)]).toEqual([false, false])
  expect(results).toEqual(['miss', 'miss'])
})

test('a wrong credential that comes again while the first passes the guard is not checked again', async () => {
  const { verified } = create()
  const key = verified.keyOf(alice)
  const check = () => Promise.resolve('wrong' as const)
  await verified.verify(key, home, check)
  const again = verified.verify(key, elsewhere, () => Promise.reject(new Error('checked again')))
  expect(await again).toBe('wrong')
})
