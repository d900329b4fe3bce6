import { describe, expect, test } from '@jest/globals'
import { withoutAnonymous } from '../../../src/authorization/without-anonymous.ts'
import type { Circumstances } from '../../../src/registry/grant.ts'
import { parseTag } from '../../../src/registry/name.ts'
import { anonymous } from '../../../src/registry/principal.ts'
import type { Principal } from '../../../src/registry/principal.ts'
import { policyOf } from '../../support/policy-text.ts'

const circumstances: Circumstances = { address: '192.0.2.1', now: 0, ownHosts: new Set() }
const alice: Principal = { kind: 'user', name: 'alice', groups: [], method: 'htpasswd' }

describe('where nobody is let in without a login', () => {
  const given = `rules:
  - { allow: pull, to: [anonymous, user:alice], on: a }
  - { allow: pull, to: user:bob, on: b, message: ask bob }
protectedTags: [{ on: a, tags: v*, message: versions stay }]`
  const limited = () => withoutAnonymous(policyOf(given))
  const pull = { repository: 'a', action: 'pull' } as const

  test('rules for anonymous give it nothing and tell it nothing', () => {
    expect(policyOf(given).judgeFor(anonymous, circumstances).judge(pull).kind).toBe('allowed')
    const judge = limited().judgeFor(anonymous, circumstances)
    expect(judge.judge(pull)).toEqual({ kind: 'unmatched' })
    expect(judge.listsAnything).toBe(false)
    expect(judge.messageFor({ repository: 'b', action: 'pull' })).toBe(undefined)
  })
  test('all else stays as it is', () => {
    const policy = limited()
    const judge = policy.judgeFor(alice, circumstances)
    expect(judge.judge(pull).kind).toBe('allowed')
    expect(judge.listsAnything).toBe(true)
    expect(judge.messageFor({ repository: 'b', action: 'pull' })).toBe('ask bob')
    expect([policy.name, policy.generation]).toEqual(['p', 1])
    const [tag, other] = [parseTag('v1'), parseTag('latest')]
    if (tag === undefined || other === undefined) throw new Error('these are tags')
    expect(policy.protectionOf('a', tag)?.message).toBe('versions stay')
    expect(policy.protectionOf('a', other)).toBe(undefined)
    expect(policy.protectionIn('a')?.message).toBe('versions stay')
    expect(policy.protectionIn('b')).toBe(undefined)
  })
})
