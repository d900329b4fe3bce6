import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { basic } from '../support/personas.ts'
import { run } from '../support/processes.ts'
import type { RunResult } from '../support/processes.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { startRedis } from '../support/redis-servers.ts'
import type { RedisServer } from '../support/redis-servers.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'
import { until } from '../support/until.ts'

const command = join(import.meta.dirname, '../../bin/wharfgate.js')
const wharfgate = (gateway: TestGateway, ...words: readonly string[]): Promise<RunResult> =>
  run(process.execPath, [command, ...words, '--config', join(gateway.directory, 'wharfgate.json')])

const bucket = { scope: 'user', class: 'pull', quota: 3, windowSeconds: 86_400 }
const settings = (port: number) => ({
  redis: { enabled: true, url: `redis://127.0.0.1:${port}`, commandTimeoutMs: 1_000 },
  rateLimit: {
    enabled: true,
    refusalWaitMs: 0,
    buckets: [
      { ...bucket, name: 'pulls' },
      { ...bucket, name: 'all-pulls', scope: 'global', quota: 1_000 },
    ],
  },
  lockout: { enabled: true, freeAttempts: 2 },
})

let upstream: RecordingUpstream
let redis: RedisServer
let here: TestGateway
let there: TestGateway
beforeAll(async () => {
  upstream = await startRecordingUpstream()
  redis = await startRedis()
  here = await startGateway({ upstreamUrl: upstream.url, settings: settings(redis.port) })
  there = await startGateway({ upstreamUrl: upstream.url, settings: settings(redis.port) })
})
beforeEach(() => redis.command('FLUSHALL'))
afterAll(async () => {
  await Promise.all([here.stop(), there.stop()])
  await redis.stop()
  await upstream.close()
})

const pull = async (gateway: TestGateway): Promise<number> =>
  (await gateway.as('alice', { path: '/v2/team/app/manifests/v1' })).status

describe('wharfgate limits', () => {
  test('shows what is left after pulls through another replica, and makes it whole', async () => {
    expect([await pull(there), await pull(there), await pull(there), await pull(there)]).toEqual([200, 200, 200, 429])
    const shown = await wharfgate(here, 'limits', 'show', '--user', 'alice')
    expect(shown).toMatchObject({ stderr: '', code: 0 })
    expect(shown.stdout).toMatch(/^pulls +user alice +3 pulls in 1 day +0 +\d/m)
    expect(shown.stdout).toMatch(/^all-pulls +all together +1000 pulls in 1 day +997 +\d/m)
    expect(shown.stdout).not.toContain('alone')

    const reset = await wharfgate(here, 'limits', 'reset', '--user', 'alice')
    expect(reset).toMatchObject({ stdout: 'whole again for alice: pulls\n', stderr: '', code: 0 })
    const { stdout } = await wharfgate(here, 'limits', 'show', '--user', 'alice', '--json')
    expect(JSON.parse(stdout)).toMatchObject({
      limits: [
        { bucket: 'pulls', remaining: 3, resetSeconds: 0 },
        { bucket: 'all-pulls', remaining: 997 },
      ],
    })
    expect(await pull(there)).toBe(200)
  })

  test('says that Redis does not answer, and is whole again when it does', async () => {
    await redis.kill()
    try {
      const { stderr, code } = await wharfgate(here, 'limits', 'show', '--user', 'alice')
      expect({ stderr, code }).toEqual({ stderr: expect.stringContaining('Redis does not answer'), code: 1 })
    } finally {
      await redis.restart()
    }
    await until(async () => (await wharfgate(here, 'limits', 'show', '--user', 'alice')).code === 0, {
      what: 'Redis answers again',
    })
  })
})

describe('wharfgate lockout', () => {
  test('lists an address after wrong passwords at another replica, and lets it in again', async () => {
    const login = async (password: string): Promise<number> =>
      (await there.ask({ path: '/v2/', headers: { authorization: basic('bob', password) } })).status
    let guesses = 0
    const listed = await until(
      async () => {
        // Each lock is twice as long as the one before, so that one is long enough for the command to be started in it.
        while ((await login(`wrong ${(guesses += 1)}`)) === 401);
        const said = await wharfgate(here, 'lockout', 'list')
        return said.stdout.includes('127.0.0.1') && said
      },
      { what: 'the address is listed' },
    )
    expect(listed).toMatchObject({ stderr: '', code: 0 })
    expect(listed.stdout).toMatch(/^127\.0\.0\.1 +1 user +\d+ +-$/m)

    const cleared = await wharfgate(here, 'lockout', 'clear', '--address', '127.0.0.1')
    expect(cleared).toMatchObject({ stdout: 'wrong passwords from 1 address are forgotten\n', stderr: '', code: 0 })
    expect((await wharfgate(here, 'lockout', 'list')).stdout).toBe('nobody is locked out\n')
    expect(await login('another')).toBe(401)
  })
})

test('a gateway without limits and lockout says so, and what switches them on', async () => {
  const gateway = await startGateway({ upstreamUrl: upstream.url, settings: { lockout: { enabled: false } } })
  try {
    const limits = await wharfgate(gateway, 'limits', 'show', '--user', 'alice')
    expect(limits).toMatchObject({ stdout: '', stderr: expect.stringContaining('rateLimit.enabled'), code: 1 })
    const lockout = await wharfgate(gateway, 'lockout', 'list')
    expect(lockout).toMatchObject({ stdout: '', stderr: expect.stringContaining('lockout.enabled'), code: 1 })
  } finally {
    await gateway.stop()
  }
})
