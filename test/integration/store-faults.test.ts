import { afterEach, expect, test } from '@jest/globals'
import { describeWith } from '../support/real-parts.ts'
import { startStoreLoad, timesOf } from '../support/redis-load.ts'
import type { StoreLoad } from '../support/redis-load.ts'
import { startRedis } from '../support/redis-servers.ts'
import type { RedisServer } from '../support/redis-servers.ts'
import { addScript, addTo, openRedisStore, readScript, standalone, withoutStalls } from '../support/redis-store.ts'
import type { Outcome, WatchedStore } from '../support/redis-store.ts'
import { until } from '../support/until.ts'

/** The deadline of a command is 50 ms; what a machine with two cores adds to one call among thousands is another thing. */
function expectPrompt(outcomes: readonly Outcome[]): void {
  const { medianMs, slowestMs } = timesOf(outcomes)
  expect(medianMs).toBeLessThan(100)
  expect(slowestMs).toBeLessThan(2_000)
}

const failed = (outcomes: readonly Outcome[]): readonly Outcome[] => outcomes.filter(({ end }) => end !== 'answered')
/** What is asked is five seconds; a busy machine gets more. The soak measures it. */
const recovery = { deadlineMs: 20_000 }

describeWith(['redis-server'], 'a store whose Redis fails', () => {
  const ends: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end()
  })

  async function redisOf(...options: Parameters<typeof startRedis>): Promise<RedisServer> {
    const redis = await startRedis(...options)
    ends.push(redis.stop)
    return redis
  }
  function storeOf(...options: Parameters<typeof openRedisStore>): WatchedStore {
    const watched = openRedisStore(...options)
    ends.push(() => watched.store.close())
    return watched
  }
  /** Calls on a store that has answered, unless it cannot. */
  async function loadOn({ store }: WatchedStore, { isUp = true } = {}): Promise<StoreLoad> {
    const load = startStoreLoad(store)
    ends.push(() => load.stop())
    if (isUp) await load.untilAnswered()
    return load
  }

  test('F-35: begins without Redis, fails at once, and counts as soon as Redis is there', async () => {
    const redis = await redisOf()
    await redis.kill()
    const watched = storeOf(standalone(redis))
    const load = await loadOn(watched, { isUp: false })
    await load.untilFailed()
    await redis.restart()
    await load.untilAnswered(recovery)
    expectPrompt(failed(await load.stop()))
    expect(withoutStalls(watched.states)).toEqual(['down', 'up'])
  })

  test('F-35: fails at once when Redis is killed under load, tells it once, and comes back with Redis', async () => {
    const redis = await redisOf()
    const watched = storeOf(standalone(redis))
    const load = await loadOn(watched)
    await redis.kill()
    await load.untilFailed()
    await until(() => watched.states.length > 0, { what: 'the store tells that Redis is down' })
    const before = load.outcomes.length
    await until(() => load.outcomes.length > before + 500, { what: 'another 500 calls have ended' })
    await redis.restart()
    await load.untilAnswered(recovery)
    const outcomes = failed(await load.stop())
    expectPrompt(outcomes)
    expect(outcomes.filter(({ end }) => end === 'open').length).toBeGreaterThan(400)
    expect(withoutStalls(watched.states)).toEqual(['down', 'up'])
  })

  test('F-35: bears that its connections are cut under load, and sends nothing twice', async () => {
    const redis = await redisOf()
    const watched = storeOf(standalone(redis))
    const load = await loadOn(watched)
    for (let cut = 0; cut < 3; cut += 1) {
      await redis.command('CLIENT', 'KILL', 'TYPE', 'normal')
      await load.untilAnswered(recovery)
    }
    const outcomes = await load.stop()
    expectPrompt(outcomes)
    const counted = await watched.store.run(readScript, ['{load}'], [])
    const answered = outcomes.filter(({ end }) => end === 'answered').length
    expect(counted).toBeGreaterThanOrEqual(answered)
    expect(counted).toBeLessThanOrEqual(outcomes.length)
    expect(String(await redis.command('CLIENT', 'LIST', 'TYPE', 'normal')).match(/name=wharfgate/g)).toHaveLength(1)
  })

  test.each([
    ['is stopped in its tracks', (redis: RedisServer) => Promise.resolve(redis.stall())],
    ['takes 2 s for everything', (redis: RedisServer) => redis.command('CLIENT', 'PAUSE', 2_000, 'ALL')],
  ])('F-36: waits 50 ms and then not at all when Redis %s, and piles nothing up', async (_what, stall) => {
    const redis = await redisOf()
    const watched = storeOf(standalone(redis))
    const load = await loadOn(watched)
    await redis.command('CONFIG', 'RESETSTAT')
    await stall(redis)
    await until(() => watched.states.length > 0, { what: 'the breaker opens' })
    const { length } = await load.stop()
    const stalled = await Promise.all(Array.from({ length: 3_000 }, () => addTo(watched.store)))
    redis.resume()
    const isBack = async (): Promise<boolean> => (await addTo(watched.store)).end === 'answered'
    await until(isBack, { what: 'the store answers', ...recovery })

    expectPrompt([...load.outcomes.slice(0, length), ...stalled])
    expect(load.outcomes.some(({ end }) => end === 'timeout')).toBe(true)
    expect(stalled.filter(({ end }) => end !== 'open')).toEqual([])
    expect(watched.states).toEqual(['timeout', 'up'])
    // What was sent before the breaker opened is done late; nothing of the 3,000 was kept to be sent.
    const late = /cmdstat_evalsha:calls=(\d+)/.exec(String(await redis.command('INFO', 'commandstats')))?.[1]
    expect(Number(late)).toBeLessThan(1_000)
  })

  test('F-36: begins while Redis takes connections and says nothing, and counts as soon as it does', async () => {
    const redis = await redisOf()
    redis.stall()
    const watched = storeOf(standalone(redis))
    const load = await loadOn(watched, { isUp: false })
    await load.untilFailed()
    await until(() => watched.states.length > 0, { what: 'the store tells that Redis does not answer' })
    redis.resume()
    await load.untilAnswered(recovery)
    expectPrompt(failed(await load.stop()))
    expect(watched.states.at(-1)).toBe('up')
  })

  test('F-40: tells that Redis is out of memory, and counts again when it has some', async () => {
    const redis = await redisOf({ configuration: ['maxmemory-policy noeviction'] })
    const watched = storeOf(standalone(redis))
    const load = await loadOn(watched)
    await redis.command('CONFIG', 'SET', 'maxmemory', 1)
    await until(() => watched.states.length > 0, { what: 'the store tells that Redis is full' })
    await redis.command('CONFIG', 'SET', 'maxmemory', 0)
    await load.untilAnswered(recovery)
    expectPrompt(await load.stop())
    expect(withoutStalls(watched.states)).toEqual(['memory', 'up'])
  })

  test('F-41: counts on without a fault when Redis forgets the scripts', async () => {
    const redis = await redisOf()
    const { store, faults, states } = storeOf(standalone(redis), { commandTimeoutMs: 5_000 })
    for (let flush = 1; flush <= 5; flush += 1) {
      const calls = Array.from({ length: 100 }, () => store.run(addScript, ['{flushed}'], [1, 600_000]))
      if (flush > 1) await redis.command('SCRIPT', 'FLUSH')
      await Promise.all(calls)
      await expect(store.run(readScript, ['{flushed}'], [])).resolves.toBe(flush * 100)
      await redis.command('SCRIPT', 'FLUSH')
    }
    expect(faults).toEqual([])
    expect(states).toEqual([])
  })

  test('F-41: counts from nothing when Redis starts anew and knows neither scripts nor keys', async () => {
    const redis = await redisOf()
    const watched = storeOf(standalone(redis))
    await until(async () => (await addTo(watched.store)).value === 3, { what: 'three are counted' })
    await redis.restart()
    const next = async (): Promise<number | undefined> => (await addTo(watched.store)).value
    await expect(until(next, { what: 'the store answers', ...recovery })).resolves.toBe(1)
  })

  test('F-41: does not take for an answer what a Redis says that still loads its data', async () => {
    // Looks at its connections after every key.
    const slowly = ['key-load-delay 400', 'loading-process-events-interval-bytes 1024', 'rdbcompression no']
    const redis = await redisOf({ configuration: slowly })
    const fill = "for n = 1, 2500 do redis.call('SET', 'key:' .. n, string.rep('x', 1024)) end"
    await redis.command('EVAL', fill, 0)
    await redis.command('SAVE')
    const restarted = redis.restart()
    const isLoading = (): Promise<boolean> =>
      redis.command('PING').then(
        () => false,
        (error: unknown) => String(error).includes('LOADING'),
      )
    await until(isLoading, { what: 'Redis says that it loads', intervalMs: 5 })
    const watched = storeOf(standalone(redis), { commandTimeoutMs: 1_000 })
    const load = await loadOn(watched, { isUp: false })
    await until(() => watched.states.length > 0, { what: 'the store tells that Redis loads' })
    await restarted
    await load.untilAnswered(recovery)
    expectPrompt(await load.stop())
    expect(withoutStalls(watched.states)).toEqual(['loading', 'up'])
  })

  test('fails what is under way when it is closed, and lets go of Redis', async () => {
    const redis = await redisOf()
    const watched = storeOf(standalone(redis), { commandTimeoutMs: 10_000 })
    await expect(addTo(watched.store)).resolves.toMatchObject({ end: 'answered' })
    redis.stall()
    const underWay = Array.from({ length: 10 }, () => addTo(watched.store))
    await watched.store.close()
    redis.resume()
    const outcomes = await Promise.all([...underWay, addTo(watched.store)])
    expectPrompt(outcomes)
    expect(failed(outcomes)).toHaveLength(11)
    const clients = async (): Promise<string> => String(await redis.command('CLIENT', 'LIST'))
    await until(async () => !(await clients()).includes('name=wharfgate'), { what: 'Redis has no client of ours' })
    expect(withoutStalls(watched.states)).toEqual([])
  })
})
