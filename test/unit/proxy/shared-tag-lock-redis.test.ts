import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { createSharedTagLock } from '../../../src/proxy/shared-tag-lock.ts'
import { giveBackTagLeases, renewTagLeases, takeTagLeases } from '../../../src/proxy/tag-lease-script.ts'
import { createTagLock } from '../../../src/proxy/tag-lock.ts'
import type { TagLock } from '../../../src/proxy/tag-lock.ts'
import { monotonicClock } from '../../../src/store/clock.ts'
import { createMemoryStore } from '../../../src/store/memory-store.ts'
import { createRedisStore } from '../../../src/store/redis-store.ts'
import type { Store } from '../../../src/store/store.ts'
import { startRedis } from '../../support/redis-servers.ts'
import type { RedisServer } from '../../support/redis-servers.ts'
import { until } from '../../support/until.ts'

let redis: RedisServer
const stores: Store[] = []
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())
beforeEach(() => redis.command('FLUSHALL'))
afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()))
})

const leaseMs = 60_000
const wait = { waitMs: 60_000 }
const first = 'tag:{team/app}:v1'
const second = 'tag:{team/app}:v2'

const settings = () => ({
  enabled: true as const,
  servers: { kind: 'standalone' as const, host: '127.0.0.1', port: redis.port },
  database: 0,
  keyPrefix: 'wharfgate:',
  // Beyond what a busy machine takes: the tests of a Redis that stalls have a deadline of their own.
  commandTimeoutMs: 20_000,
  connectTimeoutMs: 20_000,
})
const unobserved = { storeStateChanged: () => undefined, storeFailed: () => undefined, storeAnswered: () => undefined }

/** A connection of its own, as another gateway has one. */
async function connect(commandTimeoutMs = 20_000): Promise<Store> {
  const store = createRedisStore({ ...settings(), commandTimeoutMs }, unobserved)
  stores.push(store)
  await store.opened
  return store
}

/** The lock of one gateway, with what it told. */
function gateway(store: Store, ttlMs = leaseMs) {
  const told: string[] = []
  const lock = createSharedTagLock(createTagLock(100), store, {
    leaseMs: ttlMs,
    observe: {
      tagLockNotShared: (fault) => told.push(fault),
      tagLeaseLost: () => told.push('lost'),
    },
  })
  return { lock, told }
}

function hold(lock: TagLock) {
  const { promise, resolve } = Promise.withResolvers<string>()
  const begun = Promise.withResolvers<undefined>()
  const result = lock.run(
    ['team/app:v1'],
    () => {
      begun.resolve(undefined)
      return promise
    },
    wait,
  )
  return { begun: begun.promise, result, end: resolve }
}

const memory = (): Store => {
  const store = createMemoryStore({ clock: monotonicClock, maxKeys: 100 })
  stores.push(store)
  return store
}

describe.each<[name: string, open: () => Store | Promise<Store>]>([
  ['in memory', memory],
  ['in Redis', connect],
])('leases %s', (_name, open) => {
  test('are taken all or none', async () => {
    const store = await open()
    expect(await store.run(takeTagLeases, [second], ['other', leaseMs])).toBe(true)
    expect(await store.run(takeTagLeases, [first, second], ['mine', leaseMs])).toBe(false)
    expect(await store.run(takeTagLeases, [first], ['third', leaseMs])).toBe(true)
  })

  test('are taken again by whoever has them', async () => {
    const store = await open()
    expect(await store.run(takeTagLeases, [first], ['mine', leaseMs])).toBe(true)
    expect(await store.run(takeTagLeases, [first, second], ['mine', leaseMs])).toBe(true)
  })

  test('are given back by their holder alone', async () => {
    const store = await open()
    await store.run(takeTagLeases, [first], ['other', leaseMs])
    await store.run(takeTagLeases, [second], ['mine', leaseMs])
    expect(await store.run(giveBackTagLeases, [first, second], ['mine'])).toBe(1)
    expect(await store.run(giveBackTagLeases, [first, second], ['mine'])).toBe(0)
    expect(await store.run(takeTagLeases, [first], ['mine', leaseMs])).toBe(false)
    expect(await store.run(takeTagLeases, [second], ['third', leaseMs])).toBe(true)
  })

  test('are renewed where they are one’s own or nobody’s, and counted where they are another’s', async () => {
    const store = await open()
    await store.run(takeTagLeases, [first], ['other', leaseMs])
    expect(await store.run(renewTagLeases, [first, second], ['mine', leaseMs])).toBe(1)
    expect(await store.run(takeTagLeases, [second], ['third', leaseMs])).toBe(false)
    expect(await store.run(renewTagLeases, [second], ['mine', leaseMs])).toBe(0)
    expect(await store.run(takeTagLeases, [first], ['mine', leaseMs])).toBe(false)
  })

  test('end by themselves, and last longer when they are renewed', async () => {
    const store = await open()
    await store.run(takeTagLeases, [first, second], ['other', 30])
    await store.run(renewTagLeases, [second], ['other', leaseMs])
    await until(() => store.run(takeTagLeases, [first], ['mine', leaseMs]), { what: 'the lease has ended' })
    expect(await store.run(takeTagLeases, [second], ['mine', leaseMs])).toBe(false)
  })
})

describe('leases in Redis', () => {
  test('have an end, also one that somebody took theirs away from', async () => {
    const store = await connect()
    await store.run(takeTagLeases, [first], ['mine', leaseMs])
    const key = `wharfgate:${first}`
    expect(Number(await redis.command('PTTL', key))).toBeGreaterThan(leaseMs - 30_000)
    await redis.command('PERSIST', key)
    expect(await store.run(takeTagLeases, [first], ['other', leaseMs])).toBe(false)
    expect(Number(await redis.command('PTTL', key))).toBeGreaterThan(0)
    await redis.command('PEXPIRE', key, leaseMs + 3_600_000)
    expect(await store.run(takeTagLeases, [first], ['other', leaseMs])).toBe(false)
    expect(Number(await redis.command('PTTL', key))).toBeLessThanOrEqual(leaseMs)
    await redis.command('PERSIST', key)
    await store.run(renewTagLeases, [first], ['mine', leaseMs])
    expect(Number(await redis.command('PTTL', key))).toBeGreaterThan(0)
  })
})

describe('two gateways on one Redis', () => {
  test('never work on a tag at one time', async () => {
    const gateways = [gateway(await connect()), gateway(await connect())]
    let [running, most, done] = [0, 0, 0]
    const work = async (): Promise<void> => {
      running += 1
      most = Math.max(most, running)
      await redis.command('PING')
      running -= 1
      done += 1
    }
    const runs = gateways.flatMap(({ lock }) =>
      Array.from({ length: 20 }, () => lock.run(['team/app:v1', 'team/app:v2'], work, wait)),
    )
    await Promise.all(runs)
    expect({ most, done, told: gateways.flatMap(({ told }) => told) }).toEqual({ most: 1, done: 40, told: [] })
    expect(await redis.command('KEYS', 'wharfgate:tag:*')).toEqual([])
  })

  test('forget the scripts without losing a turn', async () => {
    const [here, there] = [gateway(await connect()), gateway(await connect())]
    const holder = hold(here.lock)
    await holder.begun
    await redis.command('SCRIPT', 'FLUSH')
    const waiter = hold(there.lock)
    holder.end('first')
    expect(await holder.result).toBe('first')
    waiter.end('second')
    expect(await waiter.result).toBe('second')
    expect([here.told, there.told]).toEqual([[], []])
  })

  test('one that is killed while it works holds up the other no longer than its lease', async () => {
    const ttlMs = 900
    const child = spawn(process.execPath, ['--input-type=module', '-e', holder(redis.port, ttlMs)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    try {
      await once(child.stdout, 'data')
      const ended = once(child, 'exit')
      const waiter = gateway(await connect(), ttlMs)
      const { begun, end, result } = hold(waiter.lock)
      // It is renewed as long as the other lives.
      const leftMs = async (): Promise<number> => Number(await redis.command('PTTL', `wharfgate:${first}`))
      await until(async () => (await leftMs()) < 0.75 * ttlMs, { what: 'the lease ages', intervalMs: 5 })
      await until(async () => (await leftMs()) > 0.8 * ttlMs, { what: 'the lease is renewed', intervalMs: 5 })
      child.kill('SIGKILL')
      await ended
      const killedMs = performance.now()
      await begun
      expect(performance.now() - killedMs).toBeLessThan(ttlMs + 10_000)
      end('done')
      expect(await result).toBe('done')
      expect(waiter.told).toEqual([])
    } finally {
      child.kill('SIGKILL')
    }
  })

  test('go on with their own locks while Redis stalls, and share again afterwards', async () => {
    const [here, there] = [gateway(await connect(100)), gateway(await connect(100))]
    redis.stall()
    try {
      const [one, two] = [hold(here.lock), hold(there.lock)]
      await Promise.all([one.begun, two.begun])
      one.end('one')
      two.end('two')
      expect(await Promise.all([one.result, two.result])).toEqual(['one', 'two'])
      expect([here.told, there.told]).toEqual([['timeout'], ['timeout']])
    } finally {
      redis.resume()
    }
    await until(
      async () => {
        const told = here.told.length
        const holding = hold(here.lock)
        await holding.begun
        const isShared = here.told.length === told && (await redis.command('EXISTS', `wharfgate:${first}`)) === 1
        holding.end('')
        await holding.result
        return isShared
      },
      { what: 'the lock is shared again' },
    )
  })
})

/** A gateway as far as its lock goes, that takes it, says so, and works for ever. */
function holder(port: number, ttlMs: number): string {
  const source = (name: string): string => pathToFileURL(join(import.meta.dirname, '../../../src', name)).href
  return `
    import { createSharedTagLock } from '${source('proxy/shared-tag-lock.ts')}'
    import { createTagLock } from '${source('proxy/tag-lock.ts')}'
    import { createRedisStore } from '${source('store/redis-store.ts')}'
    const nothing = () => undefined
    const settings = ${JSON.stringify({ ...settings(), servers: { kind: 'standalone', host: '127.0.0.1', port } })}
    const store = createRedisStore(settings, { storeStateChanged: nothing, storeFailed: nothing, storeAnswered: nothing })
    const observe = { tagLockNotShared: nothing, tagLeaseLost: nothing }
    const lock = createSharedTagLock(createTagLock(1), store, { leaseMs: ${ttlMs}, observe })
    lock.run(['team/app:v1'], () => {
      process.stdout.write('begun')
      return new Promise(() => setInterval(nothing, 1000))
    }, { waitMs: 60000 })
  `
}
