import { describe, expect, test } from '@jest/globals'
import { loadPolicy } from '../../src/authorization/load-policy.ts'
import type { Policy } from '../../src/authorization/policy.ts'
import { createAuthorize } from '../../src/authorize.ts'
import { RegistryError } from '../../src/registry/error.ts'
import type { Principal } from '../../src/registry/principal.ts'
import { parseRegistryRequest } from '../../src/registry/route.ts'
import type { ExchangeDecision } from '../../src/telemetry/exchange-record.ts'

const alice: Principal = { kind: 'user', name: 'alice', groups: [], method: 'htpasswd' }
const digest = `sha256:${'a'.repeat(64)}`

function policyOf(text: string): Policy {
  const loading = loadPolicy([{ file: 'p.yaml', text }], { name: 'p', generation: 7 })
  if (loading.kind === 'faults') throw new Error(JSON.stringify(loading.faults))
  return loading.policy
}

const live = policyOf(`
rules:
  - { allow: [pull, push], to: authenticated, on: "a/**" }
  - { allow: overwrite, to: authenticated, on: a/own }
protectedTags: [{ on: "a/**", tags: v* }]
`)

/** What is told of a request, and the error that it ended with. */
function decide(principal: Principal, method: string, target: string, shadow?: Policy) {
  const told: ExchangeDecision[] = []
  const stage = createAuthorize({ current: () => live, shadow: () => shadow }, 'Basic realm="r"')
  const request = parseRegistryRequest(method, target)
  const circumstances = { address: '192.0.2.1', now: 0, ownHosts: new Set<string>() }
  let error: unknown
  try {
    stage.authorize(principal, request, circumstances, (decision) => told.push(decision))
  } catch (thrown) {
    error = thrown
  }
  return { told, error: error instanceof RegistryError ? error : undefined }
}

describe('what is told of a decision', () => {
  test.each([
    ['a push of a protected tag', 'PUT', '/v2/a/b/manifests/v1', ['v1']],
    ['a push by digest', 'PUT', `/v2/a/b/manifests/${digest}?tag=v1&tag=edge&tag=v2`, ['v1', 'v2']],
    ['a push of another tag', 'PUT', '/v2/a/b/manifests/edge', []],
    ['a push by who may move it', 'PUT', '/v2/a/own/manifests/v1', []],
    ['a pull of it', 'GET', '/v2/a/b/manifests/v1', []],
  ])('names the tags that may not be moved: %s', (_what, method, target, protectedTags) => {
    expect(decide(alice, method, target)).toMatchObject({
      told: [{ kind: 'granted', policy: 'p', policyGeneration: 7, rule: 'p.yaml:3', protectedTags }],
      error: undefined,
    })
  })

  test('stands before the refusal, without tags and without a rule', () => {
    const { told, error } = decide(alice, 'PUT', '/v2/b/manifests/v1')
    expect(told).toMatchObject([{ kind: 'refused', rule: undefined, mountRemoved: false, protectedTags: [] }])
    expect([error?.id, error?.message]).toEqual(['accessDenied', 'alice may not push to b'])
  })

  test('is followed by a challenge where nobody has logged in', () => {
    const { told, error } = decide({ kind: 'anonymous' }, 'GET', '/v2/a/b/tags/list')
    expect([told[0]?.kind, error?.id]).toEqual(['refused', 'credentialsMissing'])
  })

  test('tells what the shadow policy says, which changes nothing', () => {
    const shadow = policyOf('rules: [{ allow: pull, to: user:bob, on: a/b }]')
    const { told, error } = decide(alice, 'GET', '/v2/a/b/tags/list', shadow)
    expect([told[0]?.kind, told[0]?.shadowDecision, error]).toEqual(['granted', 'refused', undefined])
  })
})
