import { compare, hashSync } from '@node-rs/bcrypt'
import { describe, expect, test } from '@jest/globals'
import {
  createPasswordHashing,
  hashingConcurrency,
  hashPassword,
  isHashable,
  nativeBcrypt,
} from '../../../src/authentication/password-hashing.ts'
import type { Bcrypt } from '../../../src/authentication/password-hashing.ts'
import { createFakeClock, settle, watch } from './fake-clock.ts'

/** A bcrypt that ends each check when the test says so. */
function createSlowBcrypt() {
  const ends: ((matches: boolean) => void)[] = []
  const started: string[] = []
  const bcrypt: Bcrypt = {
    verify: (password, hash) => {
      started.push(`${password} ${hash}`)
      return new Promise((resolve) => ends.push(resolve))
    },
  }
  return {
    bcrypt,
    started,
    endNext: async (matches = true) => {
      ends.shift()?.(matches)
      await settle()
    },
  }
}

function create(limits: { readonly maxConcurrent: number; readonly maxQueued: number }) {
  const clock = createFakeClock()
  const slow = createSlowBcrypt()
  const told: unknown[] = []
  const hashing = createPasswordHashing({
    ...limits,
    maxQueueWaitMs: 2_000,
    clock,
    bcrypt: slow.bcrypt,
    events: { passwordHashed: (check) => told.push(check), hashTurnedAway: (reason) => told.push(reason) },
  })
  return { clock, hashing, told, ...slow }
}

const overloaded = { kind: 'error', error: { id: 'loginsOverloaded', status: 503, retryAfterSeconds: 2 } }

describe('the queue', () => {
  test('runs so many at one time and the others in the order they came', async () => {
    const { hashing, started, endNext } = create({ maxConcurrent: 2, maxQueued: 3 })
    const checks = ['a', 'b', 'c', 'd'].map((password) => watch(hashing.matches(password, 'hash', [], 1)))
    await settle()
    expect(started).toEqual(['a hash', 'b hash'])
    expect(hashing.load()).toEqual({ running: 2, queued: 2 })
    await endNext()
    expect(started).toEqual(['a hash', 'b hash', 'c hash'])
    await endNext(false)
    expect(started).toEqual(['a hash', 'b hash', 'c hash', 'd hash'])
    await endNext()
    await endNext()
    expect(checks.map((check) => check())).toMatchObject([
      { value: true },
      { value: false },
      { value: true },
      { value: true },
    ])
    expect(hashing.load()).toEqual({ running: 0, queued: 0 })
  })

  test('turns away what does not fit, at once', async () => {
    const { hashing, started, told } = create({ maxConcurrent: 1, maxQueued: 2 })
    const checks = ['a', 'b', 'c', 'd'].map((password) => watch(hashing.matches(password, 'hash', [], 1)))
    await settle()
    expect(checks.map((check) => check().kind)).toEqual(['pending', 'pending', 'pending', 'error'])
    expect(checks[3]?.()).toMatchObject(overloaded)
    expect(started).toEqual(['a hash'])
    expect(told).toEqual(['queueFull'])
  })

  test('turns away whose turn does not come in time, and hashes nothing for them later', async () => {
    const { hashing, clock, started, told, endNext } = create({ maxConcurrent: 1, maxQueued: 64 })
    watch(hashing.matches('a', 'hash', [], 1))
    const late = watch(hashing.matches('b', 'hash', [], 1))
    await clock.advance(1_999)
    const later = watch(hashing.matches('c', 'hash', [], 1))
    expect(late().kind).toBe('pending')
    await clock.advance(1)
    expect(late()).toMatchObject(overloaded)
    expect(told).toEqual(['queueWait'])
    await endNext()
    expect(started).toEqual(['a hash', 'c hash'])
    await endNext()
    expect(later().kind).toBe('value')
    expect(clock.pending()).toBe(0)
  })

  test('takes the lowest rank first, and of one rank in the order they came', async () => {
    const { hashing, started, endNext } = create({ maxConcurrent: 1, maxQueued: 9 })
    const ranks = [7, 3, 1, 3, 0, 7, 99]
    for (const [index, rank] of ranks.entries()) watch(hashing.matches(`${index}`, 'hash', [], rank))
    await settle()
    for (let left = ranks.length; left > 0; left -= 1) await endNext()
    // The first found nobody there before it; there is no rank behind the last.
    expect(started.map((text) => text[0])).toEqual(['0', '4', '2', '1', '3', '5', '6'])
    expect(hashing.load()).toEqual({ running: 0, queued: 0 })
  })

  test('that is full turns away the one of the worst rank that is to be turned away soonest', async () => {
    const { hashing, clock, started, told, endNext } = create({ maxConcurrent: 1, maxQueued: 3 })
    const check = (name: string, rank: number) => watch(hashing.matches(name, 'hash', [], rank))
    check('runs', 7)
    const waiting = [check('a', 2), check('b', 5), check('c', 5)]
    await settle()
    const known = check('known', 0)
    const equal = check('equal', 5)
    await settle()
    expect(waiting.map((one) => one().kind)).toEqual(['pending', 'error', 'pending'])
    expect([known().kind, equal().kind]).toEqual(['pending', 'error'])
    expect(waiting[1]?.()).toMatchObject(overloaded)
    expect(told).toEqual(['queueFull', 'queueFull'])
    expect(hashing.load()).toEqual({ running: 1, queued: 3 })
    for (let left = 4; left > 0; left -= 1) await endNext()
    expect(started).toEqual(['runs hash', 'known hash', 'a hash', 'c hash'])
    expect(clock.pending()).toBe(0)
  })

  test('works on after a mismatch, in the same turn, and gives no answer before', async () => {
    const { started, hashing, endNext } = create({ maxConcurrent: 1, maxQueued: 3 })
    const first = watch(hashing.matches('wrong', 'hash', ['decoy 1', 'decoy 2'], 1))
    const second = watch(hashing.matches('right', 'hash', ['decoy 1', 'decoy 2'], 1))
    await settle()
    await endNext(false)
    await endNext(false)
    expect(first().kind).toBe('pending')
    await endNext(true)
    expect(first()).toEqual({ kind: 'value', value: false })
    await endNext(true)
    expect(second()).toEqual({ kind: 'value', value: true })
    expect(started).toEqual(['wrong hash', 'wrong decoy 1', 'wrong decoy 2', 'right hash'])
  })

  test('goes on after a check that failed', async () => {
    const clock = createFakeClock()
    const bcrypt: Bcrypt = { verify: () => Promise.reject(new Error('broken')) }
    const events = { passwordHashed: () => undefined, hashTurnedAway: () => undefined }
    const limits = { maxConcurrent: 1, maxQueued: 1, maxQueueWaitMs: 2_000 }
    const hashing = createPasswordHashing({ ...limits, clock, events, bcrypt })
    await expect(hashing.matches('a', 'hash', [], 1)).rejects.toThrow('broken')
    await expect(hashing.matches('a', 'hash', [], 1)).rejects.toThrow('broken')
    expect(hashing.load()).toEqual({ running: 0, queued: 0 })
  })

  test('tells how long a check waited and how long it took', async () => {
    const { hashing, clock, told, endNext } = create({ maxConcurrent: 1, maxQueued: 1 })
    watch(hashing.matches('a', 'hash', [], 1))
    watch(hashing.matches('b', 'hash', [], 1))
    await clock.advance(100)
    await endNext()
    await clock.advance(50)
    await endNext()
    expect(told).toEqual([
      { queuedMs: 0, durationMs: 100 },
      { queuedMs: 100, durationMs: 50 },
    ])
  })
})

test.each([
  { setting: undefined, processors: 2, threadPoolSize: 4, concurrency: 1 },
  { setting: undefined, processors: 1, threadPoolSize: 4, concurrency: 1 },
  { setting: undefined, processors: 16, threadPoolSize: 4, concurrency: 2 },
  { setting: undefined, processors: 16, threadPoolSize: 18, concurrency: 15 },
  { setting: 8, processors: 16, threadPoolSize: 18, concurrency: 8 },
  { setting: 8, processors: 16, threadPoolSize: 4, concurrency: 2 },
  { setting: 8, processors: 16, threadPoolSize: 1, concurrency: 1 },
])(
  'with $processors processors, $threadPoolSize threads and $setting asked for, $concurrency hash at one time',
  (row) => {
    expect(hashingConcurrency(row)).toBe(row.concurrency)
  },
)

describe('a password', () => {
  test.each([
    ['72 bytes', 'x'.repeat(72), true],
    ['73 bytes', 'x'.repeat(73), false],
    ['72 bytes of two-byte letters', 'ä'.repeat(36), true],
    ['73 bytes of two-byte letters', `${'ä'.repeat(36)}x`, false],
    ['NUL at the end', 'secret\0', false],
    ['NUL inside', 'sec\0ret', false],
    ['NUL alone', '\0', false],
    ['spaces', '   ', true],
  ])('of %s', (_title, password, hashable) => {
    expect(isHashable(password)).toBe(hashable)
  })

  test('of 72 bytes is told apart from its neighbour in the last byte', async () => {
    const hash = hashSync(`${'x'.repeat(71)}y`, 4)
    expect(await nativeBcrypt.verify(`${'x'.repeat(71)}y`, hash)).toBe(true)
    expect(await nativeBcrypt.verify(`${'x'.repeat(71)}z`, hash)).toBe(false)
  })

  test('is hashed as Apache’s htpasswd writes it', async () => {
    const hash = await hashPassword('secret')
    expect(hash).toMatch(/^\$2y\$10\$[./A-Za-z0-9]{53}$/)
    expect(await compare('secret', hash)).toBe(true)
    expect(await compare('Secret', hash)).toBe(false)
  })
})
