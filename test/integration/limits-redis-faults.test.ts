import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { keepSecret } from '../support/canaries.ts'
import { basic } from '../support/personas.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { startRedis } from '../support/redis-servers.ts'
import type { RedisServer } from '../support/redis-servers.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'
import { until } from '../support/until.ts'

const password = 'canary-redis-of-the-gateway'

describeWith(['redis-server'], 'a gateway whose Redis fails while it serves', () => {
  let redis: RedisServer
  let upstream: RecordingUpstream
  let gateway: TestGateway

  beforeEach(async () => {
    keepSecret('redis', password)
    redis = await startRedis({ password })
    upstream = await startRecordingUpstream()
  })
  afterEach(async () => {
    expect(gateway.faults()).toEqual([])
    await gateway.stop()
    await upstream.close()
    await redis.stop()
  })

  async function start(onStoreError: string, quota: number): Promise<void> {
    const buckets = [{ name: 'pulls', scope: 'user', class: 'pull', quota, windowSeconds: 3_600 }]
    gateway = await startGateway({
      upstreamUrl: upstream.url,
      settings: {
        redis: { enabled: true, url: `redis://:${password}@127.0.0.1:${redis.port}` },
        rateLimit: { enabled: true, refusalWaitMs: 0, onStoreError, buckets },
      },
    })
    const isCounting = async (): Promise<boolean> => {
      await pull()
      return (await keys()) > 0
    }
    await until(isCounting, { what: 'the gateway counts in Redis' })
  }
  const pull = () => gateway.as('alice', { path: '/v2/alice/app/manifests/v1' })
  const keys = async (): Promise<number> => {
    const names = await redis.command('KEYS', '*:r:pulls')
    return Array.isArray(names) ? names.length : 0
  }
  async function pulls(count: number): Promise<readonly number[]> {
    const statuses: number[] = []
    for (let left = count; left > 0; left -= 1) statuses.push((await pull()).status)
    return statuses
  }
  const storeUp = async (): Promise<number> => {
    const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
    return Number(/^wharfgate_store_up (\d)$/m.exec(text)?.[1])
  }
  const untilUp = () => until(async () => (await storeUp()) === 1, { what: 'the store is up', deadlineMs: 20_000 })
  const isDown = async (): Promise<boolean> => {
    await pull()
    return (await storeUp()) === 0
  }
  const untilDown = () => until(isDown, { what: 'the store is down' })
  const told = (sentence: string): number => gateway.log().split(sentence).length - 1

  test('F-35: counts in its own memory meanwhile, exactly, and in Redis again afterwards', async () => {
    await start('local', 50)
    await redis.kill()
    await untilDown()
    const statuses = await pulls(60)
    // One replica gives what all of them together may: those before the breaker opened count too.
    expect(statuses.filter((status) => status === 200).length).toBeLessThanOrEqual(50)
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(0)
    expect(statuses.at(-1)).toBe(429)
    expect((await fetch(`${gateway.adminUrl}/readyz`)).status).toBe(200)
    await redis.restart()
    await untilUp()
    expect((await pull()).status).toBe(200)
    expect(await keys()).toBe(1)
    expect([told('"Redis does not answer; '), told('"Redis answers again"')]).toEqual([1, 1])
  })

  test('F-36: answers 503 in place of waiting where the limits are not to be passed by, and no client sees a 500', async () => {
    await start('deny', 1_000)
    redis.stall()
    await untilDown()
    const startedMs = performance.now()
    expect(new Set(await pulls(40))).toEqual(new Set([503]))
    // 40 that each waited out the deadline would take 2 s, and those that wait for Redis as long as it likes no end.
    expect(performance.now() - startedMs).toBeLessThan(10_000)
    redis.resume()
    await untilUp()
    expect((await pull()).status).toBe(200)
    expect([told('"Redis does not answer; '), told('"Redis answers again"')]).toEqual([1, 1])
  })

  test.each([
    ['F-38', 'takes no writes', ['REPLICAOF', '127.0.0.1', '1'], ['REPLICAOF', 'NO', 'ONE'], 'readonly'],
    ['F-40', 'is out of memory', ['CONFIG', 'SET', 'maxmemory', '1'], ['CONFIG', 'SET', 'maxmemory', '0'], 'memory'],
  ])('%s: admits meanwhile, as it is told, when Redis %s, and says why', async (_row, _what, fail, mend, fault) => {
    await start('allow', 3)
    await redis.command(...fail)
    await untilDown()
    expect(new Set(await pulls(10))).toEqual(new Set([200]))
    expect(gateway.log()).toContain(`"fault":"${fault}"`)
    await redis.command(...mend)
    await untilUp()
    const refused = async (): Promise<boolean> => (await pull()).status === 429
    await until(refused, { what: 'the limit holds again' })
  })

  test('needs no more rights than docs/how-to/redis.md gives it', async () => {
    const guide = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'how-to', 'redis.md'), 'utf8')
    const [, rights = ''] = /^user wharfgate on >PASSWORD (.+)$/m.exec(guide) ?? []
    await redis.command('ACL', 'SETUSER', 'wharfgate', 'reset', 'on', `>${password}`, ...rights.split(' '))
    const kinds = [
      { name: 'pulls', class: 'pull', quota: 3, windowSeconds: 3_600 },
      { name: 'bytes', class: 'pull', unit: 'bytes', quota: 10_000, windowSeconds: 3_600 },
      { name: 'transfers', class: 'pull', unit: 'concurrent', quota: 10 },
      { name: 'pushes', class: 'push', quota: 3, windowSeconds: 3_600 },
    ]
    gateway = await startGateway({
      upstreamUrl: upstream.url,
      settings: {
        redis: { enabled: true, url: `redis://wharfgate:${password}@127.0.0.1:${redis.port}` },
        rateLimit: { enabled: true, refusalWaitMs: 0, buckets: kinds.map((kind) => ({ scope: 'user', ...kind })) },
      },
    })
    await until(async () => (await pull()).status === 429, { what: 'the pulls are used up' })
    await gateway.as('alice', { method: 'POST', path: '/v2/alice/app/blobs/uploads/' })
    for (let guess = 1; guess <= 7; guess += 1) {
      await gateway.ask({ path: '/v2/', headers: { authorization: basic('alice', `wrong-guess-${guess}`) } })
    }
    await gateway.as('bob', { path: '/v2/' })
    expect(await keys()).toBe(1)
    expect(await redis.command('ACL', 'LOG')).toEqual([])
    expect(gateway.log()).not.toContain('Redis does not answer')
  })
})
