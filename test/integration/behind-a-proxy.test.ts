import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { basicOf } from '../support/personas.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'
import { until } from '../support/until.ts'

let upstream: RecordingUpstream
let gateway: TestGateway | undefined

beforeAll(async () => {
  upstream = await startRecordingUpstream()
})
afterAll(() => upstream.close())
afterEach(async () => {
  await gateway?.stop()
  upstream.reset()
})

const request = (lines: readonly string[] = []): string =>
  `${['GET /v2/a/tags/list HTTP/1.1', 'Host: registry.example.test', `Authorization: ${basicOf('alice')}`, ...lines, 'Connection: close'].join('\r\n')}\r\n\r\n`

/** Writes what is given, over TLS where asked, and reads until the gateway closes. */
async function sent(port: number, parts: readonly string[], ca?: string): Promise<string> {
  const accepted = net.connect(port, '127.0.0.1')
  await once(accepted, 'connect')
  const [first = '', ...rest] = parts
  accepted.write(first)
  const socket = ca === undefined ? accepted : tls.connect({ socket: accepted, ca, servername: 'localhost' })
  for (const part of rest) socket.write(part)
  let text = ''
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
  })
  socket.on('error', () => undefined)
  await once(socket, 'close')
  return text
}

/** The client's address as the audit and the upstream were told of it. */
async function told(): Promise<{ readonly audit: unknown; readonly upstream: string | undefined }> {
  const lines = () => gateway?.auditLines().filter((line) => line['route'] === 'tags') ?? []
  await until(() => lines().length === 1, { what: 'the audit line' })
  const asked = upstream.received().split('GET /v2/a/tags/list').at(-1) ?? ''
  return { audit: lines()[0]?.['clientAddress'], upstream: /x-forwarded-for: ([^\r]+)/i.exec(asked)?.[1] }
}

describe('without TLS, behind a proxy that terminates it', () => {
  const settings = { tls: { enabled: false }, trustedProxies: ['127.0.0.0/8'] }

  test.each([
    ['the hop that the proxy saw', '198.51.100.7', '198.51.100.7'],
    ['the right-most hop that is no proxy', '10.9.9.9, 198.51.100.7, 127.0.0.9', '198.51.100.7'],
    ['the proxy itself where the header is garbage', 'not an address', '127.0.0.1'],
  ])('the client is %s', async (_name, header, expected) => {
    gateway = await startGateway({ upstreamUrl: upstream.url, settings })
    const text = await sent(gateway.port, [request([`X-Forwarded-For: ${header}`])])
    expect(text).toMatch(/^HTTP\/1\.1 200 /)
    expect(await told()).toEqual({ audit: expected, upstream: expected })
  })
})

test('A-60 from anybody else the header is not believed', async () => {
  gateway = await startGateway({ upstreamUrl: upstream.url, settings: { trustedProxies: ['192.0.2.0/24'] } })
  const { status } = await gateway.as('alice', {
    path: '/v2/a/tags/list',
    headers: { 'x-forwarded-for': '198.51.100.7', forwarded: 'for=198.51.100.7' },
  })
  expect(status).toBe(200)
  expect(await told()).toEqual({ audit: '127.0.0.1', upstream: '127.0.0.1' })
})

describe('A-62 behind a load balancer that sends the PROXY protocol', () => {
  const settings = { listen: { proxyProtocol: { from: ['127.0.0.1/32'] } } }

  test('the client is the one in the header', async () => {
    gateway = await startGateway({ upstreamUrl: upstream.url, settings })
    const header = 'PROXY TCP4 203.0.113.9 192.0.2.1 51000 443\r\n'
    const text = await sent(gateway.port, [header, request()], gateway.ca)
    expect(text).toMatch(/^HTTP\/1\.1 200 /)
    expect(await told()).toEqual({ audit: '203.0.113.9', upstream: '203.0.113.9' })
  })

  test('a connection without one is closed before TLS', async () => {
    gateway = await startGateway({ upstreamUrl: upstream.url, settings })
    expect(await sent(gateway.port, [request()])).toBe('')
    expect(upstream.received()).not.toContain('/v2/a/tags/list')
  })

  test('the audit of what is not HTTP names the client too', async () => {
    gateway = await startGateway({ upstreamUrl: upstream.url, settings })
    const header = 'PROXY TCP4 203.0.113.9 192.0.2.1 51000 443\r\n'
    await sent(gateway.port, [header, 'NOT HTTP\r\n\r\n'], gateway.ca)
    const line = await until(() => gateway?.auditLines().find((each) => each['errorId'] === 'requestMalformed'), {
      what: 'the audit line',
    })
    expect(line['clientAddress']).toBe('203.0.113.9')
  })
})
