import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { adjustArguments, adjustScript } from '../../../src/rate-limit/adjust-script.ts'
import type { Adjustment } from '../../../src/rate-limit/adjust-script.ts'
import { takeArguments, takeScript } from '../../../src/rate-limit/take-script.ts'
import type { Pass, TakeItem, Taken } from '../../../src/rate-limit/take-script.ts'
import { createMemoryStore } from '../../../src/store/memory-store.ts'
import { startScriptsOnRedis } from './scripts-on-redis.ts'
import type { ScriptsOnRedis } from './scripts-on-redis.ts'

const startMs = 1_800_000_000_000
const secondUs = 1_000_000
const lease = { id: 'lease-1', ttlMs: 30_000 }

/** One in a second, `burst` at once. */
function rate(key: string, burst: number, changes: Partial<TakeItem & { kind: 'rate' }> = {}): TakeItem {
  const limitUs = burst * secondUs
  const common = { role: 'plain', costUs: secondUs, needUs: secondUs, limitUs, ceilingUs: 2 * limitUs } as const
  return { kind: 'rate', key, ...common, ...changes }
}

function leases(key: string, quota: number, role: TakeItem['role'] = 'plain'): TakeItem {
  return { kind: 'lease', key, role, quota }
}

const pullPass: Pass = { kind: 'pull', key: 'pass', mayBeFree: true, marks: true, ttlMs: 60_000 }
const pushPass: Pass = {
  kind: 'push',
  key: 'pass',
  marks: true,
  ttlMs: 600_000,
  againMs: 600_000,
  rememberedAgeMs: undefined,
}

function createMemory() {
  let nowMs = startMs
  const store = createMemoryStore({ clock: { nowMs: () => nowMs, after: () => () => undefined }, maxKeys: 1_000 })
  return {
    advance: (ms: number) => {
      nowMs += ms
    },
    take: (items: readonly TakeItem[], pass?: Pass, held = lease): Promise<Taken> => {
      const { keys, args } = takeArguments(pass, held, items)
      return store.run(takeScript, keys, args)
    },
    adjust: (...adjustments: readonly Adjustment[]): Promise<void> => {
      const { keys, args } = adjustArguments(adjustments)
      return store.run(adjustScript, keys, args)
    },
  }
}

async function timesAdmitted(times: number, take: () => Promise<Taken>): Promise<number> {
  let count = 0
  for (let turn = 0; turn < times; turn += 1) if ((await take()).admitted) count += 1
  return count
}

describe('in memory', () => {
  test('as many are admitted at once as the burst says, and then one as each comes back', async () => {
    const memory = createMemory()
    expect(await timesAdmitted(400, () => memory.take([rate('a', 100)]))).toBe(100)
    memory.advance(999)
    expect(await timesAdmitted(2, () => memory.take([rate('a', 100)]))).toBe(0)
    memory.advance(1)
    expect(await timesAdmitted(2, () => memory.take([rate('a', 100)]))).toBe(1)
    memory.advance(3_600_000)
    expect(await timesAdmitted(400, () => memory.take([rate('a', 100)]))).toBe(100)
  })
  test('who is refused does not wait longer for it', async () => {
    const memory = createMemory()
    await memory.take([rate('a', 1)])
    memory.advance(500)
    expect(await timesAdmitted(1_000, () => memory.take([rate('a', 1)]))).toBe(0)
    memory.advance(500)
    expect(await timesAdmitted(1, () => memory.take([rate('a', 1)]))).toBe(1)
  })
  test('nothing is charged when any bucket refuses', async () => {
    const memory = createMemory()
    await memory.take([rate('full', 1)])
    const refused = await memory.take([rate('a', 5), rate('full', 1), leases('c', 1)])
    expect(refused).toEqual({ admitted: false, passAgeMs: undefined, used: [0, secondUs, 0] })
    expect((await memory.take([rate('a', 5), leases('c', 1)])).used).toEqual([secondUs, 1])
  })
  test('a look charges nothing, and refuses where nothing is left of what it needs', async () => {
    const memory = createMemory()
    const look = (needUs: number): TakeItem => rate('a', 1, { costUs: 0, needUs })
    expect(await memory.take([look(1)])).toMatchObject({ admitted: true, used: [0] })
    await memory.take([rate('a', 1)])
    expect(await memory.take([look(1)])).toMatchObject({ admitted: false, used: [secondUs] })
    expect(await memory.take([look(0)])).toMatchObject({ admitted: true, used: [secondUs] })
  })
  test('a lease is given for a while, and back', async () => {
    const memory = createMemory()
    const take = (id: string): Promise<Taken> => memory.take([leases('c', 2)], undefined, { ...lease, id })
    expect((await take('1')).used).toEqual([1])
    expect((await take('2')).used).toEqual([2])
    expect(await take('3')).toMatchObject({ admitted: false, used: [2] })
    await memory.adjust({ kind: 'release', key: 'c', id: '1' })
    expect((await take('3')).admitted).toBe(true)
    memory.advance(20_000)
    await memory.adjust({ kind: 'hold', key: 'c', id: '3', ttlMs: 30_000 })
    memory.advance(10_000)
    expect(await take('4')).toMatchObject({ admitted: true, used: [2] })
  })
  test('what follows a charged pull is free for a minute, which does not slide', async () => {
    const memory = createMemory()
    const byDigest = (): Promise<Taken> => memory.take([rate('a', 9, { role: 'free' })], pullPass)
    const byTag = (): Promise<Taken> => memory.take([rate('a', 9, { role: 'free' })], { ...pullPass, mayBeFree: false })
    expect(await byTag()).toEqual({ admitted: true, passAgeMs: undefined, used: [secondUs] })
    memory.advance(30_000)
    expect(await byDigest()).toEqual({ admitted: true, passAgeMs: 0, used: [0] })
    memory.advance(29_999)
    expect((await byDigest()).used).toEqual([0])
    memory.advance(1)
    expect((await byDigest()).used).toEqual([secondUs])
    expect((await byTag()).used).toEqual([2 * secondUs])
  })
  test('a pull that is refused makes no pass', async () => {
    const memory = createMemory()
    await memory.take([rate('a', 1, { role: 'free' })])
    const byDigest = (): Promise<Taken> => memory.take([rate('a', 1, { role: 'free' })], pullPass)
    expect(await timesAdmitted(3, byDigest)).toBe(0)
  })
  test('a push is charged once, and everything later in it is let through', async () => {
    const memory = createMemory()
    const items = [rate('push', 1, { role: 'free' }), rate('requests', 3, { role: 'forced' }), leases('c', 1, 'forced')]
    for (let turn = 1; turn < 7; turn += 1) {
      const taken = await memory.take(items, pushPass, { ...lease, id: String(turn) })
      expect(taken).toMatchObject({ admitted: true, used: [secondUs, turn * secondUs, turn] })
    }
    expect((await memory.take(items, pushPass)).used[1]).toBe(6 * secondUs)
    expect((await memory.take(items)).admitted).toBe(false)
  })
  test('a push is charged again, and never refused, when it goes on for more than ten minutes', async () => {
    const memory = createMemory()
    const items = [rate('push', 1, { role: 'free', ceilingUs: 9_000 * secondUs, costUs: 5_000 * secondUs })]
    await memory.take([rate('push', 1, { costUs: 5_000 * secondUs, ceilingUs: 9_000 * secondUs, needUs: 0 })])
    await memory.take(items, { ...pushPass, rememberedAgeMs: 0 })
    memory.advance(400_000)
    expect(await memory.take(items, pushPass)).toMatchObject({ admitted: true, passAgeMs: 400_000 })
    memory.advance(200_001)
    const again = await memory.take(items, pushPass)
    expect(again).toEqual({
      admitted: true,
      passAgeMs: 600_001,
      used: [(5_000 - 600.001 + 5_000) * secondUs].map((us) => Math.min(us, 9_000 * secondUs)),
    })
    expect((await memory.take(items, pushPass)).passAgeMs).toBe(0)
  })
  test('what is beside a push is let through by it, and neither begins one nor lets it last', async () => {
    const memory = createMemory()
    const items = [rate('requests', 1, { role: 'forced' })]
    const beside: Pass = { ...pushPass, marks: false }
    expect(await timesAdmitted(3, () => memory.take(items, beside))).toBe(1)
    await memory.take([], pushPass)
    memory.advance(599_999)
    expect(await timesAdmitted(3, () => memory.take(items, beside))).toBe(3)
    memory.advance(1)
    await memory.adjust({ kind: 'charge', key: 'requests', costUs: 2 * secondUs, ceilingUs: 2 * secondUs })
    expect((await memory.take(items, beside)).admitted).toBe(false)
  })
  test('a store that has forgotten a push takes it from who remembers it', async () => {
    const memory = createMemory()
    const items = [rate('push', 1, { role: 'free' })]
    await memory.take(items)
    expect((await memory.take(items, pushPass)).admitted).toBe(false)
    const remembered = await memory.take(items, { ...pushPass, rememberedAgeMs: 1_000 })
    expect(remembered).toEqual({ admitted: true, passAgeMs: 1_000, used: [secondUs] })
    expect((await memory.take(items, pushPass)).passAgeMs).toBe(1_000)
  })
  test('debt goes no deeper than the ceiling', async () => {
    const memory = createMemory()
    await memory.adjust({ kind: 'charge', key: 'a', costUs: 1e15, ceilingUs: 20 * secondUs })
    expect(await memory.take([rate('a', 10)])).toMatchObject({ admitted: false, used: [20 * secondUs] })
    await memory.adjust({ kind: 'charge', key: 'a', costUs: -15 * secondUs, ceilingUs: 20 * secondUs })
    expect((await memory.take([rate('a', 10)])).used).toEqual([6 * secondUs])
    await memory.adjust({ kind: 'forget', key: 'a' })
    expect((await memory.take([rate('a', 10)])).used).toEqual([secondUs])
  })
  test('a clock that is set back costs at most the deepest debt', async () => {
    const memory = createMemory()
    await memory.take([rate('a', 2)])
    memory.advance(-3_600_000)
    expect((await memory.take([rate('a', 2)])).used).toEqual([4 * secondUs])
    memory.advance(3_000)
    expect((await memory.take([rate('a', 2)])).admitted).toBe(true)
  })
  test('it is the generic cell rate algorithm', async () => {
    const steps = fc.array(fc.record({ waitMs: fc.nat(3_000), cost: fc.integer({ min: 1, max: 3 }) }), {
      maxLength: 60,
    })
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 10 }), async (turns, burst) => {
        const memory = createMemory()
        // Virtual scheduling: a cell conforms when it does not come before its theoretical arrival less the tolerance.
        let [now, arrival] = [0, 0]
        for (const { waitMs, cost } of turns) {
          memory.advance(waitMs)
          now += waitMs * 1_000
          const costUs = cost * secondUs
          const conforms = Math.max(arrival, now) + costUs - now <= burst * secondUs
          if (conforms) arrival = Math.max(arrival, now) + costUs
          const taken = await memory.take([rate('a', burst, { costUs, needUs: costUs })])
          expect(taken).toEqual({ admitted: conforms, passAgeMs: undefined, used: [Math.max(0, arrival - now)] })
        }
      }),
      { numRuns: 200 },
    )
  })
})

describe('on Redis', () => {
  let scripts: ScriptsOnRedis
  beforeAll(async () => {
    scripts = await startScriptsOnRedis()
  })
  beforeEach(() => scripts.redis.flushall())
  afterAll(() => scripts.stop())

  const take = (items: readonly TakeItem[], pass?: Pass, nowMs?: number): Promise<Taken> =>
    scripts.run(takeScript, takeArguments(pass, lease, items), nowMs)

  test('exactly as many are admitted as the quota says, whoever asks at the same time', async () => {
    const item = rate('a', 100, {
      costUs: 216 * secondUs,
      needUs: 216 * secondUs,
      limitUs: 21_600 * secondUs,
      ceilingUs: 43_200 * secondUs,
    })
    const taken = await Promise.all(Array.from({ length: 400 }, () => take([item])))
    expect(taken.filter(({ admitted }) => admitted)).toHaveLength(100)
  })
  test('every key has an end', async () => {
    await take([rate('a', 5), leases('c', 5), rate('f', 5, { role: 'free' })], pullPass)
    await take([], { ...pushPass, key: 'push' })
    await scripts.run(
      adjustScript,
      adjustArguments([
        { kind: 'charge', key: 'b', costUs: 5 * secondUs, ceilingUs: 10 * secondUs },
        { kind: 'hold', key: 'd', id: 'x', ttlMs: 1_000 },
        { kind: 'pull-pass', key: 'e', ttlMs: 1_000 },
        { kind: 'push-pass', key: 'g', ttlMs: 1_000, rememberedAgeMs: 0 },
      ]),
    )
    const keys = await scripts.redis.keys('*')
    expect(keys.toSorted()).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'pass', 'push'])
    for (const key of keys) expect(await scripts.redis.pttl(key)).toBeGreaterThan(0)
  })
  test.each<readonly [string, (key: string) => Promise<unknown>, TakeItem, Pass | undefined]>([
    ['a bucket that refuses', (key) => scripts.redis.set(key, whenUs(5)), rate('k', 5), undefined],
    [
      'a bucket that is looked at',
      (key) => scripts.redis.set(key, whenUs(5)),
      rate('k', 5, { costUs: 0, needUs: 0 }),
      undefined,
    ],
    ['a bucket that is charged', (key) => scripts.redis.set(key, whenUs(2)), rate('k', 5), undefined],
    ['a bucket beyond every debt', (key) => scripts.redis.set(key, whenUs(9_000_000)), rate('k', 5), undefined],
    ['leases that are taken', (key) => scripts.redis.zadd(key, Date.now() + 9_000, 'other'), leases('k', 5), undefined],
    ['leases that refuse', (key) => scripts.redis.zadd(key, Date.now() + 9_000, 'other'), leases('k', 1), undefined],
    [
      'the pass of a push',
      (key) => scripts.redis.set(key, Date.now() - 5),
      rate('a', 5),
      { ...pushPass, key: 'k', marks: false },
    ],
  ])('a key that has lost its end gets one again: %s', async (_, make, item, pass) => {
    await make('k')
    expect(await scripts.redis.pttl('k')).toBe(-1)
    await take([item], pass)
    expect(await scripts.redis.pttl('k')).toBeGreaterThan(0)
  })
  test.each([
    ['the pass of a pull', '1', { ...pullPass, key: 'k' }],
    ['what is over', '1000', undefined],
    ['what is no number', 'x', undefined],
  ])('a key that has lost its end and its meaning is gone: %s', async (_, value, pass) => {
    await scripts.redis.set('k', value)
    const full = rate('full', 1, { needUs: 9 * secondUs, role: 'free' })
    expect(
      (await take([pass === undefined ? rate('k', 5, { costUs: 0, needUs: 0 }) : full], pass)).passAgeMs,
    ).toBeUndefined()
    expect(await scripts.redis.exists('k')).toBe(0)
  })
  test.each([
    ['a bucket', rate('k', 2), undefined],
    ['leases', leases('k', 2), undefined],
    ['the pass of a pull', rate('a', 2, { role: 'free' }), { ...pullPass, key: 'k', mayBeFree: false }],
    ['the pass of a push', rate('a', 2), { ...pushPass, key: 'k' }],
  ])('what is of another type, or no time, makes way and is counted from now on: %s', async (_, item, pass) => {
    const made = [
      ['rpush', 'k', 'x'],
      ['hset', 'k', 'x', 'y'],
      ['zadd', 'k', '-inf', 'x'],
      ['set', 'k', 'x'],
      ['set', 'k', 'nan'],
      ['set', 'k', '-inf'],
    ] as const
    for (const [command, ...words] of made) {
      await scripts.redis.flushall()
      await scripts.redis.call(command, ...words)
      const answers = []
      for (const id of ['1', '2', '3'])
        answers.push(await scripts.run(takeScript, takeArguments(pass, { ...lease, id }, [item])))
      expect(answers.map(({ admitted }) => admitted)).toEqual([true, true, false])
      for (const key of await scripts.redis.keys('*')) expect(await scripts.redis.pttl(key)).toBeGreaterThan(0)
    }
  })
  test('what is of another type does not keep others from being charged, held or given back', async () => {
    for (const key of ['charged', 'held', 'given-back']) await scripts.redis.rpush(key, 'x')
    await scripts.run(
      adjustScript,
      adjustArguments([
        { kind: 'charge', key: 'charged', costUs: 9 * secondUs, ceilingUs: 9 * secondUs },
        { kind: 'hold', key: 'held', id: '1', ttlMs: 30_000 },
        { kind: 'release', key: 'given-back', id: '1' },
        { kind: 'charge', key: 'other', costUs: 9 * secondUs, ceilingUs: 9 * secondUs },
      ]),
    )
    expect(await scripts.redis.mget('charged', 'other')).toEqual([expect.any(String), expect.any(String)])
    expect(await scripts.redis.zcard('held')).toBe(1)
    expect(await scripts.redis.exists('given-back')).toBe(0)
    for (const key of ['charged', 'held', 'other']) expect(await scripts.redis.pttl(key)).toBeGreaterThan(0)
  })
  test('a clock that is set back by an hour costs at most the deepest debt', async () => {
    const later = startMs + 3_600_000
    const items = [rate('a', 2, { role: 'forced' }), leases('c', 1)]
    await take(items, undefined, later)
    const before = await take([rate('a', 2), leases('c', 2)], undefined, startMs)
    expect(before).toEqual({ admitted: false, passAgeMs: undefined, used: [4 * secondUs, 0] })
    expect((await take([rate('a', 2)], undefined, startMs + 2_999)).admitted).toBe(false)
    expect((await take([rate('a', 2), leases('c', 1)], undefined, startMs + 3_000)).admitted).toBe(true)
  })
  test('a push that was charged by a clock that was set back since is charged again', async () => {
    await take([], pushPass, startMs + 3_600_000)
    const items = [rate('push', 1, { role: 'free' })]
    expect(await take(items, pushPass, startMs)).toMatchObject({ admitted: true, used: [secondUs] })
    expect(await take(items, pushPass, startMs + 5)).toMatchObject({ admitted: true, passAgeMs: 5 })
  })
  test('it says the same as the store in memory', async () => {
    // So coarse that no key ends by the clock of Redis, which goes on meanwhile.
    const unitUs = 10 * secondUs
    const items = fc.oneof(
      fc.record({
        kind: fc.constant('rate' as const),
        key: fc.constantFrom('r1', 'r2', 'r3'),
        role: fc.constantFrom('plain' as const, 'free' as const, 'forced' as const),
        costUs: fc.constantFrom(0, unitUs, 3 * unitUs, 40 * unitUs),
        needUs: fc.constantFrom(0, 1, unitUs),
        limitUs: fc.constant(5 * unitUs),
        ceilingUs: fc.constant(65 * unitUs),
      }),
      fc.record({
        kind: fc.constantFrom('lease' as const, 'count' as const),
        key: fc.constantFrom('c1', 'c2'),
        role: fc.constantFrom('plain' as const, 'forced' as const),
        quota: fc.integer({ min: 1, max: 3 }),
      }),
    )
    const passes = fc.oneof(
      fc.constant(undefined),
      fc.record({
        kind: fc.constant('pull' as const),
        key: fc.constantFrom('p1', 'p2'),
        mayBeFree: fc.boolean(),
        marks: fc.boolean(),
        ttlMs: fc.constant(60_000),
      }),
      fc.record({
        kind: fc.constant('push' as const),
        key: fc.constantFrom('q1', 'q2'),
        marks: fc.boolean(),
        ttlMs: fc.constant(600_000),
        againMs: fc.constant(600_000),
        rememberedAgeMs: fc.constantFrom(undefined, 0, 500_000, 700_000),
      }),
    )
    const adjustments = fc.oneof(
      fc.record({
        kind: fc.constant('charge' as const),
        key: fc.constantFrom('r1', 'r2'),
        costUs: fc.integer({ min: -18, max: 180 }).map((units) => units * unitUs),
        ceilingUs: fc.constant(65 * unitUs),
      }),
      fc.record({
        kind: fc.constant('hold' as const),
        key: fc.constantFrom('c1', 'c2'),
        id: fc.constantFrom('1', '2'),
        ttlMs: fc.constant(30_000),
      }),
      fc.record({
        kind: fc.constant('release' as const),
        key: fc.constantFrom('c1', 'c2'),
        id: fc.constantFrom('1', '2'),
      }),
      fc.record({ kind: fc.constant('pull-pass' as const), key: fc.constant('p1'), ttlMs: fc.constant(60_000) }),
      fc.record({
        kind: fc.constant('push-pass' as const),
        key: fc.constant('q1'),
        ttlMs: fc.constant(600_000),
        rememberedAgeMs: fc.constantFrom(0, 700_000),
      }),
      fc.record({ kind: fc.constant('forget' as const), key: fc.constantFrom('r1', 'p1', 'q1') }),
    )
    const turns = fc.array(
      fc.record({
        waitMs: fc.constantFrom(0, 10_000, 20_000, 30_000, 50_000, 60_000, 590_000, 600_000, 650_000),
        step: fc.oneof(
          fc.record({
            items: fc.uniqueArray(items, { selector: ({ key }) => key, maxLength: 5 }),
            pass: passes,
            id: fc.constantFrom('1', '2', '3'),
          }),
          fc.record({ adjustments: fc.array(adjustments, { minLength: 1, maxLength: 3 }) }),
        ),
      }),
      { maxLength: 25 },
    )
    await fc.assert(
      fc.asyncProperty(turns, async (all) => {
        await scripts.redis.flushall()
        const memory = createMemory()
        const ends = new Map<string, number>()
        let nowMs = startMs
        for (const { waitMs, step } of all) {
          memory.advance(waitMs)
          nowMs += waitMs
          // The end of a key is of Redis's own clock, so the test moves it as time passes.
          for (const [key, end] of ends) await scripts.redis.pexpire(key, end - nowMs)
          if ('items' in step) {
            const held = { id: step.id, ttlMs: 30_000 }
            const asked = takeArguments(step.pass, held, step.items)
            const onRedis = await scripts.run(takeScript, asked, nowMs)
            expect(onRedis).toEqual(await memory.take(step.items, step.pass, held))
          } else {
            await memory.adjust(...step.adjustments)
            await scripts.run(adjustScript, adjustArguments(step.adjustments), nowMs)
          }
          for (const key of ['p1', 'p2', 'q1', 'q2']) {
            const ttlMs = await scripts.redis.pttl(key)
            if (ttlMs < 0) ends.delete(key)
            else ends.set(key, nowMs + Math.ceil(ttlMs / 10_000) * 10_000)
          }
        }
      }),
      { numRuns: 300 },
    )
  })
})

/** So many seconds from now, in microseconds. */
function whenUs(seconds: number): string {
  return String((Date.now() + seconds * 1_000) * 1_000)
}
