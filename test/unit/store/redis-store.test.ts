import { createHash } from 'node:crypto'
import { inspect } from 'node:util'
import { afterEach, describe, expect, test } from '@jest/globals'
import type { RedisConnection } from '../../../src/config/redis-settings.ts'
import type { StoreState } from '../../../src/store/breaker.ts'
import { createRedisStore } from '../../../src/store/redis-store.ts'
import { StoreError } from '../../../src/store/store.ts'
import type { StoreScript } from '../../../src/store/store.ts'
import type { StoreFault } from '../../../src/telemetry/labels.ts'
import { until } from '../../support/until.ts'
import { startFakeRedis } from './fake-redis.ts'
import type { Answer, FakeRedis } from './fake-redis.ts'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const count: StoreScript<number> = {
  name: 'count',
  lua: '-- KEYS[1] counter\nreturn 7',
  inMemory: () => 7,
  parse: (raw) => {
    if (typeof raw !== 'number') throw new TypeError('not a count')
    return raw
  },
}

function hashOf(lua: string): string {
  return createHash('sha1').update(lua).digest('hex')
}

async function fakeRedis(answer: Answer): Promise<FakeRedis> {
  const redis = await startFakeRedis(answer)
  ends.push(redis.stop)
  return redis
}

function open(port: number, settings: Partial<RedisConnection> = {}) {
  const states: StoreState[] = []
  const faults: StoreFault[] = []
  const seconds: number[] = []
  const store = createRedisStore(
    {
      enabled: true,
      servers: { kind: 'standalone', host: '127.0.0.1', port },
      database: 0,
      keyPrefix: 'w:',
      commandTimeoutMs: 1_000,
      connectTimeoutMs: 2_000,
      ...settings,
    },
    {
      storeStateChanged: (state) => states.push(state),
      storeFailed: (fault) => faults.push(fault),
      storeAnswered: (took) => seconds.push(took),
    },
  )
  ends.push(() => store.close())
  return { store, states, faults, seconds, run: () => store.run(count, ['limit:{all}'], [1, 'two']) }
}

/** Answers the probe well, and everything else as told. */
function probed(answer: Answer): Answer {
  return (command, socket) => {
    if (command[0] !== 'evalsha') return command[0] === 'eval' ? answer(command, socket) : '+OK\r\n'
    return command[3]?.startsWith('w:probe') === true ? ':1\r\n' : answer(command, socket)
  }
}

async function failureOf(call: Promise<unknown>): Promise<StoreError> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof StoreError) return error
  throw new Error('did not fail as a store does', { cause: error })
}

function scriptsOf({ commands }: FakeRedis): readonly (readonly string[])[] {
  return commands.filter(([name, , , key]) => (name === 'evalsha' || name === 'eval') && key === 'w:limit:{all}')
}

describe('a store on Redis', () => {
  test('sends the hash of a script with prefixed keys and the arguments, and reads the reply', async () => {
    const redis = await fakeRedis(probed(() => ':41\r\n'))
    const { run, seconds, faults, states } = open(redis.port)
    expect(await run()).toBe(41)
    expect(scriptsOf(redis)).toEqual([['evalsha', hashOf(count.lua), '1', 'w:limit:{all}', '1', 'two']])
    expect(seconds).toEqual([expect.any(Number)])
    expect(faults).toEqual([])
    expect(states).toEqual([])
  })
  test('sends the whole script to a Redis that does not know it', async () => {
    const redis = await fakeRedis(
      probed(([name]) => (name === 'eval' ? ':42\r\n' : '-NOSCRIPT No matching script. Please use EVAL.\r\n')),
    )
    const { run, faults } = open(redis.port)
    expect(await run()).toBe(42)
    expect(scriptsOf(redis).map(([name, script]) => [name, script])).toEqual([
      ['evalsha', hashOf(count.lua)],
      ['eval', count.lua],
    ])
    expect(faults).toEqual([])
  })
  test('says nothing to Redis but what it must', async () => {
    const redis = await fakeRedis(probed(() => ':1\r\n'))
    const login = { username: 'gate', password: 'canary-redis' }
    await open(redis.port, { login, database: 3 }).run()
    expect(redis.commands.map(([name, ...args]) => (name === 'evalsha' ? name : [name, ...args].join(' ')))).toEqual([
      'auth gate canary-redis',
      'select 3',
      'client setname wharfgate',
      'evalsha',
      'evalsha',
    ])
  })
  test.each<[StoreFault, string]>([
    ['memory', 'OOM command not allowed'],
    ['cluster', 'CLUSTERDOWN The cluster is down'],
    ['other', 'WRONGTYPE Operation against a key'],
  ])('fails with %s where Redis says %s, and asks on', async (fault, message) => {
    const redis = await fakeRedis(probed(() => `-${message}\r\n`))
    const { run, faults, states } = open(redis.port)
    const error = await failureOf(run())
    expect([error.fault, error.message]).toEqual([fault, message])
    expect(faults).toEqual([fault])
    expect(states).toEqual([])
    expect((await failureOf(run())).fault).toBe(fault)
    expect(scriptsOf(redis)).toHaveLength(2)
  })
  test.each<[StoreFault, string]>([
    ['readonly', "READONLY You can't write against a read only replica."],
    ['loading', 'LOADING Redis is loading the dataset in memory'],
    ['login', "NOPERM User gate has no permissions to run the 'evalsha' command"],
  ])('asks no more at once where Redis says %s of itself', async (fault, message) => {
    const redis = await fakeRedis(probed(() => `-${message}\r\n`))
    const { run, states } = open(redis.port)
    expect((await failureOf(run())).fault).toBe(fault)
    expect(states[0]).toEqual({ up: false, fault, reason: message })
    expect((await failureOf(run())).fault).toBe('open')
  })
  test('leaves a replica for whoever is at the address then', async () => {
    const redis = await fakeRedis(probed(() => (redis.connections() === 1 ? '-READONLY replica\r\n' : ':1\r\n')))
    const { run, states } = open(redis.port)
    expect((await failureOf(run())).fault).toBe('readonly')
    await until(() => states.length === 2, { what: 'the store is up again' })
    expect(states[1]).toEqual({ up: true })
    expect(await run()).toBe(1)
    expect(redis.connections()).toBe(2)
  })
  test('takes a reply that the script does not give for a fault, and Redis for well', async () => {
    const redis = await fakeRedis(probed(() => '$6\r\nforged\r\n'))
    const { run, states } = open(redis.port)
    for (let left = 10; left > 0; left -= 1) expect((await failureOf(run())).fault).toBe('other')
    expect(states).toEqual([])
  })
  test('waits for an answer until the deadline, and for a late one not at all', async () => {
    let answer: (() => void) | undefined
    const redis = await fakeRedis(
      probed((_command, socket) => {
        answer = () => socket.write('-NOSCRIPT No matching script\r\n:9\r\n')
        return undefined
      }),
    )
    const { run, faults } = open(redis.port, { commandTimeoutMs: 30 })
    const startedMs = performance.now()
    const [first, second] = await Promise.all([failureOf(run()), failureOf(run())])
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(29)
    expect([first.fault, second.fault, first.message]).toEqual([
      'timeout',
      'timeout',
      'Redis did not answer within 30 ms',
    ])
    answer?.()
    await failureOf(run())
    expect(scriptsOf(redis).filter(([name]) => name === 'eval')).toEqual([])
    expect(faults).toEqual(['timeout', 'timeout', 'timeout'])
  })
  test('hears an answer that came while the process itself stood still', async () => {
    const redis = await fakeRedis(
      probed((_command, socket) => {
        socket.write(':5\r\n')
        const endMs = performance.now() + 80
        while (performance.now() < endMs);
        return undefined
      }),
    )
    expect(await open(redis.port, { commandTimeoutMs: 30 }).run()).toBe(5)
  })
  test('asks nobody while it is known that nobody answers', async () => {
    const redis = await fakeRedis(probed(() => undefined))
    const { run, store, states, faults } = open(redis.port, { commandTimeoutMs: 20 })
    await store.opened
    await Promise.all(Array.from({ length: 5 }, () => failureOf(run())))
    expect(states).toEqual([{ up: false, fault: 'timeout', reason: 'Redis did not answer within 20 ms' }])
    expect((await failureOf(run())).fault).toBe('open')
    expect(scriptsOf(redis)).toHaveLength(5)
    expect(faults.slice(0, 6)).toEqual([...Array.from({ length: 5 }, () => 'timeout'), 'open'])
  })
  test('drops a connection on which nothing comes, and everything that was asked on it', async () => {
    const redis = await fakeRedis(probed(() => (redis.connections() === 1 ? undefined : ':1\r\n')))
    const { run } = open(redis.port, { commandTimeoutMs: 20 })
    expect((await failureOf(run())).fault).toBe('timeout')
    await until(() => redis.connections() === 2 && redis.open() === 1, { what: 'the connection is made anew' })
    expect(await run()).toBe(1)
  })
  test('is not down because Redis ends an idle connection', async () => {
    const redis = await fakeRedis(
      probed((_command, socket) => {
        if (redis.connections() === 1) setImmediate(() => socket.end())
        return ':1\r\n'
      }),
    )
    const { run, states } = open(redis.port)
    await run()
    await until(() => redis.connections() === 2, { what: 'it connects again' })
    await until(async () => (await run()) === 1, { what: 'it answers' })
    expect(states).toEqual([])
  })
  test('ends at once, with what is under way', async () => {
    const redis = await fakeRedis(probed(() => undefined))
    const { run, store } = open(redis.port)
    await store.opened
    const call = failureOf(run())
    await until(() => scriptsOf(redis).length === 1, { what: 'the call is under way' })
    await store.close()
    expect((await call).fault).toBe('down')
    await until(() => redis.open() === 0, { what: 'the connection is gone' })
    expect((await failureOf(run())).message).toBe('the store is closed')
    await store.close()
    expect(redis.connections()).toBe(1)
  })
})

describe('a start without Redis', () => {
  test('fails calls at once, says so once, and finds Redis when it comes', async () => {
    const gone = await startFakeRedis(() => undefined)
    await gone.stop()
    const { run, store, states } = open(gone.port)
    await store.opened
    expect(states).toEqual([{ up: false, fault: 'down', reason: `connect ECONNREFUSED 127.0.0.1:${gone.port}` }])
    expect((await failureOf(run())).fault).toBe('open')
    const redis = await startFakeRedis(
      probed(() => ':6\r\n'),
      gone.port,
    )
    ends.push(redis.stop)
    await until(() => states.length === 2, { what: 'the store is up' })
    expect(states[1]).toEqual({ up: true })
    expect(await run()).toBe(6)
  })
  test('makes early calls wait for the connection, but not longer than for an answer', async () => {
    const redis = await fakeRedis(() => undefined)
    const { run, states } = open(redis.port, { commandTimeoutMs: 30, login: { password: 'canary-redis' } })
    const error = await failureOf(run())
    expect([error.fault, error.message]).toEqual(['down', 'the first connection to Redis does not stand yet'])
    expect(states).toEqual([])
  })
  test('does not last longer than a connection may take', async () => {
    const redis = await fakeRedis(() => undefined)
    const { store } = open(redis.port, { connectTimeoutMs: 50, login: { password: 'canary-redis' } })
    await store.opened
    expect(redis.commands).toContainEqual(['auth', 'canary-redis'])
  })
  test.each([
    ['-WRONGPASS invalid username-password pair or user is disabled.', 'login'],
    ["-ERR unknown command 'auth', with args beginning with: 'canary-redis'", 'other'],
  ])('that Redis refuses with %s tells no password', async (refusal, fault) => {
    const redis = await fakeRedis(([name]) => (name === 'auth' ? `${refusal}\r\n` : '+OK\r\n'))
    const { run, store, states, faults } = open(redis.port, { login: { password: 'canary-redis' } })
    await store.opened
    expect(states).toMatchObject([{ up: false, fault }])
    const told = inspect([states, faults, await failureOf(run())], { depth: 20, showHidden: true })
    expect(told).not.toContain('canary')
  })
})

describe('a store on Redis Cluster', () => {
  function cluster(answer: Answer): Answer {
    return (command, socket) => {
      if (command[0] !== 'cluster') return probed(answer)(command, socket)
      return `*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:${socket.localPort ?? 0}\r\n`
    }
  }
  function openCluster(port: number) {
    return open(port, { servers: { kind: 'cluster', addresses: [{ host: '127.0.0.1', port }] } })
  }

  test('is sharded, and counts', async () => {
    const redis = await fakeRedis(cluster(() => ':3\r\n'))
    const { run, store } = openCluster(redis.port)
    expect(store.isSharded).toBe(true)
    expect(await run()).toBe(3)
  })
  test('follows a key that has moved, and asks where one is on its way', async () => {
    const other = await fakeRedis(([name]) => (name === 'asking' ? '+OK\r\n' : ':8\r\n'))
    const redis = await fakeRedis(cluster(() => `-ASK 1 127.0.0.1:${other.port}\r\n`))
    expect(await openCluster(redis.port).run()).toBe(8)
    const moved = await fakeRedis(cluster(() => `-MOVED 1 127.0.0.1:${other.port}\r\n`))
    expect(await openCluster(moved.port).run()).toBe(8)
    expect(other.commands.map(([name]) => name).filter((name) => name === 'asking')).toHaveLength(1)
  })
  test('survives that a key is on its way to a server that is not there', async () => {
    const unhandled: unknown[] = []
    const listen = (reason: unknown): void => void unhandled.push(reason)
    process.on('unhandledRejection', listen)
    ends.push(() => Promise.resolve(process.off('unhandledRejection', listen)))
    const gone = await startFakeRedis(() => undefined)
    await gone.stop()
    const redis = await fakeRedis(cluster(() => `-ASK 1 127.0.0.1:${gone.port}\r\n`))
    expect((await failureOf(openCluster(redis.port).run())).fault).toBe('down')
    await new Promise((resolve) => setImmediate(resolve))
    expect(unhandled).toEqual([])
  })
  test('does not go round for ever', async () => {
    const redis = await fakeRedis(cluster((_command, { localPort = 0 }) => `-MOVED 1 127.0.0.1:${localPort}\r\n`))
    expect((await failureOf(openCluster(redis.port).run())).fault).toBe('cluster')
    expect(scriptsOf(redis).length).toBeLessThan(10)
  })
})
