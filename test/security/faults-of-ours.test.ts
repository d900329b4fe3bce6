import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import type { Proxy } from '../../src/proxy/proxy.ts'
import { errorEnvelope, errorTable } from '../../src/registry/error.ts'
import { authenticatedUsersOnly } from '../support/fixed-policy.ts'
import { sendRaw } from '../support/raw-http-client.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { requestId, startAssembledGateway } from './assembled-gateway.ts'
import type { AssembledParts } from './assembled-gateway.ts'
import { alice, closing, expectAlive, startFront } from './attack.ts'
import type { Front } from './attack.ts'

/** What no answer may show: a message with a path and a secret, and the stack below it. */
const fault = new Error('planted fault in /etc/wharfgate/secret with hunter2 <script>')
const throwing = (): never => {
  throw fault
}

const signedIn: AssembledParts['authentication'] = {
  authenticate: () => Promise.resolve({ kind: 'user', name: 'alice', groups: [], method: 'htpasswd' }),
}
const whole: AssembledParts = { authentication: signedIn, policy: authenticatedUsersOnly }

let upstream: RecordingUpstream
beforeAll(async () => {
  upstream = await startRecordingUpstream()
})
afterAll(() => upstream.close())
beforeEach(() => {
  upstream.reset()
})

describe('A-121 a fault of ours is answered with fixed text', () => {
  const { code, sentence } = errorTable.gatewayFault
  const expected = errorEnvelope(code, sentence, undefined, requestId)
  const pull = '/v2/a/manifests/v1'

  /** A proxy whose forwarding is another, and which has no upstream to look after. */
  const planted = (forward: Proxy['forward']): Pick<AssembledParts, 'proxy'> => ({
    proxy: { forward, probe: () => Promise.resolve(), close: () => undefined },
  })
  const rejecting = (): Promise<never> => Promise.reject(fault)

  const layers: readonly (readonly [layer: string, parts: Partial<AssembledParts>, target?: string])[] = [
    ['CORS', { cors: throwing }],
    ['the health check', { isHealthy: throwing }, '/healthz'],
    ['authentication, at once', { authentication: { authenticate: throwing } }],
    ['authentication, later', { authentication: { authenticate: rejecting } }],
    ['the policy', { policy: { ...authenticatedUsersOnly, judgeFor: throwing } }],
    ['the clock', { now: throwing }],
    ['maintenance', { maintenance: throwing }],
    ['the audit', { audit: { admits: throwing } }],
    ['the proxy, at once', planted(throwing)],
    ['the proxy, later', planted(rejecting)],
  ]

  test.each(layers)('thrown by %s', async (_layer, parts, target = pull) => {
    const faults: unknown[] = []
    const onFault = (cause: unknown): void => {
      faults.push(cause)
    }
    const gateway = await startAssembledGateway(upstream.url, { ...whole, ...parts, onFault })
    const sound = await startAssembledGateway(upstream.url, whole)
    try {
      for (const method of ['GET', 'HEAD']) {
        const answer = await gateway.ask(method, target)
        expect({ status: answer.status, body: answer.body }).toEqual({
          status: 500,
          body: method === 'GET' ? expected : '',
        })
        expect(answer.headers).toMatchObject({
          'content-type': 'application/json',
          'x-content-type-options': 'nosniff',
          'x-request-id': requestId,
        })
        expect(JSON.stringify(answer.headers)).not.toMatch(/planted|hunter2|\.ts:/)
      }
      expect(faults).toHaveLength(2)
      // It is this request's end alone: the same process goes on answering.
      expect(await sound.ask('GET', pull)).toMatchObject({ status: 200 })
      expect(await gateway.ask('GET', '/nothing')).toMatchObject({ status: 'cors' in parts ? 500 : 404 })
    } finally {
      await gateway.stop()
      await sound.stop()
    }
  })

  test('thrown when an answer has begun, it breaks the connection instead of making the answer look whole', async () => {
    const forward: Proxy['forward'] = (_req, res) => {
      res.writeHead(200, { 'content-length': 10 }).write('half')
      return Promise.reject(fault)
    }
    const gateway = await startAssembledGateway(upstream.url, { ...whole, ...planted(forward) })
    try {
      await expect(gateway.ask('GET', pull)).rejects.toMatchObject({ code: 'ECONNRESET' })
      expect(await gateway.ask('GET', '/nothing')).toMatchObject({ status: 404 })
    } finally {
      await gateway.stop()
    }
  })
})

describe('A-121 an error page repeats nothing of the request', () => {
  let front: Front
  beforeAll(async () => {
    front = await startFront()
  })
  afterAll(() => front.stop())

  const markup = '<script>alert(1)</script>'
  const escaped = '%3Cscript%3Ealert(1)%3C/script%3E'

  test.each([
    ['a path outside', { target: `/${markup}` }],
    ['a path outside, escaped', { target: `/${escaped}` }],
    ['a name', { target: `/v2/${markup}/tags/list` }],
    ['a name, escaped', { target: `/v2/${escaped}/tags/list` }],
    ['a reference', { target: `/v2/a/manifests/${markup}` }],
    ['a digest', { target: `/v2/a/blobs/sha256:${markup}` }],
    ['a query', { target: `/v2/a/tags/list?n=${markup}` }],
    ['a query, escaped', { target: `/v2/a/tags/list?n=${escaped}` }],
    ['a method', { method: 'ALERT' }],
    ['a known method with markup', { method: 'PURGE', target: `/v2/?${escaped}` }],
    ['the version', { version: `HTTP/1.1${markup}` }],
    ['the Host', { first: [`Host: ${markup}`, alice] }],
    [
      'the user',
      { first: ['Host: localhost', `Authorization: Basic ${Buffer.from(`${markup}:x`).toString('base64')}`] },
    ],
    ['the scheme', { first: ['Host: localhost', `Authorization: ${markup}`] }],
    ['a header', { lines: [`X-${markup}: 1`] }],
    ['the expectation', { lines: [`Expect: ${markup}`] }],
    [
      'the content type',
      { method: 'POST', target: '/v2/a/blobs/uploads/', lines: [`Content-Type: multipart/${markup}`] },
    ],
  ])('with markup in %s', async (_what, request) => {
    const { answers, text } = await sendRaw(front.gateway.target, closing(request))
    const [answer] = answers
    expect(answers).toHaveLength(1)
    expect(answer?.status).toBeGreaterThanOrEqual(400)
    const headers = new Map(answer?.headers)
    expect(headers.get('content-type')).toBe('application/json')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
    expect(answer?.body).toMatch(/^\{"errors":\[\{"code":"[A-Z_]+","message":"[^"<>]+","detail":"[^"<>]+"\}\]\}$/)
    expect(text).not.toMatch(/<|script>|alert|ALERT|PURGE|node:|\.ts:|\/src\//)
  })

  test('afterwards an honest request is answered', () => expectAlive(front))
})
