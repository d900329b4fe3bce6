import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { headerOf } from '../support/raw-http-client.ts'
import type { RawAnswer } from '../support/raw-http-client.ts'
import { basic } from '../support/personas.ts'
import { answerEach } from '../support/recording-upstream.ts'
import { alice, attack, bytesOf, closing, digest, expectAlive, expectRefused, host, startFront } from './attack.ts'
import type { Front, RawRequest } from './attack.ts'

const ui = 'https://ui.example.org'
const evil = [
  'https://evil',
  'null',
  'https://ui.example.evil',
  'https://evilui.example.org',
  'https://ui.example.org.evil',
  'https://ui.example.org:8443',
  'http://ui.example.org',
  'https://evilapps.example.org',
  'https://apps.example.org',
  'https://a.b.apps.example.org',
  'https://evil/.apps.example.org',
  'https://evil#.apps.example.org',
  'https://evil:443@a.apps.example.org',
  'HTTPS://UI.EXAMPLE.ORG',
  'https://ui.example.org, https://ui.example.org',
  'https://ui.example.org https://evil',
  '*',
  '',
]

/** Places alike but for what stands behind them: there, not there, not the user's, not of the registry at all. */
const places = [
  '/v2/',
  '/v2/_catalog',
  '/v2/secret/app/tags/list',
  '/v2/secret/app/manifests/v1',
  '/v2/nothing/here/manifests/v1',
  `/v2/secret/app/blobs/${digest}`,
  '/v2/secret/app/blobs/uploads/',
  '/v2/secret/app/blobs/uploads/session?_state=abc',
  '/v2/NOT/A/NAME/tags/list',
  '/v2/_none',
  '/healthz',
  '/token',
  '/metrics',
  '/',
]

let front: Front
let closed: Front

beforeAll(async () => {
  front = await startFront({ cors: { enabled: true, origins: [ui, 'https://*.apps.example.org'] } })
  closed = await startFront()
})
afterAll(() => Promise.all([front.stop(), closed.stop()]))

const anonymous = [`Host: ${host}`]

function preflightFrom(origin: string, more: RawRequest = {}): string {
  const lines = [`Origin: ${origin}`, 'Access-Control-Request-Method: DELETE', ...(more.lines ?? [])]
  return closing({ method: 'OPTIONS', target: '/v2/a/manifests/v1', first: anonymous, ...more, lines })
}

function corsHeaders(answer: RawAnswer | undefined): Readonly<Record<string, string>> {
  const found = answer?.headers.filter(([name]) => name.startsWith('access-control-') || name === 'vary') ?? []
  expect(new Set(found.map(([name]) => name)).size).toBe(found.length)
  return Object.fromEntries(found)
}

const readable = {
  vary: 'Origin',
  'access-control-allow-origin': ui,
  'access-control-allow-credentials': 'true',
  'access-control-expose-headers': expect.stringContaining('Docker-Content-Digest, WWW-Authenticate, Link'),
}

describe('A-93 CORS: only pages of listed origins may read', () => {
  test.each(evil)('a preflight from %j is refused with 403, with or without a login', async (origin) => {
    for (const lines of [[], [alice], ['Cookie: session=1', alice]]) {
      const { answers } = await expectRefused(front, preflightFrom(origin, { lines }), [403])
      expect(corsHeaders(answers[0])).toEqual({ vary: 'Origin' })
      expect(answers[0]?.body).toContain('"DENIED"')
    }
  })

  test.each([ui, 'https://one.apps.example.org'])('a preflight from %s is answered, never with *', async (origin) => {
    const { answers, rest, upstreamGot } = await attack(front, preflightFrom(origin, { lines: [alice] }))
    expect(answers).toMatchObject([{ status: 204, body: '' }])
    expect({ rest, upstreamGot }).toEqual({ rest: '', upstreamGot: '' })
    expect(corsHeaders(answers[0])).toEqual({
      ...readable,
      'access-control-allow-origin': origin,
      'access-control-allow-methods': 'HEAD, GET, OPTIONS, DELETE',
      'access-control-allow-headers': 'Authorization, Accept, Cache-Control',
      'access-control-max-age': '600',
    })
    expect(headerOf(answers[0], 'content-length')).toBeUndefined()
    expect(headerOf(answers[0], 'x-content-type-options')).toBe('nosniff')
  })

  test.each(evil)('a request from %j goes its way, and the browser keeps its answer from the page', async (origin) => {
    const lines = [`Origin: ${origin}`]
    const own = await attack(front, closing({ target: '/v2/a/tags/list', lines }))
    expect(own.answers[0]?.status).toBe(200)
    expect(corsHeaders(own.answers[0])).toEqual({ vary: 'Origin' })
    expect(own.upstreamGot.toLowerCase()).not.toContain('origin')
    const stranger = await expectRefused(front, closing({ target: '/v2/a/tags/list', first: anonymous, lines }), [401])
    expect(corsHeaders(stranger.answers[0])).toEqual({ vary: 'Origin' })
  })

  test('a request from a listed origin is authorized like any other', async () => {
    const lines = [`Origin: ${ui}`]
    const target = '/v2/a/manifests/v1'
    await expectRefused(front, closing({ method: 'DELETE', target, first: anonymous, lines }), [401])
    const wrong = [`Host: ${host}`, `Authorization: ${basic('alice', 'wrong')}`]
    await expectRefused(front, closing({ method: 'DELETE', target, first: wrong, lines }), [401])
    const { answers, upstreamGot } = await attack(front, closing({ method: 'DELETE', target, lines }))
    expect(answers[0]?.status).toBe(200)
    expect(upstreamGot).toMatch(/^DELETE \/v2\/a\/manifests\/v1 HTTP\/1\.1\r\n/)
  })

  test.each([
    ['401, with the challenge to read', { target: '/v2/', first: anonymous }, 401],
    ['404', { target: '/v2/_none' }, 404],
    ['404 outside the API', { target: '/favicon.ico' }, 404],
    ['405', { method: 'PUT', target: '/v2/' }, 405],
    ['400 of a name', { target: '/v2/UPPER/tags/list' }, 400],
    ['400 of the head', { lines: ['Expect: 100-continue', 'Content-Length: 1'], body: 'x' }, 400],
    ['414', { target: `/v2/${'a'.repeat(9_000)}/tags/list` }, 414],
    ['431', { lines: Array.from({ length: 101 }, (_, index) => `X-${index}: 1`) }, 431],
    ['a health check', { target: '/healthz', first: anonymous }, 200],
  ] as const)('a page of a listed origin can read a %s', async (_what, request, status) => {
    const lines = [`Origin: ${ui}`, ...('lines' in request ? request.lines : [])]
    const { answers, upstreamGot } = await attack(front, closing({ ...request, lines }))
    expect(answers[0]?.status).toBe(status)
    expect(corsHeaders(answers[0])).toEqual(readable)
    expect(headerOf(answers[0], 'x-request-id')).toBeDefined()
    if (status === 401) expect(headerOf(answers[0], 'www-authenticate')).toMatch(/^Basic realm=/)
    expect(upstreamGot).toBe('')
  })

  test.each([
    [404, '404 Not Found', 404],
    [429, '429 Too Many Requests\r\nRetry-After: 7', 429],
    [500, '500 Internal Server Error', 500],
    [503, '503 Service Unavailable', 503],
    [401, '401 Unauthorized', 502],
  ])('a page of a listed origin can read a %i of the upstream', async (_status, head, expected) => {
    front.upstream.respondWith((connection, heads) => {
      answerEach(connection, heads, `HTTP/1.1 ${head}\r\nContent-Length: 0\r\n\r\n`)
    })
    const { answers } = await attack(front, closing({ target: '/v2/a/tags/list', lines: [`Origin: ${ui}`] }))
    front.upstream.reset()
    expect(answers[0]?.status).toBe(expected)
    expect(corsHeaders(answers[0])).toEqual(readable)
  })

  test('what the upstream says about origins has no way through', async () => {
    front.upstream.respondWith((connection, heads) => {
      const loose = 'Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\nVary: Accept'
      answerEach(connection, heads, `HTTP/1.1 200 OK\r\n${loose}\r\nContent-Length: 2\r\n\r\n{}`)
    })
    const [listed, other] = [
      await attack(front, closing({ target: '/v2/a/tags/list', lines: [`Origin: ${ui}`] })),
      await attack(front, closing({ target: '/v2/a/tags/list', lines: ['Origin: https://evil'] })),
    ]
    front.upstream.reset()
    expect(corsHeaders(listed.answers[0])).toEqual(readable)
    expect(corsHeaders(other.answers[0])).toEqual({ vary: 'Origin' })
  })

  test.each([
    ['two origins', [`Origin: ${ui}`, 'Origin: https://evil']],
    ['one origin twice', [`Origin: ${ui}`, `origin: ${ui}`]],
  ])('%s in one request are refused', async (_what, lines) => {
    for (const method of ['GET', 'OPTIONS']) {
      const asked = [...lines, 'Access-Control-Request-Method: GET']
      const { answers } = await expectRefused(front, closing({ method, lines: asked }), [400])
      expect(corsHeaders(answers[0])).toEqual({ vary: 'Origin' })
    }
  })

  test('every answer says that it differs by origin, those without one too', async () => {
    const bare = await attack(front, closing({ target: '/v2/a/tags/list' }))
    expect(corsHeaders(bare.answers[0])).toEqual({ vary: 'Origin' })
    const unreadable = await expectRefused(front, 'GET /v2/ HTTP/1.1\r\nHost localhost\r\n\r\n', [400])
    expect(corsHeaders(unreadable.answers[0])).toEqual({ vary: 'Origin' })
  })

  test('while it is off nothing is said of origins, and a preflight is no method', async () => {
    const { answers } = await expectRefused(closed, preflightFrom(ui), [405])
    expect(corsHeaders(answers[0])).toEqual({})
    const page = await attack(closed, closing({ target: '/v2/a/tags/list', lines: [`Origin: ${ui}`] }))
    expect(corsHeaders(page.answers[0])).toEqual({})
  })
})

describe('A-94 a preflight is no way past the login', () => {
  test('it is answered alike whatever the path names, and asks nobody', async () => {
    const seen = new Set<string>()
    for (const target of places) {
      const { text, upstreamGot } = await attack(front, preflightFrom(ui, { target }))
      expect(upstreamGot).toBe('')
      seen.add(withoutIds(text))
    }
    expect([...seen]).toEqual([expect.stringMatching(/^HTTP\/1\.1 204 No Content\r\n/)])
  })

  test('it is refused alike for a page of another origin', async () => {
    const seen = new Set<string>()
    for (const target of places) {
      const { text } = await expectRefused(front, preflightFrom('https://evil', { target }), [403])
      seen.add(withoutIds(text))
    }
    expect(seen.size).toBe(1)
  })

  test.each(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'BREW', '', 'GET\r\nX-Injected: 1'])(
    'it is answered alike for the method %j',
    async (method) => {
      const lines = [`Origin: ${ui}`, `Access-Control-Request-Method: ${method}`]
      const { answers, text } = await attack(front, closing({ method: 'OPTIONS', first: anonymous, lines }))
      expect(answers[0]?.status).toBe(204)
      expect(corsHeaders(answers[0])).toMatchObject({ 'access-control-allow-methods': 'HEAD, GET, OPTIONS, DELETE' })
      expect(text).not.toMatch(/BREW|Injected/i)
    },
  )

  test('headers that a page asks for are not repeated', async () => {
    const lines = [
      'Access-Control-Request-Headers: authorization, x-evil',
      'Access-Control-Request-Private-Network: true',
    ]
    const { answers, text } = await attack(front, preflightFrom(ui, { lines }))
    expect(corsHeaders(answers[0])).toMatchObject({
      'access-control-allow-headers': 'Authorization, Accept, Cache-Control',
    })
    expect(text).not.toMatch(/x-evil|private-network/i)
  })

  const bodies: readonly (readonly [string, readonly string[], string])[] = [
    ['of a length', ['Content-Length: 5'], 'hello'],
    ['in chunks', ['Transfer-Encoding: chunked'], '5\r\nhello\r\n0\r\n\r\n'],
    ['that is another request', ['Content-Length: 36'], 'DELETE /v2/a/manifests/v1 HTTP/1.1\r\n'],
  ]
  test.each(bodies)(
    'with a body %s it is refused, for secret and missing places alike',
    async (_what, framing, body) => {
      const seen = new Set<string>()
      for (const target of places) {
        const lines = [`Origin: ${ui}`, 'Access-Control-Request-Method: GET', ...framing]
        // Nothing asks for the close here: the gateway has to do it, or would read on in the body.
        const { text } = await expectRefused(
          front,
          bytesOf({ method: 'OPTIONS', target, first: anonymous, lines, body }),
          [405],
        )
        seen.add(withoutIds(text))
      }
      expect(seen.size).toBe(1)
    },
  )

  test.each([
    ['no method asked for', [`Origin: ${ui}`]],
    ['no method asked for, another origin', ['Origin: https://evil']],
    ['no origin', ['Access-Control-Request-Method: DELETE']],
    ['neither', []],
  ])('OPTIONS with %s is an unknown method, alike for secret and missing places', async (_what, lines) => {
    const answersOf = async (name: string, first: readonly string[]) => {
      const texts = [`/v2/${name}/tags/list`, `/v2/${name}/manifests/v1`, `/v2/${name}/blobs/${digest}`].map(
        async (target) => {
          const { text } = await expectRefused(front, closing({ method: 'OPTIONS', target, first, lines }), [405])
          return withoutIds(text)
        },
      )
      return Promise.all(texts)
    }
    const secret = await answersOf('secret/app', anonymous)
    expect(await answersOf('nothing/here', anonymous)).toEqual(secret)
    expect(await answersOf('secret/app', [`Host: ${host}`, alice])).toEqual(secret)
  })

  test('behind it on the same connection, a request still needs its login', async () => {
    const lines = [`Origin: ${ui}`, 'Access-Control-Request-Method: DELETE']
    const target = '/v2/a/manifests/v1'
    const { answers, upstreamGot } = await attack(
      front,
      bytesOf({ method: 'OPTIONS', target, lines }) +
        closing({ method: 'DELETE', target, first: anonymous, lines: [`Origin: ${ui}`] }),
    )
    expect(answers.map(({ status }) => status)).toEqual([204, 401])
    expect(upstreamGot).toBe('')
  })

  test('a request whose method merely says that it is one is none', async () => {
    const lines = [`Origin: ${ui}`, 'Access-Control-Request-Method: GET', 'X-HTTP-Method-Override: OPTIONS']
    for (const method of ['GET', 'DELETE', 'options', 'Options']) {
      const request = closing({ method, target: '/v2/a/manifests/v1', first: anonymous, lines })
      await expectRefused(front, request, method === 'GET' || method === 'DELETE' ? [401] : [400, 405])
    }
  })

  test('it leaves its line in the audit', async () => {
    const { answers } = await attack(front, preflightFrom(ui, { target: '/v2/secret/app/manifests/v1' }))
    const line = await front.gateway.auditLineOf(headerOf(answers[0], 'x-request-id') ?? '')
    expect(line).toMatchObject({ method: 'OPTIONS', status: 204, user: null, decision: 'none', errorId: null })
    const refused = await expectRefused(front, preflightFrom('https://evil'), [403])
    const other = await front.gateway.auditLineOf(headerOf(refused.answers[0], 'x-request-id') ?? '')
    expect(other).toMatchObject({ method: 'OPTIONS', status: 403, errorId: 'originRefused' })
    await expectAlive(front)
  })
})

/** An answer without what differs from one to the next. */
function withoutIds(text: string): string {
  return text.replace(/^(?:date|x-request-id): .*\r\n/gim, '').replace(/request id [0-9a-f-]+/, '')
}
