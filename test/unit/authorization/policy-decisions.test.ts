import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { evaluate } from '../../../src/authorization/evaluate.ts'
import type { Decision } from '../../../src/authorization/evaluate.ts'
import type { Policy } from '../../../src/authorization/policy.ts'
import type { Circumstances } from '../../../src/registry/grant.ts'
import { anonymous } from '../../../src/registry/principal.ts'
import type { Principal } from '../../../src/registry/principal.ts'
import { parseRegistryRequest, printTarget } from '../../../src/registry/route.ts'
import { policyOf } from '../../support/policy-text.ts'

const digest = `sha256:${'a'.repeat(64)}`
const tagOfDigest = `sha256-${'a'.repeat(64)}`

function user(name: string, ...groups: string[]): Principal {
  return { kind: 'user', name, groups, method: 'htpasswd' }
}
const alice = user('alice')
const circumstances: Circumstances = { address: '192.0.2.1', now: 0, ownHosts: new Set() }

function decide(policy: Policy, line: string, principal = alice, changed: Partial<Circumstances> = {}): Decision {
  const [method = '', target = ''] = line.split(' ')
  return evaluate(policy, principal, parseRegistryRequest(method, target), { ...circumstances, ...changed })
}

/** Of the things that can be asked of a repository, those that are granted. */
function granted(policy: Policy, repository: string, principal = alice, changed: Partial<Circumstances> = {}): string {
  const lines = {
    pull: `GET /v2/${repository}/manifests/v1`,
    push: `PUT /v2/${repository}/manifests/v1`,
    delete: `DELETE /v2/${repository}/manifests/v1`,
  }
  const words = Object.entries(lines).flatMap(([word, line]) =>
    decide(policy, line, principal, changed).kind === 'granted' ? [word] : [],
  )
  return [...words, ...(lists(policy, principal, changed, repository) ? ['list'] : [])].join(' ')
}

function lists(policy: Policy, principal: Principal, changed: Partial<Circumstances>, repository: string): boolean {
  const decision = decide(policy, 'GET /v2/_catalog', principal, changed)
  return decision.kind === 'granted' && decision.grant.listFilter?.(repository) === true
}

function sentence(decision: Decision): string {
  return decision.kind === 'refused' ? decision.sentence() : 'granted'
}

describe('roles', () => {
  test.each([
    ['reader', 'pull list'],
    ['writer', 'pull push list'],
    ['maintainer', 'pull push delete list'],
    ['owner', 'pull push delete list'],
    ['pull', 'pull list'],
    ['push', 'push'],
    ['delete', 'delete'],
    ['list', 'list'],
    ['overwrite', ''],
    ['[push, delete]', 'push delete'],
    ['own', 'pull delete list'],
    ['[own, push]', 'pull push delete list'],
  ])('allow: %s gives "%s"', (allow, expected) => {
    const policy = policyOf(`rules: [{ allow: ${allow}, to: user:alice, on: a }]\nroles: { own: [pull, delete] }`)
    expect(granted(policy, 'a')).toBe(expected)
    expect(granted(policy, 'b')).toBe('')
    expect(granted(policy, 'a', user('bob'))).toBe('')
    expect(granted(policy, 'a', anonymous)).toBe('')
  })
})

describe('A-39 deny beats allow, no match is deny', () => {
  test.each([
    ['{ deny: push, to: user:alice, on: a }', 'pull delete list'],
    ['{ deny: pull, to: user:alice, on: a }', 'push delete list'],
    ['{ deny: list, to: user:alice, on: a }', 'pull push delete'],
    ['{ deny: writer, to: user:alice, on: a }', 'delete'],
    ['{ deny: owner, to: authenticated, on: "**" }', ''],
    ['{ deny: owner, to: group:g, on: a }', ''],
    ['{ deny: owner, to: group:h, on: a }', 'pull push delete list'],
    ['{ deny: owner, to: anonymous, on: a }', 'pull push delete list'],
    ['{ deny: owner, to: user:bob, on: a }', 'pull push delete list'],
    ['{ deny: owner, to: authenticated, except: user:alice, on: a }', 'pull push delete list'],
    ['{ deny: owner, to: authenticated, except: [user:bob, group:g], on: a }', 'pull push delete list'],
    ['{ deny: owner, to: authenticated, except: [user:bob, group:h], on: a }', ''],
    ['{ deny: owner, to: authenticated, on: b }', 'pull push delete list'],
  ])('allow: owner with %s leaves "%s"', (deny, expected) => {
    for (const rules of [
      [allow, deny],
      [deny, allow],
    ]) {
      expect(granted(policyOf(`rules: [${rules.join(', ')}]`), 'a', user('alice', 'g'))).toBe(expected)
    }
  })
  const allow = '{ allow: owner, to: user:alice, on: a }'

  test('what pulling gives, denying pull takes', () => {
    const policy = policyOf('rules: [{ allow: pull, to: user:alice, on: a }, { deny: pull, to: user:alice, on: a }]')
    expect(granted(policy, 'a')).toBe('')
  })

  const who = fc.constantFrom('user:alice', 'user:bob', 'group:g', 'authenticated', 'anonymous')
  const pattern = fc.constantFrom('a', 'a/b', '*', '**', 'a/*', '${user}/**', '${group}/*', 'a*')
  const rule = fc.record({
    effect: fc.constantFrom('allow', 'deny'),
    actions: fc.uniqueArray(fc.constantFrom('pull', 'push', 'delete', 'list', 'overwrite', 'reader'), { minLength: 1 }),
    to: fc.uniqueArray(who, { minLength: 1 }),
    on: fc.uniqueArray(pattern, { minLength: 1 }),
    tags: fc.option(fc.constantFrom(['v*'], ['x', 'v1'])),
  })
  test('the order of the rules does not matter, nor how they are spread over files', () => {
    const kinds = new Set<string>()
    fc.assert(
      fc.property(fc.array(rule, { minLength: 1, maxLength: 8 }), fc.nat(), (rules, turn) => {
        const texts = rules.map(({ effect, actions, to, on, tags }) =>
          JSON.stringify({ [effect]: actions, to, on, ...(tags === null ? {} : { when: { tags } }) }),
        )
        const turned = [...texts.slice(turn % texts.length), ...texts.slice(0, turn % texts.length)].reverse()
        const policies = [texts, turned].map((all) => policyOf(`rules: [${all.join(', ')}]`))
        for (const principal of [alice, user('bob', 'g', 'a'), user('a'), anonymous]) {
          for (const repository of ['a', 'a/b', 'b', 'alice/b']) {
            const [one, other] = policies.map((policy) => granted(policy, repository, principal))
            expect(other).toBe(one)
            kinds.add(one ?? '')
          }
        }
      }),
    )
    expect(kinds.size).toBeGreaterThan(8)
  })
})

describe('A-40 who is not named', () => {
  const policy = `
rules:
  - { allow: pull, to: anonymous, on: pub/* }
  - { allow: owner, to: group:nobody-defines-this, on: "**" }
  - { allow: writer, to: group:team, on: team/* }
groups: { team: [bob] }`
  test('has no part in what anonymous may do', () => {
    expect(granted(policyOf(policy), 'pub/a', anonymous)).toBe('pull list')
    expect(granted(policyOf(policy), 'pub/a', alice)).toBe('')
  })
  test.each(['GET /v2/pub/a/manifests/v1', 'GET /v2/_catalog', 'GET /v2/team/a/tags/list'])('is refused %s', (line) => {
    expect(decide(policyOf(policy), line).kind).toBe('refused')
  })
  test('is let in to GET /v2/, which tells that the login works', () => {
    expect(decide(policyOf(policy), 'GET /v2/').kind).toBe('granted')
    expect(decide(policyOf(policy), 'GET /v2/', anonymous).kind).toBe('refused')
  })
  test('is in the groups that the policy or the login gives, and in no others', () => {
    expect(granted(policyOf(policy), 'team/a', user('bob'))).toBe('pull push list')
    expect(granted(policyOf(policy), 'team/a', user('alice', 'team'))).toBe('pull push list')
    expect(granted(policyOf(policy), 'team/a', user('team', 'teams', 'group:team', 'Team', 'team '))).toBe('')
  })
  test.each(['anonymous', 'authenticated', 'user:bob', 'group:team'])('gains nothing by the name %s', (name) => {
    expect(granted(policyOf(policy), 'pub/a', user(name))).toBe('')
    expect(granted(policyOf(policy), 'team/a', user(name, name))).toBe('')
  })
  test('is not met by rules for anonymous, and anonymous not by rules for users', () => {
    const all = policyOf(
      'rules: [{ allow: pull, to: authenticated, on: "**" }, { deny: pull, to: anonymous, on: "**" }]',
    )
    expect(granted(all, 'a')).toBe('pull list')
    expect(granted(all, 'a', anonymous)).toBe('')
  })
})

describe('A-37 groups in patterns', () => {
  const policy = 'rules: [{ allow: writer, to: authenticated, on: ["${group}/*", "home-${user}/**"] }]'
  test.each([
    [['web', 'ops'], 'ops/a', 'pull push list'],
    [['web', 'ops'], 'dev/a', ''],
    [['*'], 'ops/a', ''],
    [['**'], 'ops/a', ''],
    [['a/b'], 'a/b', ''],
    [['a/b'], 'a/b/c', ''],
    [['[a-z]'], 'a/x', ''],
    [['..'], 'a/x', ''],
    [['team,admins'], 'admins/x', ''],
    [['team,admins'], 'team/x', ''],
    [[], 'ops/a', ''],
    [['ops'], 'home-alice/a/b', 'pull push list'],
    [['ops'], 'home-bob/a', ''],
  ])('%j has in %s: "%s"', (groups, repository, expected) => {
    expect(granted(policyOf(policy), repository, user('alice', ...groups))).toBe(expected)
  })
})

describe('conditions', () => {
  const at = (iso: string): Partial<Circumstances> => ({ now: Date.parse(iso) })
  const from = (address: string): Partial<Circumstances> => ({ address })
  test.each<[string, Partial<Circumstances>, boolean]>([
    ['addresses: [10.0.0.0/8]', from('10.255.255.255'), true],
    ['addresses: [10.0.0.0/8]', from('11.0.0.0'), false],
    ['addresses: [10.0.0.0/8, 192.0.2.7]', from('192.0.2.7'), true],
    ['addresses: [192.0.2.7]', from('192.0.2.6'), false],
    ['addresses: [0.0.0.0/0]', from('203.0.113.9'), true],
    ['addresses: [0.0.0.0/0]', from('2001:db8::1'), false],
    ['addresses: ["2001:db8::/32"]', from('2001:db8:ffff::1'), true],
    ['addresses: ["2001:db8::/32"]', from('2001:db9::'), false],
    ['addresses: ["2001:db8::/33"]', from('2001:db8:8000::'), false],
    ['addresses: ["2001:db8::1"]', from('2001:db8:0:0::1'), true],
    ['addresses: ["2001:db8::1"]', from('2001:db8::2'), false],
    ['addresses: ["::/0"]', from('::1'), true],
    ['addresses: ["::/0"]', from('10.0.0.1'), false],
    ['addresses: ["::ffff:10.0.0.0/104"]', from('10.9.9.9'), true],
    ['addresses: ["::ffff:10.0.0.0/104"]', from('11.9.9.9'), false],
    ['addresses: [10.0.0.0/8]', from('::ffff:10.0.0.1'), true],
    ['addresses: [128.0.0.0/1]', from('255.255.255.255'), true],
    ['addresses: [128.0.0.0/1]', from('127.255.255.255'), false],
    ['methods: [htpasswd]', {}, true],
    ['notBefore: 2026-12-01T00:00:00Z', at('2026-11-30T23:59:59.999Z'), false],
    ['notBefore: 2026-12-01T00:00:00Z', at('2026-12-01T00:00:00Z'), true],
    ['notAfter: 2026-12-01T01:00:00+01:00', at('2026-12-01T00:00:00Z'), true],
    ['notAfter: 2026-12-01T00:00:00Z', at('2026-12-01T00:00:00.001Z'), false],
    ['hours: { from: "09:00", until: "17:00" }', at('2026-11-21T09:00:00Z'), true],
    ['hours: { from: "09:00", until: "17:00" }', at('2026-11-21T08:59:59Z'), false],
    ['hours: { from: "09:00", until: "17:00" }', at('2026-11-21T16:59:59Z'), true],
    ['hours: { from: "09:00", until: "17:00" }', at('2026-11-21T17:00:00Z'), false],
    ['hours: { from: "09:00", until: "17:00", timeZone: Europe/Berlin }', at('2026-11-21T08:00:00Z'), true],
    ['hours: { from: "09:00", until: "17:00", timeZone: Europe/Berlin }', at('2026-07-21T06:59:00Z'), false],
    ['hours: { from: "09:00", until: "17:00", timeZone: Europe/Berlin }', at('2026-07-21T07:00:00Z'), true],
    // 2026-11-21 is a Saturday.
    ['hours: { days: [sat] }', at('2026-11-21T00:00:00Z'), true],
    ['hours: { days: [sat] }', at('2026-11-21T23:59:59Z'), true],
    ['hours: { days: [sat] }', at('2026-11-22T00:00:00Z'), false],
    ['hours: { days: [mon, tue, wed, thu, fri, sun] }', at('2026-11-21T12:00:00Z'), false],
    ['hours: { from: "22:00", until: "06:00", days: [fri] }', at('2026-11-20T22:00:00Z'), true],
    ['hours: { from: "22:00", until: "06:00", days: [fri] }', at('2026-11-21T05:59:00Z'), true],
    ['hours: { from: "22:00", until: "06:00", days: [fri] }', at('2026-11-21T06:00:00Z'), false],
    ['hours: { from: "22:00", until: "06:00", days: [fri] }', at('2026-11-21T22:00:00Z'), false],
    ['hours: { from: "22:00", until: "06:00", days: [sun] }', at('2026-11-23T01:00:00Z'), true],
    ['hours: { from: "22:00", until: "06:00", days: [fri] }', at('2026-11-20T05:00:00Z'), false],
    ['hours: { from: "12:00", days: [sat] }', at('2026-11-21T23:59:00Z'), true],
    [
      'addresses: [10.0.0.0/8], notAfter: 2026-12-01T00:00:00Z',
      { ...from('10.0.0.1'), ...at('2026-11-01T00:00:00Z') },
      true,
    ],
    [
      'addresses: [10.0.0.0/8], notAfter: 2026-12-01T00:00:00Z',
      { ...from('10.0.0.1'), ...at('2027-11-01T00:00:00Z') },
      false,
    ],
    [
      'addresses: [10.0.0.0/8], notAfter: 2026-12-01T00:00:00Z',
      { ...from('11.0.0.1'), ...at('2026-11-01T00:00:00Z') },
      false,
    ],
  ])('when: { %s } at %j holds: %s', (when, changed, holds) => {
    const allow = policyOf(`rules: [{ allow: pull, to: authenticated, on: a, when: { ${when} } }]`)
    expect(granted(allow, 'a', alice, changed)).toBe(holds ? 'pull list' : '')
    const deny = policyOf(
      `rules: [{ allow: pull, to: authenticated, on: a }, { deny: pull, to: authenticated, on: a, when: { ${when} } }]`,
    )
    expect(granted(deny, 'a', alice, changed)).toBe(holds ? '' : 'pull list')
  })
  test.each(['', 'unknown', 'a.b.c.d', '10.0.0.1, 10.0.0.2'])(
    'of the address %j nothing good is believed',
    (address) => {
      const when = 'when: { addresses: [0.0.0.0/0, "::/0"] }'
      expect(
        granted(policyOf(`rules: [{ allow: pull, to: authenticated, on: a, ${when} }]`), 'a', alice, { address }),
      ).toBe('')
      const deny = policyOf(
        `rules: [{ allow: pull, to: authenticated, on: a }, { deny: pull, to: authenticated, on: a, ${when} }]`,
      )
      expect(granted(deny, 'a', alice, { address })).toBe('')
    },
  )
  test('a login method is nothing that anonymous has', () => {
    const policy = policyOf('rules: [{ allow: pull, to: anonymous, on: a, when: { methods: [htpasswd] } }]')
    expect(granted(policy, 'a', anonymous)).toBe('')
  })
  test('no condition at all is none', () => {
    expect(granted(policyOf('rules: [{ allow: pull, to: user:alice, on: a, when: {} }]'), 'a')).toBe('pull list')
  })
})

describe('tags as a condition', () => {
  const allow = 'rules: [{ allow: maintainer, to: user:alice, on: a, when: { tags: [v*, latest] } }]'
  const deny = `
rules:
  - { allow: maintainer, to: user:alice, on: a }
  - { deny: maintainer, to: user:alice, on: a, when: { tags: [v*, latest] } }`
  test.each([
    ['GET /v2/a/manifests/v1', true, false],
    ['GET /v2/a/manifests/latest', true, false],
    ['GET /v2/a/manifests/test', false, true],
    ['GET /v2/a/manifests/Latest', false, true],
    ['GET /v2/a/manifests/latest1', false, true],
    ['HEAD /v2/a/manifests/test', false, true],
    ['PUT /v2/a/manifests/v', true, false],
    ['PUT /v2/a/manifests/test', false, true],
    [`PUT /v2/a/manifests/${digest}`, true, true],
    [`PUT /v2/a/manifests/${digest}?tag=v1`, true, false],
    [`PUT /v2/a/manifests/${digest}?tag=test`, false, true],
    [`PUT /v2/a/manifests/${digest}?tag=v1&tag=test`, false, false],
    [`PUT /v2/a/manifests/${digest}?tag=test&tag=v1`, false, false],
    [`PUT /v2/a/manifests/${digest}?tag=v1&tag=v2`, true, false],
    [`PUT /v2/a/manifests/${digest}?tag=x&tag=y&tag=z`, false, true],
    [`GET /v2/a/manifests/${digest}`, true, true],
    [`GET /v2/a/blobs/${digest}`, true, true],
    ['GET /v2/a/tags/list', true, true],
    [`GET /v2/a/referrers/${digest}`, true, true],
    ['POST /v2/a/blobs/uploads/', true, true],
    ['PATCH /v2/a/blobs/uploads/u', true, true],
    ['DELETE /v2/a/blobs/uploads/u', true, true],
    ['DELETE /v2/a/manifests/v1', true, false],
    ['DELETE /v2/a/manifests/test', false, true],
    [`DELETE /v2/a/manifests/${digest}`, false, false],
    [`DELETE /v2/a/blobs/${digest}`, false, false],
  ])('%s is allowed by such a rule: %s, and left by one that denies: %s', (line, allowed, left) => {
    expect(decide(policyOf(allow), line).kind === 'granted').toBe(allowed)
    expect(decide(policyOf(deny), line).kind === 'granted').toBe(left)
  })
  test('every tag is also any tag', () => {
    const all = policyOf('rules: [{ allow: delete, to: user:alice, on: a, when: { tags: ["*"] } }]')
    expect(decide(all, `DELETE /v2/a/manifests/${digest}`).kind).toBe('granted')
  })
  test('different rules may allow the tags of one push', () => {
    const two = policyOf(`rules:
  - { allow: push, to: user:alice, on: a, when: { tags: [x] } }
  - { allow: push, to: user:alice, on: a, when: { tags: [y] } }`)
    expect(decide(two, `PUT /v2/a/manifests/${digest}?tag=x&tag=y`).kind).toBe('granted')
    expect(decide(two, `PUT /v2/a/manifests/${digest}?tag=x&tag=y&tag=z`).kind).toBe('refused')
  })
})

describe('protected tags', () => {
  const policy = `
rules:
  - { allow: maintainer, to: [user:alice, user:bob, user:carol], on: ["prod/**", other] }
  - { allow: owner, to: user:ci, on: "prod/**" }
  - { allow: overwrite, to: user:bob, on: prod/api, when: { tags: [v1*] } }
  - { deny: overwrite, to: user:carol, on: "prod/**", message: ask ci }
protectedTags:
  - { on: "prod/**", tags: ["v*"] }
  - { on: prod/api, tags: [latest, "v9*"], message: versions never change }`

  function preconditions(line: string, principal = alice): readonly string[] | string {
    const decision = decide(policyOf(policy), line, principal)
    return decision.kind === 'granted' ? decision.grant.preconditions.protectedTags : 'refused'
  }

  test.each([
    ['PUT /v2/prod/api/manifests/v1', ['v1']],
    ['PUT /v2/prod/api/manifests/latest', ['latest']],
    ['PUT /v2/prod/web/manifests/latest', []],
    ['PUT /v2/prod/api/manifests/test', []],
    ['PUT /v2/other/manifests/v1', []],
    [`PUT /v2/prod/api/manifests/${digest}?tag=v1&tag=test&tag=latest`, ['v1', 'latest']],
    [`PUT /v2/prod/api/manifests/${digest}`, []],
    ['GET /v2/prod/api/manifests/v1', []],
    [`PUT /v2/prod/api/manifests/${tagOfDigest}`, []],
    ['POST /v2/prod/api/blobs/uploads/', []],
  ])('%s may create but not move %j', (line, expected) => {
    expect(preconditions(line)).toEqual(expected)
  })
  test('who may overwrite may move', () => {
    expect(preconditions('PUT /v2/prod/api/manifests/v1', user('ci'))).toEqual([])
    expect(preconditions('PUT /v2/prod/api/manifests/v1', user('bob'))).toEqual([])
    expect(preconditions('PUT /v2/prod/api/manifests/v2', user('bob'))).toEqual(['v2'])
  })
  test.each(['', '.sig', '.att', '.sbom'])('what refers to a digest always moves: %s', (ending) => {
    const all = policyOf(`rules: [{ allow: maintainer, to: user:alice, on: a }]
protectedTags: [{ on: a, tags: "*" }]`)
    const decision = decide(all, `PUT /v2/a/manifests/${tagOfDigest}${ending}`)
    expect(decision.kind === 'granted' && decision.grant.preconditions.protectedTags).toEqual([])
    expect(decide(all, `DELETE /v2/a/manifests/${tagOfDigest}${ending}`).kind).toBe('granted')
  })
  test.each([
    `${tagOfDigest}.exe`,
    `x${tagOfDigest}`,
    `${tagOfDigest}0`,
    tagOfDigest.slice(0, -1),
    `sha512-${'a'.repeat(64)}`,
  ])('what only looks like it does not: %s', (tag) => {
    const all = policyOf(`rules: [{ allow: maintainer, to: user:alice, on: a }]
protectedTags: [{ on: a, tags: "*" }]`)
    expect(decide(all, `DELETE /v2/a/manifests/${tag}`).kind).toBe('refused')
  })
  test.each<[string, Principal, boolean]>([
    ['DELETE /v2/prod/api/manifests/v1', alice, false],
    ['DELETE /v2/prod/api/manifests/test', alice, true],
    ['DELETE /v2/prod/api/manifests/latest', alice, false],
    ['DELETE /v2/prod/web/manifests/latest', alice, true],
    [`DELETE /v2/prod/api/manifests/${digest}`, alice, false],
    [`DELETE /v2/prod/api/blobs/${digest}`, alice, false],
    [`DELETE /v2/other/manifests/${digest}`, alice, true],
    [`DELETE /v2/other/blobs/${digest}`, alice, true],
    ['DELETE /v2/prod/api/blobs/uploads/u', alice, true],
    ['DELETE /v2/prod/api/manifests/v1', user('bob'), true],
    ['DELETE /v2/prod/api/manifests/v2', user('bob'), false],
    [`DELETE /v2/prod/api/manifests/${digest}`, user('bob'), false],
    ['DELETE /v2/prod/api/manifests/v1', user('ci'), true],
    [`DELETE /v2/prod/api/manifests/${digest}`, user('ci'), true],
  ])('%s by %j: %s', (line, principal, expected) => {
    expect(decide(policyOf(policy), line, principal).kind === 'granted').toBe(expected)
  })
  test.each<[string, Principal, string]>([
    [
      'DELETE /v2/prod/api/manifests/latest',
      alice,
      'alice may not move or delete the protected tag latest of prod/api: versions never change',
    ],
    ['DELETE /v2/prod/web/manifests/v1', alice, 'alice may not move or delete the protected tag v1 of prod/web'],
    [
      'DELETE /v2/prod/web/manifests/v1',
      user('carol'),
      'carol may not move or delete the protected tag v1 of prod/web: ask ci',
    ],
    [
      `DELETE /v2/prod/api/manifests/${digest}`,
      alice,
      'alice may not delete by digest from prod/api, which has protected tags: versions never change',
    ],
    [
      'DELETE /v2/prod/api/manifests/v9',
      alice,
      'alice may not move or delete the protected tag v9 of prod/api: versions never change',
    ],
  ])('%s by %j says so', (line, principal, expected) => {
    expect(sentence(decide(policyOf(policy), line, principal))).toBe(expected)
  })
  test('the sentence of a tag that may not be moved comes with the grant', () => {
    const decision = decide(policyOf(policy), 'PUT /v2/prod/api/manifests/latest')
    const tags = decision.kind === 'granted' ? decision.grant.preconditions : undefined
    const told = tags?.protectedTags.map((tag) => tags.refusal(tag))
    expect(told).toEqual(['alice may not move or delete the protected tag latest of prod/api: versions never change'])
  })
})

describe('what is asked of the judge', () => {
  test.each([
    ['pull', 'HEAD /v2/a/manifests/v1', true],
    ['push', 'HEAD /v2/a/manifests/v1', true],
    ['delete', 'HEAD /v2/a/manifests/v1', false],
    ['list', 'HEAD /v2/a/manifests/v1', false],
    ['push', `HEAD /v2/a/blobs/${digest}`, true],
    ['push', `GET /v2/a/blobs/${digest}`, false],
    ['push', 'GET /v2/a/tags/list', false],
    ['list', 'GET /v2/a/tags/list', false],
    ['pull', `GET /v2/a/referrers/${digest}`, true],
    ['push', 'GET /v2/a/blobs/uploads/u', true],
    ['pull', 'POST /v2/a/blobs/uploads/', false],
    ['overwrite', 'PUT /v2/a/manifests/v1', false],
  ])('with %s alone, %s: %s', (action, line, expected) => {
    expect(decide(policyOf(`rules: [{ allow: ${action}, to: user:alice, on: a }]`), line).kind === 'granted').toBe(
      expected,
    )
  })
  test('HEAD is refused only where neither pulling nor pushing is allowed', () => {
    const policy = policyOf(`rules:
  - { allow: writer, to: user:alice, on: a }
  - { deny: pull, to: user:alice, on: a, message: no }`)
    expect(decide(policy, 'HEAD /v2/a/manifests/v1').kind).toBe('granted')
    const both = policyOf(
      'rules: [{ allow: reader, to: user:alice, on: a }, { deny: push, to: user:alice, on: b, message: no }]',
    )
    expect(sentence(decide(both, 'HEAD /v2/b/manifests/v1'))).toBe('alice may not pull from or push to b: no')
  })
  test('the source of a mount has to be pulled from', () => {
    const line = `POST /v2/a/blobs/uploads/?mount=${encodeURIComponent(digest)}&from=b`
    const target = (text: string): string => {
      const decision = decide(policyOf(text), line)
      return decision.kind === 'granted' ? printTarget(decision.grant.request) : 'refused'
    }
    expect(target('rules: [{ allow: push, to: user:alice, on: [a, b] }]')).toBe('/v2/a/blobs/uploads/')
    expect(target('rules: [{ allow: writer, to: user:alice, on: [a, b] }]')).toContain('from=b')
    expect(target('rules: [{ allow: writer, to: user:alice, on: [b] }]')).toBe('refused')
  })
  test('the trace names what decided', () => {
    const policy = policyOf(`rules:
  - { allow: pull, to: user:alice, on: a }
  - { allow: pull, to: authenticated, on: "**" }
  - { deny: push, to: user:alice, on: a, message: no }`)
    const verdicts = (line: string) =>
      decide(policy, line).trace.judgements.map(({ action, verdict }) => ({ action, verdict }))
    const rule = (index: number) => ({ file: 'p.yaml', line: index + 2, index })
    expect(verdicts('GET /v2/a/tags/list')).toEqual([{ action: 'pull', verdict: { kind: 'allowed', rule: rule(0) } }])
    expect(verdicts('GET /v2/b/tags/list')).toEqual([{ action: 'pull', verdict: { kind: 'allowed', rule: rule(1) } }])
    expect(verdicts('POST /v2/a/blobs/uploads/')).toEqual([
      { action: 'push', verdict: { kind: 'denied', rule: rule(2), message: 'no' } },
    ])
    expect(verdicts('POST /v2/b/blobs/uploads/')).toEqual([{ action: 'push', verdict: { kind: 'unmatched' } }])
    const { policy: name, policyGeneration, missing, mount } = decide(policy, 'POST /v2/b/blobs/uploads/').trace
    expect({ name, policyGeneration, missing, mount }).toEqual({
      name: 'p',
      policyGeneration: 1,
      missing: { type: 'repository', name: 'b', anyOf: ['push'] },
      mount: undefined,
    })
  })
})

describe('A-32 the catalog', () => {
  const policy = `rules:
  - { allow: pull, to: user:alice, on: team/* }
  - { allow: list, to: user:alice, on: hidden/* }
  - { deny: list, to: user:alice, on: "*/secret" }
  - { allow: push, to: user:bob, on: "**" }
  - { allow: pull, to: anonymous, on: pub/* }`
  test.each([
    ['team/a', true],
    ['hidden/a', true],
    ['team/secret', false],
    ['hidden/secret', false],
    ['pub/a', false],
    ['Team/a', false],
    ['team/', false],
    ['team/../a', false],
    ['', false],
  ])('shows %j to alice: %s', (repository, expected) => {
    expect(lists(policyOf(policy), alice, {}, repository)).toBe(expected)
  })
  test('shows to whom there is something to show, and is no other request’s', () => {
    expect(decide(policyOf(policy), 'GET /v2/_catalog', user('bob')).kind).toBe('refused')
    expect(sentence(decide(policyOf(policy), 'GET /v2/_catalog', user('bob')))).toBe('bob may not list anything')
    expect(lists(policyOf(policy), anonymous, {}, 'pub/a')).toBe(true)
    expect(lists(policyOf(policy), anonymous, {}, 'team/a')).toBe(false)
    const decision = decide(policyOf(policy), 'GET /v2/team/a/tags/list')
    expect(decision.kind === 'granted' && decision.grant.listFilter).toBe(undefined)
  })
})

describe('the sentence of a refusal', () => {
  const policy = `rules:
  - { allow: [pull, push], to: group:dev, on: team/**, message: ask the platform team }
  - { allow: push, to: user:ci, on: prod/**, message: ci pushes here }
  - { allow: pull, to: user:alice, on: prod/**, when: { addresses: [10.0.0.0/8] }, message: only from the office }
  - { deny: push, to: authenticated, except: user:ci, on: prod/**, message: releases go through ci }
  - { deny: delete, to: authenticated, on: prod/** }`
  test.each([
    ['PUT /v2/prod/api/manifests/v1', 'alice may not push to prod/api: releases go through ci'],
    ['DELETE /v2/prod/api/manifests/v1', 'alice may not delete from prod/api'],
    ['GET /v2/team/a/tags/list', 'alice may not pull from team/a: ask the platform team'],
    ['DELETE /v2/team/a/manifests/v1', 'alice may not delete from team/a: ask the platform team'],
    ['GET /v2/prod/api/tags/list', 'alice may not pull from prod/api: only from the office'],
    ['GET /v2/other/tags/list', 'alice may not pull from other'],
  ])('%s: %s', (line, expected) => {
    expect(sentence(decide(policyOf(policy), line))).toBe(expected)
  })
  test.each([
    ['team/a', '"**"'],
    ['"**"', 'team/a'],
  ])('of two that lack the same, on %s and on %s, the first speaks', (one, other) => {
    const two = policyOf(`rules:
  - { allow: pull, to: user:bob, on: ${one}, message: first }
  - { allow: pull, to: user:bob, on: ${other}, message: second }`)
    expect(sentence(decide(two, 'GET /v2/team/a/tags/list'))).toBe('alice may not pull from team/a: first')
  })
})

describe('A-37 a value that is no segment fills in nothing, though the whole would be a name', () => {
  const policy = 'rules: [{ allow: writer, to: authenticated, on: ["a${user}", "a${group}"] }]'
  test.each<[Principal, string, string]>([
    [user('alice', 'b'), 'ab', 'pull push list'],
    [user('alice', '-b'), 'a-b', ''],
    [user('alice', '.b'), 'a.b', ''],
    [user('alice', ''), 'a', ''],
    [user('-b'), 'a-b', ''],
    [user('b'), 'ab', 'pull push list'],
  ])('%j has in %s: "%s"', (principal, repository, expected) => {
    expect(granted(policyOf(policy), repository, principal)).toBe(expected)
  })
})

describe('A-32 what is in no catalog', () => {
  const policy = `rules:
  - { allow: pull, to: user:alice, on: team/* }
  - { deny: reader, to: user:bob, on: team/* }
  - { allow: push, to: user:bob, on: team/* }`
  test.each(['team/..', 'team/A', 'team/a b', `team/${'a'.repeat(251)}`])(
    '%s, which is no name, though the pattern would take it',
    (repository) => {
      expect(lists(policyOf(policy), alice, {}, repository)).toBe(false)
      expect(lists(policyOf(policy), alice, {}, 'team/a')).toBe(true)
    },
  )
  test('what a rule that denies names: it lets nobody ask for the catalog', () => {
    expect(decide(policyOf(policy), 'GET /v2/_catalog', user('bob')).kind).toBe('refused')
  })
})
