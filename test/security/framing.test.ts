import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { attack, bytesOf, expectAlive, expectRefused, startFront } from './attack.ts'
import type { Front } from './attack.ts'

let front: Front
/** Gives up soon on a client that stops in the middle. */
let hurried: Front

beforeAll(async () => {
  front = await startFront()
  hurried = await startFront({ client: { requestHeadersMs: 1_000, inactivityMs: 1_000 } })
})
afterAll(() => Promise.all([front.stop(), hurried.stop()]))
afterEach(() => expectAlive(front))

const smuggled = bytesOf({ target: '/v2/smuggled/tags/list' })
const uploads = '/v2/a/blobs/uploads/'
const session = '/v2/a/blobs/uploads/s1'

describe('A-43 a body on a method that has none never becomes a request', () => {
  const rows = [
    ['keep-alive', 'DELETE', ['Connection: keep-alive']],
    ['keep-alive, upgrade', 'DELETE', ['Connection: keep-alive, upgrade']],
    ['the encoding named in Connection', 'DELETE', ['Connection: Transfer-Encoding, upgrade', 'Upgrade: h2c']],
    ['the length named in Connection', 'DELETE', ['Connection: Content-Length']],
    ['no Connection', 'DELETE', []],
    ['OPTIONS', 'OPTIONS', []],
    ['GET', 'GET', []],
    ['HEAD', 'HEAD', []],
    ['TRACE', 'TRACE', []],
    ['PROPFIND', 'PROPFIND', []],
  ] as const
  const targets = ['/v2/a/manifests/v1', '/v2/', session, '/x']

  test.each(rows)('chunked, %s', async (_what, method, lines) => {
    for (const target of targets) {
      const chunk = `${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`
      const bytes = bytesOf({ method, target, lines: ['Transfer-Encoding: chunked', ...lines], body: chunk })
      await expectRefused(front, bytes, [400, 405, 411])
    }
  })

  test.each(rows)('sized, %s', async (_what, method, lines) => {
    for (const target of targets) {
      const bytes = bytesOf({ method, target, lines: [`Content-Length: ${smuggled.length}`, ...lines], body: smuggled })
      await expectRefused(front, bytes, [400, 405, 411])
    }
  })

  test.each(['POST', 'PUT', 'PATCH'])('%s with an upgrade keeps its body together', async (method) => {
    const target = method === 'POST' ? uploads : session
    const lines = [`Content-Length: ${smuggled.length}`, 'Connection: close, upgrade', 'Upgrade: h2c']
    const { answers, upstreamGot } = await attack(front, bytesOf({ method, target, lines, body: smuggled }))
    expect(answers.map(({ status }) => status)).toEqual([200])
    const [head = '', body = ''] = [
      upstreamGot.slice(0, upstreamGot.indexOf('\r\n\r\n')),
      upstreamGot.slice(upstreamGot.indexOf('\r\n\r\n') + 4),
    ]
    expect(head.toLowerCase()).toContain(`content-length: ${smuggled.length}`)
    expect(head.toLowerCase()).not.toContain('upgrade')
    expect(body).toBe(smuggled)
  })
})

describe('A-44 two opinions about a length are refused, and what follows is never answered', () => {
  test.each([
    ['length and chunked', ['Content-Length: 5', 'Transfer-Encoding: chunked']],
    ['chunked and length', ['Transfer-Encoding: chunked', 'Content-Length: 5']],
    ['chunked and length 0', ['Transfer-Encoding: chunked', 'Content-Length: 0']],
    ['two equal lengths', ['Content-Length: 5', 'Content-Length: 5']],
    ['two lengths', ['Content-Length: 5', 'Content-Length: 0']],
    ['two lengths, spelled apart', ['Content-Length: 5', 'content-length: 6']],
    ['a list of lengths', ['Content-Length: 5, 5']],
    ['a list of two lengths', ['Content-Length: 5, 6']],
    ['a plus', ['Content-Length: +5']],
    ['a minus', ['Content-Length: -0']],
    ['below nothing', ['Content-Length: -5']],
    ['hexadecimal', ['Content-Length: 0x5']],
    ['a leading zero', ['Content-Length: 05']],
    ['two zeros', ['Content-Length: 00']],
    ['a fraction', ['Content-Length: 5.0']],
    ['an exponent', ['Content-Length: 5e0']],
    ['letters', ['Content-Length: five']],
    ['a space within', ['Content-Length: 5 0']],
    ['empty', ['Content-Length:']],
    ['empty, then one', ['Content-Length:', 'Content-Length: 59']],
    ['one, then empty', ['Content-Length: 59', 'Content-Length:']],
    ['beyond 64 bits', ['Content-Length: 18446744073709551621']],
    ['beyond 2^53', ['Content-Length: 99999999999999999']],
    ['a vertical tab', ['Content-Length: \x0b5']],
    ['an underscore', ['Content_Length: 5', 'Content-Length: 0']],
  ] as const)('%s', async (_what, lines) => {
    for (const [method, target] of [
      ['POST', uploads],
      ['PATCH', session],
      ['PUT', '/v2/a/manifests/v1'],
    ] as const) {
      await expectRefused(front, bytesOf({ method, target, lines, body: `0\r\n\r\n${smuggled}` }), [400, 413])
    }
  })
})

describe('A-45 no transfer encoding but chunked on HTTP/1.1', () => {
  test.each([
    ['xchunked', ['Transfer-Encoding: xchunked']],
    ['chunked, identity', ['Transfer-Encoding: chunked, identity']],
    ['identity, chunked', ['Transfer-Encoding: identity, chunked']],
    ['gzip, chunked', ['Transfer-Encoding: gzip, chunked']],
    ['chunked, chunked', ['Transfer-Encoding: chunked, chunked']],
    ['a comma before', ['Transfer-Encoding: ,chunked']],
    ['a comma behind', ['Transfer-Encoding: chunked,']],
    ['identity', ['Transfer-Encoding: identity']],
    ['a parameter', ['Transfer-Encoding: chunked;q=1']],
    ['a vertical tab', ['Transfer-Encoding: \x0bchunked']],
    ['a NUL', ['Transfer-Encoding: chunked\0']],
    ['empty', ['Transfer-Encoding:']],
    ['two lines', ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked']],
    ['two lines that differ', ['Transfer-Encoding: identity', 'Transfer-Encoding: chunked']],
    ['two lines, spelled apart', ['Transfer-Encoding: chunked', 'transfer-encoding: identity']],
    ['a space before the colon', ['Transfer-Encoding : chunked']],
    ['a tab before the colon', ['Transfer-Encoding\t: chunked']],
    ['an underscore', ['Transfer_Encoding: chunked']],
    ['a folded line', ['Transfer-Encoding:', ' chunked']],
  ] as const)('%s', async (_what, lines) => {
    const bytes = bytesOf({ method: 'POST', target: uploads, lines, body: `0\r\n\r\n${smuggled}` })
    await expectRefused(front, bytes, [400, 501])
  })

  test('on HTTP/1.0 it is refused', async () => {
    const lines = ['Transfer-Encoding: chunked', 'Connection: keep-alive']
    const bytes = bytesOf({ version: 'HTTP/1.0', method: 'POST', target: uploads, lines, body: `0\r\n\r\n${smuggled}` })
    await expectRefused(front, bytes, [400, 501])
  })

  test.each(['chunked', 'Chunked', 'CHUNKED', ' \tchunked'])('%j is chunked', async (value) => {
    const lines = [`Transfer-Encoding:${value}`, 'Connection: close']
    const { answers, upstreamGot } = await attack(
      front,
      bytesOf({ method: 'POST', target: uploads, lines, body: '5\r\nhello\r\n0\r\n\r\n' }),
    )
    expect(answers.map(({ status }) => status)).toEqual([200])
    expect(upstreamGot.toLowerCase()).toMatch(/\r\ntransfer-encoding: chunked\r\n.*\r\n\r\n5\r\nhello\r\n0\r\n\r\n$/s)
  })
})

describe('framing that ends before it should', () => {
  test.each([
    ['the name of a header', 'POST /v2/a/blobs/upl'],
    ['a head', `POST ${uploads} HTTP/1.1\r\nHost: x\r\n`],
  ])('A-46 %s that stops is answered 408 and closed', async (_what, bytes) => {
    await expectRefused(hurried, bytes, [408])
  })

  test('A-46 a body that stops never becomes a whole one upstream', async () => {
    const bytes = bytesOf({ method: 'PATCH', target: session, lines: ['Transfer-Encoding: chunked'], body: '5\r\nhel' })
    hurried.upstream.respondWith(() => undefined)
    const { answers, upstreamGot, closed } = await attack(hurried, bytes)
    hurried.upstream.reset()
    expect(closed).toBe(true)
    expect(answers.map(({ status }) => status)).toEqual([408])
    expect(upstreamGot).not.toContain('0\r\n\r\n')
  })
})
