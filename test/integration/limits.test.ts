import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { pushBlob } from '../support/fault-push.ts'
import type { ClientResponse } from '../support/http-client.ts'
import type { Persona } from '../support/personas.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import { answerEach, startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'

type Bucket = Readonly<Record<string, unknown>>

const pulls: Bucket = { name: 'pulls', scope: 'user', class: 'pull', quota: 2, windowSeconds: 3_600 }
const anybody = `rules:
  - { allow: owner, to: [authenticated, anonymous], on: '**' }
groups:
  team: [alice, bob]
`

function limits(buckets: readonly Bucket[], more: Bucket = {}) {
  return { rateLimit: { enabled: true, refusalWaitMs: 0, buckets, ...more } }
}

let upstream: RecordingUpstream
let gateway: TestGateway

beforeEach(async () => {
  upstream = await startRecordingUpstream()
})
afterEach(async () => {
  await gateway.stop()
  await upstream.close()
})

async function start(settings: Readonly<Record<string, unknown>>): Promise<void> {
  gateway = await startGateway({ upstreamUrl: upstream.url, policy: anybody, settings })
}

const pull = (persona: Persona, reference = 'v1', method = 'GET'): Promise<ClientResponse> =>
  gateway.as(persona, { method, path: `/v2/team/app/manifests/${reference}` })

async function metric(series: string): Promise<number> {
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
  const found = text.split('\n').find((candidate) => candidate.startsWith(`${series} `))
  return Number(found?.slice(series.length + 1) ?? Number.NaN)
}

describe('a pull beyond the limit', () => {
  test('is refused in every channel that clients show, and never reaches the registry', async () => {
    await start(limits([pulls]))
    const first = await pull('alice')
    expect(first.status).toBe(200)
    expect(first.headers).toMatchObject({
      'ratelimit-policy': '"pulls";q=2;w=3600',
      'ratelimit-limit': '2;w=3600',
      'ratelimit-remaining': '1;w=3600',
      'docker-ratelimit-source': 'alice',
    })
    expect((await pull('alice')).status).toBe(200)
    const refused = await pull('alice')
    expect(refused.status).toBe(429)
    const { errors } = JSON.parse(refused.body) as { errors: readonly { code: string; message: string }[] }
    expect(errors).toEqual([
      expect.objectContaining({
        code: 'TOOMANYREQUESTS',
        message: expect.stringMatching(
          /^alice has used the 2 pulls in 1 hour of the limit pulls; the next is free in \d+ (?:min|minutes)/,
        ) as unknown,
      }),
    ])
    expect(refused.reason).toContain('alice has used the 2 pulls in 1 hour of the limit pulls')
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(1_700)
    expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(1_800)
    expect(refused.headers['ratelimit-remaining']).toBe('0;w=3600')
    expect(upstream.requestLines().filter((line) => line.includes('/manifests/'))).toHaveLength(2)
    expect(await gateway.auditLineOf(String(refused.headers['x-request-id']))).toMatchObject({
      user: 'alice',
      decision: 'granted',
      status: 429,
      errorId: 'rateLimited',
      bucket: 'pulls',
    })
    expect(await metric('wharfgate_rate_limit_decisions_total{bucket="pulls",decision="refused"}')).toBe(1)
    expect(await metric('wharfgate_rate_limit_decisions_total{bucket="pulls",decision="admitted"}')).toBe(2)
  })

  test('is refused for its user alone, and HEAD is free and tells how it stands', async () => {
    await start(limits([pulls]))
    for (const tag of ['v1', 'v2']) expect((await pull('alice', tag)).status).toBe(200)
    for (const tag of ['v1', 'v2', 'v3']) {
      const head = await pull('alice', tag, 'HEAD')
      expect([head.status, head.headers['ratelimit-remaining']]).toEqual([200, '0;w=3600'])
    }
    expect((await pull('alice')).status).toBe(429)
    expect((await pull('bob')).status).toBe(200)
  })

  test('is warned of, beside what the registry warns of; whose limit the registry counts stays there', async () => {
    await start(limits([{ ...pulls, quota: 5 }]))
    const headers = 'Warning: 299 - "registry"\r\nDocker-RateLimit-Source: 10.0.0.1\r\nContent-Length: 2'
    upstream.respondWith((connection, heads) => {
      answerEach(connection, heads, `HTTP/1.1 200 OK\r\n${headers}\r\n\r\n{}`)
    })
    const answers = []
    for (const tag of ['v1', 'v2', 'v3', 'v4']) answers.push(await pull('alice', tag))
    expect(answers.map((answer) => answer.headers['docker-ratelimit-source'])).toEqual(answers.map(() => 'alice'))
    expect(answers[0]?.headers['warning']).toBe('299 - "registry"')
    expect(answers[3]?.headers['warning']).toBe(
      '299 - "alice has 1 left of the 5 pulls in 1 hour of the limit pulls", 299 - "registry"',
    )
  })

  test('an index and what it names are one pull', async () => {
    await start(limits([pulls]))
    const digest = `sha256:${'a'.repeat(64)}`
    expect((await pull('alice')).status).toBe(200)
    for (const again of [digest, digest, digest]) expect((await pull('alice', again)).status).toBe(200)
    expect((await pull('alice', 'v2')).status).toBe(200)
    expect((await pull('alice', 'v3')).status).toBe(429)
  })

  test('counts a group together, and clients without a login by their address', async () => {
    const settings = limits([
      { ...pulls, name: 'team', scope: 'group', groups: ['team'] },
      { ...pulls, name: 'strangers', scope: 'address', quota: 1, anonymous: 'only' },
    ])
    await start({ ...settings, authentication: { anonymous: { enabled: true } } })
    expect((await pull('alice')).status).toBe(200)
    expect((await pull('bob')).status).toBe(200)
    expect((await pull('alice')).body).toContain('the group team has used the 2 pulls in 1 hour of the limit team')
    const anonymous = () => gateway.ask({ path: '/v2/team/app/manifests/v1' })
    expect((await anonymous()).status).toBe(200)
    expect((await anonymous()).body).toContain('the address 127.0.0.1 has used the 1 pull in 1 hour')
  })

  test('leaves out who is exempt', async () => {
    const exempt = { ...pulls, quota: 1, exemptUsers: ['alice'], exemptAddresses: ['10.0.0.0/8'] }
    await start(limits([exempt]))
    for (const tag of ['v1', 'v2', 'v3']) expect((await pull('alice', tag)).status).toBe(200)
    expect((await pull('bob')).status).toBe(200)
    expect((await pull('bob')).status).toBe(429)
  })
})

describe('a place for one transfer', () => {
  test('is free again after a transfer that failed before it began', async () => {
    const one = { name: 'one', scope: 'user', class: 'pull', unit: 'concurrent', quota: 1 }
    await start(limits([one]))
    upstream.respondWith(({ socket }) => {
      socket.destroy()
    })
    const failed = [await pull('alice'), await pull('alice'), await pull('alice')]
    expect(failed.map(({ status }) => status)).toEqual([502, 502, 502])
  })
})

describe('where the store does not answer', () => {
  const broken = { redis: { enabled: true, url: 'redis://127.0.0.1:1' } }

  test.each([
    ['deny', [503, 503, 503]],
    ['allow', [200, 200, 200]],
    ['local', [200, 200, 429]],
  ])('onStoreError: %s answers %j, and the gateway stays ready', async (onStoreError, statuses) => {
    await start({ ...broken, ...limits([pulls], { onStoreError }) })
    const answers = [await pull('alice'), await pull('alice'), await pull('alice')]
    expect(answers.map(({ status }) => status)).toEqual(statuses)
    expect((await fetch(`${gateway.adminUrl}/readyz`)).status).toBe(200)
    expect(await metric('wharfgate_store_up')).toBe(0)
    expect(gateway.log()).toContain('Redis does not answer')
    if (onStoreError === 'deny') expect(answers[0]?.body).toContain('no limit was reached')
  })
})

describeWith(['docker-registry'], 'a push to a real registry', () => {
  let registry: RealRegistry
  beforeAll(async () => {
    registry = await startRealRegistry()
  })
  afterAll(async () => {
    await registry.stop()
  })

  test('of ten layers completes that begins with the last push of the limit', async () => {
    gateway = await startGateway({
      upstreamUrl: registry.url,
      settings: limits([
        { name: 'pushes', scope: 'user', class: 'push', quota: 1, windowSeconds: 3_600 },
        { name: 'few', scope: 'user', class: 'requests', quota: 3, windowSeconds: 3_600 },
        { name: 'bytes', scope: 'user', class: 'push', unit: 'bytes', quota: 1_000, windowSeconds: 3_600 },
        { name: 'one', scope: 'user', class: 'push', unit: 'concurrent', quota: 1 },
      ]),
    })
    const ask = gateway.as.bind(undefined, 'alice')
    const pushed = await Promise.all(
      Array.from({ length: 10 }, (_, index) => pushBlob(ask, 'team/app', 100_000 + index)),
    )
    expect(pushed.map(({ answer }) => answer.status)).toEqual(pushed.map(() => 201))
    const layers = pushed.map(({ digest }, index) => ({
      mediaType: 'application/octet-stream',
      size: 100_000 + index,
      digest,
    }))
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: layers[0],
      layers,
    })
    const headers = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }
    const tagged = await ask({ method: 'PUT', path: '/v2/team/app/manifests/v1', headers, body: manifest })
    expect(tagged.status).toBe(201)
    const other = await ask({ method: 'POST', path: '/v2/team/other/blobs/uploads/' })
    expect(other.status).toBe(429)
  })
})
