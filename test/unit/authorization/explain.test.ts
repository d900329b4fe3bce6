import { describe, expect, test } from '@jest/globals'
import { explain } from '../../../src/authorization/explain.ts'
import type { Wanted } from '../../../src/authorization/explain.ts'
import type { Action } from '../../../src/registry/access.ts'
import type { Circumstances } from '../../../src/registry/grant.ts'
import { parseRepositoryName, parseTag } from '../../../src/registry/name.ts'
import { anonymous } from '../../../src/registry/principal.ts'
import type { Principal } from '../../../src/registry/principal.ts'
import { policyOf } from '../../support/policy-text.ts'

const circumstances: Circumstances = { address: '192.0.2.1', now: 0, ownHosts: new Set() }
const user = (name: string, ...groups: string[]): Principal => ({ kind: 'user', name, groups, method: 'htpasswd' })

function wanted(action: Action, reference: string): Wanted {
  const [name = '', label] = reference.split(':')
  const repository = parseRepositoryName(name)
  if (repository === undefined) throw new Error(`${name} is no repository`)
  return { action, repository, tag: label === undefined ? undefined : parseTag(label) }
}

const policy = `rules:
  - { allow: writer, to: group:developers, on: team/**, message: ask the platform team }
  - { allow: maintainer, to: user:ci, on: prod/** }
  - { allow: pull, to: authenticated, on: prod/**, when: { addresses: [10.0.0.0/8], tags: [v*] } }
  - { deny: push, to: authenticated, except: user:ci, on: prod/**, message: releases go through ci }
  - { allow: overwrite, to: user:ci, on: prod/web }
protectedTags:
  - { on: prod/**, tags: v*, message: versions never change }`

const told = (principal: Principal, action: Action, reference: string) =>
  explain(policyOf(policy), principal, wanted(action, reference), circumstances)

describe('what is allowed', () => {
  test('names the rule', () => {
    expect(told(user('alice', 'developers'), 'push', 'team/a:v1')).toEqual({
      kind: 'allowed',
      judgements: [
        {
          access: { type: 'repository', name: 'team/a', anyOf: ['push'], tags: { kind: 'named', tags: ['v1'] } },
          action: 'push',
          verdict: { kind: 'allowed', rule: { file: 'p.yaml', line: 2, index: 0 } },
        },
      ],
      mayMoveTag: undefined,
      sentence: undefined,
      nearest: [],
    })
  })
  test.each([
    ['push', 'prod/api:v1', false],
    ['push', 'prod/web:v1', true],
    ['push', 'prod/web:latest', undefined],
    ['push', 'prod/api', undefined],
    ['pull', 'prod/api:v1', undefined],
  ] as const)('tells whether %s %s may move the tag: %s', (action, reference, expected) => {
    const explanation = told(user('ci'), action, reference)
    expect({ kind: explanation.kind, mayMoveTag: explanation.mayMoveTag }).toEqual({
      kind: 'allowed',
      mayMoveTag: expected,
    })
  })
})

describe('deleting', () => {
  test.each([
    ['prod/api:test', ['delete'], 'allowed', undefined],
    [
      'prod/api:v1',
      ['delete', 'overwrite'],
      'refused',
      'ci may not move or delete the protected tag v1 of prod/api: versions never change',
    ],
    [
      'prod/api',
      ['delete', 'overwrite'],
      'refused',
      'ci may not delete by digest from prod/api, which has protected tags: versions never change',
    ],
    ['prod/web:v1', ['delete', 'overwrite'], 'allowed', undefined],
    ['prod/web', ['delete', 'overwrite'], 'allowed', undefined],
    ['team/a', ['delete'], 'refused', 'ci may not delete from team/a: ask the platform team'],
  ] as const)('%s needs %j and is %s', (reference, actions, kind, sentence) => {
    const explanation = told(user('ci'), 'delete', reference)
    expect(explanation.judgements.map(({ action }) => action)).toEqual(actions)
    expect({ kind: explanation.kind, sentence: explanation.sentence }).toEqual({ kind, sentence })
  })
})

describe('what is refused', () => {
  test('by a rule that denies is that rule’s doing, and no other is near', () => {
    const { kind, judgements, sentence, nearest } = told(user('alice'), 'push', 'prod/api:v1')
    expect({ kind, sentence, nearest, verdict: judgements[0]?.verdict }).toEqual({
      kind: 'refused',
      sentence: 'alice may not push to prod/api: releases go through ci',
      nearest: [],
      verdict: { kind: 'denied', rule: { file: 'p.yaml', line: 5, index: 3 }, message: 'releases go through ci' },
    })
  })
  test('for want of a rule names the nearest and what each lacks', () => {
    const { sentence, nearest } = told(user('alice'), 'pull', 'team/a')
    expect(sentence).toBe('alice may not pull from team/a: ask the platform team')
    expect(nearest.map(({ rule, missing }) => [rule.index, missing.map(({ kind }) => kind)])).toEqual([
      [0, ['subject']],
      [2, ['repository', 'condition']],
      [1, ['subject', 'repository']],
      [4, ['subject', 'repository', 'action']],
    ])
    expect(nearest[0]).toEqual({
      rule: { file: 'p.yaml', line: 2, index: 0 },
      missing: [{ kind: 'subject', sentence: 'is for group:developers, not for alice' }],
      message: 'ask the platform team',
    })
  })
  test('by conditions names each that does not hold', () => {
    const [nearest] = told(user('alice'), 'pull', 'prod/api:latest').nearest
    expect(nearest?.missing.map(({ sentence }) => sentence)).toEqual([
      'does not meet by its condition tags: the tag matches none of the patterns, or it is not known which tags it would touch',
      'does not meet by its condition addresses: the client’s address lies in none of the ranges',
    ])
  })
  test('for want of an action or a repository says which there are', () => {
    const dev = user('alice', 'developers')
    expect(told(dev, 'delete', 'team/a:v1').nearest[0]?.missing).toEqual([
      { kind: 'action', sentence: 'allows pull, push, list, not delete' },
    ])
    expect(told(dev, 'pull', 'other').nearest[0]?.missing).toEqual([
      { kind: 'repository', sentence: 'is about team/**, not about other' },
    ])
  })
  test('lists few rules, and long lists short', () => {
    const names = Array.from({ length: 8 }, (_, index) => `user:u${String(index)}`).join(', ')
    const many = policyOf(`rules:\n${`- { allow: list, to: [${names}], on: a }\n`.repeat(7)}`)
    const { nearest } = explain(many, anonymous, wanted('list', 'a'), circumstances)
    expect(nearest.map(({ rule }) => rule.index)).toEqual([0, 1, 2, 3, 4])
    expect(nearest[0]?.missing[0]?.sentence).toBe(
      'is for user:u0, user:u1, user:u2, user:u3, user:u4 and 3 more, not for anonymous',
    )
  })
  test('pulling is near to listing', () => {
    const pulls = policyOf('rules: [{ allow: pull, to: user:bob, on: a }]')
    const { nearest, sentence } = explain(pulls, user('alice'), wanted('list', 'a'), circumstances)
    expect({ missing: nearest[0]?.missing.map(({ kind }) => kind), sentence }).toEqual({
      missing: ['subject'],
      sentence: 'alice may not list a',
    })
  })
  test('moving a protected tag is an action of its own', () => {
    expect(told(user('ci'), 'overwrite', 'prod/api:v1').sentence).toContain('the protected tag v1 of prod/api')
    expect(told(user('ci'), 'overwrite', 'prod/web').kind).toBe('allowed')
  })
})

describe('a condition that does not hold', () => {
  test.each([
    ['notBefore: 2026-12-01T00:00:00Z', 'notBefore: its time has not begun'],
    ['notAfter: 1960-12-01T00:00:00Z', 'notAfter: its time is over'],
    ['addresses: [10.0.0.0/8]', 'addresses: the client’s address lies in none of the ranges'],
    ['hours: { days: [mon] }', 'hours: it is another time of the week'],
    ['tags: [x]', 'tags: the tag matches none of the patterns, or it is not known which tags it would touch'],
  ])('{ %s } is named: %s', (when, expected) => {
    const one = policyOf(`rules: [{ allow: pull, to: user:alice, on: a, when: { ${when} } }]`)
    expect(explain(one, user('alice'), wanted('pull', 'a:v1'), circumstances).nearest).toEqual([
      {
        rule: { file: 'p.yaml', line: 1, index: 0 },
        missing: [{ kind: 'condition', sentence: `does not meet by its condition ${expected}` }],
        message: undefined,
      },
    ])
  })
  test('of the kind of login is named', () => {
    const one = policyOf('rules: [{ allow: pull, to: anonymous, on: a, when: { methods: [htpasswd] } }]')
    expect(explain(one, anonymous, wanted('pull', 'a'), circumstances).nearest[0]?.missing).toEqual([
      { kind: 'condition', sentence: 'does not meet by its condition methods: the login was of another kind' },
    ])
  })
})

describe('the nearest rules', () => {
  const sentences = (rules: string, principal: Principal = user('alice')): readonly string[] =>
    explain(policyOf(`rules: [${rules}]`), principal, wanted('push', 'a'), circumstances).nearest.flatMap(
      ({ missing }) => missing.map(({ sentence }) => sentence),
    )
  test.each([
    [5, 'is for user:u0, user:u1, user:u2, user:u3, user:u4, not for alice'],
    [6, 'is for user:u0, user:u1, user:u2, user:u3, user:u4 and 1 more, not for alice'],
  ])('with %s subjects: %s', (count, expected) => {
    const names = Array.from({ length: count }, (_, index) => `user:u${String(index)}`).join(', ')
    expect(sentences(`{ allow: push, to: [${names}], on: a }`)).toEqual([expected])
  })
  test('are none that deny, however near', () => {
    expect(sentences('{ deny: push, to: user:bob, on: a }, { allow: pull, to: user:alice, on: a }')).toEqual([
      'allows pull, not push',
    ])
  })
  test('are the first where several are as near', () => {
    const far = '{ allow: push, to: user:bob, on: a }'
    expect(sentences(`${far}, { allow: push, to: user:carol, on: a }, { allow: pull, to: user:alice, on: a }`)).toEqual(
      ['allows pull, not push', 'is for user:bob, not for alice', 'is for user:carol, not for alice'],
    )
  })
  test('are found by a variable of the pattern', () => {
    const home = policyOf('rules: [{ allow: pull, to: authenticated, on: "${user}/*" }]')
    const { nearest } = explain(home, user('alice'), wanted('push', 'alice/x'), circumstances)
    expect(nearest[0]?.missing.map(({ kind }) => kind)).toEqual(['action'])
  })
})

describe('what touches tags that are not named', () => {
  const versions = `rules:
  - { allow: maintainer, to: user:ci, on: a, when: { tags: [v*] } }
  - { allow: overwrite, to: user:ci, on: a, when: { tags: [v1*] } }
protectedTags:
  - { on: a, tags: v* }`
  const explained = (action: Action, reference: string) =>
    explain(policyOf(versions), user('ci'), wanted(action, reference), circumstances)
  test.each([
    ['pull', 'a', 'allowed'],
    ['push', 'a', 'allowed'],
    ['delete', 'a', 'refused'],
    ['delete', 'a:v1', 'allowed'],
    ['overwrite', 'a', 'refused'],
    ['overwrite', 'a:v1', 'allowed'],
    ['overwrite', 'a:v2', 'refused'],
  ] as const)('by a rule for versions alone, %s %s is %s', (action, reference, kind) => {
    expect(explained(action, reference).kind).toBe(kind)
  })
  test.each([
    ['delete', { kind: 'any' }],
    ['overwrite', { kind: 'any' }],
    ['pull', undefined],
  ] as const)('%s without a tag is of these tags: %j', (action, tags) => {
    expect(explained(action, 'a').judgements[0]?.access).toEqual({
      type: 'repository',
      name: 'a',
      anyOf: [action],
      tags,
    })
  })
  test.each([
    ['a:v1', true],
    ['a:v2', false],
  ])('a push of %s may move the tag: %s', (reference, expected) => {
    expect(explained('push', reference).mayMoveTag).toBe(expected)
  })
})

describe('the nearest rules where a protection refuses', () => {
  test('are those that are near to overwriting', () => {
    const { nearest } = told(user('ci'), 'delete', 'prod/api:v1')
    expect(nearest[0]).toMatchObject({
      rule: { index: 1 },
      missing: [{ kind: 'action', sentence: 'allows pull, push, delete, list, not overwrite' }],
    })
  })
  test('are told of a tag that is under no protection, too', () => {
    const { kind, nearest } = told(user('alice', 'developers'), 'overwrite', 'team/a:v1')
    expect({ kind, rule: nearest[0]?.rule.index }).toEqual({ kind: 'refused', rule: 0 })
  })
})
