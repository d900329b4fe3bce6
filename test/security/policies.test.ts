import { createHash } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { describeWith } from '../support/real-parts.ts'
import { headerOf } from '../support/raw-http-client.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import { digest, mark, receivedSince } from './attack.ts'
import { requestOf, startPolicyFront, startPolicyGateway } from './policies-front.ts'
import type { PolicyFront, PolicyGateway } from './policies-front.ts'

const upload = '/v2/secret/app/blobs/uploads/4a2c6a7e-55f1-4b0c-9e0f-0a4b9d1c2e3f'
const hex = digest.slice('sha256:'.length)

/** On `secret/app` each has one action; mallory has every action everywhere else. */
const oneActionEach = `
rules:
  - { allow: pull, to: user:bob, on: secret/app }
  - { allow: push, to: user:ci, on: secret/app }
  - { allow: delete, to: user:alice, on: secret/app }
  - { allow: [list, overwrite], to: user:dora, on: secret/app }
  - { allow: owner, to: user:mallory, on: [pub/**, secret, secret/app/**, secret/app-*, 'mallory/**'] }
`
const askers = ['bob', 'ci', 'alice', 'dora', 'mallory'] as const
const actionOf = { bob: 'pull', ci: 'push', alice: 'delete', dora: 'list or overwrite', mallory: 'nothing' } as const

type Row = readonly [method: string, target: string, permitted: readonly (typeof askers)[number][], row?: string]

const rows: readonly Row[] = [
  ['GET', '/v2/secret/app/manifests/v1', ['bob']],
  ['GET', `/v2/secret/app/manifests/${digest}`, ['bob']],
  ['GET', `/v2/secret/app/manifests/sha256-${hex}`, ['bob'], 'A-27'],
  ['HEAD', `/v2/secret/app/manifests/sha256-${hex}`, ['bob', 'ci'], 'A-27'],
  ['HEAD', '/v2/secret/app/manifests/v1', ['bob', 'ci']],
  ['HEAD', `/v2/secret/app/manifests/${digest}`, ['bob', 'ci']],
  ['GET', `/v2/secret/app/blobs/${digest}`, ['bob']],
  ['HEAD', `/v2/secret/app/blobs/${digest}`, ['bob', 'ci']],
  ['GET', '/v2/secret/app/tags/list', ['bob']],
  ['HEAD', '/v2/secret/app/tags/list', ['bob']],
  ['GET', `/v2/secret/app/referrers/${digest}`, ['bob'], 'A-26'],
  ['GET', `/v2/secret/app/referrers/${digest}?artifactType=a/b`, ['bob'], 'A-26'],
  ['PUT', '/v2/secret/app/manifests/v1', ['ci']],
  ['PUT', `/v2/secret/app/manifests/${digest}`, ['ci']],
  ['PUT', `/v2/secret/app/manifests/${digest}?tag=v1&tag=v2`, ['ci']],
  ['POST', '/v2/secret/app/blobs/uploads/', ['ci']],
  ['POST', `/v2/secret/app/blobs/uploads/?digest=${digest}`, ['ci']],
  ['POST', `/v2/secret/app/blobs/uploads/?mount=${digest}&from=pub/x`, ['ci']],
  ['GET', `${upload}?_state=x`, ['ci'], 'A-30'],
  ['PATCH', `${upload}?_state=x`, ['ci'], 'A-30'],
  ['PUT', `${upload}?_state=x&digest=${digest}`, ['ci'], 'A-30'],
  ['DELETE', `${upload}?_state=x`, ['ci'], 'A-41'],
  ['DELETE', '/v2/secret/app/manifests/v1', ['alice'], 'A-41'],
  ['DELETE', `/v2/secret/app/manifests/${digest}`, ['alice'], 'A-41'],
  ['DELETE', `/v2/secret/app/blobs/${digest}`, ['alice'], 'A-41'],
]

describe('a repository in which each may do one thing', () => {
  let front: PolicyFront
  beforeAll(async () => {
    front = await startPolicyFront({ policy: oneActionEach, users: [...askers, 'nobody'] })
  })
  afterAll(() => front.stop())

  test.each(rows)('%s %s is for %j alone, and the registry hears of nobody else', async (method, target, permitted) => {
    for (const who of [...askers, undefined]) {
      const before = mark(front.upstream)
      const answer = await front.ask(who, requestOf(method, target))
      const got = receivedSince(front.upstream, before)
      const isPermitted = who !== undefined && permitted.includes(who)
      const refused = who === undefined ? 401 : 403
      expect({ who, status: answer.status, upstreamGot: got.split('\r\n', 1)[0] }).toEqual({
        who,
        status: isPermitted ? 200 : refused,
        upstreamGot: isPermitted ? expect.stringContaining(`${method} ${target.split('?', 1)[0] ?? ''}`) : '',
      })
      if (who === undefined) expect(headerOf(answer, 'www-authenticate')).toMatch(/^Basic realm="[^"]+", charset/)
    }
  })

  test('every action is somebody’s, so that no row above is refused to all', () => {
    expect(new Set(rows.flatMap(([, , permitted]) => permitted.map((who) => actionOf[who])))).toEqual(
      new Set(['pull', 'push', 'delete']),
    )
  })

  test('GET /v2/ needs a login and nothing else', async () => {
    for (const who of [...askers, 'nobody']) {
      expect(await front.ask(who, { target: '/v2/' })).toMatchObject({ status: 200 })
    }
    expect(await front.ask(undefined, { target: '/v2/' })).toMatchObject({ status: 401 })
  })

  test('A-40 a user whom no rule names has nothing', async () => {
    const before = mark(front.upstream)
    for (const [method, target] of rows) {
      expect(await front.ask('nobody', requestOf(method, target))).toMatchObject({ status: 403 })
    }
    expect(await front.ask('nobody', { target: '/v2/_catalog' })).toMatchObject({ status: 403 })
    expect(receivedSince(front.upstream, before)).toBe('')
  })

  test.each(['secret/app/x', 'secret/app-2', 'secret', 'pub/secret/app'])(
    'A-36 %s is another repository, to those who have the one and to those who have not',
    async (repository) => {
      expect(await front.ask('mallory', { target: `/v2/${repository}/tags/list` })).toMatchObject({ status: 200 })
      expect(await front.ask('bob', { target: `/v2/${repository}/tags/list` })).toMatchObject({ status: 403 })
    },
  )
})

describe('a namespace by the name of its user', () => {
  /** Names that htpasswd takes; the last are fit for a part of a repository. */
  const users = [
    '..',
    '.',
    '*',
    '**',
    'a/b',
    'a/**',
    '[a-z]',
    '${user}',
    '{a,b}',
    'team,admins',
    'Alice',
    'a b',
    'bob-1',
  ]
  let front: PolicyFront
  beforeAll(async () => {
    const policy = `
rules:
  - { allow: owner, to: authenticated, on: ['\${user}/**', '\${user}', 'x-\${user}/app'] }
`
    front = await startPolicyFront({ policy, users: [...users, 'bob'] })
  })
  afterAll(() => front.stop())

  const repositories = [
    'a/b',
    'a/b/c',
    'alice/app',
    'bob/app',
    'team/app',
    'admins/app',
    'user/app',
    'x/app',
    'x-a/app',
    'a',
    'b',
  ]

  test.each(users.slice(0, -1))('A-37 %j gets no repository by it', async (user) => {
    const before = mark(front.upstream)
    for (const repository of repositories) {
      const { status } = await front.ask(user, { target: `/v2/${repository}/tags/list` })
      expect({ repository, status }).toEqual({ repository, status: 403 })
    }
    for (const target of [
      '/v2/../app/tags/list',
      '/v2/*/app/tags/list',
      '/v2/${user}/app/tags/list',
      '/v2/Alice/app/tags/list',
    ]) {
      expect([400, 403, 404]).toContain((await front.ask(user, { target })).status)
    }
    expect(receivedSince(front.upstream, before)).toBe('')
  })

  test.each([
    ['bob', ['bob', 'bob/app', 'bob/a/b', 'x-bob/app'], ['bob-1/app', 'bobby/app', 'x-bob-1/app', 'b/app']],
    ['bob-1', ['bob-1', 'bob-1/app', 'x-bob-1/app'], ['bob/app', 'bob', 'x-bob/app']],
  ])('%s has their own and no other’s', async (user, own, others) => {
    for (const repository of own) {
      expect(await front.ask(user, { target: `/v2/${repository}/tags/list` })).toMatchObject({ status: 200 })
    }
    for (const repository of others) {
      expect(await front.ask(user, { target: `/v2/${repository}/tags/list` })).toMatchObject({ status: 403 })
    }
  })
})

describe('A-39 A-40 rules that contradict each other, or say nothing', () => {
  const overlapping = `
rules:
  - { allow: owner, to: authenticated, on: '**' }
  - { deny: [push, delete], to: authenticated, except: user:ci, on: prod/** }
  - { allow: push, to: user:alice, on: prod/api }
  - { allow: pull, to: group:nobody-defines-me, on: '**' }
`
  test.each([
    ['as written', overlapping],
    ['in the other order', `rules:\n${overlapping.trim().split('\n').slice(1).reverse().join('\n')}\n`],
  ])('deny beats allow, %s', async (_name, policy) => {
    const front = await startPolicyFront({ policy })
    const statuses = await Promise.all(
      (['alice', 'ci'] as const).map(async (who) => {
        const { status } = await front.ask(who, requestOf('PUT', '/v2/prod/api/manifests/v1'))
        return status
      }),
    )
    await front.stop()
    expect(statuses).toEqual([403, 200])
  })

  test.each([
    ['that is empty', ''],
    ['of comments', '# nothing yet\n'],
    ['without a rule', 'groups: { a: [alice] }\n'],
    ['with an empty list', 'rules: []\n'],
  ])('a policy %s does not start', async (_name, policy) => {
    await expect(startPolicyGateway({ upstreamUrl: 'http://127.0.0.1:1', policy })).rejects.toThrow(/policy/)
  })

  test.each(['[', '(a', 'a[b', 'a/{b,c}', 'a//b', '**a', 'a/', '/a', 'A/b', '.', '..', 'a/../b', '${nobody}/a', ''])(
    'A-38 a deny rule on %j does not start',
    async (pattern) => {
      const policy = `rules:\n  - { allow: owner, to: authenticated, on: '**' }\n  - { deny: push, to: authenticated, on: '${pattern}' }\n`
      await expect(startPolicyGateway({ upstreamUrl: 'http://127.0.0.1:1', policy })).rejects.toThrow(
        /default\.yaml:3:\d+ rules\[1\]\.on/,
      )
    },
  )
})

describeWith(['docker-registry'], 'a mount whose source is not for everybody', () => {
  const content = 'a layer of the secret app'
  const layer = `sha256:${createHash('sha256').update(content).digest('hex')}`
  const policy = `
rules:
  - { allow: [pull, push], to: user:ci, on: ['secret/**', 'denied/**', 'mine/**'] }
  - { allow: [pull, push], to: [user:mallory, user:bob], on: mine/** }
  - { allow: push, to: user:bob, on: secret/** }
  - { allow: pull, to: user:mallory, on: denied/** }
  - { deny: pull, to: user:mallory, on: denied/app }
`
  let registry: RealRegistry
  let site: PolicyGateway
  let seen = 0
  beforeAll(async () => {
    registry = await startRealRegistry()
    site = await startPolicyGateway({ upstreamUrl: registry.url, policy })
    for (const repository of ['secret/app', 'denied/app']) {
      const opened = await site.ask('ci', requestOf('POST', `/v2/${repository}/blobs/uploads/`))
      const target = `${headerOf(opened, 'location') ?? ''}&digest=${layer}`
      const lines = [`Content-Length: ${content.length}`]
      expect(await site.ask('ci', { method: 'PUT', target, lines, body: content })).toMatchObject({ status: 201 })
    }
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

  test.each([
    ['mallory', 'secret/app', 'has no right to'],
    ['mallory', 'denied/app', 'is denied by name'],
    ['bob', 'secret/app', 'may push to and not pull'],
    ['mallory', 'missing/app', 'asks for though it is not there'],
  ])('A-03 %s gets an ordinary upload instead of a layer of %s, which they %s', async (who, from) => {
    const target = `/v2/mine/app/blobs/uploads/?mount=${layer}&from=${from}`
    const answer = await site.ask(who, requestOf('POST', target))
    expect(answer.status).toBe(202)
    expect(headerOf(answer, 'location')).toMatch(/^\/v2\/mine\/app\/blobs\/uploads\/[0-9a-f-]+\?_state=/)
    expect(asked()).toEqual(['POST /v2/mine/app/blobs/uploads/'])
    expect(await site.ask(who, { target: `/v2/mine/app/blobs/${layer}` })).toMatchObject({ status: 404 })
    const line = await site.gateway.auditLineOf(headerOf(answer, 'x-request-id') ?? '')
    expect(line).toMatchObject({ decision: 'granted', mountRemoved: true, mountFrom: from })
  })

  test('a mount into what one may not push to is refused, whatever the source', async () => {
    const target = `/v2/denied/app/blobs/uploads/?mount=${layer}&from=mine/app`
    expect(await site.ask('mallory', requestOf('POST', target))).toMatchObject({ status: 403 })
    expect(asked()).toEqual([])
  })

  // With the right to: last, since afterwards the layer is readable there.
  test('is made for whoever may pull the source', async () => {
    const target = `/v2/mine/app/blobs/uploads/?mount=${layer}&from=secret/app`
    const answer = await site.ask('ci', requestOf('POST', target))
    expect({ status: answer.status, location: headerOf(answer, 'location') }).toEqual({
      status: 201,
      location: `/v2/mine/app/blobs/${layer}`,
    })
  })
})
