import { describe, expect, test } from '@jest/globals'
import { evaluate } from '../../../src/authorization/evaluate.ts'
import type { Policy } from '../../../src/authorization/policy.ts'
import type { Circumstances } from '../../../src/registry/grant.ts'
import { anonymous } from '../../../src/registry/principal.ts'
import type { Principal } from '../../../src/registry/principal.ts'
import { parseRegistryRequest, printTarget } from '../../../src/registry/route.ts'
import { authenticatedUsersOnly, fixedPolicy } from '../../support/fixed-policy.ts'

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
