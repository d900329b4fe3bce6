import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { basic, basicOf } from '../support/personas.ts'
import { attack, closing, digest, expectAlive, host, startFront } from './attack.ts'
import type { Front } from './attack.ts'
import { spellingsOf } from './spelling.ts'

let front: Front

beforeAll(async () => {
  front = await startFront()
})
afterAll(() => front.stop())
afterEach(() => expectAlive(front))

const value = 'evil-7c1d'

/** The names of the headers that the upstream is told; nothing of a client may add to them. */
const told = new Set(['host', 'x-request-id', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'connection'])

function headerNames(upstreamGot: string): readonly string[] {
  const head = upstreamGot.slice(0, upstreamGot.indexOf('\r\n\r\n'))
  return head
    .split('\r\n')
    .slice(1)
    .map((line) => line.split(':', 1)[0]?.toLowerCase() ?? '')
}

/** Either refused, or passed on without a trace; the upstream is told each of its headers once. */
async function expectUnheard(lines: readonly string[]): Promise<void> {
  const { answers, upstreamGot } = await attack(front, closing({ target: '/v2/a/tags/list', lines }))
  const [answer] = answers
  expect(answers).toHaveLength(1)
  if (answer?.status === 400) {
    expect(upstreamGot).toBe('')
    return
  }
  expect(answer?.status).toBe(200)
  expect(upstreamGot).not.toContain(value)
  expect(headerNames(upstreamGot).filter((name) => !told.has(name))).toEqual([])
  expect(headerNames(upstreamGot)).toHaveLength(told.size)
}

const identityHeaders = [
  'X-Remote-User',
  'Remote-User',
  'X-Forwarded-User',
  'X-Forwarded-Email',
  'X-Forwarded-Groups',
  'X-Forwarded-Access-Token',
  'X-Auth-Request-User',
  'X-WebAuth-User',
  'X-Gateway-User',
  'X-Gateway-Groups',
  'X-SSL-Client-CN',
  'X-Client-Cert',
]

test.each(identityHeaders)('A-59 %s reaches nobody, in any spelling', async (name) => {
  expect(spellingsOf(name).length).toBeGreaterThanOrEqual(20)
  for (const spelling of spellingsOf(name)) {
    await expectUnheard([`${spelling}: ${value}`])
    await expectUnheard([`${spelling}: ${value}`, `${name}: ${value}-2`, `${spelling}: ${value}-3`])
  }
})

test.each(identityHeaders.map((name) => name.replaceAll('-', '_')))(
  'A-59 a name with an underscore is refused: %s',
  async (name) => {
    const { answers, upstreamGot } = await attack(front, closing({ lines: [`${name}: ${value}`] }))
    expect({ status: answers[0]?.status, upstreamGot }).toEqual({ status: 400, upstreamGot: '' })
  },
)

const forwardingHeaders = [
  'X-Forwarded-For',
  'X-Forwarded-Host',
  'X-Forwarded-Proto',
  'X-Forwarded-Port',
  'X-Forwarded-Prefix',
  'X-Forwarded-Uri',
  'X-Forwarded-Server',
  'X-Forwarded-Scheme',
  'Forwarded',
  'Via',
  'X-Real-IP',
  'True-Client-IP',
  'CF-Connecting-IP',
  'X-Client-IP',
  'X-Original-URL',
  'X-Original-Host',
  'X-Rewrite-URL',
  'X-HTTP-Method-Override',
  'X-Host',
  'X-Request-Id',
  'X-Amz-Security-Token',
]

test.each(forwardingHeaders)('A-60 %s of a client reaches nobody, in any spelling', async (name) => {
  for (const spelling of spellingsOf(name)) await expectUnheard([`${spelling}: ${value}`])
})

describe('A-60 what the gateway tells of itself', () => {
  test('is from its own knowledge', async () => {
    const lines = ['X-Forwarded-For: 6.6.6.6', 'X-Forwarded-Host: evil', 'X-Forwarded-Proto: http', 'Host: x']
    const { upstreamGot } = await attack(front, closing({ first: [`Authorization: ${basicOf('alice')}`], lines }))
    expect(upstreamGot).toContain('\r\nx-forwarded-for: 127.0.0.1\r\n')
    expect(upstreamGot).toContain('\r\nx-forwarded-host: localhost:8443\r\n')
    expect(upstreamGot).toContain('\r\nx-forwarded-proto: https\r\n')
  })

  test('is neither in the audit nor in a Location the word of a client', async () => {
    front.upstream.respondWith((connection, heads) => {
      const location = 'http://evil.example:5000/v2/a/blobs/uploads/s1?_state=x'
      if (heads.length > 0)
        connection.socket.end(`HTTP/1.1 202 Accepted\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`)
    })
    const { headers } = await front.gateway.as('alice', {
      method: 'POST',
      path: '/v2/a/blobs/uploads/',
      headers: { 'x-forwarded-for': '6.6.6.6', 'x-forwarded-host': 'evil', forwarded: 'for=6.6.6.6;host=evil' },
    })
    front.upstream.reset()
    expect(headers.location).toBe('/v2/a/blobs/uploads/s1?_state=x')
    const line = await front.gateway.auditLineOf(String(headers['x-request-id']))
    expect(JSON.stringify(line)).not.toMatch(/6\.6\.6\.6|evil/)
    expect(JSON.stringify(line)).toContain('127.0.0.1')
  })
})

describe('A-69 a client’s credentials stay here', () => {
  test.each(['Proxy-Authorization', 'Cookie', 'Authorization-Info', 'X-Registry-Auth', 'X-Api-Key', 'X-Auth-Token'])(
    '%s',
    async (name) => {
      for (const spelling of spellingsOf(name)) await expectUnheard([`${spelling}: ${value}`])
    },
  )

  test('Authorization, on each kind of request', async () => {
    const secret = basicOf('alice').slice('Basic '.length)
    const body = ['Content-Length: 0']
    const requests = [
      { target: '/v2/' },
      { target: '/v2/a/tags/list' },
      { target: '/v2/a/manifests/v1' },
      { method: 'PUT', target: '/v2/a/manifests/v1', lines: body },
      { method: 'DELETE', target: '/v2/a/manifests/v1' },
      { target: `/v2/a/blobs/${digest}` },
      { target: `/v2/a/referrers/${digest}` },
      { method: 'POST', target: '/v2/a/blobs/uploads/', lines: body },
      { method: 'PATCH', target: '/v2/a/blobs/uploads/s', lines: body },
      { method: 'PUT', target: '/v2/a/blobs/uploads/s', lines: body },
      { method: 'DELETE', target: '/v2/a/blobs/uploads/s' },
    ]
    for (const request of requests) {
      const { answers, upstreamGot, text } = await attack(front, closing(request))
      expect(answers[0]?.status).toBe(200)
      expect(upstreamGot).not.toMatch(/authorization|cookie/i)
      expect(upstreamGot + text).not.toContain(secret)
    }
    expect(front.gateway.log() + JSON.stringify(front.gateway.auditLines())).not.toContain(secret)
  })

  test('only the credential that is configured is shown', async () => {
    const own = await startFront({ upstream: { credential: { username: 'gateway', password: 'secret-1' } } })
    try {
      const { upstreamGot } = await attack(own, closing({ lines: [`Proxy-Authorization: ${basicOf('bob')}`] }))
      const shown = upstreamGot.match(/^(?:proxy-)?authorization: [^\r]*/gim)
      // The gateway's own probe shows it too.
      expect([...new Set(shown)]).toEqual([`authorization: ${basic('gateway', 'secret-1')}`])
    } finally {
      await own.stop()
    }
  })

  test('nor is it named by Connection away, whatever a client lists there', async () => {
    const listed = 'close, X-Forwarded-For, X-Forwarded-Host, X-Request-Id, Host, Authorization, Content-Length'
    const lines = [`Connection: ${listed}`, 'Keep-Alive: timeout=1', 'Proxy-Connection: keep-alive', 'TE: trailers']
    const { answers, upstreamGot } = await attack(
      front,
      closing({ target: '/v2/a/tags/list', lines, first: [`Host: ${host}`, `Authorization: ${basicOf('alice')}`] }),
    )
    expect(answers[0]?.status).toBe(200)
    expect(headerNames(upstreamGot).toSorted()).toEqual([...told].toSorted())
  })
})
