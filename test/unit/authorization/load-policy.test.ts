import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { loadPolicy } from '../../../src/authorization/load-policy.ts'
import type { PolicyFile } from '../../../src/authorization/load-policy.ts'
import { printFault } from '../../../src/authorization/policy-store.ts'
import { policyOf } from '../../support/policy-text.ts'

function faultsOf(files: readonly PolicyFile[]): readonly string[] {
  const load = loadPolicy(files, { name: 'p', generation: 1 })
  return load.kind === 'ok' ? [] : load.faults.map(printFault)
}

const faults = (text: string): readonly string[] => faultsOf([{ file: 'p.yaml', text }])
const rule = '{ allow: pull, to: user:alice, on: a }'

describe('a fault is told with its place and its cure', () => {
  test.each([
    [
      'rules:\n  - allow: wrtier\n    to: user:alice\n    on: a',
      'p.yaml:2:5 rules[0].allow: wrtier is neither a role nor an action; did you mean writer?',
    ],
    [
      'rules:\n  - allow: [pull, x]\n    to: user:alice\n    on: a',
      'p.yaml:2:19 rules[0].allow[1]: x is neither a role nor an action; known are pull, push, delete, list, overwrite, reader, writer, maintainer, owner',
    ],
    [
      'rules:\n  - to: user:alice\n    on: a',
      'p.yaml:2:5 rules[0]: does nothing; it needs allow or deny, with the actions or roles that it is about',
    ],
    [
      'rules:\n  - { allow: pull, deny: push, to: user:a, on: a }',
      'p.yaml:2:20 rules[0].deny: stands beside allow; a rule allows or denies: make two of it',
    ],
    [
      'rules:\n  - { allow: pull, to: user:a, except: user:b, on: a }',
      'p.yaml:2:32 rules[0].except: stands in a rule that allows; only a rule that denies has exceptions',
    ],
    ['rules:\n  - { allow: pull, on: a }', 'p.yaml:2:5 rules[0].to: is required'],
    [
      'rules:\n  - { allow: [], to: user:a, on: a }',
      'p.yaml:2:7 rules[0].allow: must have at least 1 item; got a list of 0',
    ],
    [
      'rules:\n  - { allow: pull, to: alice, on: a }',
      'p.yaml:2:20 rules[0].to: alice must be user:NAME, group:NAME, authenticated or anonymous; did you mean user:alice or group:alice?',
    ],
    [
      'rules:\n  - { allow: pull, to: everyone, on: a }',
      'p.yaml:2:20 rules[0].to: everyone must be user:NAME, group:NAME, authenticated or anonymous; did you mean authenticated?',
    ],
    [
      'rules:\n  - { allow: pull, to: "group:*", on: a }',
      'p.yaml:2:20 rules[0].to: "group:*" names one group, and neither wildcards nor variables can stand for it; everyone who has logged in is authenticated',
    ],
    [
      'rules:\n  - { allow: pull, to: "user:${user}", on: a }',
      'p.yaml:2:20 rules[0].to: "user:${user}" names one user, and neither wildcards nor variables can stand for it; everyone who has logged in is authenticated',
    ],
    [
      'rules:\n  - { allow: pull, to: "user:", on: a }',
      'p.yaml:2:20 rules[0].to: "user:" must have a name behind user:, without blanks around it or control characters in it',
    ],
    [
      'rules:\n  - { allow: pull, to: "user: a", on: a }',
      'p.yaml:2:20 rules[0].to: "user: a" must have a name behind user:, without blanks around it or control characters in it',
    ],
    [
      'rules:\n  - { allow: pull, to: "user:a:b", on: a }',
      'p.yaml:2:20 rules[0].to: "user:a:b" names a user, whose name cannot contain a colon',
    ],
    [
      'rules:\n  - { allow: pull, to: "users:a", on: a }',
      'p.yaml:2:20 rules[0].to: "users:a" must be user:NAME, group:NAME, authenticated or anonymous',
    ],
    [
      'rules:\n  - { allow: pull, to: user:a, on: "[" }',
      'p.yaml:2:32 rules[0].on: "[" holds "[" at character 1, which no repository name can hold; the only wildcards are * and **',
    ],
    [
      'rules:\n  - { deny: pull, to: user:a, on: [a, B] }',
      'p.yaml:2:39 rules[0].on[1]: B holds "B" at character 1; repository names are in lower case',
    ],
    [
      'rules:\n  - { allow: pull, to: user:a, on: ** }',
      'p.yaml:2:36 rules[0].on: is an alias (*name) of nothing; text that begins with * must stand in quotes',
    ],
    [
      'rules:\n  - { allow: pull, to: user:a, on: a, unless: x }',
      'p.yaml:2:39 rules[0].unless: unknown key; known here are allow, deny, to, except, on, when, message',
    ],
    [
      'rules:\n  - { allows: pull, to: user:a, on: a }',
      'p.yaml:2:7 rules[0].allows: unknown key; did you mean rules[].allow?',
    ],
    ['rule:\n  - { allow: pull, to: user:a, on: a }', 'p.yaml:1:1 rule: unknown key; did you mean rules?'],
    ['rules: 5', 'p.yaml:1:1 rules: must be a list; got a number'],
    ['- a', 'p.yaml:1:1 document: must be a map; got a list of 1'],
    [
      `rules: [${rule}]\nroles: { writer: [pull] }`,
      'p.yaml:2:10 roles.writer: is the name of a built-in role or of an action; choose another name',
    ],
    [
      `rules: [${rule}]\nroles: { push: [pull] }`,
      'p.yaml:2:10 roles.push: is the name of a built-in role or of an action; choose another name',
    ],
    [
      `rules: [${rule}]\nroles: { "a b": [pull] }`,
      'p.yaml:2:10 roles."a b": is no name for a role: letters, digits, _ and -',
    ],
    [`rules: [${rule}]\nroles: { own: [pul] }`, 'p.yaml:2:16 roles.own[0]: pul is no action; did you mean pull?'],
    [
      `rules: [${rule}]\nroles: { own: [writer] }`,
      'p.yaml:2:16 roles.own[0]: writer is no action; known are pull, push, delete, list, overwrite',
    ],
    [`rules: [${rule}]\nroles: { own: [] }`, 'p.yaml:2:10 roles.own: must have at least 1 item; got a list of 0'],
    [`rules: [${rule}]\nroles: { __proto__: [pull] }`, 'p.yaml:2:10 roles.__proto__: is no name that can be given'],
    [
      `rules: [${rule}]\ngroups: { "*": [alice] }`,
      expect.stringContaining('p.yaml:2:11 groups.*: cannot be used in a rule'),
    ],
    [
      `rules: [${rule}]\ngroups: { dev: [user:alice] }`,
      'p.yaml:2:17 groups.dev[0]: "user:alice" is written here without user: in front, since only users are in groups',
    ],
    [
      `rules: [${rule}]\ngroups: { dev: [group:ops] }`,
      'p.yaml:2:17 groups.dev[0]: "group:ops" is a group, and only users are in groups',
    ],
    [
      `rules: [${rule}]\ngroups: { dev: ["a:b"] }`,
      'p.yaml:2:17 groups.dev[0]: "a:b" is no user name; it must not contain a colon',
    ],
    [
      `rules: [${rule}]\ngroups: { dev: [alice, ""] }`,
      'p.yaml:2:24 groups.dev[1]: "" is no user name; it must not be empty',
    ],
    [
      `rules: [${rule}]\nprotectedTags:\n  - { on: "\${user}/a", tags: v* }`,
      expect.stringContaining('p.yaml:3:7 protectedTags[0].on: "${user}/a" holds a variable'),
    ],
    [
      `rules: [${rule}]\nprotectedTags:\n  - { on: a, tags: [v1, "v[0-9]"] }`,
      'p.yaml:3:25 protectedTags[0].tags[1]: "v[0-9]" holds "[" at character 2, which no tag can hold; the only wildcard is *',
    ],
    [
      `rules: [${rule}]\nprotectedTags:\n  - { on: a, tags: "" }`,
      'p.yaml:3:14 protectedTags[0].tags: "" is empty; a pattern of tags is such as v*, or * for every tag',
    ],
    [
      `rules: [${rule}]\nprotectedTags:\n  - { on: a, tags: "v**" }`,
      'p.yaml:3:14 protectedTags[0].tags: v** holds **; in a pattern of tags one * is any run of characters',
    ],
    [`rules: [${rule}]\nprotectedTags:\n  - { on: a, tags: ".x*" }`, expect.stringContaining('matches no tag')],
    [
      `rules: [${rule}]\nprotectedTags:\n  - { on: a, tags: ${'a'.repeat(129)} }`,
      expect.stringContaining('matches no tag'),
    ],
    [
      `rules: [${rule}]\nprotectedTags:\n  - { on: a, tags: "sha256:ab" }`,
      expect.stringContaining('holds ":" at character 7'),
    ],
    [
      'rules:\n  - { allow: pull, to: user:a, on: a, when: { addresses: [10.0.0.0/33] } }',
      expect.stringContaining('rules[0].when.addresses[0]: must be an address'),
    ],
    [
      'rules:\n  - { allow: pull, to: user:a, on: a, when: { methods: [ldpa] } }',
      expect.stringContaining('rules[0].when.methods[0]: must be htpasswd'),
    ],
    [
      'rules:\n  - { allow: pull, to: user:a, on: a, when: { tags: ["a/b"] } }',
      expect.stringContaining('rules[0].when.tags[0]: a/b holds "/" at character 2'),
    ],
    [
      'rules:\n  - { allow: pull, to: user:a, on: a, when: { notBefore: 2026-12-01 } }',
      expect.stringContaining('rules[0].when.notBefore: must be an instant with its offset'),
    ],
    [
      'rules:\n  - { allow: pull, to: user:a, on: a, when: { notBefore: 2026-12-02T00:00:00Z, notAfter: 2026-12-01T00:00:00Z } }',
      expect.stringContaining('rules[0].when: can never hold: notAfter is before notBefore'),
    ],
    [
      'rules:\n  - { allow: pull, to: user:a, on: a, when: { hours: { from: "9:00" } } }',
      expect.stringContaining('rules[0].when.hours.from: must be a time of day in quotes'),
    ],
    [
      'rules:\n  - { allow: pull, to: user:a, on: a, when: { hours: { from: "24:01" } } }',
      expect.stringContaining('must be a time of day'),
    ],
    [
      'rules:\n  - { allow: pull, to: user:a, on: a, when: { hours: { from: "24:00", until: "03:00" } } }',
      expect.stringContaining('rules[0].when.hours: is no time at all'),
    ],
    [
      'rules:\n  - { allow: pull, to: user:a, on: a, when: { hours: { from: "09:00", until: "09:00" } } }',
      expect.stringContaining('rules[0].when.hours: is no time at all'),
    ],
    [
      'rules:\n  - { allow: pull, to: user:a, on: a, when: { hours: { from: "09:00", until: "00:00" } } }',
      expect.stringContaining('rules[0].when.hours: is no time at all'),
    ],
    [
      'rules:\n  - { allow: pull, to: user:a, on: a, when: { hours: { days: [mo] } } }',
      expect.stringContaining('rules[0].when.hours.days[0]: must be mon, tue'),
    ],
    [
      'rules:\n  - { allow: pull, to: user:a, on: a, when: { hours: { timeZone: Berlin } } }',
      expect.stringContaining('rules[0].when.hours.timeZone: must be a name of the IANA time zone database'),
    ],
    [
      `rules:\n  - { allow: pull, to: user:a, on: a, message: ${'x'.repeat(301)} }`,
      expect.stringContaining('rules[0].message: must have at most 300 characters'),
    ],
    [
      'rules:\n  - { allow: pull, to: user:a, on: a, message: "a\\nb" }',
      expect.stringContaining('rules[0].message: must not contain control characters'),
    ],
    [
      'rules: []',
      'p.yaml:1:1 rules: has no rule in any file of the policy, so nobody could do anything; a policy needs at least one',
    ],
    [
      '',
      'p.yaml:1:1 rules: has no rule in any file of the policy, so nobody could do anything; a policy needs at least one',
    ],
    ['rules: [', expect.stringContaining('is not valid YAML here')],
    [
      `rules:\n- { allow: pull, to: [${Array.from({ length: 501 }, (_, n) => `user:u${String(n)}`).join(', ')}], on: [${Array.from({ length: 500 }, (_, n) => `r${String(n)}`).join(', ')}] }`,
      expect.stringContaining('rules[0]: with this rule there are more than 250000 pairs'),
    ],
  ])('%.60j', (text, expected) => {
    expect(faults(text)).toEqual([expected])
  })
  test('every fault of every file is told at once, in the order of the files', () => {
    const one = 'rules:\n  - { allow: pul, to: x, on: A, what: 1 }\n  - { allow: own, to: user:a, on: a/ }'
    const other = 'roles: { own: [pull] }\nrules:\n  - { deny: "*", to: [user:a, 5], on: b }'
    const found = faultsOf([
      { file: 'b.yaml', text: other },
      { file: 'a.yaml', text: one },
    ])
    expect(found.map((line) => line.split(': ')[0])).toEqual([
      'a.yaml:2:7 rules[0].allow',
      'a.yaml:2:19 rules[0].to',
      'a.yaml:2:26 rules[0].on',
      'a.yaml:2:33 rules[0].what',
      'a.yaml:3:31 rules[1].on',
      'b.yaml:3:7 rules[0].deny',
      'b.yaml:3:31 rules[0].to[1]',
    ])
  })
  test('all files are one policy', () => {
    const files = [
      { file: 'roles.yaml', text: 'roles: { own: [pull] }' },
      { file: 'rules.yaml', text: 'rules: [{ allow: own, to: group:dev, on: a }]' },
      { file: 'empty.yaml', text: '# nothing\n' },
      { file: 'groups.yaml', text: 'groups: { dev: [alice] }' },
    ]
    expect(faultsOf(files)).toEqual([])
  })
  test.each(['roles: { own: [pull] }', 'groups: { own: [alice] }'])(
    'what is defined twice names both places: %s',
    (text) => {
      const key = text.split(':')[0] ?? ''
      const found = faultsOf([
        { file: 'a.yaml', text: `rules: [${rule}]\n${text}` },
        { file: 'b.yaml', text },
      ])
      expect(found).toEqual([
        `b.yaml:1:${String(key.length + 5)} ${key}.own: is defined already at a.yaml:2:${String(key.length + 5)}; define it in one place`,
      ])
    },
  )
  test('no files are nothing to fault, and no policy', () => {
    expect(loadPolicy([], { name: 'p', generation: 1 })).toMatchObject({ kind: 'faults' })
  })
  test('whatever text it is given, it never throws', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), fc.json(), (text, json) => {
        for (const each of [text, json, `rules: ${json}`, `rules: [{ allow: ${json}, to: ${json}, on: ${json} }]`]) {
          expect(() => faults(each)).not.toThrow()
        }
      }),
    )
  })
})

describe('what a policy is made of', () => {
  test('no file at all is a fault of the policy by its name', () => {
    expect(loadPolicy([], { name: 'p', generation: 1 })).toEqual({
      kind: 'faults',
      faults: [
        {
          file: 'p',
          line: 1,
          column: 1,
          key: 'rules',
          sentence: 'has no rule in any file of the policy, so nobody could do anything; a policy needs at least one',
        },
      ],
    })
  })
  test('has the name and the generation that it is given', () => {
    const { name, generation } = policyOf(`rules: [${rule}]`)
    expect([name, generation]).toEqual(['p', 1])
  })
  test('gives each user each of its groups once', () => {
    const { groups, memberships } = policyOf(
      `rules: [${rule}]\ngroups: { dev: [alice, bob, alice], ops: [alice], none: [] }`,
    )
    expect([...groups]).toEqual(['dev', 'ops', 'none'])
    expect([...memberships]).toEqual([
      ['alice', ['dev', 'ops']],
      ['bob', ['dev']],
    ])
  })
  test.each(['own', 'Own_2-x', 'o'])('a role may be called %s', (name) => {
    expect(faults(`roles: { ${name}: [pull] }\nrules: [{ allow: ${name}, to: user:a, on: a }]`)).toEqual([])
  })
  test.each(['2own', '-own', 'own!', '" own"'])('a role may not be called %s', (name) => {
    expect(faults(`rules: [${rule}]\nroles: { ${name}: [pull] }`)).toEqual([
      expect.stringContaining('is no name for a role: letters, digits, _ and -'),
    ])
  })
  test.each(['user:alice', 'group:alice', ' alice', 'a:b'])('a member may not be called %j', (name) => {
    expect(faults(`rules: [${rule}]\ngroups: { dev: [${JSON.stringify(name)}] }`)).toHaveLength(1)
  })
  test('of very many roles the first thirty names are told', () => {
    const roles = Array.from({ length: 40 }, (_, index) => `role${String(index)}: [pull]`).join(', ')
    const [told = ''] = faults(`roles: { ${roles} }\nrules: [{ allow: something, to: user:a, on: a }]`)
    expect(told.split('known are ')[1]?.split(', ')).toHaveLength(30)
  })
  test('the rule with which there are too many pairs is named', () => {
    const list = (letter: string, count: number): string =>
      Array.from({ length: count }, (_, index) => `${letter}${String(index)}`).join(', ')
    const full = `- { allow: pull, to: [${list('user:u', 500)}], on: [${list('r', 500)}] }`
    expect(faults(`rules:\n${full}\n- ${rule}\n- ${rule}`)).toEqual([
      'p.yaml:3:3 rules[1]: with this rule there are more than 250000 pairs of a subject and a pattern; use groups and wildcards',
    ])
  })
  test.each([
    ['{ allow: pull, deny: push, to: user:a, on: a, except: user:b }', ['rules[0].deny']],
    ['{ allow: pull, to: user:a, on: a, except: [] }', ['rules[0].except']],
    ['{ to: user:a, on: a, what: 1 }', ['rules[0].what']],
  ])('a rule in a wrong form is told of once: %s', (written, keys) => {
    expect(faults(`rules: [${written}]`).map((line) => line.split(': ')[0]?.split(' ')[1])).toEqual(keys)
  })
})

describe('where tags are protected', () => {
  test('the pattern of repositories is read as everywhere', () => {
    expect(faults(`rules: [${rule}]\nprotectedTags:\n  - { on: A, tags: v* }`)).toEqual([
      'p.yaml:3:7 protectedTags[0].on: A holds "A" at character 1; repository names are in lower case',
    ])
  })
  test('the pattern may hold wildcards, which are no variables', () => {
    expect(faults(`rules: [${rule}]\nprotectedTags:\n  - { on: [a-*, "*-b", "**"], tags: v* }`)).toEqual([])
  })
})

test('an exception that cannot be read is told at its place', () => {
  expect(faults('rules:\n  - { deny: pull, to: authenticated, on: a, except: [user:ci, bob] }')).toEqual([
    'p.yaml:2:63 rules[0].except[1]: bob must be user:NAME, group:NAME, authenticated or anonymous; did you mean user:bob or group:bob?',
  ])
})

test('a group that is called like an entry of a directory is the one that rules name, however it is written', () => {
  const { memberships } = policyOf(`rules: [{ allow: pull, to: 'group:cn=a,dc=c', on: a }]
groups: { 'CN=A, DC=C': [alice] }`)
  expect(memberships.get('alice')).toEqual(['cn=a,dc=c'])
})
