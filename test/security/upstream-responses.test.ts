import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { headerOf } from '../support/raw-http-client.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import { until } from '../support/until.ts'
import { attack, closing, digest, expectAlive, startFront } from './attack.ts'
import type { Front } from './attack.ts'

let front: Front
/** Gives up soon on an answer that does not come whole. */
let hurried: Front

beforeAll(async () => {
  front = await startFront()
  hurried = await startFront({ upstream: { timeouts: { headersMs: 500, inactivityMs: 500 } } })
})
afterAll(() => Promise.all([front.stop(), hurried.stop()]))
afterEach(async () => {
  front.upstream.reset()
  await expectAlive(front)
})

/**
 * Sends one answer to the next request of a client, byte for byte; and again where that is asked on another connection,
 * as the gateway does for a GET whose answer its lane cannot read.
 */
function answerWith(bytes: string, { upstream } = front): void {
  const answered = new Set<unknown>()
  upstream.respondWith((connection, heads) => {
    if (answered.has(connection) || heads.at(-1)?.includes('x-request-id') !== true) return
    answered.add(connection)
    connection.socket.write(Buffer.from(bytes, 'latin1'))
  })
}

const ok = 'HTTP/1.1 200 OK\r\n'
const end = 'Content-Length: 2\r\n\r\n{}'
const lines = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => `${line(index)}\r\n`).join('')

describe('A-65 an answer that is not HTTP, or says two things, is not passed on', () => {
  test.each([
    ['bare LF everywhere', `${ok}${end}`.replaceAll('\r\n', '\n')],
    ['bare LF behind the status line', `HTTP/1.1 200 OK\n${end}`],
    ['bare LF in a value', `${ok}ETag: a\nSet-Cookie: b\r\n${end}`],
    ['bare CR in a value', `${ok}ETag: a\rSet-Cookie: b\r\n${end}`],
    ['NUL in a value', `${ok}ETag: a\0b\r\n${end}`],
    ['NUL in a name', `${ok}ET\0ag: a\r\n${end}`],
    ['a folded line', `${ok}ETag: a\r\n b\r\n${end}`],
    ['a space before the colon', `${ok}ETag : a\r\n${end}`],
    ['no colon', `${ok}nonsense\r\n${end}`],
    ['300 headers', `${ok}${lines(300, (index) => `X-${index}: y`)}${end}`],
    ['300 headers, the framing last', `${ok}${lines(300, (index) => `Docker-${index}: y`)}${end}`],
    ['a header of 64 KiB', `${ok}ETag: ${'a'.repeat(65_536)}\r\n${end}`],
    ['two lengths', `${ok}Content-Length: 3\r\n${end}`],
    ['two equal lengths', `${ok}Content-Length: 2\r\n${end}`],
    ['a list of lengths', `${ok}Content-Length: 2, 2\r\n\r\n{}`],
    ['a length with a plus', `${ok}Content-Length: +2\r\n\r\n{}`],
    ['a length below nothing', `${ok}Content-Length: -2\r\n\r\n{}`],
    ['a length in hexadecimal', `${ok}Content-Length: 0x2\r\n\r\n{}`],
    ['length and chunked', `${ok}Transfer-Encoding: chunked\r\n${end}`],
    ['chunked and length', `${ok}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`],
    ['an unknown encoding', `${ok}Transfer-Encoding: xchunked\r\n\r\n{}`],
    ['gzip, chunked', `${ok}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
    ['chunked, identity', `${ok}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`],
    ['no framing', `${ok}Content-Type: text/plain\r\n\r\n{}`],
    ['101', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nPRI'],
    ['101 without Upgrade', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
    ['status 99', `HTTP/1.1 99 Low\r\n${end}`],
    ['status 000', `HTTP/1.1 000 Nothing\r\n${end}`],
    ['status 600', `HTTP/1.1 600 High\r\n${end}`],
    ['status 999', `HTTP/1.1 999 High\r\n${end}`],
    ['status 1000', `HTTP/1.1 1000 High\r\n${end}`],
    ['status -1', `HTTP/1.1 -1 Low\r\n${end}`],
    ['no status', `HTTP/1.1\r\n${end}`],
    ['HTTP/2 in words', `HTTP/2 200 OK\r\n${end}`],
    ['HTTP/0.9', '<html>hello</html>'],
    ['a flood of 1xx', `${'HTTP/1.1 102 Processing\r\n\r\n'.repeat(5_000)}${ok}${end}`],
    ['a flood of 100', `${'HTTP/1.1 100 Continue\r\n\r\n'.repeat(5_000)}${ok}${end}`],
    ['a flood of 103', `${'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(5_000)}${ok}${end}`],
    ['TLS', '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03'],
    ['SSH', 'SSH-2.0-OpenSSH_9.9\r\n'],
  ])('%s', async (_what, bytes) => {
    await expectUnavailable(front, bytes, 502)
  })

  test.each([
    ['a head', `${ok}ETag: a\r\n`],
    ['100 alone', 'HTTP/1.1 100 Continue\r\n\r\n'],
  ])('unfinished: %s', async (_what, bytes) => {
    await expectUnavailable(hurried, bytes, 504)
  })

  async function expectUnavailable(asked: Front, bytes: string, status: number): Promise<void> {
    answerWith(bytes, asked)
    const { answers, rest, text } = await attack(asked, closing({ target: '/v2/a/manifests/v1' }))
    expect({ count: answers.length, rest }).toEqual({ count: 1, rest: '' })
    expect(answers[0]?.status).toBe(status)
    expect(answers[0]?.body).toMatch(/^\{"errors":\[\{"code":"UNAVAILABLE"/)
    expect(text).not.toMatch(/set-cookie|etag|docker-\d|early hints|processing/i)
    const bad = () => asked.upstream.connections.filter(({ received }) => received.includes('/v2/a/manifests/v1'))
    await until(() => bad().every(({ closed }) => closed), { what: 'the connection is given up' })
  }

  test('an answer without a reason is one', async () => {
    answerWith(`HTTP/1.1 200\r\nContent-Type: application/json\r\n${end}`)
    const { answers } = await attack(front, closing({ target: '/v2/a/manifests/v1' }))
    expect(answers).toMatchObject([{ status: 200, body: '{}' }])
  })

  test('a few informational answers are kept from the client', async () => {
    answerWith(`HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${ok}${end}`)
    const { answers } = await attack(front, closing({ target: '/v2/a/manifests/v1' }))
    expect(answers.map(({ status }) => status)).toEqual([200])
  })

  test('the reason of the upstream is not repeated', async () => {
    answerWith(`HTTP/1.1 404 <script>x</script>\r\nContent-Type: application/json\r\n${end}`)
    const { text } = await attack(front, closing({ target: '/v2/a/manifests/v1' }))
    expect(text).not.toContain('script')
  })

  test.each([
    ['bytes beyond its length', `${ok}${end}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison`],
    ['an answer nobody asked for', `${ok}${end}${ok}${end}${ok}${end}`],
    ['a body of a 304', `HTTP/1.1 304 Not Modified\r\n\r\npoison`],
    ['a body of a 204', `HTTP/1.1 204 No Content\r\n\r\npoison`],
  ])('%s never answers the next request', async (_what, bytes) => {
    answerWith(bytes)
    const { answers, rest } = await attack(front, closing({ target: '/v2/a/manifests/v1' }))
    expect({ count: answers.length, rest }).toEqual({ count: 1, rest: '' })
    front.upstream.respondWith((connection, heads) => {
      if (heads.length > 0) connection.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhonest')
    })
    const next = await front.gateway.as('bob', { path: '/v2/b/manifests/v1' })
    expect(next.body).toBe('honest')
  })

  test.each([
    ['chunks with bare LF', '2\n{}\n0\n\n'],
    ['a chunk size that is no number', 'zz\r\n{}\r\n0\r\n\r\n'],
    ['a chunk longer than told', '2\r\n{}xx\r\n0\r\n\r\n'],
    ['a chunk extension with bare LF', '2;a\n{}\r\n0\r\n\r\n'],
  ])('%s break the answer visibly', async (_what, body) => {
    answerWith(`${ok}Transfer-Encoding: chunked\r\n\r\n${body}`)
    const { text, closed } = await attack(front, closing({ target: '/v2/a/manifests/v1' }))
    expect(closed).toBe(true)
    expect(text.startsWith('HTTP/1.1 502') || !text.endsWith('0\r\n\r\n')).toBe(true)
  })
})

describe('A-66 what the upstream says to its own neighbours stays there', () => {
  test('hop-by-hop headers, cookies, challenges and origins of the upstream are removed', async () => {
    const own = [
      'Connection: keep-alive, x-secret, docker-secret',
      'X-Secret: s-1',
      'Keep-Alive: timeout=77',
      'Proxy-Connection: keep-alive',
      'Proxy-Authenticate: Basic realm="s-2"',
      'Proxy-Authentication-Info: s-3',
      'Set-Cookie: s=s-4',
      'Set-Cookie2: s=s-5',
      'Server: s-6',
      'X-Powered-By: s-7',
      'Via: 1.1 s-8',
      'Alt-Svc: h3="s-9:443"',
      'Access-Control-Allow-Origin: *',
      'Access-Control-Allow-Credentials: true',
      'WWW-Authenticate: Basic realm="s-10"',
      'Upgrade: h2c',
      'Trailer: X-T',
      'Strict-Transport-Security: max-age=0',
      'X-Frame-Options: ALLOWALL',
      'X-Request-Id: s-11',
      'Refresh: 0;url=http://s-12',
      'Clear-Site-Data: "*"',
      'Content-Security-Policy: default-src *',
      'NEL: s-13',
      'Report-To: s-14',
      'X-Content-Type-Options: off',
      'Docker-Distribution-Api-Version: registry/1.0',
    ]
    answerWith(
      `${ok}${own.join('\r\n')}\r\nETag: "kept"\r\nContent-Type: application/json\r\nDocker-Content-Digest: ${digest}\r\n${end}`,
    )
    const { answers, text } = await attack(front, closing({ target: '/v2/a/manifests/v1' }))
    const [answer] = answers
    expect(answer?.status).toBe(200)
    expect(text).not.toMatch(
      /s-\d|alt-svc|access-control|www-authenticate|upgrade|trailer|max-age=0\b|ALLOWALL|registry\/1\.0/i,
    )
    expect(headerOf(answer, 'etag')).toBe('"kept"')
    expect(headerOf(answer, 'docker-content-digest')).toBe(digest)
    const names = answer?.headers.map(([name]) => name) ?? []
    expect(names.toSorted()).toEqual([...new Set(names)].toSorted())
  })

  test('a header that the upstream’s Connection names is hop-by-hop, whatever it is called', async () => {
    answerWith(
      `${ok}Connection: docker-secret, OCI-Secret, content-length\r\nDocker-Secret: s-1\r\nOCI-Secret: s-2\r\n${end}`,
    )
    const { text } = await attack(front, closing({ target: '/v2/a/manifests/v1' }))
    expect(text).toMatch(/^HTTP\/1\.1 200/)
    expect(text).not.toMatch(/s-1|s-2/)
  })

  const envelope = '{"errors":[{"code":"DENIED","message":"quota of the project is used up","detail":null}]}'
  const denial = (body: string) =>
    `HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`

  test('a 401 of the upstream is a 502 with an alarm, never a second challenge', async () => {
    answerWith(`HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="registry"\r\n${end}`)
    const { answers, text } = await attack(front, closing({ target: '/v2/a/manifests/v1' }))
    expect(answers.map(({ status }) => status)).toEqual([502])
    expect(text).not.toMatch(/www-authenticate|realm/i)
    const metrics = await (await fetch(`${front.gateway.adminUrl}/metrics`)).text()
    expect(metrics).toMatch(/^wharfgate_upstream_refused_gateway_total [1-9]/m)
  })

  test.each([envelope, '<html>no</html>'])('a 403 is a 502 while the gateway shows no credential: %s', async (body) => {
    answerWith(denial(body))
    const { answers, text } = await attack(front, closing({ target: '/v2/a/manifests/v1' }))
    expect(answers.map(({ status }) => status)).toEqual([502])
    expect(text).not.toMatch(/quota|html/)
  })

  test('A-68 a realm is never called', async () => {
    const evil = await startRecordingUpstream()
    const challenge = `WWW-Authenticate: Bearer realm="${evil.url}/token",service="x",scope="repository:a:pull"`
    answerWith(`HTTP/1.1 401 Unauthorized\r\n${challenge}\r\n${end}`)
    const { answers, text } = await attack(front, closing({ target: '/v2/a/manifests/v1' }))
    const { connections } = evil
    await evil.close()
    expect(answers.map(({ status }) => status)).toEqual([502])
    expect(text).not.toContain('realm')
    expect(connections).toEqual([])
  })
})
