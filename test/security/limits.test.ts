import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { hashSync } from '@node-rs/bcrypt'
import type { ClientRequest, ClientResponse } from '../support/http-client.ts'
import { basic, basicOf, passwords } from '../support/personas.ts'
import { collect, connectRaw, sendRaw } from '../support/raw-http-client.ts'
import { answerEach, startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'
import { soonMs, until } from '../support/until.ts'
import { bytesOf, digest } from './attack.ts'

type Settings = Readonly<Record<string, unknown>>

const hour = { windowSeconds: 3_600 }
const pulls = { name: 'pulls', scope: 'user', class: 'pull', quota: 2, ...hour }
const manifest = '/v2/team/app/manifests/v1'
const policy = `rules:
  - { allow: owner, to: [authenticated, anonymous], on: '**' }
`

let upstream: RecordingUpstream
let gateway: TestGateway

beforeEach(async () => {
  upstream = await startRecordingUpstream()
})
afterEach(async () => {
  await gateway.stop()
  await upstream.close()
  expect(gateway.faults()).toEqual([])
})

async function start(buckets: readonly Settings[], limits: Settings = {}, settings: Settings = {}): Promise<void> {
  gateway = await startGateway({
    upstreamUrl: upstream.url,
    policy,
    settings: {
      authentication: { anonymous: { enabled: true } },
      rateLimit: { enabled: true, refusalWaitMs: 0, buckets, ...limits },
      ...settings,
    },
  })
}

/** The statuses of requests, one after the other. */
async function statuses(requests: readonly Pick<ClientRequest, 'method' | 'headers' | 'body'>[]): Promise<number[]> {
  const all = []
  for (const request of requests) all.push((await gateway.ask({ path: manifest, ...request })).status)
  return all
}

function admitted(all: readonly number[]): number {
  return all.filter((status) => status === 200).length
}

function asks(count: number, request: (turn: number) => Pick<ClientRequest, 'headers'>) {
  return Array.from({ length: count }, (_, turn) => request(turn))
}

describe('A-112 a user has one bucket', () => {
  const { alice } = passwords
  const encoded = Buffer.from(`alice:${alice}`).toString('base64')

  test('however the login is written, and from wherever it comes', async () => {
    await start([pulls], {}, { trustedProxies: ['127.0.0.1'] })
    const from = (address: string, authorization: string) => ({
      headers: { authorization, 'x-forwarded-for': address },
    })
    const all = await statuses([
      from('192.0.2.1', `Basic ${encoded}`),
      from('192.0.2.2', `basic ${encoded}`),
      from('192.0.2.3', `BASIC ${encoded}`),
      from('2001:db8::1', `Basic ${encoded}`),
      from('192.0.2.4', `Basic ${encoded.replace(/=+$/, '')}`),
    ])
    expect(all.slice(0, 2)).toEqual([200, 200])
    expect(admitted(all)).toBe(2)
  })

  test('and no spelling of the name is another one that gets in', async () => {
    await start([pulls])
    const spellings = ['Alice', 'ALICE', 'alice ', ' alice', 'alice\0', 'alic\u0435', 'ａlice', 'alice%20', 'u=alice']
    const all = await statuses(spellings.map((name) => ({ headers: { authorization: basic(name, alice) } })))
    expect(new Set(all)).toEqual(new Set([401]))
  })

  test('which is not that of the address it comes from, with a login or without', async () => {
    await start([pulls])
    const headers = { authorization: basicOf('alice') }
    expect(await statuses([{ headers }, { headers }, { headers }, {}, {}, {}])).toEqual([200, 200, 429, 200, 200, 429])
  })

  test('as have all with names that mean something to a key, a header or a template', async () => {
    await start([{ ...pulls, quota: 1 }])
    const names = ['{alice}', 'u=bob', 'all', 'a"b\\c', 'böse', '人人', '%7Balice%7D', "o'neil(x)*", 'x}r', '$1$&']
    const lines = names.map((name) => `${name}:${hashSync('secret', 4)}\n`)
    writeFileSync(join(gateway.directory, 'htpasswd'), lines.join(''))
    await gateway.server.reload()
    for (const name of names) {
      const headers = { authorization: basic(name, 'secret') }
      const first = await gateway.ask({ path: manifest, headers })
      expect([name, first.status]).toEqual([name, 200])
      expect(first.headers['docker-ratelimit-source']).toBe(name.replace(/[^ -~]/gu, '?'))
      expect(first.headers['warning']).toMatch(/^299 - "(?:[^"\\]|\\["\\])*"$/)
      const second = await gateway.ask({ path: manifest, headers })
      expect([name, second.status]).toEqual([name, 429])
      expect(second.headers['ratelimit']).toMatch(/^"pulls";r=0;t=\d+$/)
      expect(second.body).toContain('1 pull in 1 hour of the limit pulls')
    }
  })
})

describe('A-114 an address is that of the connection', () => {
  const strangers = { ...pulls, name: 'strangers', scope: 'address', anonymous: 'only' }

  test.each(['x-forwarded-for', 'forwarded', 'x-real-ip', 'true-client-ip', 'cf-connecting-ip', 'client-ip', 'via'])(
    'whatever a client that is no trusted proxy says in %s',
    async (name) => {
      await start([strangers])
      const address = (turn: number) => (name === 'forwarded' ? `for=198.51.100.${turn}` : `198.51.100.${turn}`)
      const all = await statuses(asks(8, (turn) => ({ headers: { [name]: address(turn) } })))
      expect(admitted(all)).toBe(2)
    },
  )

  test('or that which the trusted proxy saw, whatever stands before it', async () => {
    await start([strangers], {}, { trustedProxies: ['127.0.0.1'] })
    const spoofed = (turn: number) => ({ headers: { 'x-forwarded-for': `198.51.100.${turn}, 203.0.113.9` } })
    expect(admitted(await statuses(asks(8, spoofed)))).toBe(2)
  })

  test.each([
    ['any address of one IPv6 /64', (turn: number) => `2001:db8:1:1:${turn}:${turn}::${turn}`],
    ['an IPv4 address in all its forms', (turn: number) => ['203.0.113.7', '::ffff:203.0.113.7'][turn % 2] ?? ''],
  ])('and %s is one', async (_, address) => {
    await start([strangers], {}, { trustedProxies: ['127.0.0.1'] })
    expect(admitted(await statuses(asks(8, (turn) => ({ headers: { 'x-forwarded-for': address(turn) } }))))).toBe(2)
  })
})

describe('A-118 a refusal', () => {
  const few = { name: 'few', scope: 'user', class: 'requests', quota: 1 }

  test.each([
    ['GET', manifest, ''],
    ['HEAD', manifest, ''],
    ['GET', `/v2/team/app/blobs/${digest}`, ''],
    ['GET', '/v2/', ''],
    ['GET', '/v2/team/app/tags/list', ''],
    ['POST', '/v2/team/app/blobs/uploads/', ''],
    ['POST', `/v2/team/app/blobs/uploads/?mount=${digest}&from=team/other`, ''],
    ['PATCH', '/v2/team/app/blobs/uploads/abc', 'content'],
    ['PUT', manifest, '{}'],
    ['DELETE', '/v2/team/app/manifests/v1', ''],
  ])('of %s %s is a 429 of the registry, with a time of at least a second', async (method, path, body) => {
    // One in a tenth of a second.
    await start([{ ...few, quota: 100, burst: 1, windowSeconds: 10 }], {}, { redis: { enabled: false } })
    const headers = { authorization: basicOf('alice'), ...(body === '' ? {} : { 'content-type': 'application/json' }) }
    // What follows in one repository would belong to a push that was admitted.
    const ask = (repository: string): Promise<ClientResponse> =>
      gateway.ask({ method, path: path.replace('/team/app/', `/team/${repository}/`), headers, body })
    const refused = await until(
      async () => (await Promise.all(['a', 'b', 'c', 'd'].map(ask))).find(({ status }) => status === 429),
      { what: 'one is refused' },
    )
    expect(refused.headers['retry-after']).toBe('1')
    expect(refused.headers['ratelimit']).toBe('"few";r=0;t=1')
    expect(refused.headers['content-type']).toBe('application/json')
    expect(refused.reason).toMatch(/^Too Many Requests \(alice has used the 1 request at once /)
    if (method === 'HEAD') return
    const { errors } = JSON.parse(refused.body) as { errors: readonly unknown[] }
    expect(errors).toEqual([
      {
        code: 'TOOMANYREQUESTS',
        message: expect.stringMatching(/^alice has used .* of the limit few; the next is free in 1 s$/) as unknown,
        detail: expect.stringMatching(/^request id [-0-9a-f]{36}$/) as unknown,
      },
    ])
  })

  test('is of what begins: the bytes of an upload that was admitted are never cut', async () => {
    const half = 200_000
    await start([{ name: 'up', scope: 'user', class: 'push', unit: 'bytes', quota: 1_000, ...hour }])
    upstream.respondWith((connection, heads) => {
      const isWhole = heads[0]?.startsWith('POST') === true || connection.received.length > 2 * half
      if (isWhole)
        answerEach(
          connection,
          heads,
          'HTTP/1.1 202 Accepted\r\nLocation: /v2/team/app/blobs/uploads/a\r\nContent-Length: 0\r\n\r\n',
        )
    })
    const lines = ['Content-Type: application/octet-stream', `Content-Length: ${2 * half}`]
    const socket = await connectRaw(gateway.target)
    socket.write(bytesOf({ method: 'PATCH', target: '/v2/team/app/blobs/uploads/a', lines, body: 'x'.repeat(half) }))
    await until(() => upstream.received().length > half, { what: 'half of it has arrived' })
    let others = 0
    await until(
      async () => {
        const path = `/v2/team/other${(others += 1)}/blobs/uploads/`
        return (await gateway.as('alice', { method: 'POST', path })).status === 429
      },
      { what: 'the bucket is empty' },
    )
    socket.write('x'.repeat(half))
    const { answers } = await collect(socket, 1, soonMs)
    expect(answers.map(({ status }) => status)).toEqual([202])
    expect(upstream.received()).toContain('x'.repeat(half))
    socket.destroy()
  })
})

describe('no way around a limit', () => {
  test('is a pipeline: each of 50 requests is counted', async () => {
    await start([pulls])
    const { answers } = await sendRaw(gateway.target, bytesOf({ target: manifest }).repeat(50), { until: 50 })
    expect(answers.map(({ status }) => status)).toEqual([200, 200, ...Array.from({ length: 48 }, () => 429)])
  })

  test('is a Range, a validator or a query', async () => {
    await start([pulls])
    const headers = { authorization: basicOf('alice') }
    const tricks = [
      { range: 'bytes=0-1' },
      { 'if-none-match': '*' },
      { range: 'bytes=1-' },
      { 'x-http-method': 'HEAD' },
    ]
    expect(admitted(await statuses(tricks.map((trick) => ({ headers: { ...headers, ...trick } }))))).toBe(2)
  })

  test('is an upload that was never begun, or its end, or a mount', async () => {
    await start([{ ...pulls, class: 'push', quota: 1 }])
    const ask = async (method: string, path: string): Promise<number> =>
      (await gateway.as('alice', { method, path: `/v2/${path}` })).status
    expect(await ask('PATCH', 'team/a/blobs/uploads/x')).not.toBe(429)
    expect(await ask('PATCH', 'team/b/blobs/uploads/x')).toBe(429)
    expect(await ask('PUT', `team/c/blobs/uploads/x?digest=${digest}`)).toBe(429)
    expect(await ask('DELETE', 'team/d/blobs/uploads/x')).toBe(429)
    expect(await ask('POST', `team/e/blobs/uploads/?mount=${digest}&from=team/a`)).toBe(429)
    expect(await ask('PUT', 'team/f/manifests/v1')).toBe(429)
  })
})
