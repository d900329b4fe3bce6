import { createHash } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { attack, bytesOf, closing, digest, expectAlive, expectRefused, startFront } from './attack.ts'
import type { Front } from './attack.ts'

let front: Front

beforeAll(async () => {
  front = await startFront()
})
afterAll(() => front.stop())
afterEach(() => expectAlive(front))

const repeated = (text: string, count: number): string => text.repeat(count)
const integerKeys = `{${Array.from({ length: 200_000 }, (_, index) => `"${index * 2 ** 16}":0`).join(',')}}`
const bombs = [
  ['a million a[]', repeated('a[]=&', 1_000_000)],
  ['a hundred thousand levels of brackets', `a${repeated('[b]', 100_000)}=c`],
  ['a prototype', '__proto__[polluted]=1&constructor[prototype][polluted]=1'],
  ['JSON of depth 50,000', repeated('[', 50_000) + repeated(']', 50_000)],
  ['200,000 integer-like keys', integerKeys],
  ['a JSON prototype', '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'],
  ['bytes that are no UTF-8', '\xff\xfe\xc0\xaf\0'],
] as const

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'

const withBody = [
  ['POST', '/v2/a/blobs/uploads/'],
  ['PATCH', '/v2/a/blobs/uploads/s1'],
  ['PUT', '/v2/a/blobs/uploads/s1'],
  ['PUT', '/v2/a/manifests/v1'],
] as const
const withoutBody = [
  ['GET', '/v2/'],
  ['GET', '/v2/_catalog'],
  ['GET', '/v2/a/tags/list'],
  ['GET', `/v2/a/blobs/${digest}`],
  ['DELETE', '/v2/a/manifests/v1'],
  ['DELETE', '/v2/a/blobs/uploads/s1'],
] as const

describe('A-72 no body is parsed', () => {
  test.each(bombs)('%s as a form is refused on each route', async (_what, body) => {
    for (const [method, target] of withBody) {
      for (const type of ['application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
        const lines = [`Content-Type: ${type}`, `Content-Length: ${body.length}`]
        await expectRefused(front, bytesOf({ method, target, lines, body }), [415])
      }
    }
  })

  test.each(bombs.filter(([, body]) => body.length < 4 * 1024 * 1024))(
    '%s as JSON goes on byte for byte, or not at all',
    async (_what, body) => {
      const whole = Buffer.from(body, 'latin1')
      front.upstream.respondWith((connection) => {
        if (connection.received.subarray(-whole.length).equals(whole)) connection.socket.write(ok)
      })
      for (const [method, target] of withBody) {
        const lines = ['Content-Type: application/json', `Content-Length: ${body.length}`, 'Connection: close']
        const { answers, upstreamGot } = await attack(front, bytesOf({ method, target, lines, body }))
        expect(answers.map(({ status }) => status)).toEqual([200])
        expect(sha256(upstreamGot.slice(upstreamGot.indexOf('\r\n\r\n') + 4))).toBe(sha256(body))
      }
      for (const [method, target] of withoutBody) {
        const lines = ['Content-Type: application/json', `Content-Length: ${body.length}`]
        await expectRefused(front, bytesOf({ method, target, lines, body }), [400])
      }
      front.upstream.reset()
      expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
    },
  )

  function sha256(text: string): string {
    return createHash('sha256').update(text, 'latin1').digest('hex')
  }

  test.each([
    ['a[]', repeated('a[]=&', 1_500)],
    ['brackets', `a${repeated('[b]', 2_500)}=c`],
    ['a prototype', '__proto__[polluted]=1&__proto__=x&constructor[prototype][polluted]=1'],
    ['names', Array.from({ length: 1_500 }, (_, index) => `k${index}`).join('&')],
    ['escapes', repeated('%41', 2_600)],
  ])('a query of %s is read in no time, and dropped', async (_what, query) => {
    const before = process.threadCpuUsage()
    const { answers, upstreamGot } = await attack(front, closing({ target: `/v2/a/tags/list?${query}` }))
    // The gateway runs in this thread. It needs some milliseconds; a reader that explodes needs more than there are.
    expect(process.threadCpuUsage(before).user).toBeLessThan(1_000_000)
    expect(answers.map(({ status }) => status)).toEqual([200])
    expect(upstreamGot).toMatch(/^GET \/v2\/a\/tags\/list HTTP\/1\.1\r\n/)
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
  })

  test('credentials elsewhere than in Authorization are none', async () => {
    const first = ['Host: localhost:8443']
    await expectRefused(
      front,
      closing({ first, target: '/v2/a/tags/list?username=alice&password=x&access_token=y' }),
      [401],
    )
    const body = '{"username":"alice","password":"x"}'
    const lines = ['Content-Type: application/json', `Content-Length: ${body.length}`]
    await expectRefused(
      front,
      bytesOf({
        method: 'PATCH',
        target: '/v2/a/blobs/uploads/s',
        first,
        lines: [...lines, 'Connection: close'],
        body,
      }),
      [401],
    )
  })
})

describe('A-126 a manifest is bounded', () => {
  const size = 5 * 1024 * 1024
  test('sized, it is refused by its length alone', async () => {
    const lines = [`Content-Length: ${size}`]
    await expectRefused(front, bytesOf({ method: 'PUT', target: '/v2/a/manifests/v1', lines, body: 'x' }), [413])
  })

  test('chunked, it is refused when it has grown too large, and never ends whole upstream', async () => {
    const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`
    const lines = ['Transfer-Encoding: chunked']
    front.upstream.respondWith(() => undefined)
    const body = `${chunk.repeat(80)}0\r\n\r\n`
    const { answers, closed, upstreamGot } = await attack(
      front,
      bytesOf({ method: 'PUT', target: '/v2/a/manifests/v1', lines, body }),
    )
    front.upstream.reset()
    expect(answers.map(({ status }) => status)).toEqual([413])
    expect(closed).toBe(true)
    expect(upstreamGot.length).toBeLessThan(4 * 1024 * 1024 + 128 * 1024)
    expect(upstreamGot).not.toMatch(/0\r\n\r\n$/)
  })
})
