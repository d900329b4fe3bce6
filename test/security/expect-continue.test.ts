import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { connectRaw, readAnswers } from '../support/raw-http-client.ts'
import type { RawAnswer } from '../support/raw-http-client.ts'
import { basic } from '../support/personas.ts'
import { soonMs, until } from '../support/until.ts'
import { alice, attack, bytesOf, expectAlive, expectRefused, host, mark, receivedSince, startFront } from './attack.ts'
import type { Front, RawRequest } from './attack.ts'

let front: Front

beforeAll(async () => {
  front = await startFront()
})
afterAll(() => front.stop())
afterEach(() => expectAlive(front))

const session = '/v2/a/blobs/uploads/s1'

describe('A-56 an expectation takes no other way', () => {
  const spoofed = ['X-Forwarded-Host: evil', 'Forwarded: host=evil', 'X-Remote-User: root', 'Cookie: a=b']
  const requests: readonly (readonly [string, RawRequest])[] = [
    ['PATCH', { method: 'PATCH', target: session, lines: ['Content-Length: 5', ...spoofed], body: 'hello' }],
    [
      'chunked PUT',
      {
        method: 'PUT',
        target: session,
        lines: ['Transfer-Encoding: chunked', ...spoofed],
        body: '5\r\nhello\r\n0\r\n\r\n',
      },
    ],
    [
      'POST without a body',
      { method: 'POST', target: '/v2/a/blobs/uploads/', lines: ['Content-Length: 0', ...spoofed] },
    ],
    ['GET', { target: '/v2/a/manifests/v1', lines: spoofed }],
    ['DELETE', { method: 'DELETE', target: '/v2/a/manifests/v1', lines: spoofed }],
  ]

  test.each(requests)('%s reaches the upstream as without it', async (_what, request) => {
    const plain = await attack(front, bytesOf({ ...request, lines: [...(request.lines ?? []), 'Connection: close'] }))
    for (const expectation of ['100-continue', '100-Continue']) {
      const lines = [...(request.lines ?? []), 'Connection: close', `Expect: ${expectation}`]
      const expecting = await attack(front, bytesOf({ ...request, lines }))
      expect(withoutId(expecting.upstreamGot)).toBe(withoutId(plain.upstreamGot))
      expect(expecting.upstreamGot).not.toMatch(/evil|root|cookie|authorization|expect/i)
      expect(expecting.answers.at(-1)?.status).toBe(200)
    }
  })

  test.each([
    '100-continue, x',
    'y',
    '200-ok',
    '100-continue;x',
    '100 continue',
    'chunked',
    '100-continue 100-continue',
    '',
  ])('the expectation %j is refused with 417', async (value) => {
    const inner = bytesOf({ target: '/v2/smuggled/tags/list' })
    for (const method of ['PATCH', 'GET'] as const) {
      const framing = method === 'PATCH' ? [`Content-Length: ${inner.length}`] : []
      const bytes = bytesOf({
        method,
        target: session,
        lines: [`Expect: ${value}`, ...framing, ...spoofed],
        body: inner,
      })
      await expectRefused(front, bytes, [417])
    }
  })

  function withoutId(upstreamGot: string): string {
    return upstreamGot.replace(/x-request-id: \S+/, 'x-request-id: ?')
  }
})

describe('A-57 nobody is told to go on before the request is granted', () => {
  const fiveGigabytes = 5 * 1024 ** 3
  const wrong = [`Host: ${host}`, `Authorization: ${basic('alice', 'wrong')}`]
  const large = [`Content-Length: ${fiveGigabytes}`, 'Expect: 100-continue']
  const rows: readonly (readonly [string, number, RawRequest])[] = [
    ['a wrong password', 401, { method: 'PUT', target: session, first: wrong, lines: large }],
    ['no password', 401, { method: 'PATCH', target: session, first: [`Host: ${host}`], lines: large }],
    [
      'chunked, a wrong password',
      401,
      { method: 'PATCH', target: session, first: wrong, lines: ['Transfer-Encoding: chunked', 'Expect: 100-continue'] },
    ],
    ['a name that is none', 400, { method: 'PUT', target: '/v2/A/blobs/uploads/s', lines: large }],
    ['an unknown route', 404, { method: 'PUT', target: '/v2/a/x/y', lines: large }],
    ['a method that is not allowed', 405, { method: 'PUT', target: '/v2/a/tags/list', lines: large }],
    ['a form', 415, { method: 'PUT', target: session, lines: [...large, 'Content-Type: multipart/form-data'] }],
    ['a manifest too large', 413, { method: 'PUT', target: '/v2/a/manifests/v1', lines: large }],
    ['a body where none belongs', 400, { method: 'GET', target: '/v2/', lines: large }],
  ]

  test.each(rows)('%s: the first bytes are the %i, and the connection closes', async (_what, status, request) => {
    const startedMs = performance.now()
    const { text } = await expectRefused(front, bytesOf(request), [status])
    expect(text.startsWith(`HTTP/1.1 ${status} `)).toBe(true)
    expect(performance.now() - startedMs).toBeLessThan(soonMs)
  })

  test('a client that sends without waiting is refused, and its body is not read as requests', async () => {
    const inner = bytesOf({ target: '/v2/smuggled/tags/list' }).repeat(20)
    const request = { method: 'PUT', target: session, first: wrong, lines: large }
    await expectRefused(front, [bytesOf(request), inner], [401])
  })

  test('who is granted is told 100 once, and then its body goes on', async () => {
    const before = mark(front.upstream)
    const socket = await connectRaw(front.gateway.target)
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
    })
    const answers = (): readonly RawAnswer[] => readAnswers(text).answers
    socket.write(bytesOf({ method: 'PATCH', target: session, lines: ['Content-Length: 5', 'Expect: 100-continue'] }))
    await until(() => answers().length === 1, { what: '100 Continue' })
    expect(text).toBe('HTTP/1.1 100 Continue\r\n\r\n')
    socket.write('hello')
    await until(() => answers().length === 2, { what: 'the answer' })
    socket.destroy()
    expect(answers().map(({ status }) => status)).toEqual([100, 200])
    expect(receivedSince(front.upstream, before)).toMatch(/\r\n\r\nhello$/)
  })

  test('HTTP/1.0 is told nothing', async () => {
    const { text } = await attack(
      front,
      bytesOf({
        version: 'HTTP/1.0',
        method: 'PATCH',
        target: session,
        first: [`Host: ${host}`, alice],
        lines: ['Content-Length: 5', 'Expect: 100-continue'],
        body: 'hello',
      }),
    )
    expect(text).not.toContain(' 100 ')
  })
})
