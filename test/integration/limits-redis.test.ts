import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { answerJson, startFaultUpstream } from '../support/fault-upstream.ts'
import type { FaultUpstream } from '../support/fault-upstream.ts'
import { pushBlob } from '../support/fault-push.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import { startLimitedGateway } from '../support/redis-gateways.ts'
import type { LimitedGateway } from '../support/redis-gateways.ts'
import { startRedis } from '../support/redis-servers.ts'
import type { RedisServer } from '../support/redis-servers.ts'
import { until } from '../support/until.ts'

const sixHours = 21_600
const manifest = '/v2/alice/app/manifests/v1'

async function keysOf(redis: RedisServer): Promise<readonly { readonly name: string; readonly ttlMs: number }[]> {
  const names = await redis.command('KEYS', '*')
  return Promise.all(
    (Array.isArray(names) ? names.map(String) : []).map(async (name) => ({
      name,
      ttlMs: Number(await redis.command('PTTL', name)),
    })),
  )
}

/** What `count` requests at once, in turn to one gateway and the other, were answered. */
function askBoth(gateways: readonly LimitedGateway[], count: number, path = manifest): Promise<readonly number[]> {
  return Promise.all(
    Array.from(
      { length: count },
      (_, index) => gateways[index % gateways.length]?.statusOf(path) ?? Promise.resolve(0),
    ),
  )
}

describeWith(['redis-server'], 'two gateways on one Redis', () => {
  let redis: RedisServer
  let upstream: FaultUpstream
  let gateways: LimitedGateway[] = []

  beforeAll(async () => {
    redis = await startRedis()
    upstream = await startFaultUpstream()
  })
  afterAll(async () => {
    await upstream.close()
    await redis.stop()
  })
  beforeEach(async () => {
    upstream.reset()
    await redis.command('FLUSHALL')
  })
  afterEach(async () => {
    await Promise.all(gateways.splice(0).map((gateway) => gateway.stop()))
  })
  async function startTwo(buckets: readonly Readonly<Record<string, unknown>>[]): Promise<void> {
    const options = { redis, upstreamUrl: upstream.url, buckets }
    gateways = await Promise.all([startLimitedGateway(options), startLimitedGateway(options)])
  }

  const pullsServed = (): number => upstream.requests.filter((line) => line.includes(manifest)).length

  test('A-110: admit exactly 100 of 400 parallel pulls at a limit of 100 in 6 hours, ten times in a row', async () => {
    await startTwo([{ name: 'pulls', scope: 'user', class: 'pull', quota: 100, windowSeconds: sixHours }])
    for (let round = 1; round <= 10; round += 1) {
      const before = pullsServed()
      const statuses = await askBoth(gateways, 400)
      expect(statuses.filter((status) => status === 200)).toHaveLength(100)
      expect(statuses.filter((status) => status === 429)).toHaveLength(300)
      expect(pullsServed() - before).toBe(100)
      expect((await keysOf(redis)).filter(({ ttlMs }) => ttlMs < 0)).toEqual([])
      await redis.command('FLUSHALL')
    }
  })

  test('A-110: admit nothing more for a key that lost its end, and give it one again', async () => {
    await startTwo([{ name: 'pulls', scope: 'user', class: 'pull', quota: 3, windowSeconds: sixHours }])
    await askBoth(gateways, 4)
    const [key] = (await keysOf(redis)).filter(({ name }) => name.endsWith(':r:pulls'))
    await redis.command('PERSIST', key?.name ?? '')
    expect(await askBoth(gateways, 2)).toEqual([429, 429])
    const ttlMs = Number(await redis.command('PTTL', key?.name ?? ''))
    expect(ttlMs).toBeGreaterThan(0)
    expect(ttlMs).toBeLessThanOrEqual(sixHours * 1000)
  })

  test('A-111: leave no key without an end, though one of them is killed in the middle of a storm', async () => {
    await startTwo([
      { name: 'pulls', scope: 'user', class: 'pull', quota: 1_000, windowSeconds: sixHours },
      { name: 'pulls-of-all', scope: 'global', class: 'pull', quota: 5_000, windowSeconds: sixHours },
      { name: 'requests', scope: 'address', class: 'requests', quota: 50_000, windowSeconds: sixHours },
      { name: 'bytes', scope: 'user', class: 'pull', unit: 'bytes', quota: 100_000, windowSeconds: sixHours },
      { name: 'transfers', scope: 'user', class: 'pull', unit: 'concurrent', quota: 10_000 },
      { name: 'pushes', scope: 'user', class: 'push', quota: 1_000, windowSeconds: sixHours },
      { name: 'logins', scope: 'address', class: 'login', quota: 10_000, windowSeconds: sixHours },
    ])
    const [first, second] = gateways
    const storm = [
      askBoth(gateways, 300),
      askBoth(gateways, 300, '/v2/alice/app/blobs/sha256:' + 'a'.repeat(64)),
      askBoth(gateways, 100, '/v2/alice/app/tags/list'),
      ...gateways.map(({ asAlice }) =>
        asAlice({ path: manifest, headers: { authorization: 'Basic YWxpY2U6d3Jvbmc=' } }),
      ),
      ...gateways.map(({ asAlice }) => asAlice({ method: 'POST', path: '/v2/alice/app/blobs/uploads/' })),
    ]
    await until(() => upstream.requests.length > 100, { what: 'a hundred requests went through', intervalMs: 1 })
    await first?.kill()
    await Promise.allSettled(storm)
    expect(await second?.statusOf(manifest)).toBe(200)
    const keys = await keysOf(redis)
    const kinds = new Set(keys.map(({ name }) => name.replace(/\{.*\}/, '{}')))
    expect([...kinds]).toEqual(
      expect.arrayContaining(
        ['r:pulls', 'r:pulls-of-all', 'r:requests', 'b:bytes'].map((end) => `wharfgate:limit:{}:${end}`),
      ),
    )
    expect(keys.filter(({ ttlMs }) => ttlMs < 0)).toEqual([])
  })

  test('A-111: free the transfers of one that is killed with 20 of them under way', async () => {
    await startTwo([{ name: 'transfers', scope: 'user', class: 'pull', unit: 'concurrent', quota: 20 }])
    const [first, second] = gateways
    upstream.play(() => undefined)
    const held = askBoth(gateways.slice(0, 1), 20)
    await until(() => upstream.requests.length === 20, { what: '20 pulls are under way' })
    upstream.play(answerJson(200, '{}'))
    expect(await second?.statusOf(manifest)).toBe(429)
    await first?.kill()
    await held
    expect(await second?.statusOf(manifest)).toBe(429)

    const [key] = (await keysOf(redis)).filter(({ name }) => name.endsWith(':c:transfers'))
    const { name = '', ttlMs = 0 } = key ?? {}
    expect(ttlMs).toBeGreaterThan(0)
    expect(ttlMs).toBeLessThanOrEqual(30_000)
    const leases = await redis.command('ZRANGE', name, 0, -1, 'WITHSCORES')
    const words = Array.isArray(leases) ? leases.map(String) : []
    expect(words).toHaveLength(40)
    // Half a minute passes for the leases, and for no test.
    const ids = words.filter((_word, index) => index % 2 === 0)
    for (const id of ids) await redis.command('ZINCRBY', name, -30_000, id)
    expect(await second?.statusOf(manifest)).toBe(200)
  })
})

describeWith(['redis-server', 'docker-registry'], 'a push whose limits are counted in Redis', () => {
  let redis: RedisServer
  let registry: RealRegistry
  let gateways: LimitedGateway[] = []

  beforeAll(async () => {
    redis = await startRedis()
    // Both gateways go to one registry.
    registry = await startRealRegistry()
    const options = {
      redis,
      upstreamUrl: registry.url,
      buckets: [{ name: 'pushes', scope: 'user', class: 'push', quota: 1, windowSeconds: sixHours }],
    }
    gateways = await Promise.all([startLimitedGateway(options), startLimitedGateway(options)])
  })
  afterAll(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
    await registry.stop()
    await redis.stop()
  })
  beforeEach(() => redis.command('FLUSHALL'))

  const pushThrough = async (
    gateway: LimitedGateway | undefined,
    repository: string,
    bytes: number,
  ): Promise<number> => {
    if (gateway === undefined) throw new Error('no gateway')
    return (await pushBlob(gateway.asAlice, repository, bytes)).answer.status
  }

  test('goes on through another gateway, and is the only one of its user', async () => {
    const [first, second] = gateways
    for (let layer = 1; layer <= 5; layer += 1) {
      expect(await pushThrough(first, 'alice/both', 1_000 + layer)).toBe(201)
      expect(await pushThrough(second, 'alice/both', 2_000 + layer)).toBe(201)
    }
    await expect(pushThrough(second, 'alice/other', 3_000)).rejects.toThrow('429')
    await expect(pushThrough(first, 'alice/other', 3_000)).rejects.toThrow('429')
  })

  test.each([
    ['forgets the scripts', () => redis.command('SCRIPT', 'FLUSH')],
    ['forgets everything', () => redis.command('FLUSHALL')],
    ['starts anew', () => redis.restart()],
    ['is killed', () => redis.kill()],
  ])('is not cut when Redis %s in the middle', async (what, happens) => {
    const [first] = gateways
    const repository = `alice/${what.replaceAll(' ', '-')}`
    expect(await pushThrough(first, repository, 1_001)).toBe(201)
    await happens()
    for (let layer = 2; layer <= 4; layer += 1) expect(await pushThrough(first, repository, 1_000 + layer)).toBe(201)
    const put = await first?.asAlice({
      method: 'PUT',
      path: `/v2/${repository}/manifests/v1`,
      headers: { 'content-type': 'application/vnd.oci.image.index.v1+json' },
      body: JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [] }),
    })
    expect(put?.status).toBe(201)
  })
})
