import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { headerOf } from '../support/raw-http-client.ts'
import type { RawAnswer } from '../support/raw-http-client.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import {
  chunked,
  config,
  manifestType,
  messageOf,
  newManifest,
  requestOf,
  sha256,
  startPolicyGateway,
} from './policies-front.ts'
import type { Asker, PolicyGateway } from './policies-front.ts'

const policy = `
rules:
  - { allow: maintainer, to: [user:alice, user:mallory], on: '**' }
  - { allow: owner, to: user:ci, on: '**' }
protectedTags:
  - { on: prod/**, tags: [v*], message: releases stay what they are }
  - { on: all/**, tags: '*' }
`
const refusal = (tag: string): string =>
  `alice may not move or delete the protected tag ${tag} of prod/api: releases stay what they are`
describeWith(['docker-registry'], 'a protected tag behind the door', () => {
  let registry: RealRegistry
  let site: PolicyGateway
  let serial = 0

  beforeAll(async () => {
    registry = await startRealRegistry()
    site = await startPolicyGateway({ upstreamUrl: registry.url, policy })
    for (const repository of ['prod/api', 'all/app', 'dev/api']) {
      const opened = await site.ask('alice', requestOf('POST', `/v2/${repository}/blobs/uploads/`))
      const target = `${headerOf(opened, 'location') ?? ''}&digest=${sha256(config)}`
      const blob = { method: 'PUT', target, lines: [`Content-Length: ${config.length}`], body: config }
      expect(await site.ask('alice', blob)).toMatchObject({ status: 201 })
    }
  })
  afterAll(async () => {
    await site.stop()
    await registry.stop()
  })

  const freshTag = (): string => {
    serial += 1
    return `v${serial}`
  }
  const lengthOf = (body: string): readonly string[] => [`Content-Length: ${body.length}`]
  const put = (
    who: Asker,
    reference: string,
    body: string,
    repository = 'prod/api',
    framing = lengthOf(body),
  ): Promise<RawAnswer> =>
    site.ask(who, {
      method: 'PUT',
      target: `/v2/${repository}/manifests/${reference}`,
      lines: [`Content-Type: ${manifestType}`, ...framing],
      body: framing.some((line) => line.startsWith('Transfer')) ? chunked(body) : body,
    })
  const remove = (who: Asker, target: string): Promise<RawAnswer> => site.ask(who, requestOf('DELETE', target))
  async function digestAt(tag: string, repository = 'prod/api'): Promise<string | null> {
    const response = await fetch(`${registry.url}/v2/${repository}/manifests/${tag}`, {
      method: 'HEAD',
      headers: { accept: manifestType },
    })
    return response.status === 200 ? response.headers.get('docker-content-digest') : null
  }
  async function pushed(): Promise<{ readonly tag: string; readonly body: string }> {
    const [tag, body] = [freshTag(), newManifest()]
    expect(await put('alice', tag, body)).toMatchObject({ status: 201 })
    return { tag, body }
  }

  test('is created, and pushed again with the same content', async () => {
    const { tag, body } = await pushed()
    expect(await put('alice', tag, body)).toMatchObject({ status: 201 })
    expect(await digestAt(tag)).toBe(sha256(body))
  })

  test.each<[string, readonly string[] | undefined]>([
    ['a length', undefined],
    ['chunks', ['Transfer-Encoding: chunked']],
    ['an expectation of 100 Continue', ['Transfer-Encoding: chunked', 'Expect: 100-continue']],
  ])('is not moved by a body with %s, and the refusal says what is there', async (_name, framing) => {
    const { tag, body } = await pushed()
    const other = newManifest()
    const answer = await put('alice', tag, other, 'prod/api', framing)
    expect(answer.statusLine).toBe(`HTTP/1.1 403 Forbidden (${refusal(tag)})`)
    expect(messageOf(answer)).toBe(refusal(tag))
    expect(answer.body).toContain(`already names ${sha256(body)}`)
    expect([await digestAt(tag), await digestAt(sha256(other))]).toEqual([sha256(body), null])
  })

  test('is created by a chunked body too, after 100 Continue', async () => {
    const [tag, body] = [freshTag(), newManifest()]
    const framing = ['Transfer-Encoding: chunked', 'Expect: 100-continue']
    expect(await put('alice', tag, body, 'prod/api', framing)).toMatchObject({ status: 201 })
    expect(await digestAt(tag)).toBe(sha256(body))
  })

  test('is moved by whoever may overwrite', async () => {
    const { tag } = await pushed()
    const other = newManifest()
    expect(await put('ci', tag, other)).toMatchObject({ status: 201 })
    expect(await digestAt(tag)).toBe(sha256(other))
  })

  test('is not moved by a push by digest that names it behind others', async () => {
    const { tag, body } = await pushed()
    const other = newManifest()
    const reference = `${sha256(other)}?tag=free&tag=${tag}&tag=${freshTag()}`
    const answer = await put('alice', reference, other)
    expect({ status: answer.status, message: messageOf(answer) }).toEqual({ status: 403, message: refusal(tag) })
    expect([await digestAt(tag), await digestAt('free'), await digestAt(sha256(other))]).toEqual([
      sha256(body),
      null,
      null,
    ])
  })

  test('is deleted by nobody without overwrite: by its name, by the digest, or by a blob of it', async () => {
    const { tag, body } = await pushed()
    for (const [target, message] of [
      [`/v2/prod/api/manifests/${tag}`, refusal(tag)],
      [
        `/v2/prod/api/manifests/${sha256(body)}`,
        expect.stringMatching(/^alice may not delete by digest from prod\/api, which has/),
      ],
      [
        `/v2/prod/api/blobs/${sha256(config)}`,
        expect.stringMatching(/^alice may not delete by digest from prod\/api, which has/),
      ],
      // Told before it is known whether there is such a one.
      ['/v2/prod/api/manifests/v-none', refusal('v-none')],
    ] as const) {
      const answer = await remove('alice', target)
      expect({ target, status: answer.status, message: messageOf(answer) }).toEqual({ target, status: 403, message })
    }
    expect(await digestAt(tag)).toBe(sha256(body))
    expect(await remove('ci', `/v2/prod/api/manifests/${sha256(body)}`)).toMatchObject({ status: 202 })
    expect(await digestAt(tag)).toBeNull()
  })

  test('is no matter in a repository without any, nor for a tag that no pattern has', async () => {
    const [first, second] = [newManifest(), newManifest()]
    for (const [repository, tag] of [
      ['dev/api', 'v1'],
      ['prod/api', 'latest'],
      ['prod/api', 'V1'],
    ] as const) {
      expect(await put('alice', tag, first, repository)).toMatchObject({ status: 201 })
      expect(await put('alice', tag, second, repository)).toMatchObject({ status: 201 })
      expect(await digestAt(tag, repository)).toBe(sha256(second))
    }
    expect(await remove('alice', `/v2/dev/api/manifests/${sha256(second)}`)).toMatchObject({ status: 202 })
  })

  test.each(['', '.sig', '.att', '.sbom'])(
    'a tag sha256-...%s is always mutable, although every tag is protected',
    async (suffix) => {
      const tag = `sha256-${randomBytes(32).toString('hex')}${suffix}`
      for (const body of [newManifest(), newManifest()]) {
        expect(await put('alice', tag, body, 'all/app')).toMatchObject({ status: 201 })
        expect(await digestAt(tag, 'all/app')).toBe(sha256(body))
      }
    },
  )

  test.each([
    'sha256-ab',
    `sha256-${'AB'.repeat(32)}`,
    `sha256-${'ab'.repeat(32)}.exe`,
    `sha512-${'ab'.repeat(32)}`,
    `x-sha256-${'ab'.repeat(32)}`,
  ])('a tag %s is not such a one', async (tag) => {
    const body = newManifest()
    expect(await put('alice', tag, body, 'all/app')).toMatchObject({ status: 201 })
    expect(await put('alice', tag, newManifest(), 'all/app')).toMatchObject({ status: 403 })
    expect(await digestAt(tag, 'all/app')).toBe(sha256(body))
  })

  test('goes to exactly one of eight different pushes at once, by two people', async () => {
    const tag = freshTag()
    const bodies = Array.from({ length: 8 }, newManifest)
    const answers = await Promise.all(
      bodies.map((body, index) => put(index % 2 === 0 ? 'alice' : 'mallory', tag, body)),
    )
    const winners = bodies.filter((_body, index) => answers[index]?.status === 201)
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array.from({ length: 7 }, () => 403)])
    expect(await digestAt(tag)).toBe(sha256(winners[0] ?? ''))
  })

  test('is not pushed while the registry is down', async () => {
    const { tag, body } = await pushed()
    await registry.pause()
    const answer = await put('alice', tag, body)
    await registry.restart()
    expect(answer.statusLine).toBe('HTTP/1.1 503 Service Unavailable (protected tag cannot be checked)')
    expect(await put('alice', tag, body)).toMatchObject({ status: 201 })
  })
})
