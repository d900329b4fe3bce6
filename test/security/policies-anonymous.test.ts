import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { headerOf } from '../support/raw-http-client.ts'
import type { RawAnswer } from '../support/raw-http-client.ts'
import { digest, host, mark, receivedSince } from './attack.ts'
import type { RawRequest } from './attack.ts'
import { requestOf, startPolicyFront } from './policies-front.ts'
import type { PolicyFront } from './policies-front.ts'

/** Whoever is nobody here may do everything to `open`, so that only the switch and the rules say no. */
const policy = `
rules:
  - { allow: reader, to: anonymous, on: pub/** }
  - { allow: owner, to: anonymous, on: open/** }
  - { deny: pull, to: anonymous, on: pub/private, message: log in to see it }
  - { allow: [pull, push], to: authenticated, on: 'team/**' }
`
/** What clients send that have no login. */
const nobody: readonly (readonly [string, readonly string[]])[] = [
  ['no Authorization', []],
  ['an empty one', ['Authorization:']],
  ['Basic Og==, as podman', ['Authorization: Basic Og==']],
]
/** What is a login, and a wrong one. */
const wrong: readonly (readonly [string, string])[] = [
  ['an unknown user', `Basic ${btoa('nobody:password')}`],
  ['a user without a password', `Basic ${btoa('alice:')}`],
  ['a password without a user', `Basic ${btoa(':password')}`],
  ['a wrong password', `Basic ${btoa('alice:wrong')}`],
  ['the name of a subject', `Basic ${btoa('anonymous:anonymous')}`],
  ['a token', 'Bearer e30.e30.'],
  ['a scheme without anything', 'Basic'],
  ['Basic Og== twice in one', 'Basic Og==, Basic Og=='],
  ['what is no Base64', 'Basic Og='],
]

const writes: readonly (readonly [string, string])[] = [
  ['PUT', '/v2/pub/app/manifests/v1'],
  ['POST', '/v2/pub/app/blobs/uploads/'],
  ['DELETE', '/v2/pub/app/manifests/v1'],
  ['DELETE', `/v2/pub/app/blobs/${digest}`],
]

describe.each([false, true])('anonymous.enabled: %s', (anonymousEnabled) => {
  let front: PolicyFront
  beforeAll(async () => {
    front = await startPolicyFront({ policy, anonymousEnabled })
  })
  afterAll(() => front.stop())

  async function askAs(lines: readonly string[], request: RawRequest): Promise<RawAnswer & { readonly got: string }> {
    const before = mark(front.upstream)
    const answer = await front.ask(undefined, { ...request, first: [`Host: ${host}`, ...lines] })
    return { ...answer, got: receivedSince(front.upstream, before).split('\r\n', 1)[0] ?? '' }
  }
  const expectChallenged = (answer: RawAnswer & { readonly got: string }): void => {
    expect(answer).toMatchObject({ status: 401, got: '' })
    expect(answer.headers.filter(([name]) => name === 'www-authenticate')).toHaveLength(1)
  }

  describe.each(nobody)('with %s', (_name, lines) => {
    test('/v2/ asks for a login all the same, so that every client sends the one it has', async () => {
      for (const method of ['GET', 'HEAD']) expectChallenged(await askAs(lines, { method, target: '/v2/' }))
    })

    test.each([
      '/v2/pub/app/manifests/v1',
      `/v2/pub/app/blobs/${digest}`,
      '/v2/pub/app/tags/list',
      `/v2/pub/app/referrers/${digest}`,
    ])('GET %s is as the rules say, where they are asked', async (target) => {
      const answer = await askAs(lines, { target })
      if (anonymousEnabled) expect(answer).toMatchObject({ status: 200, got: `GET ${target} HTTP/1.1` })
      else expectChallenged(answer)
    })

    test.each(writes)('%s %s asks for a login', async (method, target) => {
      expectChallenged(await askAs(lines, requestOf(method, target)))
    })

    test('what others may see asks for a login, and tells no message of a rule', async () => {
      for (const target of ['/v2/team/app/tags/list', '/v2/pub/private/tags/list', '/v2/nowhere/tags/list']) {
        const answer = await askAs(lines, { target })
        expectChallenged(answer)
        expect(answer.body).not.toContain('log in to see it')
      }
    })

    test('a push is as the rules say too', async () => {
      const answer = await askAs(lines, requestOf('PUT', '/v2/open/app/manifests/v1'))
      if (anonymousEnabled) expect(answer).toMatchObject({ status: 200, got: 'PUT /v2/open/app/manifests/v1 HTTP/1.1' })
      else expectChallenged(answer)
    })
  })

  test.each(wrong)('with %s nothing is let through as anonymous', async (_name, value) => {
    for (const target of ['/v2/', '/v2/pub/app/tags/list', '/v2/open/app/tags/list']) {
      expectChallenged(await askAs([`Authorization: ${value}`], { target }))
    }
  })

  test('with two of them it is no request', async () => {
    const answer = await askAs(['Authorization: Basic Og==', 'Authorization: Basic Og=='], {
      target: '/v2/pub/app/tags/list',
    })
    expect(answer).toMatchObject({ status: 400, got: '' })
  })

  test('A-40 a user has not what anonymous has', async () => {
    expect(await front.ask('mallory', { target: '/v2/pub/app/tags/list' })).toMatchObject({ status: 403 })
    expect(await front.ask('mallory', requestOf('PUT', '/v2/open/app/manifests/v1'))).toMatchObject({ status: 403 })
    expect(await front.ask('mallory', { target: '/v2/team/app/tags/list' })).toMatchObject({ status: 200 })
  })

  test('the audit says that it was nobody, and never that a login failed', async () => {
    const answer = await askAs(['Authorization: Basic Og=='], { target: '/v2/pub/app/tags/list' })
    const line = await front.gateway.auditLineOf(headerOf(answer, 'x-request-id') ?? '')
    expect(line).toMatchObject({
      user: null,
      anonymous: anonymousEnabled,
      decision: anonymousEnabled ? 'granted' : 'none',
      authentication: null,
      errorId: anonymousEnabled ? null : 'credentialsMissing',
    })
  })
})
