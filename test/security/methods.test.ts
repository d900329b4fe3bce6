import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { headerOf } from '../support/raw-http-client.ts'
import { alice, attack, bytesOf, closing, digest, expectAlive, expectRefused, host, startFront } from './attack.ts'
import type { Front } from './attack.ts'

let front: Front

beforeAll(async () => {
  front = await startFront()
})
afterAll(() => front.stop())

const unknownMethods = ['TRACE', 'PROPFIND', 'M-SEARCH', 'OPTIONS', 'LOCK', 'PURGE', 'LINK', 'QUERY', 'REPORT']

describe('A-18 a method without a rule', () => {
  test.each(unknownMethods)('%s is refused with Allow, before anything is asked upstream', async (method) => {
    for (const target of ['/v2/', '/v2/secret/app/manifests/v1', '/v2/_catalog']) {
      const { answers, text } = await expectRefused(
        front,
        closing({ method, target, lines: ['X-Secret: echo-me-not'] }),
        [405],
      )
      expect(headerOf(answers[0], 'allow')).toMatch(/^GET, HEAD/)
      expect(text).not.toContain('echo-me-not')
    }
  })

  test.each([
    ['PATCH', '/v2/a/manifests/v1', 'GET, HEAD, PUT, DELETE'],
    ['POST', '/v2/a/manifests/v1', 'GET, HEAD, PUT, DELETE'],
    ['PUT', `/v2/a/blobs/${digest}`, 'GET, HEAD, DELETE'],
    ['POST', `/v2/a/blobs/${digest}`, 'GET, HEAD, DELETE'],
    ['GET', '/v2/a/blobs/uploads/', 'POST'],
    ['PUT', '/v2/a/blobs/uploads/', 'POST'],
    ['POST', '/v2/a/blobs/uploads/session', 'GET, HEAD, PATCH, PUT, DELETE'],
    ['DELETE', '/v2/a/tags/list', 'GET, HEAD'],
    ['PUT', '/v2/', 'GET, HEAD'],
    ['DELETE', '/v2/_catalog', 'GET, HEAD'],
    ['PUT', `/v2/a/referrers/${digest}`, 'GET, HEAD'],
  ])('%s %s is refused with Allow: %s', async (method, target, allow) => {
    const { answers } = await expectRefused(front, closing({ method, target }), [405])
    expect(headerOf(answers[0], 'allow')).toBe(allow)
  })

  test.each(['get', 'Get', 'GETS', 'G\tET', 'FOO', ''])('%j is not read as another method', async (method) => {
    await expectRefused(front, closing({ method, target: '/v2/secret/app/manifests/v1' }), [400, 405])
  })

  test.each(['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override', '_method'])(
    '%s does not change the method',
    async (name) => {
      const { upstreamGot } = await attack(front, closing({ target: '/v2/a/manifests/v1', lines: [`${name}: DELETE`] }))
      expect(upstreamGot).not.toContain('DELETE')
    },
  )
})

describe('A-20 HEAD is GET without its body', () => {
  const hidden = new Set(['x-request-id', 'date', 'connection', 'keep-alive'])
  const visible = (headers: readonly (readonly [string, string])[]) => headers.filter(([name]) => !hidden.has(name))

  const rows = [
    '/v2/',
    '/v2/_catalog',
    '/v2/a/tags/list',
    '/v2/a/manifests/v1',
    `/v2/a/blobs/${digest}`,
    '/v2/A/tags/list',
    '/x',
  ]
  test.each(rows)('%s without credentials', async (target) => {
    const first = [`Host: ${host}`]
    const get = await attack(front, closing({ target, first }))
    const head = await attack(front, closing({ method: 'HEAD', target, first }))
    const end = head.text.indexOf('\r\n\r\n') + 4
    expect(head.text.slice(end)).toBe('')
    expect(head.text.split('\r\n', 1)).toEqual(get.text.split('\r\n', 1))
    expect(headNames(head.text)).toEqual(visible(get.answers[0]?.headers ?? []).map(([name]) => name))
    expect(get.upstreamGot + head.upstreamGot).toBe('')
  })

  function headNames(text: string): readonly string[] {
    const lines = text.slice(0, text.indexOf('\r\n\r\n')).split('\r\n').slice(1)
    return lines.map((line) => line.split(':', 1)[0]?.toLowerCase() ?? '').filter((name) => !hidden.has(name))
  }

  test('is passed on as HEAD, and leaves the same audit line', async () => {
    // A manifest's HEAD would need pull or push, and its line says so.
    const target = '/v2/a/tags/list'
    const lines = await Promise.all(
      (['GET', 'HEAD'] as const).map(async (method) => {
        const { headers } = await front.gateway.as('alice', { method, path: target })
        return front.gateway.auditLineOf(String(headers['x-request-id']))
      }),
    )
    const [get, head] = lines.map(
      ({ requestId: _id, time: _time, durationMs: _duration, method: _method, bytesDown: _bytes, ...same }) => same,
    )
    expect(head).toEqual(get)
  })
})

describe('A-21 a target in absolute form', () => {
  test.each([
    ['http://evil/v2/secret/tags/list', host],
    ['https://evil:443/v2/', host],
    [`ftp://${host}/v2/`, host],
    [`http://user@${host}/v2/`, host],
    [`http://alice:x@${host}/v2/`, host],
    [`http://${host}@evil/v2/`, host],
    [`http://${host}.evil/v2/`, host],
    [`http://evil#@${host}/v2/`, host],
    [`http://evil\\@${host}/v2/`, host],
    [`http:///v2/`, host],
    [`http:/v2/`, host],
    [`HTTP:${host}/v2/`, host],
    [`http://${host}?/v2/`, host],
    ['http:///v2/', ''],
  ])('%s with Host %j is refused', async (target, hostValue) => {
    await expectRefused(front, closing({ target, first: [`Host: ${hostValue}`, alice] }), [400, 404])
  })

  test.each([
    `http://${host}/v2/a/tags/list`,
    `https://${host}/v2/a/tags/list`,
    'HTTPS://LOCALHOST:8443/v2/a/tags/list',
  ])('%s names the Host and reaches the upstream in origin form', async (target) => {
    const { answers, upstreamGot } = await attack(front, closing({ target }))
    expect(answers[0]?.status).toBe(200)
    expect(upstreamGot).toMatch(/^GET \/v2\/a\/tags\/list HTTP\/1\.1\r\n/)
    expect(upstreamGot.toLowerCase()).toContain(`\r\nhost: 127.0.0.1:${String(front.upstream.port)}\r\n`)
  })
})

describe('A-22 a target in asterisk or authority form', () => {
  test.each([
    ['GET', '*'],
    ['OPTIONS', '*'],
    ['GET', 'admin/a/b'],
    ['GET', 'v2/'],
    ['GET', '?x'],
    ['GET', 'localhost:8443'],
    ['CONNECT', '/'],
    ['CONNECT', '/v2/'],
    ['CONNECT', 'host:80'],
    ['CONNECT', host],
  ])('%s %s is refused in JSON and the connection closed', async (method, target) => {
    // Nothing asks for the close here: the gateway has to do it.
    const next = bytesOf({ target: '/v2/smuggled/tags/list' })
    await expectRefused(front, bytesOf({ method, target }) + next, [400, 405])
  })
})

describe('A-24 health and metrics open no way in', () => {
  test.each(['kube-probe/1.32', 'GoogleHC/1.0', 'ELB-HealthChecker/2.0'])(
    'the user agent %s is no login',
    async (agent) => {
      const first = [`Host: ${host}`, `User-Agent: ${agent}`]
      await expectRefused(front, closing({ target: '/v2/secret/app/tags/list', first }), [401])
    },
  )

  test.each([
    '/metrics',
    '/metrics/',
    '/livez',
    '/readyz',
    '/startupz',
    '/metrics/../v2/_catalog',
    '/healthz/../v2/_catalog',
    '/healthz/v2/',
    '/healthz/',
    '/Healthz',
    '/healthz%2f..%2fv2/_catalog',
    '/debug/pprof/',
    '/token',
    '/',
  ])('%s is not there', async (target) => {
    await expectRefused(front, closing({ target, first: [`Host: ${host}`] }), [400, 404])
  })

  test('/healthz says only whether it is well, and asks nobody', async () => {
    const { answers, upstreamGot } = await attack(front, closing({ target: '/healthz', first: ['Host: any'] }))
    expect(answers).toMatchObject([{ status: 200, body: '' }])
    expect(upstreamGot).toBe('')
    await expectRefused(front, closing({ method: 'POST', target: '/healthz', first: ['Host: any'] }), [404, 405])
    await expectAlive(front)
  })
})
