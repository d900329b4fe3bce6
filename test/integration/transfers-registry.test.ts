import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { bytesOf, sha256 } from '../support/fault-bytes.ts'
import { pushBlob, startUpload, withDigest } from '../support/fault-push.ts'
import type { Ask } from '../support/fault-push.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'

const manifestType = 'application/vnd.oci.image.manifest.v1+json'

/** An image without layers, its configuration a blob that is there already. */
function manifestOf(config: { readonly digest: string; readonly size: number }, annotation = ''): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: [],
    annotations: { padding: annotation },
  })
}

describeWith(['docker-registry'], 'what a registry does, through the gateway', () => {
  let registry: RealRegistry
  let gateway: TestGateway
  let ask: Ask

  beforeAll(async () => {
    registry = await startRealRegistry({ dataIn: 'memory', httpSecret: 'the same after a restart' })
    gateway = await startGateway({ upstreamUrl: registry.url })
    ask = (request) => gateway.as('alice', request)
  })
  afterAll(async () => {
    await gateway.stop()
    await registry.stop()
  })

  describe('an upload', () => {
    test('tells how far it is, goes on chunk by chunk, and its Location stays a path of this host', async () => {
      const content = bytesOf(3_000)
      let location = await startUpload(ask, 'alice/chunks')
      for (const start of [0, 1_000, 2_000]) {
        const patched = await ask({
          method: 'PATCH',
          path: location,
          headers: { 'content-range': `${start}-${start + 999}`, 'content-type': 'application/octet-stream' },
          body: content.subarray(start, start + 1_000),
        })
        expect(patched).toMatchObject({ status: 202, headers: { range: `0-${start + 999}` } })
        location = patched.headers.location ?? ''
        expect(location).toMatch(/^\/v2\/alice\/chunks\/blobs\/uploads\/[^/?]+\?_state=/)
        const status = await ask({ path: location })
        expect(status).toMatchObject({ status: 204, headers: { range: `0-${start + 999}` } })
        expect(status.headers['docker-upload-uuid']).toBeDefined()
        expect(status.headers.location).toMatch(/^\/v2\/alice\/chunks\/blobs\/uploads\//)
      }
      const digest = sha256(content)
      const done = await ask({ method: 'PUT', path: withDigest(location, digest) })
      expect(done).toMatchObject({ status: 201, headers: { location: `/v2/alice/chunks/blobs/${digest}` } })
      expect(await ask({ path: `/v2/alice/chunks/blobs/${digest}` })).toMatchObject({ digest })
    })

    test('that is cancelled is unknown afterwards', async () => {
      const location = await startUpload(ask, 'alice/cancelled')
      expect((await ask({ method: 'DELETE', path: location })).status).toBe(204)
      const gone = await ask({ path: location })
      expect(gone.status).toBe(404)
      expect(gone.body).toContain('BLOB_UPLOAD_UNKNOWN')
    })

    test('whose digest is wrong is refused in the registry’s own words', async () => {
      const location = await startUpload(ask, 'alice/wrong')
      const path = withDigest(location, sha256('something else'))
      const refused = await ask({ method: 'PUT', path, body: 'hello' })
      expect(refused.status).toBe(400)
      expect(refused.body).toContain('DIGEST_INVALID')
    })

    test('sent as JSON, as some clients do, is a blob like any other', async () => {
      const location = await startUpload(ask, 'alice/json')
      const done = await ask({
        method: 'PUT',
        path: withDigest(location, sha256('{}')),
        headers: { 'content-type': 'application/json' },
        body: '{}',
      })
      expect(done.status).toBe(201)
    })
  })

  describe('a blob', () => {
    const size = 100_000
    let path: string
    beforeAll(async () => {
      const { digest } = await pushBlob(ask, 'alice/ranges', size)
      path = `/v2/alice/ranges/blobs/${digest}`
    })

    test.each([
      ['bytes=0-0', 0, 0],
      ['bytes=10-99', 10, 99],
      ['bytes=99000-', 99_000, size - 1],
      ['bytes=-5', size - 5, size - 1],
    ])('gives the bytes asked for by %s', async (range, first, last) => {
      const part = await ask({ path, headers: { range } })
      expect(part).toMatchObject({ status: 206, headers: { 'content-range': `bytes ${first}-${last}/${size}` } })
      expect(part.digest).toBe(sha256(bytesOf(size).subarray(first, last + 1)))
    })

    test('says how large it is where the range is beyond it', async () => {
      const beyond = await ask({ path, headers: { range: `bytes=${size}-` } })
      expect(beyond).toMatchObject({ status: 416, headers: { 'content-range': `bytes */${size}` } })
      expect(JSON.parse(beyond.body)).toHaveProperty('errors.0.code')
    })

    test('is described by HEAD as GET describes it', async () => {
      const [head, get] = await Promise.all([ask({ method: 'HEAD', path }), ask({ path })])
      const comparable = ({ date: _date, 'x-request-id': _id, ...rest }: Record<string, unknown>): unknown => rest
      expect(comparable(head.headers)).toEqual(comparable(get.headers))
      expect(head).toMatchObject({ status: 200, bytes: 0, headers: { 'content-length': String(size) } })
    })

    test('is not sent again to who has it', async () => {
      const { headers } = await ask({ method: 'HEAD', path })
      const again = await ask({ path, headers: { 'if-none-match': headers.etag } })
      expect(again).toMatchObject({ status: 304, bytes: 0 })
    })

    test('is mounted into another repository, and deleted from it', async () => {
      const digest = path.split('/').at(-1) ?? ''
      const mount = `/v2/alice/mounted/blobs/uploads/?mount=${digest}&from=alice/ranges`
      const mounted = await ask({ method: 'POST', path: mount })
      expect(mounted).toMatchObject({
        status: 201,
        headers: { location: `/v2/alice/mounted/blobs/${digest}`, 'docker-content-digest': digest },
      })
      expect((await ask({ method: 'DELETE', path: `/v2/alice/mounted/blobs/${digest}` })).status).toBe(202)
      const missing = await ask({ path: `/v2/alice/mounted/blobs/${digest}` })
      expect(missing.status).toBe(404)
      expect(missing.body).toContain('BLOB_UNKNOWN')
      const head = await ask({ method: 'HEAD', path: `/v2/alice/mounted/blobs/${digest}` })
      expect(head).toMatchObject({ status: 404, bytes: 0 })
    })

    test('a mount without a source, or from a repository without it, becomes an upload', async () => {
      const digest = path.split('/').at(-1) ?? ''
      for (const query of [`mount=${digest}`, `mount=${digest}&from=alice/empty`]) {
        const upload = await ask({ method: 'POST', path: `/v2/alice/unmounted/blobs/uploads/?${query}` })
        expect(upload.status).toBe(202)
        expect(upload.headers.location).toMatch(/^\/v2\/alice\/unmounted\/blobs\/uploads\//)
      }
    })
  })

  describe('manifests and lists', () => {
    const tags = ['1.0', '1.1', '2.0']
    const repositories = ['alice/list/a', 'alice/list/b']
    let config: { readonly digest: string; readonly size: number }

    beforeAll(async () => {
      for (const repository of repositories) {
        const { digest } = await pushBlob(ask, repository, 100)
        config = { digest, size: 100 }
        for (const tag of tags) {
          const path = `/v2/${repository}/manifests/${tag}`
          const headers = { 'content-type': manifestType }
          const put = await ask({ method: 'PUT', path, headers, body: manifestOf(config) })
          expect(put).toMatchObject({ status: 201 })
        }
      }
    })

    test('a manifest comes back as it was pushed, by its tag and by its digest', async () => {
      const manifest = manifestOf(config)
      const digest = sha256(manifest)
      for (const reference of ['1.0', digest]) {
        const path = `/v2/alice/list/a/manifests/${reference}`
        const got = await ask({ path, headers: { accept: manifestType } })
        expect(got).toMatchObject({ status: 200, body: manifest, digest })
        expect(got.headers).toMatchObject({ 'content-type': manifestType, 'docker-content-digest': digest })
        const head = await ask({ method: 'HEAD', path, headers: { accept: manifestType } })
        expect(head).toMatchObject({ status: 200, headers: { 'docker-content-digest': digest } })
      }
    })

    test('referrers are what this registry says of them: it has none, and clients fall back to tags', async () => {
      const { status, body } = await ask({ path: `/v2/alice/list/a/referrers/${config.digest}` })
      expect(status).toBe(404)
      expect(JSON.parse(body)).toHaveProperty('errors.0.code')
    })

    /** Follows the links from page to page, as clients do. */
    async function walk(first: string, namesOf: (body: string) => readonly string[]): Promise<readonly string[]> {
      const found: string[] = []
      for (let path: string | undefined = first; path !== undefined;) {
        const { status, body, headers } = await ask({ path })
        expect(status).toBe(200)
        found.push(...namesOf(body))
        const link = headers['link']
        expect(link === undefined || /^<\/v2\/[^>]*>; rel="next"$/.test(String(link))).toBe(true)
        path = /^<([^>]*)>/.exec(String(link))?.[1]
        if (found.length > 100) throw new Error('the pages have no end')
      }
      return found
    }

    test('the catalog is walked to its end, one name a page', async () => {
      const names = (body: string): readonly string[] => (JSON.parse(body) as { repositories: string[] }).repositories
      const found = await walk('/v2/_catalog?n=1', names)
      expect(found).toEqual(expect.arrayContaining(repositories))
      expect(found).toEqual(await walk('/v2/_catalog', names))
      expect(new Set(found).size).toBe(found.length)
    })

    test('tags are listed whole, whatever page size this registry understands', async () => {
      const names = (body: string): readonly string[] => (JSON.parse(body) as { tags: string[] }).tags
      expect([...(await walk('/v2/alice/list/a/tags/list?n=1', names))].sort()).toEqual(tags)
    })

    test('an unknown name and an unknown tag are told in the registry’s own words', async () => {
      expect((await ask({ path: '/v2/alice/nowhere/tags/list' })).body).toContain('NAME_UNKNOWN')
      expect((await ask({ path: '/v2/alice/list/a/manifests/9.9' })).body).toContain('MANIFEST_UNKNOWN')
    })

    test('a manifest is deleted by its digest', async () => {
      const digest = sha256(manifestOf(config))
      const path = `/v2/alice/list/b/manifests/${digest}`
      expect((await ask({ method: 'DELETE', path })).status).toBe(202)
      expect((await ask({ path, headers: { accept: manifestType } })).status).toBe(404)
    })

    const limit = 4 * 1024 * 1024
    const chunked = { 'content-type': manifestType, 'transfer-encoding': 'chunked' }
    const sized = { 'content-type': manifestType }

    test.each([
      ['sized', sized],
      ['chunked', chunked],
    ])('a manifest of exactly 4 MiB is the registry’s to judge (%s)', async (_title, headers) => {
      const rest = limit - manifestOf(config).length
      const manifest = manifestOf(config, 'x'.repeat(rest))
      expect(manifest).toHaveLength(limit)
      const put = await ask({ method: 'PUT', path: '/v2/alice/list/a/manifests/large', headers, body: manifest })
      expect(put).toMatchObject({ status: 201, headers: { 'docker-content-digest': sha256(manifest) } })
    })

    test.each([
      ['sized', sized, 0],
      ['chunked', chunked, limit],
    ])('a larger one is refused before it is read further than that (%s)', async (_title, headers, mostBytes) => {
      const before = registry.requests().length
      const refused = await ask({
        method: 'PUT',
        path: '/v2/alice/list/a/manifests/larger',
        headers,
        body: 'x'.repeat(limit + 1),
      })
      expect(refused.status).toBe(413)
      expect(JSON.parse(refused.body)).toHaveProperty('errors.0.code', 'MANIFEST_INVALID')
      const line = await gateway.auditLineOf(String(refused.headers['x-request-id']))
      expect(line['bytesUp']).toBeLessThanOrEqual(mostBytes)
      const created = registry.requests().slice(before)
      expect(created.filter(({ status }) => status === 201)).toEqual([])
      expect((await ask({ path: '/v2/alice/list/a/manifests/larger' })).status).toBe(404)
    })
  })

  // The last ones: the registry is another process afterwards.
  test('a registry that was restarted between two requests is not noticed by clients', async () => {
    const { digest } = await pushBlob(ask, 'alice/restart', 1_000)
    await registry.restart()
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => ask({ path: `/v2/alice/restart/blobs/${digest}` })),
    )
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
  })

  test('F-20: uploads go on after a restart of the registry, from where they say that they are', async () => {
    const content = bytesOf(200_000)
    const digest = sha256(content)
    const uploads = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const location = await startUpload(ask, `alice/resumed-${index}`)
        const patched = await ask({ method: 'PATCH', path: location, body: content.subarray(0, 100_000) })
        return patched.headers.location ?? ''
      }),
    )
    await registry.restart()
    const done = await Promise.all(
      uploads.map(async (path) => {
        const { status, headers } = await ask({ path })
        expect([status, headers.range]).toEqual([204, '0-99999'])
        const rest = content.subarray(100_000)
        return ask({ method: 'PUT', path: withDigest(headers.location ?? '', digest), body: rest })
      }),
    )
    expect(done.map(({ status, headers }) => [status, headers['docker-content-digest']])).toEqual(
      done.map(() => [201, digest]),
    )
  })
})
