import { createHash } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { connectRaw, headerOf } from '../support/raw-http-client.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import { bytesOf } from './attack.ts'
import { comparable, headersOf, requestOf, startPolicyGateway } from './policies-front.ts'
import type { Asker, PolicyGateway } from './policies-front.ts'

const sha256 = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`

const layer = 'a layer that is there'
const manifest = JSON.stringify({
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(layer), size: layer.length },
  layers: [],
})
const absent = sha256('what nobody has')
const accept = { lines: ['Accept: application/vnd.oci.image.manifest.v1+json'] }
/** Mallory may do everything elsewhere, and bob may push there: the registry answers him, and nobody but him. */
const policy = `
rules:
  - { allow: owner, to: user:alice, on: '**' }
  - { allow: push, to: user:bob, on: secret/** }
  - { allow: owner, to: user:mallory, on: mallory/** }
  - { allow: reader, to: anonymous, on: pub/** }
protectedTags:
  - { on: secret/**, tags: [v*], message: releases stay what they are }
`

describeWith(['docker-registry'], 'A-35 whoever may not see it is told the same, whether or not it is there', () => {
  let registry: RealRegistry
  let site: PolicyGateway
  let uploadUuid: string
  let seen = 0

  beforeAll(async () => {
    registry = await startRealRegistry()
    site = await startPolicyGateway({ upstreamUrl: registry.url, policy, anonymousEnabled: true })
    const opened = await site.ask('alice', requestOf('POST', '/v2/secret/app/blobs/uploads/'))
    const target = `${headerOf(opened, 'location') ?? ''}&digest=${sha256(layer)}`
    const blob = { method: 'PUT', target, lines: [`Content-Length: ${layer.length}`], body: layer }
    expect(await site.ask('alice', blob)).toMatchObject({ status: 201 })
    const lines = ['Content-Type: application/vnd.oci.image.manifest.v1+json', `Content-Length: ${manifest.length}`]
    const put = { method: 'PUT', target: '/v2/secret/app/manifests/v1', lines, body: manifest }
    expect(await site.ask('alice', put)).toMatchObject({ status: 201 })
    const session = await site.ask('alice', requestOf('POST', '/v2/secret/app/blobs/uploads/'))
    uploadUuid = /uploads\/([0-9a-f-]+)/.exec(headerOf(session, 'location') ?? '')?.[1] ?? ''
    expect(await site.ask('alice', { ...accept, target: '/v2/secret/app/manifests/v1' })).toMatchObject({ status: 200 })
    expect(await site.ask('alice', { ...accept, target: '/v2/gone/app/manifests/v1' })).toMatchObject({ status: 404 })
  })
  afterAll(async () => {
    await site.stop()
    await registry.stop()
  })
  beforeEach(() => {
    seen = registry.requests().length
  })
  const asked = (): readonly string[] =>
    registry
      .requests()
      .slice(seen)
      .map(({ method, target }) => `${method} ${target}`)
      .filter((line) => line !== 'GET /v2/')

  /** What is there, what is not there but in the same repository, and what is in a repository that is not there. */
  const targets: readonly (readonly [string, (repository: string, isThere: boolean) => string])[] = [
    ['a tag', (name, isThere) => `/v2/${name}/manifests/${isThere ? 'v1' : 'v2'}`],
    ['a manifest', (name, isThere) => `/v2/${name}/manifests/${isThere ? sha256(manifest) : absent}`],
    ['a blob', (name, isThere) => `/v2/${name}/blobs/${isThere ? sha256(layer) : absent}`],
    ['the tags', (name) => `/v2/${name}/tags/list`],
    ['referrers', (name, isThere) => `/v2/${name}/referrers/${isThere ? sha256(manifest) : absent}`],
    [
      'an upload',
      (name, isThere) =>
        `/v2/${name}/blobs/uploads/${isThere ? uploadUuid : '00000000-0000-4000-8000-000000000000'}?_state=x`,
    ],
  ]
  const methodsOf = (what: string): readonly string[] => {
    if (what === 'an upload') return ['GET', 'PATCH', 'PUT', 'DELETE']
    if (what === 'the tags' || what === 'referrers') return ['GET', 'HEAD']
    return what === 'a blob' ? ['GET', 'HEAD', 'DELETE'] : ['GET', 'HEAD', 'PUT', 'DELETE']
  }
  const askers: readonly Asker[] = ['mallory', undefined]

  test.each(targets)('%s', async (what, targetOf) => {
    for (const who of askers) {
      for (const method of methodsOf(what)) {
        const query = method === 'PUT' && what === 'an upload' ? `&digest=${sha256(layer)}` : ''
        const askFor = async (repository: string, isThere: boolean): Promise<string> => {
          const answer = await site.ask(who, requestOf(method, targetOf(repository, isThere) + query))
          expect({ method, status: answer.status }).toEqual({ method, status: who === undefined ? 401 : 403 })
          // Both names are as long, so that one can stand for the other.
          return comparable(answer).replaceAll('absent/app', 'secret/app')
        }
        const there = await askFor('secret/app', true)
        expect(await askFor('secret/app', false)).toBe(there)
        expect(await askFor('absent/app', true)).toBe(there)
      }
    }
    expect(asked()).toEqual([])
  })

  test('to whoever may push and not pull a HEAD tells the truth, and nothing else does', async () => {
    const head = async (target: string) => (await site.ask('bob', { ...accept, method: 'HEAD', target })).status
    expect(await head('/v2/secret/app/manifests/v1')).toBe(200)
    expect(await head('/v2/secret/app/manifests/v2')).toBe(404)
    expect(await head(`/v2/secret/app/blobs/${sha256(layer)}`)).toBe(200)
    expect(await head(`/v2/secret/app/blobs/${absent}`)).toBe(404)
    for (const [, targetOf] of targets.slice(0, -1)) {
      const there = await site.ask('bob', { target: targetOf('secret/app', true) })
      const missing = await site.ask('bob', { target: targetOf('secret/app', false) })
      expect(there.status).toBe(403)
      expect(comparable(missing)).toBe(comparable(there))
    }
  })

  test('a mount tells nothing of its source: there or not, it is an ordinary upload', async () => {
    const mount = async (digest: string, from: string): Promise<string> => {
      const target = `/v2/mallory/app/blobs/uploads/?mount=${digest}&from=${from}`
      const answer = await site.ask('mallory', requestOf('POST', target))
      const session = /uploads\/([0-9a-f-]+)/.exec(headerOf(answer, 'location') ?? '')?.[1] ?? 'none'
      return comparable(answer)
        .replaceAll(/_state=[^\r]+/g, '_state=STATE')
        .replaceAll(session, 'SESSION')
    }
    const there = await mount(sha256(layer), 'secret/app')
    expect(there).toMatch(/^HTTP\/1\.1 202 /)
    expect(await mount(absent, 'secret/app')).toBe(there)
    expect(await mount(sha256(layer), 'absent/app')).toBe(there)
    expect(asked()).toEqual(Array.from({ length: 3 }, () => 'POST /v2/mallory/app/blobs/uploads/'))
  })

  /**
   * What a moment of a loaded machine does to one, it does to the other: they take turns, and medians are compared. The
   * bound is coarse; asking the registry takes a multiple of what a refusal takes.
   */
  test('and in the same time', async () => {
    const socket = await connectRaw(site.gateway.target)
    const first = headersOf('mallory')
    const timed = async (target: string): Promise<number> => {
      const bytes = bytesOf({ first, target })
      const startedMs = performance.now()
      const answer = new Promise((resolve) => socket.once('data', resolve))
      socket.write(bytes)
      await answer
      return performance.now() - startedMs
    }
    const there = '/v2/secret/app/manifests/v1'
    const missing = '/v2/absent/app/manifests/v1'
    const samples = { there: [] as number[], missing: [] as number[] }
    for (let round = 0; round < 1_000; round += 1) {
      const [one, other] = round % 2 === 0 ? [there, missing] : [missing, there]
      const [oneMs, otherMs] = [await timed(one), await timed(other)]
      samples.there.push(round % 2 === 0 ? oneMs : otherMs)
      samples.missing.push(round % 2 === 0 ? otherMs : oneMs)
    }
    socket.destroy()
    const [thereMs, missingMs] = [median(samples.there), median(samples.missing)]
    expect(Math.max(thereMs, missingMs) / Math.min(thereMs, missingMs)).toBeLessThan(1.5)
    expect(asked()).toEqual([])
  })
})

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN
}
