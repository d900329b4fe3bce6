import { describe, expect, test } from '@jest/globals'
import { evaluate } from '../../../src/authorization/evaluate.ts'
import type { Policy } from '../../../src/authorization/policy.ts'
import type { Circumstances } from '../../../src/registry/grant.ts'
import { anonymous } from '../../../src/registry/principal.ts'
import type { Principal } from '../../../src/registry/principal.ts'
import { parseRegistryRequest, printTarget } from '../../../src/registry/route.ts'
import { authenticatedUsersOnly, fixedPolicy } from '../../support/fixed-policy.ts'
import { policyOf } from '../../support/policy-text.ts'

const alice: Principal = { kind: 'user', name: 'alice', groups: [], method: 'htpasswd' }
const digest = `sha256:${'a'.repeat(64)}`
const circumstances: Circumstances = { address: '192.0.2.1', now: 0, ownHosts: new Set(['registry.example:8443']) }

/** Allows exactly the listed `action repository` pairs. */
function only(...pairs: string[]): Policy {
  return fixedPolicy('only', (_principal, { name, anyOf }) =>
    anyOf.some((action) => pairs.includes(`${action} ${name}`)),
  )
}

function decide(policy: Policy, method: string, target: string, principal = alice): string {
  const decision = evaluate(policy, principal, parseRegistryRequest(method, target), circumstances)
  return decision.kind === 'granted' ? printTarget(decision.grant.request) : 'refused'
}

describe('a policy for all users', () => {
  test.each(['GET /v2/', 'GET /v2/_catalog', `DELETE /v2/a/blobs/${digest}`, 'POST /v2/a/blobs/uploads/'])(
    'grants %s to a user and to nobody else',
    (line) => {
      const [method = '', target = ''] = line.split(' ')
      expect(decide(authenticatedUsersOnly, method, target)).toBe(target)
      expect(decide(authenticatedUsersOnly, method, target, anonymous)).toBe('refused')
    },
  )
})

describe('required access', () => {
  test.each([
    ['GET', '/v2/a/manifests/v1', 'pull a', true],
    ['GET', '/v2/a/manifests/v1', 'push a', false],
    ['HEAD', '/v2/a/manifests/v1', 'push a', true],
    ['HEAD', '/v2/a/manifests/v1', 'pull a', true],
    ['HEAD', '/v2/a/manifests/v1', 'delete a', false],
    ['PUT', '/v2/a/manifests/v1', 'push a', true],
    ['PUT', '/v2/a/manifests/v1', 'pull a', false],
    ['DELETE', '/v2/a/manifests/v1', 'delete a', true],
    ['DELETE', '/v2/a/manifests/v1', 'push a', false],
    ['HEAD', `/v2/a/blobs/${digest}`, 'push a', true],
    ['GET', `/v2/a/blobs/${digest}`, 'push a', false],
    ['DELETE', `/v2/a/blobs/${digest}`, 'delete a', true],
    ['GET', '/v2/a/tags/list', 'pull a', true],
    ['HEAD', '/v2/a/tags/list', 'push a', false],
    ['GET', `/v2/a/referrers/${digest}`, 'pull a', true],
    ['POST', '/v2/a/blobs/uploads/', 'push a', true],
    ['GET', '/v2/a/blobs/uploads/u', 'push a', true],
    ['GET', '/v2/a/blobs/uploads/u', 'pull a', false],
    ['DELETE', '/v2/a/blobs/uploads/u', 'push a', true],
    ['GET', '/v2/a/tags/list', 'pull b', false],
    ['GET', '/v2/', 'ping base', true],
    ['GET', '/v2/_catalog', 'list catalog', true],
  ])('%s %s with "%s" is granted: %s', (method, target, pair, granted) => {
    expect(decide(only(pair), method, target) !== 'refused').toBe(granted)
  })
})

describe('a mount', () => {
  const upload = '/v2/mine/blobs/uploads/'
  const query = `?mount=${encodeURIComponent(digest)}&from=secret%2Fapp`
  test('with pull on its source is passed on', () => {
    expect(decide(only('push mine', 'pull secret/app'), 'POST', upload + query)).toBe(upload + query)
  })
  test.each([
    ['without pull on its source', query, ['push mine']],
    ['with push alone on its source', query, ['push mine', 'push secret/app']],
    ['without a source', `?mount=${digest}`, ['push mine', 'pull mine']],
    ['from another host', `${query}&origin=other.example`, ['push mine', 'pull secret/app']],
  ])('%s becomes an ordinary upload', (_name, given, pairs) => {
    expect(decide(only(...pairs), 'POST', upload + given)).toBe(upload)
  })
  test('from this host by its name is passed on', () => {
    const given = `${query}&origin=Registry.example%3A8443`
    expect(decide(only('push mine', 'pull secret/app'), 'POST', upload + given)).toBe(upload + query)
  })
  test('without push on its target is refused', () => {
    expect(decide(only('pull secret/app'), 'POST', upload + query)).toBe('refused')
  })
})

describe('a decision', () => {
  const policy = `rules:
  - { allow: push, to: user:alice, on: mine }
  - { allow: pull, to: user:alice, on: shared, message: shared with alice }
  - { deny: overwrite, to: user:bob, on: mine }
  - { allow: maintainer, to: user:bob, on: mine }
protectedTags: [{ on: mine, tags: v*, message: versions stay }]`
  const bob: Principal = { kind: 'user', name: 'bob', groups: [], method: 'htpasswd' }
  const decided = (line: string, principal: Principal = alice) => {
    const [method = '', target = ''] = line.split(' ')
    return evaluate(policyOf(policy), principal, parseRegistryRequest(method, target), circumstances)
  }
  const grantOf = (line: string) => {
    const decision = decided(line)
    if (decision.kind === 'refused') throw new Error(decision.sentence())
    return decision.grant
  }
  const mount = (from: string): string =>
    `POST /v2/mine/blobs/uploads/?mount=${encodeURIComponent(digest)}&from=${from}`

  test('grants to whom it was asked for', () => {
    expect(grantOf('POST /v2/mine/blobs/uploads/').principal).toBe(alice)
  })
  test.each([
    [mount('shared'), false],
    [mount('secret'), true],
    ['POST /v2/mine/blobs/uploads/', false],
  ])('%s takes a mount away: %s', (line, expected) => {
    expect(grantOf(line).mountRemoved).toBe(expected)
  })
  test('traces the source of a mount, and nothing where none is mounted', () => {
    const { trace } = decided(mount('shared'))
    expect(trace.mount).toEqual({
      access: { type: 'repository', name: 'shared', anyOf: ['pull'] },
      action: 'pull',
      verdict: { kind: 'allowed', rule: { file: 'p.yaml', line: 3, index: 1 } },
    })
    expect(decided(mount('secret')).trace.mount?.verdict).toEqual({ kind: 'unmatched' })
    expect(decided('POST /v2/mine/blobs/uploads/').trace.mount).toBe(undefined)
    expect(decided(`${mount('shared')}&origin=other.example`).trace.mount).toBe(undefined)
  })
  test('traces what was needed and what was found', () => {
    const push = { type: 'repository', name: 'mine', anyOf: ['push'] }
    expect(decided('POST /v2/mine/blobs/uploads/').trace).toEqual({
      policy: 'p',
      policyGeneration: 1,
      required: [push],
      judgements: [
        { access: push, action: 'push', verdict: { kind: 'allowed', rule: { file: 'p.yaml', line: 2, index: 0 } } },
      ],
      missing: undefined,
      mount: undefined,
    })
  })
  test.each<[string, Principal, string, string]>([
    ['GET /v2/', alice, 'base', 'login-suffices'],
    ['GET /v2/', anonymous, 'base', 'login-missing'],
    ['GET /v2/_catalog', alice, 'catalog', 'filtered'],
    ['GET /v2/_catalog', anonymous, 'catalog', 'unmatched'],
  ])('%s by %j is found of the %s: %s', (line, principal, name, kind) => {
    expect(decided(line, principal).trace.judgements).toMatchObject([{ access: { name }, verdict: { kind } }])
  })
  test.each<[string, Principal, string]>([
    ['GET /v2/', anonymous, 'anonymous may not log in'],
    ['GET /v2/_catalog', anonymous, 'anonymous may not list anything'],
    ['GET /v2/shared/tags/list', anonymous, 'anonymous may not pull from shared: shared with alice'],
    // Where a rule denies it and says nothing, the protection does not speak in its place.
    ['DELETE /v2/mine/manifests/v1', bob, 'bob may not move or delete the protected tag v1 of mine'],
  ])('%s by %j is refused: %s', (line, principal, expected) => {
    const decision = decided(line, principal)
    expect(decision.kind === 'refused' && decision.sentence()).toBe(expected)
  })
  test('tells the protected tags that are created only from those that may be moved', () => {
    const owned = policyOf(`rules:
  - { allow: owner, to: user:alice, on: mine }
protectedTags: [{ on: mine, tags: v* }]`)
    const tagsOf = (target: string, by: Policy) => {
      const decision = evaluate(by, alice, parseRegistryRequest('PUT', target), circumstances)
      if (decision.kind !== 'granted') throw new Error('refused')
      const { protectedTags, lockedTags } = decision.grant.preconditions
      return { protectedTags, lockedTags }
    }
    expect(tagsOf('/v2/mine/manifests/v1', policyOf(policy))).toEqual({ protectedTags: ['v1'], lockedTags: [] })
    expect(tagsOf('/v2/mine/manifests/v1', owned)).toEqual({ protectedTags: [], lockedTags: ['v1'] })
    expect(tagsOf('/v2/mine/manifests/main', owned)).toEqual({ protectedTags: [], lockedTags: [] })
    const several = `/v2/mine/manifests/sha256:${'a'.repeat(64)}?tag=v1&tag=main&tag=v2`
    expect(tagsOf(several, owned)).toEqual({ protectedTags: [], lockedTags: ['v1', 'v2'] })
  })

  test('has nothing to say of tags where none is set', () => {
    const { protectedTags, refusal } = grantOf('POST /v2/mine/blobs/uploads/').preconditions
    expect(protectedTags).toEqual([])
    const pushed = grantOf('PUT /v2/mine/manifests/v1').preconditions
    expect(pushed.protectedTags.map((tag) => [refusal(tag), pushed.refusal(tag)])).toEqual([
      ['', 'alice may not move or delete the protected tag v1 of mine: versions stay'],
    ])
  })
})

describe('a decision where tags are protected', () => {
  const policy = `rules:
  - { allow: owner, to: user:alice, on: mine }
protectedTags: [{ on: mine, tags: v* }]`
  const decided = (method: string, target: string) =>
    evaluate(policyOf(policy), alice, parseRegistryRequest(method, target), circumstances)
  test('traces what deleting needed besides', () => {
    const tags = { kind: 'named', tags: ['v1'] }
    expect(decided('DELETE', '/v2/mine/manifests/v1').trace.required).toEqual([
      { type: 'repository', name: 'mine', anyOf: ['delete'], tags },
      { type: 'repository', name: 'mine', anyOf: ['overwrite'], tags },
    ])
  })
  test('says nothing of tags to the end of an upload', () => {
    const decision = decided('PUT', `/v2/mine/blobs/uploads/u?digest=${encodeURIComponent(digest)}`)
    expect(decision.kind === 'granted' && decision.grant.preconditions).toMatchObject({
      protectedTags: [],
      lockedTags: [],
    })
  })
})
