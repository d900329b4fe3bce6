import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { startGatewayProcess } from '../support/gateway-process.ts'
import { basic, basicOf } from '../support/personas.ts'
import { connectRaw, sendRaw } from '../support/raw-http-client.ts'
import { answerEach, startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'
import { until } from '../support/until.ts'

let upstream: RecordingUpstream
beforeAll(async () => {
  upstream = await startRecordingUpstream()
})
afterAll(() => upstream.close())

describe('a gateway that runs', () => {
  let gateway: TestGateway
  beforeAll(async () => {
    gateway = await startGateway({ upstreamUrl: upstream.url })
  })
  afterAll(() => gateway.stop())

  const admin = (path: string, init?: RequestInit): Promise<Response> => fetch(gateway.adminUrl + path, init)

  test.each([
    [
      'an answer of the upstream',
      { path: `/v2/team/app/referrers/sha256:${'a'.repeat(64)}`, headers: { authorization: basicOf('alice') } },
      200,
    ],
    ['a missing login', { path: '/v2/' }, 401],
    ['an unknown path', { path: '/nowhere' }, 404],
    ['a refused head', { path: '/v2/', headers: { x_user: 'alice' } }, 400],
    ['the health check', { path: '/healthz' }, 200],
  ])('gives %s its id and the security headers', async (_name, request, status) => {
    const { headers, status: given } = await gateway.ask(request)
    expect(given).toBe(status)
    expect(headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
    expect(headers['x-content-type-options']).toBe('nosniff')
    expect(headers['strict-transport-security']).toBe('max-age=31536000')
    expect(headers['x-powered-by']).toBeUndefined()
  })

  test('answers health, liveness, readiness and start', async () => {
    const answers = await Promise.all(['/livez', '/readyz', '/startupz'].map((path) => admin(path)))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
    expect((await gateway.ask({ path: '/healthz' })).body).toBe('')
  })

  test.each(['OPTIONS', 'POST', 'DELETE'])('answers %s on the health check with 405', async (method) => {
    const { status, headers, body } = await gateway.ask({ method, path: '/healthz' })
    expect({ status, allow: headers.allow }).toEqual({ status: 405, allow: 'GET, HEAD' })
    expect(body).toContain('"UNSUPPORTED"')
  })

  test('keeps metrics and administration off the public port', async () => {
    const paths = ['/metrics', '/livez', '/readyz', '/metrics/../v2/_catalog', '/healthz/v2/']
    const answers = await Promise.all(paths.map((path) => gateway.ask({ path })))
    expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404, 404])
    expect((await admin('/v2/')).status).toBe(404)
    expect((await admin('/livez', { method: 'POST' })).status).toBe(405)
  })

  test('counts what it did, and writes one audit line for each exchange', async () => {
    const { headers } = await gateway.as('bob', { path: '/v2/a/tags/list' })
    const line = await gateway.auditLineOf(String(headers['x-request-id']))
    expect(line).toMatchObject({ user: 'bob', route: 'tags', repository: 'a', decision: 'granted', status: 200 })
    const metrics = await (await admin('/metrics')).text()
    expect(metrics).toMatch(/^wharfgate_http_requests_total\{route="tags",method="GET",code="200"\} 1$/m)
    expect(metrics).toMatch(/^wharfgate_auth_attempts_total\{backend="htpasswd",outcome="authenticated"\} [1-9]/m)
  })

  test('audits what it refused before it was understood', async () => {
    const before = gateway.auditLines().length
    await sendRaw(gateway.target, 'GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n')
    await sendRaw(gateway.target, 'NOT HTTP\r\n\r\n')
    const lines = await until(() => gateway.auditLines().length >= before + 2 && gateway.auditLines().slice(before), {
      what: 'two audit lines',
    })
    expect(lines.map((line) => line['errorId'])).toEqual(['requestMalformed', 'requestMalformed'])
  })
})

describe('a gateway that is told to end', () => {
  const started = () =>
    startGatewayProcess({ upstreamUrl: upstream.url, hosts: ['localhost'], users: { alice: 'a-long-password' } })

  /** Asks for a blob whose first half is sent; `finish` sends the rest. */
  async function halfAnswered(url: string, ca: string) {
    let finish: (() => void) | undefined
    upstream.respondWith((connection, heads) => {
      if (!heads.some((head) => head.includes('/blobs/'))) {
        answerEach(
          connection,
          heads,
          'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}',
        )
        return
      }
      if (finish !== undefined) return
      connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst')
      finish = () => connection.socket.write('later')
    })
    const socket = await connectRaw({ port: Number(new URL(url).port), ca })
    const digest = `sha256:${'a'.repeat(64)}`
    const login = basic('alice', 'a-long-password')
    socket.write(`GET /v2/a/blobs/${digest} HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${login}\r\n\r\n`)
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
    })
    await until(() => text.endsWith('first'), { what: 'the first half of the answer' })
    return { socket, text: () => text, finish: () => finish?.() }
  }

  test('finishes what is in flight, accepts nothing new, and exits 0', async () => {
    const gateway = await started()
    const download = await halfAnswered(gateway.url, gateway.ca)
    gateway.signal('SIGTERM')
    await until(
      () =>
        sendRaw({ port: Number(new URL(gateway.url).port), ca: gateway.ca }, 'x').then(
          () => false,
          () => true,
        ),
      {
        what: 'the listener to close',
      },
    )
    const closed = once(download.socket, 'close')
    download.finish()
    await closed
    expect(download.text()).toMatch(/firstlater$/)
    expect((await gateway.ended).code).toBe(0)
    await gateway.stop()
  })

  test('ends at once at the second signal', async () => {
    const gateway = await started()
    const download = await halfAnswered(gateway.url, gateway.ca)
    const closed = once(download.socket, 'close')
    gateway.signal('SIGTERM')
    await until(() => gateway.log().includes('draining'), { what: 'the gateway to drain' })
    gateway.signal('SIGTERM')
    await closed
    expect((await gateway.ended).code).toBe(143)
    await gateway.stop()
  })
})
