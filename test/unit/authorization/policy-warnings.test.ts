import { describe, expect, test } from '@jest/globals'
import { loadPolicy } from '../../../src/authorization/load-policy.ts'
import { printFault } from '../../../src/authorization/policy-store.ts'
import { policyWarnings } from '../../../src/authorization/policy-warnings.ts'
import { policyOf } from '../../support/policy-text.ts'

describe('what is probably not meant, in several files', () => {
  test('is told file by file, each in its order', () => {
    const text = 'rules:\n- { allow: pull, to: [group:x, user:a], on: a }\n- { allow: push, to: group:y, on: b }'
    const load = loadPolicy(
      ['b.yaml', 'a.yaml'].map((file) => ({ file, text })),
      { name: 'p', generation: 1 },
    )
    if (load.kind === 'faults') throw new Error('it is a policy')
    expect(policyWarnings(load.policy, 0).map(({ file, line, key }) => `${file}:${String(line)} ${key}`)).toEqual([
      'a.yaml:2 rules[0].to',
      'a.yaml:3 rules[1].to',
      'b.yaml:2 rules[0].to',
      'b.yaml:2 rules[0]',
      'b.yaml:3 rules[1].to',
      'b.yaml:3 rules[1]',
    ])
  })
  test('is told of the first file first, whatever is wrong with it', () => {
    const twice = '- { allow: pull, to: user:a, on: a }\n'.repeat(2)
    const load = loadPolicy(
      [
        { file: 'a.yaml', text: `rules:\n${twice}` },
        { file: 'b.yaml', text: 'rules: [{ allow: push, to: group:x, on: b }]' },
      ],
      { name: 'p', generation: 1 },
    )
    if (load.kind === 'faults') throw new Error('it is a policy')
    expect(policyWarnings(load.policy, 0).map(({ file, key }) => `${file} ${key}`)).toEqual([
      'a.yaml rules[1]',
      'b.yaml rules[0].to',
    ])
  })
})

describe('what is probably not meant', () => {
  const now = Date.parse('2026-11-21T00:00:00Z')
  const warnings = (text: string): readonly string[] => policyWarnings(policyOf(text), now).map(printFault)
  test('of two that say the same the later is told, wherever they stand', () => {
    const same = '{ allow: pull, to: user:a, on: a }'
    expect(warnings(`rules:\n- { allow: pull, to: user:b, on: b }\n- ${same}\n- ${same}`)).toEqual([
      covered(2, 4, 'p.yaml:3 rules[1]'),
    ])
  })
  const covered = (index: number, line: number, by: string): string =>
    `p.yaml:${String(line)}:3 rules[${String(index)}]: changes nothing, since ${by} says the same or more`
  const denied = (index: number, line: number, by: string): string =>
    `p.yaml:${String(line)}:3 rules[${String(index)}]: allows nothing, since ${by} denies all of it`

  test.each<[string, readonly string[], readonly string[]]>([
    [
      'twice the same',
      ['{ allow: pull, to: user:a, on: a }', '{ allow: pull, to: user:a, on: a }'],
      [covered(1, 3, 'p.yaml:2 rules[0]')],
    ],
    [
      'a wider one after it',
      ['{ allow: pull, to: user:a, on: a/b }', '{ allow: reader, to: authenticated, on: a/** }'],
      [covered(0, 2, 'p.yaml:3 rules[1]')],
    ],
    [
      'a wider one before it',
      ['{ allow: writer, to: [user:a, user:b], on: "**" }', '{ allow: [push, pull], to: user:a, on: [a, b/*] }'],
      [covered(1, 3, 'p.yaml:2 rules[0]')],
    ],
    [
      'a wider role, but another subject',
      ['{ allow: writer, to: user:b, on: "**" }', '{ allow: pull, to: user:a, on: a }'],
      [],
    ],
    [
      'a wider pattern, but a smaller role',
      ['{ allow: pull, to: user:a, on: "**" }', '{ allow: push, to: user:a, on: a }'],
      [],
    ],
    [
      'half of it',
      ['{ allow: pull, to: user:a, on: a }', '{ allow: pull, to: user:a, on: [a, b] }'],
      [covered(0, 2, 'p.yaml:3 rules[1]')],
    ],
    [
      'two halves',
      [
        '{ allow: pull, to: user:a, on: a }',
        '{ allow: pull, to: user:a, on: b }',
        '{ allow: pull, to: user:a, on: c }',
      ],
      [],
    ],
    [
      'a member of a group',
      ['{ allow: pull, to: group:g, on: a }', '{ allow: pull, to: user:alice, on: a }'],
      [covered(1, 3, 'p.yaml:2 rules[0]')],
    ],
    [
      'a denial',
      ['{ allow: push, to: user:a, on: a/b }', '{ deny: writer, to: authenticated, on: a/* }'],
      [denied(0, 2, 'p.yaml:3 rules[1]')],
    ],
    [
      'a denial with an exception',
      ['{ allow: push, to: user:a, on: a/b }', '{ deny: writer, to: authenticated, except: user:ci, on: a/* }'],
      [],
    ],
    [
      'a denial under a condition',
      ['{ allow: push, to: user:a, on: a }', '{ deny: push, to: user:a, on: a, when: { tags: [v1] } }'],
      [],
    ],
    [
      'a denial under the same condition of tags',
      [
        '{ allow: push, to: user:a, on: a, when: { tags: [v1] } }',
        '{ deny: push, to: user:a, on: a, when: { tags: [v1] } }',
      ],
      [],
    ],
    [
      'a denial under the same condition',
      [
        '{ allow: push, to: user:a, on: a, when: { addresses: [10.0.0.0/8] } }',
        '{ deny: push, to: user:a, on: a, when: { addresses: [10.0.0.0/8] } }',
      ],
      [denied(0, 2, 'p.yaml:3 rules[1]')],
    ],
    [
      'a condition that the wider one has not',
      ['{ allow: push, to: user:a, on: a, when: { tags: [v1] } }', '{ allow: push, to: user:a, on: "*" }'],
      [covered(0, 2, 'p.yaml:3 rules[1]')],
    ],
    [
      'another condition',
      [
        '{ allow: push, to: user:a, on: a, when: { tags: [v1] } }',
        '{ allow: push, to: user:a, on: a, when: { tags: [v2] } }',
      ],
      [],
    ],
    [
      'denials with the same exceptions',
      [
        '{ deny: push, to: authenticated, except: [user:a, user:b], on: a }',
        '{ deny: push, to: authenticated, except: [user:b, user:a], on: "*" }',
      ],
      [covered(0, 2, 'p.yaml:3 rules[1]')],
    ],
    [
      'anonymous is not authenticated',
      ['{ allow: pull, to: anonymous, on: a }', '{ allow: pull, to: authenticated, on: a }'],
      [],
    ],
    [
      'its time is over',
      ['{ allow: pull, to: user:a, on: a, when: { notAfter: 2026-11-20T23:59:59Z } }'],
      ['p.yaml:2:3 rules[0].when.notAfter: is over since 2026-11-20T23:59:59.000Z; the rule does nothing any more'],
    ],
    ['its time ends now', ['{ allow: pull, to: user:a, on: a, when: { notAfter: 2026-11-21T00:00:00Z } }'], []],
    [
      'an unknown group',
      ['{ allow: pull, to: group:nowhere, on: a }'],
      ['p.yaml:2:3 rules[0].to: group:nowhere is defined in no file of the policy; only a login can bring it'],
    ],
    [
      'a mistyped group',
      ['{ deny: pull, to: authenticated, except: group:admisn, on: a }'],
      ['p.yaml:2:3 rules[0].except: group:admisn is defined in no file of the policy; did you mean group:admins?'],
    ],
    [
      'variables for nobody',
      ['{ allow: pull, to: anonymous, on: ["${user}/a", b] }'],
      ['p.yaml:2:3 rules[0].on: ${user}/a matches nothing, since anonymous has neither a name nor groups'],
    ],
    ['variables for somebody', ['{ allow: pull, to: [anonymous, authenticated], on: "${user}/a" }'], []],
    [
      'a wider rule for one of its actions alone',
      ['{ allow: pull, to: user:a, on: "**" }', '{ allow: [pull, push], to: user:a, on: a }'],
      [],
    ],
    [
      'a wider rule for one of its subjects alone',
      ['{ allow: pull, to: user:a, on: "**" }', '{ allow: pull, to: [user:a, user:b], on: a }'],
      [],
    ],
    [
      'a group, all of whose members have logged in',
      ['{ allow: pull, to: group:g, on: a }', '{ allow: pull, to: authenticated, on: a }'],
      [covered(0, 2, 'p.yaml:3 rules[1]')],
    ],
    [
      'a denial with an exception beside one without',
      [
        '{ deny: push, to: authenticated, except: user:a, on: a }',
        '{ deny: push, to: authenticated, on: a }',
        '{ allow: pull, to: user:b, on: b }',
      ],
      [covered(0, 2, 'p.yaml:3 rules[1]')],
    ],
    [
      'denials with different exceptions',
      [
        '{ deny: push, to: authenticated, except: user:a, on: a }',
        '{ deny: push, to: authenticated, except: user:b, on: "*" }',
      ],
      [],
    ],
    [
      'the same under a condition, and then without one',
      ['{ allow: push, to: user:a, on: a, when: { tags: [v1] } }', '{ allow: push, to: user:a, on: a }'],
      [covered(0, 2, 'p.yaml:3 rules[1]')],
    ],
    [
      'the same under a condition of tags',
      [
        '{ allow: push, to: user:a, on: a, when: { tags: [v1] } }',
        '{ allow: push, to: user:a, on: a, when: { tags: [v1] } }',
      ],
      [covered(1, 3, 'p.yaml:2 rules[0]')],
    ],
    [
      'conditions without anything in them, which are none',
      ['{ allow: push, to: user:a, on: a, when: {} }', '{ allow: push, to: user:a, on: a }'],
      [covered(1, 3, 'p.yaml:2 rules[0]')],
    ],
    [
      'the same days in another order',
      [
        '{ allow: push, to: user:a, on: a, when: { hours: { days: [mon, tue] } } }',
        '{ allow: push, to: user:a, on: a, when: { hours: { days: [tue, mon] } } }',
      ],
      [covered(1, 3, 'p.yaml:2 rules[0]')],
    ],
    [
      'other days',
      [
        '{ allow: push, to: user:a, on: a, when: { hours: { days: [mon] } } }',
        '{ allow: push, to: user:a, on: a, when: { hours: { days: [tue] } } }',
      ],
      [],
    ],
  ])('%s', (_name, rules, expected) => {
    const text = `rules:\n${rules.map((each) => `- ${each}`).join('\n')}\ngroups: { g: [alice], admins: [] }`
    expect(warnings(text)).toEqual(expected)
  })
  test('thousands of rules that all say the same are found quickly', () => {
    const text = `rules:\n${'- { allow: pull, to: user:a, on: a }\n'.repeat(2_000)}`
    const started = process.cpuUsage()
    expect(warnings(text)).toHaveLength(1_999)
    expect(process.cpuUsage(started).user / 1_000).toBeLessThan(5_000)
  })
})

describe('the rules that are compared', () => {
  const incomplete = 'p.yaml:2:3 rules[0]: and others overlap so much that not all of them were compared'
  const compared = (rules: readonly string[], most: number): readonly string[] =>
    policyWarnings(policyOf(`rules:\n${rules.map((each) => `- ${each}\n`).join('')}`), 0, most).map(printFault)
  const on = (...patterns: string[]): string => `{ allow: pull, to: user:a, on: [${patterns.join(', ')}] }`
  const to = (...subjects: string[]): string => `{ allow: pull, to: [${subjects.join(', ')}], on: a }`

  test('are so many pairs at most, and what was left out is told of', () => {
    const rules = [on('x'), on('a'), on('a')]
    expect(compared(rules, 1)).toEqual([incomplete])
    expect(compared(rules, 3)).toEqual([
      'p.yaml:4:3 rules[2]: changes nothing, since p.yaml:3 rules[1] says the same or more',
    ])
  })
  test.each([
    ['alone at the pattern that it begins with', [on('x', 'a'), on('y', 'a'), on('z', 'a')]],
    ['alone at the pattern that it ends with', [on('a', 'x'), on('a', 'y'), on('a', 'z')]],
    ['alone for a subject', [to('user:a', 'user:x'), to('user:a', 'user:y'), to('user:a', 'user:z')]],
  ])('are none with a rule that stands %s', (_name, rules) => {
    expect(compared(rules, 1)).toEqual([])
  })
  test.each([
    ['patterns', ['x', 'y', 'z'].map((own) => on('a', 'b', 'c', 'd', 'e', own))],
    ['subjects', ['x', 'y', 'z'].map((own) => to('user:a', 'user:b', 'user:c', 'user:d', 'user:e', `user:${own}`))],
  ])('are chosen by the first five %s of a rule', (_name, rules) => {
    expect(compared(rules, 1)).toEqual([incomplete])
  })
})

test('a rule that several others cover between them is not covered by one of them', () => {
  const policy = policyOf(`rules:
- { allow: pull, to: user:a, on: "**" }
- { allow: pull, to: user:b, on: "**" }
- { allow: pull, to: [user:a, user:b], on: a }`)
  expect(policyWarnings(policy, 0)).toEqual([])
})
