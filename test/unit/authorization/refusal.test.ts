import { describe, expect, test } from '@jest/globals'
import { evaluate } from '../../../src/authorization/evaluate.ts'
import type { Circumstances } from '../../../src/registry/grant.ts'
import type { Principal } from '../../../src/registry/principal.ts'
import { parseRegistryRequest } from '../../../src/registry/route.ts'
import { policyOf } from '../../support/policy-text.ts'

const circumstances: Circumstances = { address: '192.0.2.1', now: 0, ownHosts: new Set() }
const user = (name: string): Principal => ({ kind: 'user', name, groups: [], method: 'htpasswd' })

function decide(policy: string, line: string, name = 'alice') {
  const [method = '', target = ''] = line.split(' ')
  return evaluate(policyOf(policy), user(name), parseRegistryRequest(method, target), circumstances)
}

function sentence(policy: string, line: string, name?: string): string {
  const decision = decide(policy, line, name)
  return decision.kind === 'refused' ? decision.sentence() : 'granted'
}

describe('where one of two actions would have been enough', () => {
  const line = 'HEAD /v2/a/manifests/v1'
  const others = '{ allow: pull, to: user:bob, on: a, message: for bob }'
  const denied = '{ deny: push, to: user:alice, on: a, message: frozen }'
  test('a rule that denies one speaks before a rule that almost allows the other', () => {
    expect(sentence(`rules: [${others}, ${denied}]`, line)).toBe('alice may not pull from or push to a: frozen')
  })
  test('what is traced is the denial, not that nothing allows the other', () => {
    expect(decide(`rules: [${others}, ${denied}]`, line).trace.judgements).toMatchObject([
      { action: 'push', verdict: { kind: 'denied', rule: { index: 1 } } },
    ])
  })
  test('where neither is denied, the first is traced', () => {
    expect(decide(`rules: [${others}]`, line).trace.judgements).toMatchObject([
      { action: 'pull', verdict: { kind: 'unmatched' } },
    ])
  })
  test('a denial that says nothing leaves the word to what is said of the other', () => {
    const rules =
      'rules: [{ deny: pull, to: user:alice, on: a }, { allow: push, to: user:bob, on: a, message: bob pushes }]'
    expect(sentence(rules, line)).toBe('alice may not pull from or push to a: bob pushes')
  })
})

describe('the sentence of a protected tag', () => {
  const policy = `
rules:
  - { allow: maintainer, to: [user:alice, user:carol], on: prod/** }
  - { deny: overwrite, to: user:carol, on: prod/**, message: ask ci }
protectedTags:
  - { on: prod/**, tags: v* }
  - { on: prod/api, tags: latest, message: latest goes last }`
  test('has nothing of the protection of another tag', () => {
    expect(sentence(policy, 'DELETE /v2/prod/api/manifests/v1')).toBe(
      'alice may not move or delete the protected tag v1 of prod/api',
    )
  })
  test('that somebody would move is that of the rule that denies moving', () => {
    const decision = decide(policy, 'PUT /v2/prod/api/manifests/latest', 'carol')
    const preconditions = decision.kind === 'granted' ? decision.grant.preconditions : undefined
    expect(preconditions?.protectedTags.map((tag) => preconditions.refusal(tag))).toEqual([
      'carol may not move or delete the protected tag latest of prod/api: ask ci',
    ])
  })
})
