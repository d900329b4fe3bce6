import { createHash } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { headerOf, sendRaw } from '../support/raw-http-client.ts'
import type { RawAnswer } from '../support/raw-http-client.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'
import { closing } from './attack.ts'
import type { RawRequest } from './attack.ts'

const content = 'the secret layer'
const stolen = `sha256:${createHash('sha256').update(content).digest('hex')}`
const uploads = '/v2/mine/a/blobs/uploads/'

describeWith(['docker-registry'], 'a blob of another repository', () => {
  let registry: RealRegistry
  let gateway: TestGateway
  let seen = 0

  beforeAll(async () => {
    registry = await startRealRegistry()
    gateway = await startGateway({ upstreamUrl: registry.url })
    const opened = await ask({ method: 'POST', target: '/v2/secret/app/blobs/uploads/', lines: ['Content-Length: 0'] })
    const target = `${headerOf(opened, 'location') ?? ''}&digest=${stolen}`
    const put = await ask({ method: 'PUT', target, lines: [`Content-Length: ${content.length}`], body: content })
    expect(put.status).toBe(201)
  })
  afterAll(async () => {
    await gateway.stop()
    await registry.stop()
  })
  beforeEach(() => {
    seen = registry.requests().length
  })

  async function ask(request: RawRequest): Promise<RawAnswer> {
    const { answers, rest } = await sendRaw(gateway.target, closing(request))
    expect({ count: answers.length, rest }).toEqual({ count: 1, rest: '' })
    const [answer] = answers
    if (answer === undefined) throw new Error('no answer')
    return answer
  }
  /** The targets the registry was asked, less the gateway's probes. */
  const asked = () =>
    registry
      .requests()
      .slice(seen)
      .map(({ method, target }) => `${method} ${target}`)
      .filter((line) => line !== 'GET /v2/')
  async function expectNotStolen(): Promise<void> {
    const { status } = await gateway.as('alice', { path: `/v2/mine/a/blobs/${stolen}` })
    expect(status).toBe(404)
  }

  const form = `mount=${stolen}&from=secret/app`
  const boundary = 'x7'
  const field = (name: string, value: string) =>
    `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
  const multipart = `${field('mount', stolen)}${field('from', 'secret/app')}--${boundary}--\r\n`
  const urlencodedTypes = [
    'application/x-www-form-urlencoded',
    'Application/X-WWW-Form-URLencoded',
    'application/x-www-form-urlencoded; charset=utf-8',
    'application/x-www-form-urlencoded;',
    'application/x-www-form-urlencoded ;a=b',
    'application/x-www-form-urlencoded, application/octet-stream',
    '\tapplication/x-www-form-urlencoded',
  ]
  const multipartTypes = [
    `multipart/form-data; boundary=${boundary}`,
    `MULTIPART/mixed; boundary=${boundary}`,
    `multipart/x; boundary="${boundary}"`,
  ]
  const queries = ['', `?mount=${stolen}&from=pub/x`, '?from=pub/x', '?mount=', '?x=y']

  test.each([
    ...urlencodedTypes.map((type) => [type, form] as const),
    ...multipartTypes.map((type) => [type, multipart] as const),
  ])('A-01 is not mounted by a form body of type %j', async (type, body) => {
    for (const query of queries) {
      for (const framing of ['sized', 'chunked']) {
        const answer = await ask({
          method: 'POST',
          target: uploads + query,
          lines: [
            `Content-Type: ${type}`,
            framing === 'sized' ? `Content-Length: ${body.length}` : 'Transfer-Encoding: chunked',
          ],
          body: framing === 'sized' ? body : `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
        })
        expect(answer.status).toBe(415)
      }
    }
    expect(asked()).toEqual([])
    await expectNotStolen()
  })

  test.each([
    'application/json',
    'text/plain',
    'x/application/x-www-form-urlencoded',
    'application/x-www-form-urlencodedx',
    '"application/x-www-form-urlencoded"',
    'nonsense',
    ';',
    '',
  ])('A-01 is not mounted by a body of type %j, which goes on as bytes', async (type) => {
    for (const query of ['', '?x=y']) {
      const lines = [`Content-Type: ${type}`, `Content-Length: ${form.length}`]
      const answer = await ask({ method: 'POST', target: uploads + query, lines, body: form })
      expect([202, 400, 415]).toContain(answer.status)
    }
    await expectNotStolen()
  })

  test('A-01 is not mounted by a form without a type', async () => {
    const answer = await ask({ method: 'POST', target: uploads, lines: [`Content-Length: ${form.length}`], body: form })
    expect(answer.status).toBe(202)
    await expectNotStolen()
  })

  test('A-04 is not mounted without a source: the upload begins as an ordinary one', async () => {
    for (const query of [
      `?mount=${stolen}`,
      `?mount=${stolen}&origin=docker.io`,
      `?mo%75nt=${stolen}&FROM=secret/app`,
    ]) {
      const answer = await ask({ method: 'POST', target: uploads + query, lines: ['Content-Length: 0'] })
      expect(answer.status).toBe(202)
      expect(headerOf(answer, 'location')).toMatch(/^\/v2\/mine\/a\/blobs\/uploads\/[0-9a-f-]+\?_state=/)
    }
    expect(asked()).toEqual([`POST ${uploads}`, `POST ${uploads}`, `POST ${uploads}`])
    await expectNotStolen()
  })

  test('A-03 is not mounted from another host, or from a repository that has it not', async () => {
    for (const query of [`?mount=${stolen}&from=secret/app&origin=quay.io`, `?mount=${stolen}&from=pub/x`]) {
      const answer = await ask({ method: 'POST', target: uploads + query, lines: ['Content-Length: 0'] })
      expect(answer.status).toBe(202)
    }
    await expectNotStolen()
  })

  test.each(['PATCH', 'PUT'])(
    'A-31 a form on %s of an upload is refused, and the upload goes on unharmed',
    async (method) => {
      const opened = await ask({ method: 'POST', target: uploads, lines: ['Content-Length: 0'] })
      const location = headerOf(opened, 'location') ?? ''
      const body = `digest=${stolen}&_state=x&${'a=b&'.repeat(786_432)}`
      expect(body.length).toBeGreaterThan(3 * 1024 * 1024)
      const refused = await ask({
        method,
        target: location,
        lines: ['Content-Type: application/x-www-form-urlencoded', `Content-Length: ${body.length}`],
        body,
      })
      expect(refused.status).toBe(415)
      expect(asked()).toEqual([`POST ${uploads}`])
      const status = await ask({ target: location })
      expect({ status: status.status, range: headerOf(status, 'range') }).toEqual({ status: 204, range: '0-0' })
      await expectNotStolen()
    },
  )

  test('A-31 bytes that look like a form are stored as bytes', async () => {
    const opened = await ask({ method: 'POST', target: uploads, lines: ['Content-Length: 0'] })
    const lines = ['Content-Type: text/plain', `Content-Length: ${form.length}`]
    const patched = await ask({ method: 'PATCH', target: headerOf(opened, 'location') ?? '', lines, body: form })
    expect(patched.status).toBe(202)
    const digest = `sha256:${createHash('sha256').update(form).digest('hex')}`
    const target = `${headerOf(patched, 'location') ?? ''}&digest=${digest}`
    const put = await ask({ method: 'PUT', target, lines: ['Content-Length: 0'] })
    expect(put.status).toBe(201)
    const got = await gateway.as('alice', { path: `/v2/mine/a/blobs/${digest}` })
    expect(got).toMatchObject({ status: 200, digest })
    await expectNotStolen()
  })

  test('A-30 an upload of one repository does not go on in another', async () => {
    const opened = await ask({ method: 'POST', target: '/v2/secret/app/blobs/uploads/', lines: ['Content-Length: 0'] })
    const target = (headerOf(opened, 'location') ?? '').replace('/secret/app/', '/mine/a/')
    for (const method of ['PATCH', 'PUT', 'GET', 'DELETE']) {
      const answer = await ask({ method, target, lines: method.startsWith('P') ? ['Content-Length: 0'] : [] })
      expect([400, 404]).toContain(answer.status)
    }
  })

  // Mounting it with the right to: last, since afterwards it is readable there.
  test('A-03 is mounted by whoever may pull it where it is', async () => {
    const query = `?mount=${stolen}&%66rom=secret/app`
    const answer = await ask({ method: 'POST', target: uploads + query, lines: ['Content-Length: 0'] })
    expect(answer.status).toBe(201)
    expect(headerOf(answer, 'location')).toBe(`/v2/mine/a/blobs/${stolen}`)
  })
})
