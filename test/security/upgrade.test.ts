import net from 'node:net'
import tls from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { attack, bytesOf, closing, expectAlive, mark, receivedSince, startFront } from './attack.ts'
import type { Front } from './attack.ts'

let front: Front
/** Gives up soon on a handshake that does not come to its end. */
let hurried: Front

beforeAll(async () => {
  front = await startFront()
  hurried = await startFront({ client: { handshakeMs: 1_000 } })
})
afterAll(() => Promise.all([front.stop(), hurried.stop()]))
afterEach(() => expectAlive(front))

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'
const settings = 'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA'

describe('A-63 an upgrade', () => {
  test.each([
    ['h2c', ['Upgrade: h2c', 'Connection: Upgrade, HTTP2-Settings', settings]],
    ['h2c, only the upgrade named', ['Upgrade: h2c', 'Connection: Upgrade', settings]],
    [
      'websocket',
      [
        'Upgrade: websocket',
        'Connection: Upgrade',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==',
      ],
    ],
    ['TLS', ['Upgrade: TLS/1.0', 'Connection: Upgrade']],
    ['several', ['Upgrade: h2c, websocket', 'Connection: keep-alive, upgrade']],
    ['in other letters', ['UPGRADE: H2C', 'CONNECTION: uPGRADE']],
  ] as const)(
    'to %s is not made: no 101, no header of it upstream, and what follows is no stream',
    async (_what, lines) => {
      for (const target of ['/v2/a/tags/list', '/healthz', '/x']) {
        const { answers, text, upstreamGot, closed } = await attack(front, bytesOf({ target, lines }) + preface)
        expect(answers).toHaveLength(1)
        expect(answers[0]?.status).not.toBe(101)
        expect(text).not.toContain('\0')
        expect(upstreamGot).not.toMatch(/upgrade|http2|websocket|PRI/i)
        expect(closed).toBe(true)
      }
    },
  )

  test('ends the connection with its answer, so that no half of what follows is read as a request', async () => {
    const upgrade = bytesOf({ target: '/v2/a/tags/list', lines: ['Upgrade: h2c', 'Connection: Upgrade'] })
    const next = bytesOf({ target: '/v2/b/tags/list' })
    for (const parts of [[upgrade + next], [upgrade, next], [upgrade + next.slice(0, 9), next]]) {
      const { answers, closed, upstreamGot } = await attack(front, parts)
      expect({ statuses: answers.map(({ status }) => status), closed }).toEqual({ statuses: [200], closed: true })
      expect(upstreamGot).not.toContain('/v2/b/')
    }
  })

  test.each(['PATCH', 'POST', 'DELETE'])('on %s changes nothing', async (method) => {
    const target = method === 'POST' ? '/v2/a/blobs/uploads/' : '/v2/a/blobs/uploads/s1'
    const framing = method === 'DELETE' ? [] : ['Content-Length: 5']
    const lines = ['Upgrade: h2c', 'Connection: close, Upgrade', ...framing]
    const { answers, upstreamGot } = await attack(
      front,
      bytesOf({ method, target, lines, body: method === 'DELETE' ? '' : 'hello' }),
    )
    expect(answers.map(({ status }) => status)).toEqual([200])
    expect(upstreamGot).not.toMatch(/upgrade/i)
  })
})

describe('A-71 HTTP/2', () => {
  const offers = [['h2'], ['h2', 'http/1.1'], ['http/1.1', 'h2'], ['h2c'], ['spdy/3.1', 'h2'], ['h3', 'h2', 'http/1.0']]
  test.each(offers)('is never chosen from %j', async (...offered) => {
    const chosen = await new Promise<string | false | null>((resolve) => {
      const { port, ca } = front.gateway
      const socket = tls.connect(
        { host: '127.0.0.1', port, ca, servername: 'localhost', ALPNProtocols: offered },
        () => {
          resolve(socket.alpnProtocol)
          socket.destroy()
        },
      )
      socket.on('error', () => {
        resolve(null)
      })
    })
    expect(chosen).toBe(offered.includes('http/1.1') ? 'http/1.1' : null)
  })

  test('its preface over TLS is refused', async () => {
    const { answers, text, closed, upstreamGot } = await attack(front, preface)
    expect(answers.every(({ status }) => [400, 405, 505].includes(status))).toBe(true)
    expect(text).not.toContain('\0')
    expect({ closed, upstreamGot }).toEqual({ closed: true, upstreamGot: '' })
  })

  test('its preface behind a request is refused', async () => {
    const { answers, closed } = await attack(front, bytesOf({ target: '/v2/a/tags/list' }) + preface)
    expect(answers.map(({ status }) => status)).toEqual([200, 400])
    expect(closed).toBe(true)
  })
})

describe('A-62 bytes before TLS', () => {
  const v2 = '\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x06\x06\x06\x06\x7f\0\0\x01\x1f\x90\x01\xbb'
  test.each([
    ['PROXY v1', `PROXY TCP4 6.6.6.6 127.0.0.1 4000 443\r\n${closing({})}`],
    ['PROXY v2', `${v2}${closing({})}`],
    ['PROXY v2 with a TLV beyond its length', `${v2.slice(0, 14)}\xff\xff${'x'.repeat(65_535)}`],
    ['plain HTTP', closing({ target: '/v2/a/tags/list' })],
    ['an HTTP/2 preface', preface],
    ['SSH', 'SSH-2.0-x\r\n'],
    ['SSLv2', '\x80\x2e\x01\0\x02\0\x15\0\0\0\x10'],
    ['half a ClientHello', '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03'],
    ['a heartbeat', '\x18\x03\x02\0\x03\x01\x40\0'],
    ['NULs', '\0'.repeat(65_536)],
  ])('%s end the connection, and nothing of it is asked upstream', async (_what, bytes) => {
    const before = mark(hurried.upstream)
    const text = await new Promise<string>((resolve) => {
      let got = ''
      const socket = net.connect(hurried.gateway.port, '127.0.0.1', () => socket.write(Buffer.from(bytes, 'latin1')))
      socket.on('data', (chunk: Buffer) => {
        got += chunk.toString('latin1')
      })
      socket
        .on('error', () => undefined)
        .on('close', () => {
          resolve(got)
        })
    })
    expect(text).not.toMatch(/HTTP\/1\.1 [23]/)
    expect(receivedSince(hurried.upstream, before)).toBe('')
  })
})
