import { describe, expect, test } from '@jest/globals'
import { ConfigError, loadConfig } from '../../../src/config/load.ts'
import type { Config } from '../../../src/config/schema.ts'
import { createCors } from '../../../src/headers/cors.ts'
import type { CorsHeaders } from '../../../src/headers/cors.ts'

function load(cors: unknown): Promise<Config> {
  const text = JSON.stringify({
    publicUrl: 'https://registry.example.org',
    upstream: { url: 'http://127.0.0.1:5000' },
    authentication: { htpasswd: { enabled: true } },
    cors,
  })
  return loadConfig({
    file: 'wharfgate.json',
    environment: {},
    readFile: () => Promise.resolve(Buffer.from(text)),
  })
}

async function corsOf(...origins: readonly string[]) {
  return createCors((await load({ enabled: true, origins })).cors)
}

async function problemOf(origin: string): Promise<string> {
  try {
    await load({ enabled: true, origins: [origin] })
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  throw new Error('it was taken')
}

const valueOf = (headers: CorsHeaders | undefined, name: string): string | undefined =>
  headers?.find(([candidate]) => candidate === name)?.[1]
const allowedOrigin = (headers: CorsHeaders) => valueOf(headers, 'access-control-allow-origin')

describe('cors.origins', () => {
  test.each([
    ['https://ui.example.org', 'https://ui.example.org', true],
    ['HTTPS://UI.Example.org:443/', 'https://ui.example.org', true],
    ['https://bücher.example', 'https://xn--bcher-kva.example', true],
    ['https://ui.example.org:8443', 'https://ui.example.org:8443', true],
    ['http://localhost:3000', 'http://localhost:3000', true],
    ['http://127.0.0.1:3000', 'http://127.0.0.1:3000', true],
    ['https://[2001:DB8::1]', 'https://[2001:db8::1]', true],
    ['https://ui.example.org', 'http://ui.example.org', false],
    ['https://ui.example.org', 'https://ui.example.org:8443', false],
    ['https://ui.example.org', 'https://ui.example.org:443', false],
    ['https://ui.example.org', 'https://UI.example.org', false],
    ['https://ui.example.org', 'https://ui.example.org/', false],
    ['https://ui.example.org', 'https://ui.example.org.', false],
    ['https://ui.example.org', 'https://ui.example.orgs', false],
    ['https://ui.example.org', 'https://ui.example.evil', false],
    ['https://ui.example.org', 'https://ui.example.org.evil.example', false],
    ['https://ui.example.org', 'https://evilui.example.org', false],
    ['https://ui.example.org', 'https://uiXexample.org', false],
    ['https://ui.example.org', 'https://ui.example.org, https://ui.example.org', false],
    ['https://ui.example.org', 'https://ui.example.org\t', false],
    ['https://ui.example.org', 'null', false],
    ['https://ui.example.org', '', false],
    ['https://ui.example.org', '*', false],
  ])('%s is %s: %s', async (listed, origin, isAllowed) => {
    expect(allowedOrigin((await corsOf(listed)).headers(origin))).toBe(isAllowed ? origin : undefined)
  })

  test.each([
    ['https://*.example.org', 'https://ui.example.org', true],
    ['https://*.example.org', 'https://xn--bcher-kva.example.org', true],
    ['https://*.Example.org:443', 'https://a.example.org', true],
    ['https://*.example.org:8443', 'https://ui.example.org:8443', true],
    ['http://*.app.localhost:3000', 'http://one.app.localhost:3000', true],
    ['https://*.example.org', 'https://example.org', false],
    ['https://*.example.org', 'https://.example.org', false],
    ['https://*.example.org', 'https://a.b.example.org', false],
    ['https://*.example.org', 'https://evilexample.org', false],
    ['https://*.example.org', 'https://ui.example.org.evil.example', false],
    ['https://*.example.org', 'https://ui.example.org:8443', false],
    ['https://*.example.org', 'http://ui.example.org', false],
    ['https://*.example.org', 'https://evil.example/.example.org', false],
    ['https://*.example.org', 'https://evil.example#.example.org', false],
    ['https://*.example.org', 'https://evil.example:1@x.example.org', false],
    ['https://*.example.org', 'https://evil.example:80.example.org', false],
    ['https://*.example.org', 'https://evil%2eexample.org', false],
    ['https://*.example.org', `https://${'a'.repeat(64)}.example.org`, false],
    ['https://*.example.org', 'https://*.example.org', false],
    ['https://*.example.org', 'https://UI.example.org', false],
    ['https://*.example.org', 'https://ü.example.org', false],
  ])('%s is %s: %s', async (listed, origin, isAllowed) => {
    expect(allowedOrigin((await corsOf(listed)).headers(origin))).toBe(isAllowed ? origin : undefined)
  })

  test.each([
    ['*', 'must name a host'],
    ['https://*', 'must name a host'],
    ['https://*:8443', 'must name a host'],
    ['null', 'must not be null'],
    ['https://*.org', 'must have two labels or more behind the *'],
    ['https://*.localhost', 'must have two labels or more behind the *'],
    ['https://*.org.', 'must have two labels or more behind the *'],
    ['https://*.*.example.org', 'may have one * only, as the whole first label'],
    ['https://ui*.example.org', 'may have one * only, as the whole first label'],
    ['https://ui.*.org', 'may have one * only, as the whole first label'],
    ['*.example.org', 'may have one * only, as the whole first label'],
    ['https://*.192.0.2.1', 'must not have a * in an address'],
    ['https://*.', 'must be an address such as'],
    ['http://ui.example.org', 'plain http:// is only for a loopback host'],
    ['http://*.example.org', 'plain http:// is only for a loopback host'],
    ['ui.example.org', 'must be an address such as'],
    ['https://ui.example.org/page', 'must end after the host and the port'],
    ['https://*.example.org/page', 'must end after the host and the port'],
    ['https://ui.example.org?x', 'must end after the host and the port'],
    ['https://alice@ui.example.org', 'must not carry a user name'],
    ['https://*.example.org@evil.example', 'must not carry a user name'],
    ['', 'must be an address such as'],
  ])('%j is refused: %s', async (origin, sentence) => {
    const problem = await problemOf(origin)
    expect(problem).toContain('cors.origins[0]')
    expect(problem).toContain(sentence)
  })

  test('must hold one at least', async () => {
    await expect(load({ enabled: true })).rejects.toThrow('cors.origins')
    await expect(load({ enabled: true, origins: [] })).rejects.toThrow('cors.origins')
  })
})

describe('the headers of an answer', () => {
  const expose =
    'Docker-Content-Digest, WWW-Authenticate, Link, Docker-Distribution-Api-Version, Retry-After, RateLimit, ' +
    'RateLimit-Policy, X-Request-Id'

  test('name the origin that asked, never *', async () => {
    const cors = await corsOf('https://one.example.org', 'https://two.example.org')
    expect(Object.fromEntries(cors.headers('https://two.example.org'))).toEqual({
      vary: 'Origin',
      'access-control-allow-origin': 'https://two.example.org',
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': expose,
    })
  })

  test('differ by origin, and say so where none was sent or it is not listed', async () => {
    const cors = await corsOf('https://ui.example.org')
    expect(cors.headers(undefined)).toEqual([['vary', 'Origin']])
    expect(cors.headers('https://evil.example')).toEqual([['vary', 'Origin']])
  })

  test('leave the login of the browser out when the configuration does', async () => {
    const origins = ['https://ui.example.org']
    const cors = createCors((await load({ enabled: true, origins, allowCredentials: false })).cors)
    const names = cors.headers('https://ui.example.org').map(([name]) => name)
    expect(names).toEqual(['vary', 'access-control-allow-origin', 'access-control-expose-headers'])
  })

  test('are none while it is off, which it is unless told', async () => {
    const origins = ['https://ui.example.org']
    for (const settings of [undefined, { enabled: false, origins }]) {
      const cors = createCors((await load(settings)).cors)
      expect(cors.headers('https://ui.example.org')).toEqual([])
      expect(cors.preflight(preflight('https://ui.example.org'))).toBeUndefined()
    }
  })
})

function preflight(origin: string | undefined, method = 'OPTIONS', asked: string | undefined = 'DELETE') {
  return { method, headers: { origin, 'access-control-request-method': asked } }
}

describe('a preflight', () => {
  test('of a listed origin is told what is allowed, whatever it asks for', async () => {
    const cors = await corsOf('https://ui.example.org')
    const answers = ['DELETE', 'PUT', 'CONNECT', ''].map((asked) =>
      cors.preflight(preflight('https://ui.example.org', 'OPTIONS', asked)),
    )
    expect(new Set(answers.map((headers) => JSON.stringify(headers))).size).toBe(1)
    expect(Object.fromEntries(answers[0] ?? [])).toEqual({
      'access-control-allow-methods': 'HEAD, GET, OPTIONS, DELETE',
      'access-control-allow-headers': 'Authorization, Accept, Cache-Control',
      'access-control-max-age': '600',
    })
  })

  test('is remembered as long as the configuration says', async () => {
    const settings = { enabled: true, origins: ['https://ui.example.org'], maxAgeSeconds: 5 }
    const headers = createCors((await load(settings)).cors).preflight(preflight('https://ui.example.org'))
    expect(valueOf(headers, 'access-control-max-age')).toBe('5')
  })

  test.each(['https://evil.example', 'null', ''])('of %j is refused', async (origin) => {
    const cors = await corsOf('https://ui.example.org')
    expect(() => cors.preflight(preflight(origin))).toThrow(
      expect.objectContaining({ name: 'RegistryError', id: 'originRefused', status: 403 }),
    )
  })

  test.each([
    ['another method', preflight('https://ui.example.org', 'GET')],
    ['no origin', preflight(undefined)],
    ['no method asked for', { method: 'OPTIONS', headers: { origin: 'https://evil.example' } }],
  ])('is none: %s', async (_what, request) => {
    expect((await corsOf('https://ui.example.org')).preflight(request)).toBeUndefined()
  })
})
