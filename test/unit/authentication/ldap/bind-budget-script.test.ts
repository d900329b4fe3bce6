import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { askBind, settleBind } from '../../../../src/authentication/ldap/bind-budget-script.ts'
import type { BindBudgetReply } from '../../../../src/authentication/ldap/bind-budget-script.ts'
import { describeWith } from '../../../support/real-parts.ts'
import { startLockoutOnRedis } from '../lockout-on-redis.ts'
import type { LockoutOnRedis } from '../lockout-on-redis.ts'

const key = 'ldap:binds:0123456789abcdef0123456789abcdef'
const windowMs = 900_000
const everyMs = 60_000
const knownMs = 86_400_000

type Step =
  | { readonly kind: 'ask'; readonly network: number }
  | { readonly kind: 'settle'; readonly which: number; readonly end: 'right' | 'undecided' }
  | { readonly kind: 'wait'; readonly ms: number }

const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('ask' as const), network: fc.nat(3) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('settle' as const),
      which: fc.nat(8),
      end: fc.constantFrom('right' as const, 'undecided' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: -5_000, max: 400_000 }) }),
  },
)

describeWith(['redis-server'], 'the scripts of the budget of binds', () => {
  let both: LockoutOnRedis

  beforeAll(async () => {
    both = await startLockoutOnRedis()
  })
  afterAll(() => both.stop())
  beforeEach(() => both.flush())

  const nameOf = (network: number): string => `${network}0`.repeat(8)

  async function ask(network: number, most: number, nowMs: number): Promise<BindBudgetReply> {
    const args = [nameOf(network), most, windowMs, everyMs, knownMs]
    const { onRedis, inMemory } = await both.run(askBind, key, args, nowMs)
    expect(inMemory).toEqual(onRedis)
    return onRedis as BindBudgetReply
  }

  async function agree(): Promise<void> {
    const { onRedis, inMemory } = await both.held(key)
    expect(inMemory).toEqual(onRedis)
  }

  test('do in Redis what they do in memory, whatever is asked', async () => {
    await fc.assert(
      fc
        .asyncProperty(fc.array(steps, { maxLength: 60 }), fc.integer({ min: 1, max: 4 }), async (list, most) => {
          let nowMs = 1_700_000_000_000
          const asked: { readonly network: number; readonly reply: BindBudgetReply }[] = []
          for (const step of list) {
            if (step.kind === 'wait') nowMs += step.ms
            else if (step.kind === 'ask') {
              const reply = await ask(step.network, most, nowMs)
              if (reply.verdict !== 'withheld') asked.push({ network: step.network, reply })
            } else {
              const [one] = asked.splice(step.which % Math.max(1, asked.length), 1)
              if (one === undefined) continue
              const { verdict, atMs } = one.reply
              const args = [nameOf(one.network), windowMs, knownMs, verdict, atMs, step.end]
              await both.run(settleBind, key, args, nowMs)
            }
            await agree()
          }
        })
        .afterEach(() => both.flush()),
      { numRuns: 60 },
    )
  })

  test('keep nothing that does not end', async () => {
    await ask(1, 3, 1_700_000_000_000)
    expect(await both.redis.pttl(key)).toBeGreaterThan(0)
    expect(await both.redis.pttl(key)).toBeLessThanOrEqual(windowMs)
  })

  test('keep no more networks of an account than are worth it', async () => {
    const nowMs = 1_700_000_000_000
    for (let network = 0; network < 40; network += 1) {
      const args = [network.toString(16).padStart(16, '0'), windowMs, knownMs, 'counted', 0, 'right']
      await both.run(settleBind, key, args, nowMs + network)
    }
    await agree()
    expect(String(await both.redis.hget(key, 'known')).split(' ')).toHaveLength(16)
  })

  test('make of what somebody else has written what fits, and go on', async () => {
    await both.redis.hset(key, 'failed', 'x,99999999999999999,-4', 'known', 'alice:yes', 'reserved', '')
    const reply = await both.redis.eval(askBind.lua, 1, key, nameOf(1), 3, windowMs, everyMs, knownMs)
    expect(askBind.parse(reply).verdict).toBe('counted')
  })

  test.each([
    ['no list', 'x'],
    ['too short', [1, 2]],
    ['no numbers', ['a', 'b', 'c']],
  ])('refuse a reply that is %s', (_, raw) => {
    expect(() => askBind.parse(raw)).toThrow('ldap-bind-ask')
  })
})
