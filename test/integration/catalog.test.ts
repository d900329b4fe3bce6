import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { catalogAnswer } from '../../src/proxy/catalog/answer.ts'
import { createCatalog } from '../../src/proxy/catalog/catalog.ts'
import type { Catalog, CatalogOptions } from '../../src/proxy/catalog/catalog.ts'
import type { CatalogWalk } from '../../src/telemetry/policy-events.ts'
import { createUpstreamPages } from '../../src/proxy/catalog/upstream-page.ts'
import { createUpstreamClient } from '../../src/proxy/upstream-client.ts'
import { parseRepositoryName } from '../../src/registry/name.ts'
import { parseRegistryRequest } from '../../src/registry/route.ts'
import { sha256 } from '../support/fault-bytes.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import { until } from '../support/until.ts'

type Listing = { readonly catalog: Catalog; readonly ends: readonly CatalogWalk[]; readonly stop: () => void }

/** A catalog of an upstream, over connections of its own. */
function catalogOf(upstreamUrl: string, options: Partial<CatalogOptions> = {}): Listing {
  const timeouts = { connectMs: 5_000, headersMs: 20_000, commitHeadersMs: 20_000, inactivityMs: 20_000 }
  const client = createUpstreamClient({ ...timeouts, keepAliveMs: 60_000 }, undefined)
  const ends: CatalogWalk[] = []
  const fetchPage = createUpstreamPages({
    open: client.open,
    url: new URL(upstreamUrl),
    authorization: undefined,
    headersMs: 20_000,
    bodyMs: 20_000,
  })
  const catalog = createCatalog({
    fetchPage,
    maxNames: 500_000,
    maxBytes: 64 * 1024 * 1024,
    refreshMs: 60_000,
    staleMs: 600_000,
    waitMs: 20_000,
    observe: { walked: (end) => ends.push(end) },
    ...options,
  })
  const stop = (): void => {
    catalog.stop()
    client.close()
  }
  return { catalog, ends, stop }
}

/** Follows the `Link` of each page as a client does; every target is read back by the grammar of the gateway. */
async function pagesOf(catalog: Catalog, isListed: (name: string) => boolean, n: number) {
  const pages: { readonly names: readonly string[]; readonly link: string | undefined }[] = []
  let target: string | undefined = `/v2/_catalog?n=${n}`
  while (target !== undefined) {
    const request = parseRegistryRequest('GET', target)
    if (request.kind !== 'catalog') throw new Error(`${target} leads elsewhere`)
    const page = await catalog.page(isListed, { n: request.page.n ?? 0, last: request.page.last })
    const { headers, text } = catalogAnswer(page, n)
    const link = headers.get('link')
    pages.push({ names: (JSON.parse(text) as { repositories: string[] }).repositories, link })
    target = link === undefined ? undefined : /^<(\/v2\/_catalog\?[^<>]+)>; rel="next"$/.exec(link)?.[1]
  }
  return pages
}

/** Makes a repository the shortest way there is: with one blob. */
async function makeRepository(registry: RealRegistry, name: string): Promise<void> {
  const started = await fetch(`${registry.url}/v2/${name}/blobs/uploads/`, { method: 'POST' })
  const location = `${started.headers.get('location') ?? ''}&digest=${sha256('hello')}`
  const done = await fetch(location, { method: 'PUT', body: 'hello' })
  expect([name, done.status]).toEqual([name, 201])
}

describeWith(['docker-registry'], 'the catalog of a real registry', () => {
  const teams = ['alice', 'alice-2', 'bob', 'prod/eu', 'secret']
  const words = ['app', 'app-2', 'app.web', 'app0', 'app/web', 'app/db', 'tools']
  const repositories = teams.flatMap((team) => words.map((word) => `${team}/${word}`))
  let registry: RealRegistry

  beforeAll(async () => {
    registry = await startRealRegistry({ dataIn: 'memory', configuration: { catalog: { maxentries: 7 } } })
    for (const name of repositories) await makeRepository(registry, name)
  }, 60_000)
  afterAll(async () => {
    await registry.stop()
  })

  test('is walked page by page and shown whole, in the order of the registry', async () => {
    const { catalog, ends, stop } = catalogOf(registry.url)
    const [page] = await pagesOf(catalog, () => true, 1_000)
    stop()
    const own: string[] = []
    for (let last = ''; ;) {
      const answer = await fetch(`${registry.url}/v2/_catalog?n=7&last=${encodeURIComponent(last)}`)
      const { repositories: names } = (await answer.json()) as { repositories: string[] }
      own.push(...names)
      if (names.length < 7) break
      last = names.at(-1) ?? ''
    }
    expect(page).toEqual({ names: own, link: undefined })
    expect([...own].sort()).toEqual([...repositories].sort())
    expect(ends).toEqual([expect.objectContaining({ kind: 'complete', names: 35, pages: 5, ignored: 0 })])
  })

  test.each([1, 2, 3, 7, 14, 15, 1_000])('shows one user her own over pages of %d, and no other name', async (n) => {
    const { catalog, stop } = catalogOf(registry.url)
    const isListed = (name: string): boolean => name.startsWith('alice/') || name.startsWith('prod/')
    const pages = await pagesOf(catalog, isListed, n)
    stop()
    const names = pages.flatMap((page) => page.names)
    expect([...names].sort()).toEqual(repositories.filter(isListed).sort())
    expect(pages).toHaveLength(Math.ceil(14 / n))
    expect(JSON.stringify(pages)).not.toMatch(/secret|bob|alice-2/)
  })

  test('shows what is pushed at once, and what came another way with the next walk', async () => {
    let nowMs = 0
    const { catalog, ends, stop } = catalogOf(registry.url, { now: () => nowMs })
    const isListed = (name: string): boolean => name.startsWith('new/')
    expect(await pagesOf(catalog, isListed, 10)).toEqual([{ names: [], link: undefined }])
    for (const name of ['new/here', 'new/elsewhere']) await makeRepository(registry, name)
    const here = parseRepositoryName('new/here')
    if (here !== undefined) catalog.add(here)
    expect(await pagesOf(catalog, isListed, 10)).toMatchObject([{ names: ['new/here'] }])
    nowMs = 60_000
    expect(await pagesOf(catalog, isListed, 10)).toMatchObject([{ names: ['new/here'] }])
    await until(() => ends.length === 2, { what: 'the second walk ends' })
    expect(await pagesOf(catalog, isListed, 10)).toMatchObject([{ names: ['new/elsewhere', 'new/here'] }])
    stop()
  })

  test('is 503 while the registry is down, and there once it is back', async () => {
    let nowMs = 0
    const { catalog, stop } = catalogOf(registry.url, { now: () => nowMs })
    await registry.pause()
    try {
      await expect(pagesOf(catalog, () => true, 10)).rejects.toMatchObject({
        id: 'catalogCold',
        status: 503,
        retryAfterSeconds: 5,
        detail: 'the last attempt failed: the registry behind this gateway cannot be reached',
      })
    } finally {
      await registry.restart()
    }
    nowMs = 5_000
    const [page] = await pagesOf(catalog, () => true, 1_000)
    expect(page?.names).toEqual(expect.arrayContaining(repositories))
    stop()
  })
})

describe('a catalog of 100,000 repositories', () => {
  const total = 100_000
  const nameAt = (index: number): string => `team-${String(index % 500).padStart(3, '0')}/app-${String(index)}`
  let upstream: { readonly url: string; readonly targets: string[]; readonly close: () => void }
  let listing: Listing

  beforeAll(async () => {
    const names = Array.from({ length: total }, (_value, index) => nameAt(index)).sort()
    const targets: string[] = []
    const server = createServer((req, res) => {
      targets.push(req.url ?? '')
      const query = new URL(req.url ?? '', 'http://upstream').searchParams
      const [n, last] = [Number(query.get('n')), query.get('last')]
      const from = last === null ? 0 : names.indexOf(last) + 1
      const page = names.slice(from, from + n)
      const body = JSON.stringify({ repositories: page })
      const link = `</v2/_catalog?last=${encodeURIComponent(page.at(-1) ?? '')}&n=${n}>; rel="next"`
      res.writeHead(200, {
        'content-type': 'application/json; charset=utf-8',
        'content-length': Buffer.byteLength(body),
        ...(from + n < total && { link }),
      })
      res.end(body)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    upstream = { url: `http://127.0.0.1:${port}`, targets, close: () => server.close() }
    listing = catalogOf(upstream.url)
  })
  afterAll(() => {
    listing.stop()
    upstream.close()
  })

  const own = new Set(Array.from({ length: 10 }, (_value, index) => nameAt(index * 9_973)))
  const isListed = (name: string): boolean => own.has(name)

  test('is walked once, however many ask, and gives each only what is theirs', async () => {
    const all = await Promise.all(Array.from({ length: 50 }, () => pagesOf(listing.catalog, isListed, 3)))
    for (const pages of all) {
      expect(pages.map((page) => page.names.length)).toEqual([3, 3, 3, 1])
      expect(new Set(pages.flatMap((page) => page.names))).toEqual(own)
    }
    expect(upstream.targets).toHaveLength(100)
    expect(new Set(upstream.targets).size).toBe(100)
    expect(listing.ends).toEqual([expect.objectContaining({ kind: 'complete', names: total, pages: 100 })])
  })

  test('gives a page of it well within two seconds, and the upstream is asked nothing for it', async () => {
    const startedMs = performance.now()
    const pages = await pagesOf(listing.catalog, isListed, 1_000)
    expect(performance.now() - startedMs).toBeLessThan(2_000)
    expect(pages).toHaveLength(1)
    expect(upstream.targets).toHaveLength(100)
  })
})
