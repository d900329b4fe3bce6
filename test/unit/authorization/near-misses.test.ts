import { describe, expect, test } from '@jest/globals'
import type { Question } from '../../../src/authorization/policy.ts'
import { parseTag } from '../../../src/registry/name.ts'
import type { Principal } from '../../../src/registry/principal.ts'
import { policyOf } from '../../support/policy-text.ts'

const alice: Principal = { kind: 'user', name: 'alice', groups: ['team'], method: 'htpasswd' }

/** What alice is told of a question that no rule answers. */
function hint(rules: readonly string[], question: Partial<Question> = {}): string | undefined {
  const judge = policyOf(`rules:\n${rules.map((rule) => `- ${rule}\n`).join('')}`).judgeFor(alice, {
    address: '192.0.2.1',
    now: 0,
    ownHosts: new Set(),
  })
  return judge.messageFor({ repository: 'a/b', action: 'push', ...question })
}

describe('the message of the rule that almost allowed', () => {
  const forOthers = '{ allow: push, to: user:bob, on: a/b, message: for others }'
  const forPulling = '{ allow: pull, to: user:alice, on: a/b, message: for pulling }'
  const elsewhere = '{ allow: push, to: user:alice, on: a/b, when: { addresses: [10.0.0.0/8] }, message: elsewhere }'
  test.each([
    ['lacking an action is nearer than being for others', [forOthers, forPulling], 'for pulling'],
    ['lacking a condition is nearer than lacking an action', [forPulling, elsewhere], 'elsewhere'],
    ['of two that lack the same, the first', [forOthers, forOthers.replace('others', 'some')], 'for others'],
  ])('%s', (_name, rules, expected) => {
    expect(hint(rules)).toBe(expected)
    if (expected !== 'for others') expect(hint([...rules].reverse())).toBe(expected)
  })
  test.each([
    ['is not of a rule that denies', '{ deny: push, to: user:bob, on: a/b, message: no }'],
    ['is not of a rule for another repository', '{ allow: push, to: user:bob, on: a/c, message: no }'],
    ['is not of a rule without one', '{ allow: push, to: user:bob, on: a/b }'],
  ])('%s', (_name, rule) => {
    expect(hint([rule])).toBe(undefined)
  })
  test('is not kept back by a nearer rule that has none', () => {
    expect(hint(['{ allow: pull, to: user:alice, on: a/b }', forOthers])).toBe('for others')
  })
  test('counts pulling as listing', () => {
    const lists = '{ allow: push, to: user:alice, on: a/b, message: for pushing }'
    const pulls = '{ allow: pull, to: user:alice, on: a/b, when: { addresses: [10.0.0.0/8] }, message: elsewhere }'
    expect(hint([lists, pulls], { action: 'list' })).toBe('elsewhere')
  })
  test('looks at the tag that was asked for', () => {
    const tag = parseTag('v1')
    if (tag === undefined) throw new Error('this is a tag')
    const rules = [
      '{ allow: pull, to: user:alice, on: a/b, when: { tags: [v*] }, message: for pulling versions }',
      '{ allow: push, to: user:alice, on: a/b, when: { tags: [x], addresses: [10.0.0.0/8] }, message: for pushing x }',
      '{ allow: push, to: user:alice, on: a/b, when: { tags: [v*], addresses: [10.0.0.0/8] }, message: for pushing v }',
    ]
    expect(hint(rules, { tags: { kind: 'named', tags: [tag] } })).toBe('for pushing v')
  })
  test('finds rules by a variable of the pattern', () => {
    expect(
      hint(['{ allow: pull, to: authenticated, on: "${group}/*", message: of the team }'], { repository: 'team/x' }),
    ).toBe('of the team')
  })
  test.each([
    [99, 'near'],
    [100, 'far'],
  ])('after %s others at the same pattern is: %s', (count, expected) => {
    const far = '{ allow: push, to: user:bob, on: a/b, message: far }'
    const near = '{ allow: pull, to: user:alice, on: a/b, message: near }'
    expect(hint([...Array.from({ length: count }, () => far), near])).toBe(expected)
  })
})

test('of two at different patterns the nearer speaks, wherever it stands', () => {
  const far = '{ allow: push, to: user:bob, on: a/b, message: far }'
  const near = '{ allow: pull, to: user:alice, on: "**", message: near }'
  expect(hint([far, near])).toBe('near')
  expect(hint([near, far])).toBe('near')
  expect(hint([far.replace('a/b', '"**"'), near.replace('"**"', 'a/b')])).toBe('near')
})
