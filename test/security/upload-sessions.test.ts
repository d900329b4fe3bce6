import { createHash } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { fixedPolicy } from '../support/fixed-policy.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import { startAssembledGateway } from './assembled-gateway.ts'
import type { AssembledAnswer, AssembledGateway } from './assembled-gateway.ts'

type Rights = Readonly<Record<string, readonly string[]>>

/** What each may do, by repository. */
const rights: Readonly<Record<string, Rights>> = {
  alice: { 'secret/app': ['pull', 'push'] },
  ci: { 'secret/app': ['pull', 'push'] },
  bob: { 'secret/app': ['pull'] },
  mallory: { 'pub/x': ['pull', 'push'] },
}

const policy = fixedPolicy('by-user', (principal, access) => {
  if (principal.kind !== 'user') return false
  const permitted = rights[principal.name]?.[access.name] ?? []
  return access.anyOf.some((action) => permitted.includes(action))
})

const content = 'a layer of the secret app'
const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`
const half = content.length / 2 - 0.5

describeWith(['docker-registry'], 'A-30 an upload belongs to its repository, and to those who may push there', () => {
  let registry: RealRegistry
  let gateway: AssembledGateway
  let location: string

  beforeAll(async () => {
    registry = await startRealRegistry()
    gateway = await startAssembledGateway(registry.url, {
      authentication: {
        // Who is asking stands in the header itself: not the subject here.
        authenticate: ({ headers }) =>
          Promise.resolve({ kind: 'user', name: headers.authorization ?? '', groups: [], method: 'htpasswd' }),
      },
      policy,
    })
  })
  afterAll(async () => {
    await gateway.stop()
    await registry.stop()
  })
  /** Alice begins an upload and sends the first half of it. */
  beforeEach(async () => {
    const opened = await as('alice', 'POST', '/v2/secret/app/blobs/uploads/')
    expect(opened.status).toBe(202)
    const sent = await as('alice', 'PATCH', opened.headers.location ?? '', content.slice(0, half))
    expect(sent.status).toBe(202)
    location = sent.headers.location ?? ''
  })

  function as(user: string, method: string, target: string, body = ''): Promise<AssembledAnswer> {
    return gateway.ask(method, target, { headers: { authorization: user }, body })
  }
  /** How many requests the registry was asked while something was done. */
  async function askedDuring(work: () => Promise<void>): Promise<readonly string[]> {
    const before = registry.requests().length
    await work()
    return registry
      .requests()
      .slice(before)
      .map(({ method, target }) => `${method} ${target}`)
  }
  async function expectToGoOn(): Promise<void> {
    const status = await as('alice', 'GET', location)
    expect({ status: status.status, range: status.headers.range }).toEqual({
      status: 204,
      range: `0-${String(half - 1)}`,
    })
    const put = await as('alice', 'PUT', `${location}&digest=${digest}`, content.slice(half))
    expect(put.status).toBe(201)
    expect(await as('alice', 'GET', `/v2/secret/app/blobs/${digest}`)).toMatchObject({ status: 200, body: content })
  }

  const attempts = ['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE'] as const
  const targetOf = (method: string, at: string): string => (method === 'PUT' ? `${at}&digest=${digest}` : at)

  test('whoever may not push there is refused, and the registry is not asked', async () => {
    const asked = await askedDuring(async () => {
      for (const user of ['mallory', 'bob', 'nobody']) {
        for (const method of attempts) {
          const { status } = await as(user, method, targetOf(method, location), method === 'PATCH' ? 'stolen' : '')
          expect({ user, method, status }).toEqual({ user, method, status: 403 })
        }
      }
    })
    expect(asked).toEqual([])
    await expectToGoOn()
  })

  test('under a repository where they may push it is unknown', async () => {
    const elsewhere = location.replace('/secret/app/', '/pub/x/')
    expect(elsewhere).not.toBe(location)
    for (const method of attempts) {
      const { status, body } = await as(
        'mallory',
        method,
        targetOf(method, elsewhere),
        method === 'PATCH' ? 'stolen' : '',
      )
      expect({ method, status }).toEqual({ method, status: 404 })
      if (method !== 'HEAD') expect(body).toMatch(/"BLOB_UPLOAD_(?:UNKNOWN|INVALID)"/)
    }
    await expectToGoOn()
  })

  test('without the state of its Location, or with that of another, it is unknown to everybody', async () => {
    const path = location.split('?', 1)[0] ?? ''
    const other = await as('mallory', 'POST', '/v2/pub/x/blobs/uploads/')
    const state = new URL(other.headers.location ?? '', 'http://upstream').search
    for (const target of [`${path}?_state=`, `${path}${state}`, path]) {
      for (const method of ['GET', 'DELETE']) {
        expect(await as('ci', method, target)).toMatchObject({ status: 404 })
      }
    }
    await expectToGoOn()
  })

  test('a second user who may push there can go on with it, as retries by another robot do', async () => {
    expect(await as('ci', 'GET', location)).toMatchObject({ status: 204 })
    await expectToGoOn()
  })

  // No setting binds an upload to its user: the right to push is the right to end what others push there.
  test('a second user who may push there can end it, and nobody finds it again', async () => {
    expect(await as('ci', 'DELETE', location)).toMatchObject({ status: 204 })
    expect(await as('alice', 'GET', location)).toMatchObject({ status: 404 })
  })
})
