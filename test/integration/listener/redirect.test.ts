import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { AddressInfo } from 'node:net'
import { createRedirectListener } from '../../../src/listener/redirect.ts'
import type { Listener } from '../../../src/listener/listen.ts'
import { readAnswers } from '../../support/raw-http-client.ts'
import { connectPlain, readToEnd } from './start-listener.ts'

let listener: Listener
let address: AddressInfo
beforeAll(async () => {
  listener = createRedirectListener({
    host: '127.0.0.1',
    port: 0,
    publicUrl: new URL('https://registry.example.org:8443'),
    proxyProtocolFrom: [],
    newRequestId: () => 'the-request-id',
    observer: {
      connectionOpened: () => undefined,
      connectionClosed: () => undefined,
      connectionRefused: () => undefined,
      tlsHandshakeFailed: () => undefined,
    },
  })
  address = await listener.listen()
})
afterAll(async () => {
  await listener.drain(0)
})

/** The only answer to these bytes; fails when there is another or the connection stays. */
async function send(bytes: string) {
  const socket = await connectPlain(address.port)
  const received = readToEnd(socket)
  socket.write(Buffer.from(bytes, 'latin1'))
  const text = await received
  const head = text.slice(0, text.indexOf('\r\n\r\n'))
  const headers: Record<string, string> = {}
  for (const line of head.split('\r\n').slice(1)) {
    const colon = line.indexOf(': ')
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 2)
  }
  return {
    text,
    status: Number(text.slice(9, 12)),
    headers,
    body: text.slice(head.length + 4),
  }
}
const get = (target: string, further = '') => send(`GET ${target} HTTP/1.1\r\nhost: evil.example\r\n${further}\r\n`)

describe('the redirecting port', () => {
  test.each([
    '/',
    '/v2/',
    '/v2/a/b/tags/list?n=5&last=x',
    '/v2/x/manifests/sha256:abc',
    '/a%2Fb',
    '/%0d%0aset-cookie:x',
    '/?',
  ])('sends %s to the same target below the public URL', async (target) => {
    const { status, headers, body } = await get(target)
    expect([status, headers['location'], body]).toEqual([308, `https://registry.example.org:8443${target}`, ''])
    expect(headers).toMatchObject({ 'x-request-id': 'the-request-id', connection: 'close', 'content-length': '0' })
  })
  test.each(['GET', 'HEAD'])('answers %s with a head alone', async (method) => {
    const { status, body } = await send(`${method} /v2/ HTTP/1.1\r\nhost: x\r\n\r\n`)
    expect([status, body]).toEqual([308, ''])
  })
  test.each([
    'http://evil.example/',
    'https://registry.example.org:8443/',
    '//evil.example/',
    '/\\evil.example',
    '/<script>',
    '/"x"',
    '/\x80',
    '*',
    `/${'a'.repeat(2_048)}`,
  ])('refuses the target %j', async (target) => {
    const { status, headers, body } = await get(target)
    expect(status).toBe(400)
    expect(headers['location']).toBeUndefined()
    expect(JSON.parse(body)).toEqual({
      errors: [{ code: expect.any(String), message: expect.any(String), detail: 'request id the-request-id' }],
    })
  })
  test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'])('refuses %s', async (method) => {
    const { status, headers, body } = await send(`${method} /v2/ HTTP/1.1\r\nhost: x\r\n\r\n`)
    expect([status, headers['allow'], headers['location']]).toEqual([405, 'GET, HEAD', undefined])
    expect(body).toContain('only redirects GET and HEAD to https')
  })
  test('answers a body without reading it', async () => {
    const expecting = 'PUT / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1000000\r\n\r\n'
    const { text, status } = await send(expecting)
    expect([status, text.includes('100 Continue')]).toEqual([405, false])
    expect((await send('PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nxxx')).status).toBe(405)
  })
  test('answers one request a connection, whatever follows it', async () => {
    const { text } = await send(
      `GET /one HTTP/1.1\r\nhost: x\r\n\r\n${'GET /two HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(3)}`,
    )
    expect(readAnswers(text).answers).toHaveLength(1)
    expect(text).not.toContain('/two')
  })
  test.each([
    ['the Host', 'GET / HTTP/1.1\r\nhost: marker.example\r\n\r\n'],
    ['X-Forwarded-Host', 'GET / HTTP/1.1\r\nhost: x\r\nx-forwarded-host: marker.example\r\n\r\n'],
    ['a header', 'GET / HTTP/1.1\r\nhost: x\r\nx-request-id: marker\r\norigin: https://marker\r\n\r\n'],
    ['no Host at all', 'GET / HTTP/1.0\r\n\r\n'],
  ])('repeats nothing of %s', async (_title, bytes) => {
    const { status, text, headers } = await send(bytes)
    expect([status, headers['location']]).toEqual([308, 'https://registry.example.org:8443/'])
    expect(text).not.toContain('marker')
  })
  test.each([
    'GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n',
    'GET /a b HTTP/1.1\r\n\r\n',
    '\x16\x03\x01\x02\x00',
    'nonsense\r\n',
  ])('refuses %j, which is no request', async (bytes) => {
    const { status, headers } = await send(bytes)
    expect([status, headers['content-type'], headers['x-request-id']]).toEqual([
      400,
      'application/json',
      'the-request-id',
    ])
  })
})
