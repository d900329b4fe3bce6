import { createHash, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { createTagGuard } from '../../src/proxy/tag-guard.ts'
import type { TagGuard } from '../../src/proxy/tag-guard.ts'
import { createTagLock } from '../../src/proxy/tag-lock.ts'
import { createUpstreamClient } from '../../src/proxy/upstream-client.ts'
import { parseRegistryRequest, printTarget } from '../../src/registry/route.ts'
import type { RegistryRequest } from '../../src/registry/route.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'

type ManifestType = keyof typeof types
type Manifest = { readonly type: string; readonly bytes: Buffer; readonly digest: string }

const types = {
  'docker manifest': 'application/vnd.docker.distribution.manifest.v2+json',
  'docker list': 'application/vnd.docker.distribution.manifest.list.v2+json',
  'oci manifest': 'application/vnd.oci.image.manifest.v1+json',
  'oci index': 'application/vnd.oci.image.index.v1+json',
} as const
const kinds: readonly ManifestType[] = ['docker manifest', 'docker list', 'oci manifest', 'oci index']

const limitMs = 20_000
const repository = 'prod/api'
const about = { requestId: 'x', clientAddress: '127.0.0.1', publicHost: 'localhost', publicProtocol: 'https' }

function sha256(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

function manifest(type: string, content: object): Manifest {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: type, ...content }))
  return { type, bytes, digest: sha256(bytes) }
}

type Manifests = Extract<RegistryRequest, { readonly kind: 'manifest' }>

function manifestRequest(method: string, reference: string): Manifests {
  const request = parseRegistryRequest(method, `/v2/${repository}/manifests/${reference}`)
  if (request.kind !== 'manifest') throw new Error(`${reference} is no manifest`)
  return request
}

describeWith(['docker-registry'], 'a protected tag of a real registry', () => {
  let registry: RealRegistry
  let guard: TagGuard
  const client = createUpstreamClient(
    { connectMs: limitMs, headersMs: limitMs, commitHeadersMs: limitMs, inactivityMs: limitMs, keepAliveMs: limitMs },
    undefined,
  )
  let serial = 0

  beforeAll(async () => {
    registry = await startRealRegistry({ isDeleteEnabled: true })
    guard = guardOf(registry.url)
  })
  afterAll(async () => {
    client.close()
    await registry.stop()
  })

  function guardOf(url: string): TagGuard {
    const { host } = new URL(url)
    return createTagGuard({
      upstreamUrl: new URL(url),
      upstream: { host, authorization: undefined },
      lock: createTagLock(100),
      waitMs: limitMs,
      checkMs: limitMs,
    })
  }

  function freshTag(): string {
    serial += 1
    return `v${serial}`
  }

  /** Sends a manifest past the guard; what it is told. */
  async function put(reference: string, { type, bytes }: Manifest): Promise<number> {
    const { request, answer } = client.open({
      url: new URL(registry.url),
      method: 'PUT',
      target: printTarget(manifestRequest('PUT', reference)),
      headers: { host: registry.host, 'content-type': type, 'content-length': bytes.length },
    })
    request.end(bytes)
    const response = await answer
    response.resume()
    return response.statusCode ?? 0
  }

  /** Sends it by the guard, all tags that it names being protected. */
  async function push(reference: string, content: Manifest, by: TagGuard = guard): Promise<unknown> {
    const { repository: name, reference: named, tags } = manifestRequest('PUT', reference)
    const protectedTags = named.kind === 'tag' ? [named.tag] : tags
    const guarded = {
      repository: name,
      protectedTags,
      lockedTags: [],
      refusal: () => 'alice may not move it',
      body: content.bytes,
      about,
    }
    try {
      return await by.guard(guarded, client.open, () => put(reference, content))
    } catch (error) {
      return error
    }
  }

  async function digestAt(tag: string): Promise<string | null> {
    const response = await fetch(`${registry.url}/v2/${repository}/manifests/${tag}`, {
      method: 'HEAD',
      headers: { accept: Object.values(types).join(',') },
    })
    return response.status === 200 ? response.headers.get('docker-content-digest') : null
  }

  async function blob(bytes: Buffer): Promise<{ readonly digest: string; readonly size: number }> {
    const started = await fetch(`${registry.url}/v2/${repository}/blobs/uploads/`, { method: 'POST' })
    const session = new URL(started.headers.get('location') ?? '', registry.url)
    session.searchParams.set('digest', sha256(bytes))
    const done = await fetch(session, { method: 'PUT', body: new Uint8Array(bytes) })
    expect(done.status).toBe(201)
    return { digest: sha256(bytes), size: bytes.length }
  }

  /** A manifest nobody has seen, and all that it names is there. */
  async function newManifest(kind: ManifestType): Promise<Manifest> {
    const config = await blob(Buffer.from(JSON.stringify({ id: randomBytes(16).toString('hex') })))
    const prefix = kind.startsWith('docker') ? 'docker' : 'oci'
    const configType =
      prefix === 'docker'
        ? 'application/vnd.docker.container.image.v1+json'
        : 'application/vnd.oci.image.config.v1+json'
    const image = manifest(types[`${prefix} manifest`], { config: { mediaType: configType, ...config }, layers: [] })
    if (kind === 'docker manifest' || kind === 'oci manifest') return image
    expect(await put(image.digest, image)).toBe(201)
    const entry = { mediaType: image.type, digest: image.digest, size: image.bytes.length }
    return manifest(types[kind], { manifests: [{ ...entry, platform: { os: 'linux', architecture: 'amd64' } }] })
  }

  test.each(kinds)('is created with the type %s, taken again and not moved', async (kind) => {
    const tag = freshTag()
    const [first, second] = [await newManifest(kind), await newManifest(kind)]
    expect(await push(tag, first)).toBe(201)
    expect(await digestAt(tag)).toBe(first.digest)
    expect(await push(tag, first)).toBe(201)
    expect(await push(tag, second)).toMatchObject({
      id: 'tagProtected',
      detail: `the tag ${tag} of prod/api already names ${first.digest}`,
    })
    expect(await digestAt(tag)).toBe(first.digest)
  })

  test.each(kinds.flatMap((from) => kinds.filter((to) => to !== from).map((to) => [from, to] as const)))(
    'is not moved from the type %s to %s',
    async (from, to) => {
      const tag = freshTag()
      const first = await newManifest(from)
      expect(await push(tag, first)).toBe(201)
      expect(await push(tag, await newManifest(to))).toMatchObject({ id: 'tagProtected' })
      expect(await digestAt(tag)).toBe(first.digest)
    },
  )

  test('is not moved by the very manifest that its list names, although the registry gives that to old clients', async () => {
    const tag = freshTag()
    const list = await newManifest('docker list')
    expect(await push(tag, list)).toBe(201)
    const plain = await fetch(`${registry.url}/v2/${repository}/manifests/${tag}`, {
      headers: { accept: types['docker manifest'] },
    })
    const bytes = Buffer.from(await plain.arrayBuffer())
    // The conversion that would mislead a check that asks for this type alone.
    expect(plain.headers.get('docker-content-digest')).toBe(sha256(bytes))
    expect(sha256(bytes)).not.toBe(list.digest)
    const member = { type: types['docker manifest'], bytes, digest: sha256(bytes) }
    expect(await push(tag, member)).toMatchObject({ id: 'tagProtected' })
    expect(await digestAt(tag)).toBe(list.digest)
  })

  test('in the query of a push by digest is kept as well', async () => {
    const [kept, free] = [freshTag(), freshTag()]
    const [first, second] = [await newManifest('oci manifest'), await newManifest('oci manifest')]
    expect(await push(kept, first)).toBe(201)
    expect(await push(`${second.digest}?tag=${free}&tag=${kept}`, second)).toMatchObject({
      id: 'tagProtected',
      detail: expect.stringContaining(`the tag ${kept} of`),
    })
    expect(await digestAt(second.digest)).toBeNull()
    expect(await push(`${first.digest}?tag=${free}&tag=${kept}`, first)).toBe(201)
    expect(await digestAt(kept)).toBe(first.digest)
  })

  test('that was deleted can be created anew, by another manifest', async () => {
    const tag = freshTag()
    const [first, second] = [await newManifest('oci manifest'), await newManifest('oci manifest')]
    expect(await push(tag, first)).toBe(201)
    const deleted = await fetch(`${registry.url}/v2/${repository}/manifests/${first.digest}`, { method: 'DELETE' })
    expect(deleted.status).toBe(202)
    expect(await push(tag, second)).toBe(201)
    expect(await digestAt(tag)).toBe(second.digest)
  })

  test('that is new goes to exactly one of many pushes at once, and stays with it', async () => {
    for (let round = 0; round < 10; round += 1) {
      const tag = freshTag()
      const contents = await Promise.all(kinds.map((kind) => newManifest(kind)))
      const results = await Promise.all(contents.map((content) => push(tag, content)))
      const winners = contents.filter((_content, index) => results[index] === 201)
      expect(winners).toHaveLength(1)
      expect(results.filter((result) => result !== 201)).toEqual(
        Array.from({ length: kinds.length - 1 }, () => expect.objectContaining({ id: 'tagProtected' })),
      )
      expect(await digestAt(tag)).toBe(winners[0]?.digest)
    }
  })

  test('can be created again after a push that the registry refused', async () => {
    const tag = freshTag()
    const missing = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(randomBytes(8)), size: 8 }
    expect(await push(tag, manifest(types['oci manifest'], { config: missing, layers: [] }))).toBe(400)
    expect(await digestAt(tag)).toBeNull()
    expect(await push(tag, await newManifest('oci manifest'))).toBe(201)
  })

  test('is not pushed while the registry is down, and again when it is back', async () => {
    const tag = freshTag()
    const content = await newManifest('oci manifest')
    expect(await push(tag, content)).toBe(201)
    await registry.pause()
    expect(await push(tag, content)).toMatchObject({ id: 'tagCheckFailed', status: 503 })
    await registry.restart()
    expect(await push(tag, content)).toBe(201)
  })
})
