import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  clearAddress,
  listLocked,
  lookAtAddress,
  maxListedAddresses,
  noteLocked,
  shareSecret,
} from '../../../src/authentication/lockout-list-script.ts'
import {
  askArguments,
  askLockout,
  takeBackArguments,
  takeBackLockout,
} from '../../../src/authentication/lockout-script.ts'
import type { Guess, LockoutReply } from '../../../src/authentication/lockout-script.ts'
import { startLockoutOnRedis } from './lockout-on-redis.ts'
import type { LockoutOnRedis } from './lockout-on-redis.ts'

const key = 'lockout:{192.0.2.1}'
const list = 'lockout:list'
const policy = { freeAttempts: 3, freeAttemptsPerAddress: 6, windowMs: 900_000, maxDelayMs: 900_000 }
const looked = [policy.freeAttempts, policy.freeAttemptsPerAddress, policy.windowMs, policy.maxDelayMs]
const guess = (slot: number, number: number): Guess => ({ slot, fingerprint: number.toString(16).padStart(3, '0') })

let both: LockoutOnRedis

beforeAll(async () => {
  both = await startLockoutOnRedis()
})
afterAll(() => both.stop())
beforeEach(() => both.flush())

type Step =
  | { readonly kind: 'ask'; readonly slot: number; readonly number: number }
  | { readonly kind: 'take-back'; readonly which: number; readonly outcome: 'succeeded' | 'undecided' }
  | { readonly kind: 'clear'; readonly slot: number }
  | { readonly kind: 'note'; readonly number: number; readonly restMs: number }
  | { readonly kind: 'wait'; readonly ms: number }

const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('ask' as const), slot: fc.nat(2), number: fc.nat(90) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('take-back' as const),
      which: fc.nat(5),
      outcome: fc.constantFrom('succeeded' as const, 'undecided' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const), slot: fc.nat(2) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('note' as const), number: fc.nat(3), restMs: fc.nat(2_000_000) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.constantFrom(1, 999, 1_000, 2_000, 64_000, 900_000, 1_800_000, -3_600_000),
    }),
  },
)

test('Redis and memory say and hold the same, whatever happens in whatever order, also when the clock is set', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { maxLength: 40 }), async (all) => {
      await both.flush()
      const asked: (readonly [Guess, LockoutReply])[] = []
      let nowMs = 1_800_000_000_000
      const same = async (
        ran: Promise<{ readonly onRedis: unknown; readonly inMemory: unknown }>,
      ): Promise<unknown> => {
        const { onRedis, inMemory } = await ran
        expect(inMemory).toEqual(onRedis)
        return onRedis
      }
      for (const step of all) {
        switch (step.kind) {
          case 'ask': {
            const one = guess(step.slot, step.number)
            const reply = await same(both.run(askLockout, key, askArguments(one, policy), nowMs))
            asked.unshift([one, reply as LockoutReply])
            break
          }
          case 'take-back': {
            const [one, reply] = asked[step.which] ?? []
            if (one === undefined || reply === undefined) break
            await same(both.run(takeBackLockout, key, takeBackArguments(one, step.outcome, reply, policy), nowMs))
            break
          }
          case 'clear':
            await same(both.run(clearAddress, key, [step.slot], nowMs))
            break
          case 'note':
            await same(both.run(noteLocked, list, [`192.0.2.${step.number}`, step.restMs, 1_800_000], nowMs))
            break
          case 'wait':
            nowMs += step.ms
        }
        await same(both.held(key))
        await same(both.held(list))
      }
      await same(both.run(lookAtAddress, key, looked, nowMs))
      await same(both.run(listLocked, list, [], nowMs))
    }),
    { numRuns: 150 },
  )
})

describe('on Redis', () => {
  test('every key has an end, and one that somebody made without gets it', async () => {
    await both.run(askLockout, key, askArguments(guess(1, 1), policy), 1_000)
    await both.redis.persist(key)
    await both.run(askLockout, key, askArguments(guess(1, 2), policy), 1_000)
    await both.run(noteLocked, list, ['192.0.2.1', 1_000, 5_000], 1_000)
    await both.run(shareSecret, 'lockout:secret', ['a'.repeat(64), 60_000], 1_000)
    const ends = await Promise.all([key, list, 'lockout:secret'].map((one) => both.redis.pttl(one)))
    expect(ends.every((ttlMs) => ttlMs > 0)).toBe(true)
    expect(await both.redis.dbsize()).toBe(3)
  })

  test('what was taken back leaves no key', async () => {
    const { onRedis } = await both.run(askLockout, key, askArguments(guess(1, 1), policy), 1_000)
    await both.run(
      takeBackLockout,
      key,
      takeBackArguments(guess(1, 1), 'undecided', onRedis as LockoutReply, policy),
      1_000,
    )
    expect(await both.redis.dbsize()).toBe(0)
  })

  test('text that is none of ours counts as nothing', async () => {
    await both.redis.hset(key, { all: 'x', 1: '9:9', 2: '-1:0:' })
    const { onRedis } = await both.run(askLockout, key, askArguments(guess(1, 1), policy), 5_000)
    expect(onRedis).toMatchObject({ waitMs: 0, isCounted: true, failures: 0 })
  })

  test('the first secret is everybody’s', async () => {
    const first = await both.run(shareSecret, 'lockout:secret', ['a'.repeat(64), 60_000], 1_000)
    const second = await both.run(shareSecret, 'lockout:secret', ['b'.repeat(64), 60_000], 1_000)
    expect([first, second]).toEqual(Array(2).fill({ onRedis: 'a'.repeat(64), inMemory: 'a'.repeat(64) }))
  })

  test('257 fields at most, however many names and passwords an address tries', async () => {
    const generous = { ...policy, freeAttempts: 1_000, freeAttemptsPerAddress: 1_000_000 }
    for (let number = 0; number < 2_000; number += 1) {
      await both.run(askLockout, key, askArguments(guess(number % 256, number), generous), 1_000)
    }
    expect(await both.redis.hlen(key)).toBe(257)
    expect(Number(await both.redis.memory('USAGE', key))).toBeLessThan(64 * 1_024)
  })

  test('and no more fingerprints of one slot than 64', async () => {
    const generous = { ...policy, freeAttempts: 1_000, freeAttemptsPerAddress: 1_000_000 }
    for (let number = 0; number < 100; number += 1) {
      await both.run(askLockout, key, askArguments(guess(7, number), generous), 1_000)
    }
    expect(await both.redis.hget(key, '7')).toMatch(/^100:1000:[0-9a-f]{192}$/)
  })
})

test('the list keeps those that are forgotten last', () => {
  const held = new Map<string, Map<string, string | number>>()
  const data = {
    get: (name: string) => held.get(name),
    set: (name: string, value: unknown) => held.set(name, value as Map<string, string | number>),
    delete: (name: string) => held.delete(name),
  }
  const full = new Map(Array.from({ length: maxListedAddresses }, (_, at) => [`a${at}`, 10_000 + at] as const))
  held.set(list, full)
  noteLocked.inMemory(data, [list], ['late', 99_000, 99_000], 1_000)
  const addresses = listLocked.inMemory(data, [list], [], 1_000) as readonly string[]
  expect(addresses).toHaveLength(maxListedAddresses)
  expect([addresses[0], addresses.at(-1)]).toEqual(['a1', 'late'])
})

test.each([
  ['of another length', [1, 0, 0]],
  ['with text', [1, 0, 'x', 0, 0, 0, 0]],
  ['that is none', 'OK'],
])('a reply %s is not read', (_title, reply) => {
  expect(() => askLockout.parse(reply)).toThrow('lockout-ask: the reply is not 7 whole numbers')
})

test('A-116 a million names from twenty addresses make twenty keys, and each address is as free as it should be', async () => {
  const script = join(import.meta.dirname, 'million-names.ts')
  const { stdout } = await promisify(execFile)(process.execPath, [script])
  expect(JSON.parse(stdout)).toEqual({ keys: 20, admitted: 20 * 50 })
})
