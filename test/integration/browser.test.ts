import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { startBrowser } from '../support/browser.ts'
import type { Browser, Page, PageAnswer } from '../support/browser.ts'
import { basicOf, passwords } from '../support/personas.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'

const mediaType = 'application/vnd.oci.image.manifest.v1+json'
const login = { authorization: basicOf('alice') }
const kept: PageAnswer = { kind: 'kept', message: 'TypeError: Failed to fetch' }

describeWith(['docker-registry', 'chromium'], 'A-93 a registry UI in a real browser', () => {
  let registry: RealRegistry
  let listed: PageServer
  let unlisted: PageServer
  let gateway: TestGateway
  let browser: Browser
  let ui: Page
  let other: Page
  let digest: string

  beforeAll(async () => {
    registry = await startRealRegistry()
    listed = await startPageServer()
    unlisted = await startPageServer()
    const origins = [`https://127.0.0.1:${listed.port}`, `https://*.apps.localhost:${listed.port}`]
    gateway = await startGateway({ upstreamUrl: registry.url, settings: { cors: { enabled: true, origins } } })
    const [cert = '', key = ''] = ['tls.crt', 'tls.key'].map((name) =>
      readFileSync(join(gateway.directory, 'certs', name), 'utf8'),
    )
    for (const pages of [listed, unlisted]) pages.useCertificate(cert, key)
    browser = await startBrowser(cert)
    ui = await browser.open(`https://127.0.0.1:${listed.port}/`)
    other = await browser.open(`https://127.0.0.1:${unlisted.port}/`)
  })
  afterAll(async () => {
    await browser.stop()
    await gateway.stop()
    await Promise.all([listed.stop(), unlisted.stop(), registry.stop()])
  })
  beforeEach(async () => {
    digest = await pushImage(registry.url, 'team/app', '1')
  })

  const at = (path: string): string => `https://127.0.0.1:${gateway.port}/v2/${path}`
  const auditLines = (method: string) => gateway.auditLines().filter((line) => line['method'] === method)

  test('a page of a listed origin lists tags', async () => {
    const answer = await ui.fetch(at('team/app/tags/list'), { headers: login })
    expect(answer).toMatchObject({ kind: 'answer', type: 'cors', status: 200 })
    expect(JSON.parse(bodyOf(answer))).toEqual({ name: 'team/app', tags: ['1'] })
  })

  test('it reads the digest of a tag', async () => {
    const headers = { ...login, accept: mediaType, 'cache-control': 'no-cache' }
    expect(await ui.fetch(at('team/app/manifests/1'), { method: 'HEAD', headers })).toMatchObject({
      status: 200,
      headers: {
        'docker-content-digest': digest,
        'docker-distribution-api-version': 'registry/2.0',
        'x-request-id': expect.any(String),
      },
    })
  })

  test('it deletes', async () => {
    const answer = await ui.fetch(at(`team/app/manifests/${digest}`), { method: 'DELETE', headers: login })
    expect(answer).toMatchObject({ status: 202 })
    expect(await statusOf(registry, digest)).toBe(404)
  })

  test('it goes from page to page of a list', async () => {
    await pushImage(registry.url, 'team/other', '1')
    const first = await ui.fetch(at('_catalog?n=1'), { headers: login })
    expect(first).toMatchObject({ headers: { link: '</v2/_catalog?last=team%2Fapp&n=1>; rel="next"' } })
  })

  test('it reads why it was refused, and how to log in', async () => {
    const answer = await ui.fetch(at('team/app/tags/list'))
    expect(answer).toMatchObject({
      status: 401,
      headers: { 'www-authenticate': expect.stringMatching(/^Basic realm=/) },
    })
    expect(bodyOf(answer)).toContain('"code":"UNAUTHORIZED"')
    const wrong = { authorization: `Basic ${btoa('alice:wrong')}` }
    expect(await ui.fetch(at('team/app/tags/list'), { headers: wrong })).toMatchObject({ status: 401 })
  })

  test('it reads what is not there', async () => {
    const answer = await ui.fetch(at('team/app/manifests/none'), { headers: { ...login, accept: mediaType } })
    expect(answer).toMatchObject({ status: 404 })
    expect(bodyOf(answer)).toContain('"code":"MANIFEST_UNKNOWN"')
    expect(await ui.fetch(at('_none'), { headers: login })).toMatchObject({ status: 404 })
  })

  test('it reads that the registry is gone', async () => {
    await registry.pause()
    const answer = await ui.fetch(at('team/app/tags/list'), { headers: login })
    await registry.restart()
    expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
  })

  test('it cannot push: a method that is not allowed stays in the browser', async () => {
    const before = auditLines('PUT').length
    const request = { method: 'PUT', headers: login, body: '{}' }
    expect(await ui.fetch(at('team/app/manifests/2'), request)).toEqual(kept)
    expect(auditLines('PUT')).toHaveLength(before)
  })

  test('a page of another origin with a password reads nothing and deletes nothing', async () => {
    const before = registry.requests().length
    expect(await other.fetch(at('team/app/tags/list'), { headers: login })).toEqual(kept)
    expect(await other.fetch(at('team/app/manifests/1'), { method: 'HEAD', headers: login })).toEqual(kept)
    expect(await other.fetch(at(`team/app/manifests/${digest}`), { method: 'DELETE', headers: login })).toEqual(kept)
    // Not one of them left the browser: their preflights were refused.
    expect(registry.requests()).toHaveLength(before)
    expect(await statusOf(registry, digest)).toBe(200)
  })

  test.each([
    ['https://one.apps.localhost', 200],
    ['https://a.b.apps.localhost', 'kept'],
    ['https://apps.localhost', 'kept'],
    ['https://evilapps.localhost', 'kept'],
    ['https://localhost', 'kept'],
  ])('the pattern https://*.apps.localhost is exactly one label: %s', async (origin, expected) => {
    const page = await browser.open(`${origin}:${listed.port}/`)
    const answer = await page.fetch(at('team/app/tags/list'), { headers: login })
    expect(answer.kind === 'answer' ? answer.status : answer.kind).toBe(expected)
  })

  test('a page without an origin reads nothing', async () => {
    const page = await browser.open('data:text/html,<title>none</title>')
    expect(await page.origin()).toBe('null')
    expect(await page.fetch(at('team/app/tags/list'), { headers: login })).toEqual(kept)
    expect(await page.fetch(at('team/app/tags/list'))).toEqual(kept)
  })

  // Last, since the browser keeps the login from here on.
  test('the login that the browser keeps serves listed pages alone', async () => {
    const credentials = 'include'
    await browser.open(`https://alice:${encodeURIComponent(passwords.alice)}@127.0.0.1:${gateway.port}/v2/`)
    expect(await ui.fetch(at('team/app/tags/list'), { credentials })).toMatchObject({ status: 200 })
    expect(await ui.fetch(at('team/app/tags/list'), { credentials: 'omit' })).toMatchObject({ status: 401 })

    // A request that every page may send, such as for an image, does arrive; its answer stays in the browser.
    const seen = registry.requests().length
    expect(await other.fetch(at('team/app/tags/list'), { credentials })).toEqual(kept)
    expect(registry.requests().slice(seen)).toMatchObject([{ method: 'GET', status: 200 }])
    const blind = await other.fetch(at('team/app/tags/list'), { credentials, mode: 'no-cors' })
    expect(blind).toMatchObject({ type: 'opaque', status: 0, headers: {}, body: '' })

    const target = at(`team/app/manifests/${digest}`)
    expect(await other.fetch(target, { method: 'DELETE', credentials })).toEqual(kept)
    expect(await statusOf(registry, digest)).toBe(200)
    expect(await ui.fetch(target, { method: 'DELETE', credentials })).toMatchObject({ status: 202 })
    expect(await statusOf(registry, digest)).toBe(404)
  })
})

function bodyOf(answer: PageAnswer): string {
  return answer.kind === 'answer' ? answer.body : ''
}

async function statusOf(registry: RealRegistry, digest: string): Promise<number> {
  const url = `${registry.url}/v2/team/app/manifests/${digest}`
  return (await fetch(url, { headers: { accept: mediaType } })).status
}

type PageServer = {
  readonly port: number
  /** Its port has to be known before there is a gateway, and with it a certificate. */
  useCertificate(cert: string, key: string): void
  stop(): Promise<void>
}

/** Serves an empty page, whatever host it is asked as: its origin is all that matters. */
async function startPageServer(): Promise<PageServer> {
  const server = https.createServer((_req, res) => {
    res.setHeader('content-type', 'text/html').end('<!doctype html><title>UI</title>')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    useCertificate: (cert, key) => {
      server.setSecureContext({ cert, key })
    },
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Pushes an image of one small layer, straight to the registry; returns the digest of its manifest. */
async function pushImage(url: string, repository: string, tag: string): Promise<string> {
  const blob = `{"tag":"${tag}"}`
  const digest = digestOf(blob)
  const opened = await fetch(`${url}/v2/${repository}/blobs/uploads/`, { method: 'POST' })
  const session = new URL(opened.headers.get('location') ?? '', url)
  session.searchParams.set('digest', digest)
  const put = { method: 'PUT', headers: { 'content-type': 'application/octet-stream' } }
  expect((await fetch(session, { ...put, body: blob })).status).toBe(201)
  const descriptor = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: blob.length }
  const layer = { ...descriptor, mediaType: 'application/vnd.oci.image.layer.v1.tar' }
  const manifest = JSON.stringify({ schemaVersion: 2, mediaType, config: descriptor, layers: [layer] })
  const headers = { 'content-type': mediaType }
  const answer = await fetch(`${url}/v2/${repository}/manifests/${tag}`, { method: 'PUT', headers, body: manifest })
  expect(answer.status).toBe(201)
  return digestOf(manifest)
}

function digestOf(content: string): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}
