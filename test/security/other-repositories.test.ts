import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { fixedPolicy } from '../support/fixed-policy.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { startAssembledGateway } from './assembled-gateway.ts'
import type { AssembledGateway } from './assembled-gateway.ts'
import { digest } from './attack.ts'
import { targetSpellings } from './spelling.ts'

/** Mallory pulls and pushes in `mine/`, pulls from `pub/`, pushes to `drop/`, and has no right anywhere else. */
const policy = fixedPolicy('mine-pub-drop', (principal, access) => {
  if (principal.kind !== 'user' || access.type === 'registry') return false
  const rights: readonly string[] =
    { mine: ['pull', 'push'], pub: ['pull'], drop: ['push'] }[access.name.split('/')[0] ?? ''] ?? []
  return access.anyOf.some((action) => rights.includes(action))
})

let upstream: RecordingUpstream
let gateway: AssembledGateway

beforeAll(async () => {
  upstream = await startRecordingUpstream()
  gateway = await startAssembledGateway(upstream.url, {
    authentication: {
      authenticate: () => Promise.resolve({ kind: 'user', name: 'mallory', groups: [], method: 'htpasswd' }),
    },
    policy,
  })
})
afterAll(async () => {
  await gateway.stop()
  await upstream.close()
})
beforeEach(() => {
  upstream.reset()
})

async function ask(method: string, target: string): Promise<number> {
  const { status } = await gateway.ask(method, target)
  return status
}

const uploads = '/v2/mine/a/blobs/uploads/'

test.each([
  `mount=${digest}&from=secret/app`,
  `mount=${digest}&%66rom=secret/app`,
  `mount=${digest}&from=secret%2Fapp`,
  `mount=${digest}&from=secret/app&origin=localhost:8443`,
  `mount=${digest}&from=drop/app`,
  `mount=${digest}&from=pub/app&origin=other.example`,
  `mount=${digest}`,
])('A-03 a mount without pull on its source becomes an ordinary upload: %s', async (query) => {
  await ask('POST', `${uploads}?${query}`)
  expect(upstream.requestLines()).toEqual([`POST ${uploads} HTTP/1.1`])
})

test('A-03 a mount with pull on its source is made', async () => {
  await ask('POST', `${uploads}?mount=${digest}&from=pub/x`)
  expect(upstream.requestLines()).toEqual([`POST ${uploads}?mount=${encodeURIComponent(digest)}&from=pub%2Fx HTTP/1.1`])
})

test.each([
  ['GET', `/v2/secret/app/referrers/${digest}`],
  ['GET', `/v2/secret/app/referrers/${digest}?artifactType=a/b`],
  ['GET', `/v2/drop/app/referrers/${digest}`],
  ['HEAD', `/v2/drop/app/referrers/${digest}`],
])('A-26 %s %s needs pull', async (method, target) => {
  expect(await ask(method, target)).toBe(403)
  expect(upstream.received()).toBe('')
})

test.each([
  ['GET', '/v2/secret/app/manifests/v1'],
  ['GET', `/v2/secret/app/blobs/${digest}`],
  ['GET', '/v2/secret/app/tags/list'],
  ['HEAD', '/v2/secret/app/manifests/v1'],
  ['HEAD', `/v2/secret/app/blobs/${digest}`],
  ['GET', '/v2/drop/app/manifests/v1'],
  ['POST', '/v2/pub/app/blobs/uploads/'],
  ['PATCH', '/v2/secret/app/blobs/uploads/session'],
  ['DELETE', '/v2/secret/app/blobs/uploads/session'],
  ['PUT', '/v2/pub/app/manifests/v1'],
  ['DELETE', '/v2/mine/a/manifests/v1'],
  ['DELETE', `/v2/mine/a/manifests/${digest}`],
  ['DELETE', `/v2/mine/a/blobs/${digest}`],
  ['GET', '/v2/_catalog'],
  // Names that begin or end like a permitted one, or hold its path.
  ['GET', '/v2/secret/mine/a/tags/list'],
  ['GET', '/v2/minex/a/tags/list'],
  ['GET', '/v2/secret/app/tags/list/mine/a/tags/list'],
  ['GET', `/v2/secret/mine/manifests/a/blobs/${digest}`],
])('A-41 without the right %s %s is a 403, and not a byte goes upstream', async (method, target) => {
  expect(await ask(method, target)).toBe(403)
  expect(upstream.received()).toBe('')
})

test.each([
  ['HEAD', '/v2/drop/app/manifests/v1'],
  ['HEAD', `/v2/drop/app/blobs/${digest}`],
  ['HEAD', `/v2/pub/app/blobs/${digest}`],
  ['GET', '/v2/mine/a/blobs/uploads/manifests/latest'],
  ['GET', '/v2/'],
])('A-20 with the right %s %s is asked upstream as it is', async (method, target) => {
  expect(await ask(method, target)).toBe(200)
  expect(upstream.requestLines()).toEqual([`${method} ${target} HTTP/1.1`])
})

// Where a registry has no referrers, clients look for them in a tag that is made of the digest; it is a tag like others.
const referrersTag = `sha256-${'ab'.repeat(32)}`

test.each([
  ['GET', `/v2/secret/app/manifests/${referrersTag}`],
  ['HEAD', `/v2/secret/app/manifests/${referrersTag}`],
  ['GET', `/v2/secret/app/manifests/${referrersTag}.sig`],
  ['GET', `/v2/drop/app/manifests/${referrersTag}`],
  ['GET', `/v2/secret/app/manifests/sha512-${'ab'.repeat(32)}`],
])('A-27 %s %s, which tells what refers to a digest, needs pull', async (method, target) => {
  expect(await ask(method, target)).toBe(403)
  expect(upstream.received()).toBe('')
})

test('A-27 with the right to pull the tag of referrers is asked for as it is', async () => {
  expect(await ask('GET', `/v2/pub/app/manifests/${referrersTag}`)).toBe(200)
  expect(upstream.requestLines()).toEqual([`GET /v2/pub/app/manifests/${referrersTag} HTTP/1.1`])
})

describe('A-129 what is refused stays refused however it is spelled', () => {
  const forbidden = [
    ['A-20', 'GET', '/v2/secret/app/manifests/v1'],
    ['A-20', 'HEAD', `/v2/secret/app/blobs/${digest}`],
    ['A-26', 'GET', `/v2/secret/app/referrers/${digest}`],
    ['A-27', 'GET', `/v2/secret/app/manifests/${referrersTag}`],
    ['A-30', 'PATCH', '/v2/secret/app/blobs/uploads/session?_state=x'],
    ['A-30', 'DELETE', '/v2/secret/app/blobs/uploads/session?_state=x'],
    ['A-41', 'GET', '/v2/secret/app/tags/list'],
    ['A-41', 'POST', '/v2/secret/app/blobs/uploads/'],
    ['A-41', 'PUT', '/v2/pub/app/manifests/v1'],
    ['A-41', 'DELETE', `/v2/mine/a/manifests/${digest}`],
    ['A-41', 'GET', '/v2/_catalog'],
  ] as const

  test.each(forbidden)('%s %s %s', async (_row, method, target) => {
    const spellings = targetSpellings(target)
    expect(spellings.length).toBeGreaterThanOrEqual(20)
    for (const spelling of spellings) {
      // A line that Node's parser cannot read is refused with a body, even if it was to be a HEAD, which trips the client.
      const status = await ask(method, spelling).catch((error: unknown) => {
        if (method === 'HEAD') return 400
        throw error
      })
      expect({ spelling, isRefused: [400, 403, 404, 405].includes(status) }).toEqual({ spelling, isRefused: true })
    }
    expect(upstream.received()).toBe('')
  })

  test('A-03 a mount that may not be made is not made by another spelling of its source', async () => {
    const sources = ['from', 'FROM', 'From', '%66rom', 'fro%6d', 'from%20', '+from', 'from[]', 'from%00', '_from']
    const names = [
      'secret/app',
      'secret%2Fapp',
      'secret%2fapp',
      '%73ecret/app',
      'Secret/app',
      'secret//app',
      'pub/../secret/app',
    ]
    const queries = sources.flatMap((source) => names.map((name) => `mount=${digest}&${source}=${name}`))
    const doubled = names.map((name) => `mount=${digest}&from=pub/x&from=${name}`)
    for (const query of [...queries, ...doubled]) {
      upstream.reset()
      await ask('POST', `${uploads}?${query}`)
      expect({ query, lines: upstream.requestLines().filter((line) => line !== `POST ${uploads} HTTP/1.1`) }).toEqual({
        query,
        lines: [],
      })
    }
  })
})
