import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { headerOf } from '../support/raw-http-client.ts'
import type { RawAnswer } from '../support/raw-http-client.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import { headersOf, requestOf, startPolicyFront, startPolicyGateway } from './policies-front.ts'
import type { Asker, PolicyGateway } from './policies-front.ts'

const policy = `
rules:
  - { allow: pull, to: user:bob, on: [team-500/app, team-007/app] }
  - { allow: owner, to: user:alice, on: ['team-0*/app', 'alice/**'] }
  - { deny: list, to: user:alice, on: [team-001/app, alice/hidden] }
  - { allow: push, to: user:ci, on: '**' }
  - { allow: reader, to: anonymous, on: [team-003/app, team-004/app] }
`

const nameAt = (index: number): string => `team-${String(index).padStart(3, '0')}/app`
const total = 1_000

function namesIn({ body }: RawAnswer): readonly string[] {
  return (JSON.parse(body) as { readonly repositories: readonly string[] }).repositories
}

/** Makes a repository the way the registry's own storage has it: the folder of its layers is enough. */
function makeRepository({ dataDirectory }: RealRegistry, name: string): void {
  mkdirSync(join(dataDirectory, 'data/docker/registry/v2/repositories', name, '_layers'), { recursive: true })
}

describeWith(['docker-registry'], 'A-32 the catalog of a registry with a thousand repositories', () => {
  let registry: RealRegistry
  let site: PolicyGateway

  beforeAll(async () => {
    registry = await startRealRegistry({ dataIn: 'memory' })
    for (let index = 0; index < total; index += 1) makeRepository(registry, nameAt(index))
    site = await startPolicyGateway({ upstreamUrl: registry.url, policy, anonymousEnabled: true })
    // The first to ask starts the walk.
    expect(await site.ask('alice', { target: '/v2/_catalog' })).toMatchObject({ status: 200 })
  })
  afterAll(async () => {
    await site.stop()
    await registry.stop()
  })

  /** Follows `Link` to the end as clients do. */
  async function pagesOf(who: Asker, from: string): Promise<readonly RawAnswer[]> {
    const pages: RawAnswer[] = []
    let target: string | undefined = from
    while (target !== undefined) {
      const answer = await site.ask(who, { target })
      expect({ target, status: answer.status }).toEqual({ target, status: 200 })
      pages.push(answer)
      target = /^<([^>]*)>; rel="next"$/.exec(headerOf(answer, 'link') ?? '')?.[1]
    }
    return pages
  }

  test.each<readonly [Asker, number, readonly string[]]>([
    ['bob', 10, ['team-007/app', 'team-500/app']],
    ['bob', 2, ['team-007/app', 'team-500/app']],
    ['bob', 1, ['team-007/app', 'team-500/app']],
    [undefined, 1, ['team-003/app', 'team-004/app']],
    [
      'alice',
      10,
      Array.from({ length: 100 }, (_value, index) => nameAt(index)).filter((name) => name !== 'team-001/app'),
    ],
  ])('shows %s theirs over pages of %d, and not a trace of the others', async (who, n, own) => {
    const pages = await pagesOf(who, `/v2/_catalog?n=${n}`)
    expect(pages.flatMap(namesIn)).toEqual(own)
    expect(pages).toHaveLength(Math.ceil(own.length / n))
    const links = pages.flatMap((page) => headerOf(page, 'link') ?? [])
    expect(links).toEqual(
      Array.from({ length: pages.length - 1 }, (_value, page) => {
        const last = own[(page + 1) * n - 1] ?? ''
        return `</v2/_catalog?last=${encodeURIComponent(last)}&n=${n}>; rel="next"`
      }),
    )
  })

  test('has a hundred names on a page of no told size, and what is shown may be pulled', async () => {
    const [first] = await pagesOf('alice', '/v2/_catalog')
    expect(first && namesIn(first)).toHaveLength(99)
    const hidden = await site.ask('alice', { target: '/v2/team-001/app/tags/list' })
    // The registry's own word: it has the repository, without tags.
    expect(hidden.status).not.toBe(403)
  })

  test('gives a `last` that names what is hidden no other answer than one that names nothing', async () => {
    const after = async (last: string): Promise<readonly string[]> =>
      namesIn(await site.ask('bob', { target: `/v2/_catalog?n=10&last=${encodeURIComponent(last)}` }))
    expect(await after('team-006/app')).toEqual(['team-007/app', 'team-500/app'])
    expect(await after('team-006/nothing')).toEqual(['team-007/app', 'team-500/app'])
    expect(await after('team-008/app')).toEqual(['team-500/app'])
    expect(await after('team-499/z')).toEqual(['team-500/app'])
    expect(await after('team-500/app')).toEqual([])
    expect(await after('\u{10FFFF}')).toEqual([])
  })

  test('answers a HEAD as a GET, but for the body', async () => {
    const target = '/v2/_catalog?n=1'
    const [get, head] = [await site.ask('bob', { target }), await site.ask('bob', { method: 'HEAD', target })]
    expect({ status: head.status, body: head.body, link: headerOf(head, 'link') }).toEqual({
      status: 200,
      body: '',
      link: headerOf(get, 'link'),
    })
    expect(namesIn(get)).toEqual(['team-007/app'])
  })

  test.each(['-1', '1e3', '0x10', '', '+1', '01', ' 1', '1.0', '%31%20', 'NaN', '1,2'])(
    'A-33 refuses n=%s',
    async (n) => {
      const { status, body } = await site.ask('alice', { target: `/v2/_catalog?n=${n.replace(' ', '%20')}` })
      expect({ status, body }).toEqual({ status: 400, body: expect.stringContaining('"PAGINATION_NUMBER_INVALID"') })
    },
  )

  test('A-33 refuses two of them', async () => {
    expect(await site.ask('alice', { target: '/v2/_catalog?n=1&n=2' })).toMatchObject({ status: 400 })
  })

  test.each([
    ['0', 1],
    ['1', 1],
    ['1000', 99],
    ['1000000000', 99],
    ['9007199254740993', 99],
    [`1${'0'.repeat(30)}`, 99],
  ])('A-33 takes n=%s for a page of %d names', async (n, length) => {
    const answer = await site.ask('alice', { target: `/v2/_catalog?n=${n}` })
    expect(namesIn(answer)).toHaveLength(length)
  })

  test.each([
    ['another Host', '/v2/_catalog?n=1', ['Host: evil.example']],
    ['an absolute target', 'https://evil.example/v2/_catalog?n=1', ['Host: evil.example']],
    [
      'forwarding headers',
      '/v2/_catalog?n=1',
      [
        'Host: localhost:8443',
        'X-Forwarded-Host: evil.example',
        'Forwarded: host=evil.example',
        'X-Forwarded-Prefix: /evil',
      ],
    ],
  ])('A-34 names no host in its Link, whatever %s says', async (_name, target, first) => {
    const answer = await site.ask(undefined, { target, first: [...first, ...headersOf('bob').slice(1)] })
    const text = JSON.stringify(answer)
    expect(text).not.toContain('evil')
    if (answer.status === 200)
      expect(headerOf(answer, 'link')).toBe('</v2/_catalog?last=team-007%2Fapp&n=1>; rel="next"')
    else expect(answer.status).toBe(400)
  })

  test('is refused to whom no rule shows anything, push alone included', async () => {
    expect(await site.ask('mallory', { target: '/v2/_catalog' })).toMatchObject({ status: 403 })
    expect(await site.ask('ci', { target: '/v2/_catalog' })).toMatchObject({ status: 403 })
  })

  // After everything that counts names.
  test('shows at once what was pushed through the door, to those who may see it, and not what was refused', async () => {
    const config = '{}'
    const digest = 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'
    const push = async (who: Asker, repository: string): Promise<number> => {
      const opened = await site.ask(who, requestOf('POST', `/v2/${repository}/blobs/uploads/`))
      const target = `${headerOf(opened, 'location') ?? `/v2/${repository}/blobs/uploads/x?_state=x`}&digest=${digest}`
      await site.ask(who, { method: 'PUT', target, lines: [`Content-Length: ${config.length}`], body: config })
      const mediaType = 'application/vnd.oci.image.manifest.v1+json'
      const body = JSON.stringify({
        schemaVersion: 2,
        mediaType,
        config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: config.length },
        layers: [],
      })
      const lines = [`Content-Type: ${mediaType}`, `Content-Length: ${body.length}`]
      return (await site.ask(who, { method: 'PUT', target: `/v2/${repository}/manifests/1`, lines, body })).status
    }
    const alices = async (): Promise<readonly string[]> =>
      (await pagesOf('alice', '/v2/_catalog?n=1000')).flatMap(namesIn).filter((name) => name.startsWith('alice/'))
    expect(await push('alice', 'alice/new')).toBe(201)
    expect(await alices()).toEqual(['alice/new'])
    expect(await push('ci', 'alice/by-ci')).toBe(201)
    expect(await push('alice', 'alice/hidden')).toBe(201)
    expect(await push('mallory', 'alice/refused')).toBe(403)
    const broken = { method: 'PUT', target: '/v2/alice/broken/manifests/1', lines: ['Content-Length: 2'], body: '{}' }
    expect((await site.ask('alice', broken)).status).toBe(400)
    expect(await alices()).toEqual(['alice/by-ci', 'alice/new'])
    expect(namesIn(await site.ask('bob', { target: '/v2/_catalog' }))).toEqual(['team-007/app', 'team-500/app'])
  })

  test('cost the registry one walk for all of this', () => {
    const walks = registry.requests().filter(({ target }) => target.startsWith('/v2/_catalog'))
    expect(walks.map(({ target }) => target).filter((target) => !target.includes('last='))).toEqual([
      '/v2/_catalog?n=1000',
    ])
  })
})

describe('A-32 the catalog while nothing is known of it', () => {
  const everything = 'rules: [{ allow: reader, to: authenticated, on: "**" }]\n'

  test('is 503 with Retry-After, one sentence, and one walk however many ask', async () => {
    const front = await startPolicyFront({ policy: everything })
    front.upstream.respondWith(({ socket }, heads) => {
      if (heads.every((head) => head.startsWith('GET /v2/ ')))
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    })
    const answers = await Promise.all(Array.from({ length: 20 }, () => front.ask('alice', { target: '/v2/_catalog' })))
    const walks = front.upstream.requestLines().filter((line) => line.includes('_catalog'))
    await front.stop()
    for (const answer of answers) {
      expect(answer.statusLine).toBe('HTTP/1.1 503 Service Unavailable (list of repositories not read yet)')
      expect(headerOf(answer, 'retry-after')).toBe('5')
      expect(answer.body).toContain('"UNAVAILABLE","message":"the list of repositories is still being read')
    }
    expect(walks).toEqual(['GET /v2/_catalog?n=1000 HTTP/1.1'])
  })

  test.each([
    ['an error', 'HTTP/1.1 500 Oops\r\nContent-Length: 6\r\n\r\nsecret'],
    ['a page of another site', 'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>'],
    [
      'a link to elsewhere',
      'HTTP/1.1 200 OK\r\nLink: <http://169.254.169.254/latest>; rel="next"\r\nContent-Length: 19\r\n\r\n{"repositories":[]}',
    ],
  ])('is 503 where the registry answers with %s, none of which is passed on', async (_name, response) => {
    const front = await startPolicyFront({ policy: everything })
    front.upstream.respondWith(({ socket }) => {
      if (!socket.writableEnded) socket.end(response)
    })
    const answer = await front.ask('alice', { target: '/v2/_catalog' })
    await front.stop()
    expect(answer.status).toBe(503)
    expect(Number(headerOf(answer, 'retry-after'))).toBeGreaterThanOrEqual(1)
    expect(JSON.stringify(answer)).not.toMatch(/secret|html|169\.254/)
  })
})
