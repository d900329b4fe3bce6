import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { monotonicClock } from '../../src/store/clock.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { StoreError } from '../../src/store/store.ts'
import type { MemoryData, Store, StoreScript } from '../../src/store/store.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRedisCluster } from '../support/redis-cluster.ts'
import type { RedisCluster } from '../support/redis-cluster.ts'
import { startRedis } from '../support/redis-servers.ts'
import type { RedisServer } from '../support/redis-servers.ts'
import { addScript, openRedisStore, readScript, standalone } from '../support/redis-store.ts'
import { until } from '../support/until.ts'

/** Gives what is asked for as long as the counter is below the limit; two keys, of which the second counts refusals. */
const takeScript: StoreScript<boolean> = {
  name: 'test-take',
  lua: `
-- KEYS[1] taken  KEYS[2] refused  ARGV[1] limit  ARGV[2] time to live in ms  reply: 1 taken, 0 refused
local taken = tonumber(redis.call('GET', KEYS[1]) or 0)
local key = taken < tonumber(ARGV[1]) and KEYS[1] or KEYS[2]
redis.call('SET', key, tonumber(redis.call('GET', key) or 0) + 1, 'PX', ARGV[2])
return key == KEYS[1] and 1 or 0
`,
  inMemory: (data: MemoryData, [taken = '', refused = ''], [limit, ttlMs]) => {
    const isFree = Number(data.get(taken) ?? 0) < Number(limit)
    const key = isFree ? taken : refused
    data.set(key, Number(data.get(key) ?? 0) + 1, Number(ttlMs))
    return isFree ? 1 : 0
  },
  parse: (raw) => raw === 1,
}

/** Gives back what it was given, and one of each kind of reply. */
const echoScript: StoreScript<unknown> = {
  name: 'test-echo',
  lua: `
-- ARGV any  reply: {ARGV, -1, 0, 2^52 - 1, an empty list}
return {ARGV, -1, 0, 4503599627370495, {}}
`,
  inMemory: (_data, _keys, args) => [args.map(String), -1, 0, 4_503_599_627_370_495, []],
  parse: (raw) => raw,
}

/** A script that breaks in the middle. */
const brokenScript: StoreScript<never> = {
  name: 'test-broken',
  lua: `
-- KEYS[1] any
redis.call('SET', KEYS[1], 1, 'PX', 600000)
error('broken on purpose')
`,
  inMemory: () => {
    throw new Error('broken on purpose')
  },
  parse: () => {
    throw new Error('there is no reply')
  },
}

/** What is said here holds however slow the machine is. */
const commandTimeoutMs = 5_000

const opened: Store[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map((store) => store.close()))
})
function closedAfterwards(store: Store): Store {
  opened.push(store)
  return store
}

/** What holds wherever scripts run. */
function describeContract(open: () => Store): void {
  let store: Store
  beforeEach(() => {
    store = open()
  })

  test('runs each script whole, one after the other, however many are asked at once', async () => {
    const tries = Array.from({ length: 300 }, () => store.run(takeScript, ['{taking}:t', '{taking}:r'], [100, 60_000]))
    const taken = await Promise.all(tries)
    expect(taken.filter(Boolean)).toHaveLength(100)
    await expect(store.run(readScript, ['{taking}:r'], [])).resolves.toBe(200)
  })

  test('runs what was asked in one turn in the order in which it was asked', async () => {
    const sums = Array.from({ length: 50 }, () => store.run(addScript, ['{order}'], [1, 60_000]))
    await expect(Promise.all(sums)).resolves.toEqual(Array.from({ length: 50 }, (_, index) => index + 1))
  })

  test('keeps keys apart', async () => {
    await store.run(addScript, ['{apart}:a'], [1, 60_000])
    await store.run(addScript, ['{apart}:b'], [10, 60_000])
    await expect(store.run(readScript, ['{apart}:a'], [])).resolves.toBe(1)
    await expect(store.run(readScript, ['{apart}:c'], [])).resolves.toBe(0)
  })

  test('forgets a key when its time is over', async () => {
    await store.run(addScript, ['{short}'], [1, 50])
    await store.run(addScript, ['{long}'], [1, 600_000])
    const isGone = async (): Promise<boolean> => (await store.run(readScript, ['{short}'], [])) === 0
    await until(isGone, { what: 'the key is gone' })
    await expect(store.run(readScript, ['{long}'], [])).resolves.toBe(1)
  })

  test('lets a write move the end of a key', async () => {
    await store.run(addScript, ['{moved}'], [1, 600_000])
    await store.run(addScript, ['{moved}'], [1, 50])
    const isGone = async (): Promise<boolean> => (await store.run(readScript, ['{moved}'], [])) === 0
    await until(isGone, { what: 'the key is gone' })
  })

  test.each<readonly (string | number)[]>([
    [''],
    ['line\r\nbreak', 'nul\0', '$5\r\n'],
    ['ü €', '\u{1F433}', '{alice}'],
    [0, -1, 0.5, 9_007_199_254_740_991, 1_795_265_243_123_456],
    [],
  ])('hands over arguments and replies as they are (%#)', async (...args) => {
    const reply = [args.map(String), -1, 0, 4_503_599_627_370_495, []]
    await expect(store.run(echoScript, ['{echo}'], args)).resolves.toEqual(reply)
  })

  test('gives what a script writes to the keys that it was told, whatever stands in their names', async () => {
    const name = '{u=%7Balice%7D}:\' " $& \u{1F433}'
    await store.run(addScript, [name], [7, 60_000])
    await expect(store.run(readScript, [name], [])).resolves.toBe(7)
  })

  test('rejects when a script breaks, and answers the next', async () => {
    await expect(store.run(brokenScript, ['{broken}'], [])).rejects.toThrow()
    await expect(store.run(addScript, ['{mended}'], [1, 60_000])).resolves.toBe(1)
  })

  test('rejects a reply that is none of the script, and answers the next', async () => {
    const parse = (raw: unknown): never => {
      throw new TypeError(`not a reply: ${String(raw)}`)
    }
    await expect(store.run({ ...readScript, name: 'test-parse', parse }, ['{parse}'], [])).rejects.toThrow()
    await expect(store.run(readScript, ['{parse}'], [])).resolves.toBe(0)
  })

  test('fails calls after its end, and may be closed twice', async () => {
    await store.close()
    await expect(store.run(readScript, ['{closed}'], [])).rejects.toThrow(StoreError)
    await store.close()
  })
}

describe('a store in memory', () => {
  describeContract(() => closedAfterwards(createMemoryStore({ clock: monotonicClock, maxKeys: 10_000 })))

  test('holds the keys of all identities in one place', () => {
    expect(createMemoryStore({ clock: monotonicClock, maxKeys: 1 }).isSharded).toBe(false)
  })
})

/** What holds for every Redis beyond that. */
function describeRedis(open: () => Store, nodes: () => readonly RedisServer[]): void {
  test('puts the prefix in front of every key, and an end behind it', async () => {
    const found = (await Promise.all(nodes().map(keysOf))).flat()
    expect(found).not.toEqual([])
    expect(found.filter(({ name }) => !name.startsWith('wharfgate:'))).toEqual([])
    expect(found.filter(({ ttlMs }) => ttlMs < 0)).toEqual([])
  })

  test('sends all that is asked in one turn in one go', async () => {
    const store = open()
    await store.run(addScript, ['{go}'], [1, 60_000])
    const before = await readsOf(nodes())
    await Promise.all(Array.from({ length: 500 }, () => store.run(addScript, ['{go}'], [1, 60_000])))
    const after = await readsOf(nodes())
    await expect(store.run(readScript, ['{go}'], [])).resolves.toBe(501)
    // Asking for the number is a handful itself, and 500 commands are more than one read takes.
    expect(after - before).toBeLessThan(60)
  })

  test('lets two gateways that ask at once take no more than there is', async () => {
    const stores = [open(), open()]
    const asked = stores.flatMap((store) =>
      Array.from({ length: 200 }, () => store.run(takeScript, ['{two}:t', '{two}:r'], [100, 60_000])),
    )
    expect((await Promise.all(asked)).filter(Boolean)).toHaveLength(100)
  })
}

async function keysOf(node: RedisServer): Promise<readonly { readonly name: string; readonly ttlMs: number }[]> {
  const names = await node.command('KEYS', '*')
  const keys = Array.isArray(names) ? names.map(String) : []
  return Promise.all(keys.map(async (name) => ({ name, ttlMs: Number(await node.command('PTTL', name)) })))
}

/** How often servers have read from their connections. */
async function readsOf(nodes: readonly RedisServer[]): Promise<number> {
  const stats = await Promise.all(nodes.map((node) => node.command('INFO', 'stats')))
  return stats.reduce<number>(
    (sum, text) => sum + Number(/total_reads_processed:(\d+)/.exec(String(text))?.[1] ?? Number.NaN),
    0,
  )
}

describeWith(['redis-server'], 'a store in one Redis', () => {
  let redis: RedisServer
  beforeAll(async () => {
    redis = await startRedis({ password: 'canary-redis-password' })
  })
  afterAll(() => redis.stop())

  const login = { password: 'canary-redis-password' }
  const open = (database = 0) =>
    closedAfterwards(openRedisStore(standalone(redis), { login, database, commandTimeoutMs }).store)
  describeContract(open)
  describeRedis(open, () => [redis])

  test('holds the keys of all identities in one place', async () => {
    const store = open()
    expect(store.isSharded).toBe(false)
    await expect(store.run(takeScript, ['{a}', '{b}'], [1, 60_000])).resolves.toBe(true)
  })

  test('keeps its keys in the database that it is told', async () => {
    await open(3).run(addScript, ['{database}'], [1, 60_000])
    expect(String(await redis.command('INFO', 'keyspace'))).toMatch(/db3:keys=[1-9]/)
  })
})

describeWith(['redis-server'], 'a store in a Redis Cluster', () => {
  let cluster: RedisCluster
  beforeAll(async () => {
    cluster = await startRedisCluster()
  })
  afterAll(() => cluster.stop())

  const addresses = () => cluster.nodes.map(({ port }) => ({ host: '127.0.0.1', port }))
  const open = () =>
    closedAfterwards(openRedisStore({ kind: 'cluster', addresses: addresses() }, { commandTimeoutMs }).store)
  describeContract(open)
  describeRedis(open, () => cluster.nodes)

  test('holds the keys of an identity in one place, and those of others elsewhere', async () => {
    const store = open()
    expect(store.isSharded).toBe(true)
    const names = Array.from({ length: 30 }, (_, index) => `{u=user-${index}}:count`)
    await Promise.all(names.map((name) => store.run(addScript, [name], [1, 60_000])))
    const held = await Promise.all(cluster.nodes.map(async (node) => (await keysOf(node)).length))
    expect(held.filter((count) => count > 0)).toHaveLength(cluster.nodes.length)
  })

  test('refuses keys that do not lie together, and answers the next', async () => {
    const store = open()
    await expect(store.run(takeScript, ['{a}', '{b}'], [1, 60_000])).rejects.toThrow()
    await expect(store.run(takeScript, ['{a}:t', '{a}:r'], [1, 60_000])).resolves.toBe(true)
  })
})
