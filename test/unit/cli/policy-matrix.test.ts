import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { explain } from '../../../src/authorization/explain.ts'
import { loadPolicy } from '../../../src/authorization/load-policy.ts'
import { matrixOf } from '../../../src/cli/policy-matrix.ts'
import { namedPeople, namedTargets } from '../../../src/cli/policy-matrix-axes.ts'
import { actions } from '../../../src/registry/access.ts'
import { createPolicyTerminal } from './policy-terminal.ts'
import type { PolicyTerminal, RunOptions } from './policy-terminal.ts'

let terminal: PolicyTerminal
beforeEach(() => {
  terminal = createPolicyTerminal()
})
afterEach(() => {
  terminal.remove()
})

async function matrix(policy: string, args: readonly string[] = [], options: RunOptions = {}) {
  const file = terminal.write('policy.yaml', policy)
  return terminal.run(['matrix', '--policies', file, ...args], options)
}

/** Cells by repository and person. */
async function cells(policy: string, args: readonly string[] = []): Promise<Readonly<Record<string, string>>> {
  const { stdout } = await matrix(policy, [...args, '--csv'])
  const [head = [], ...rows] = stdout.split('\n').map((line) => line.split(','))
  return Object.fromEntries(
    rows.flatMap(([name = '', ...given]) =>
      given.map((cell, index) => [`${name} ${head[index + 1] ?? ''}`, cell] as const),
    ),
  )
}

const team = `rules:
  - { allow: writer, to: group:developers, on: team/** }
  - { allow: owner, to: user:ci, on: [team/**, base] }
  - { allow: reader, to: anonymous, on: base }
groups:
  developers: [alice]
`

describe('wharfgate policy matrix', () => {
  test('prints whom the policy names, and a repository for each of its patterns', async () => {
    const { stdout, stderr, code } = await matrix(team)
    expect(stdout.split('\n')).toEqual([
      '              alice           ci                               authenticated  anonymous',
      'base          -               pull push delete list overwrite  -              pull list',
      'team/example  pull push list  pull push delete list overwrite  -              -',
      '',
      'the word example stands for any name that a wildcard takes',
      '',
    ])
    expect(stderr).toBe('')
    expect(code).toBe(0)
  })

  test('shows a pattern of users and groups for somebody where the policy names none', async () => {
    const policy = 'rules:\n  - { allow: pull, to: authenticated, on: ["${user}/**", "by-${group}/*"] }\n'
    const shown = await cells(policy)
    expect(shown['somebody-else/example authenticated']).toBe('pull list')
    expect(shown['by-example/example authenticated']).toBe('-')
  })

  test('prints the people and the repositories that are named', async () => {
    const file = terminal.write('repositories.txt', '# two\nteam/b\n\n  team/c:v1\r\n')
    const people = 'alice,group:developers,authenticated,anonymous,user:authenticated'
    const args = ['--users', people, '--repositories', 'base,team/a', '--repositories-file', file]
    expect((await matrix(team, args)).stdout.split('\n')).toEqual([
      '           alice           group:developers  authenticated  anonymous  user:authenticated',
      'base       -               -                 -              pull list  -',
      'team/a     pull push list  pull push list    -              -          -',
      'team/b     pull push list  pull push list    -              -          -',
      'team/c:v1  pull push list  pull push list    -              -          -',
      '',
    ])
  })

  test('parts a table that is wider than the terminal', async () => {
    const args = ['--users', 'alice,bob,ci', '--repositories', 'team/a']
    const { stdout } = await matrix(team, args, { columns: 40 })
    expect(stdout.split('\n')).toEqual([
      '        alice           bob',
      'team/a  pull push list  -',
      '',
      '        ci',
      'team/a  pull push delete list overwrite',
      '',
    ])
    expect((await matrix(team, args, { columns: 1 })).stdout.split('\n')).toHaveLength(9)
  })

  test('shows groups that the policy uses and does not define', async () => {
    const policy = 'rules: [{ allow: pull, to: [group:qa, user:bob], on: a }]\n'
    expect(await cells(policy)).toEqual({
      'a bob': 'pull list',
      'a group:qa': 'pull list',
      'a authenticated': '-',
      'a anonymous': '-',
    })
  })

  test('shows patterns with variables for everybody whom they can stand for', async () => {
    const policy = `rules:
  - { allow: push, to: authenticated, on: 'home/\${user}/**' }
  - { allow: pull, to: group:qa, on: 'teams/\${group}-*' }
groups: { qa: [alice], Ops: [bob, Bob] }
`
    const found = await cells(policy)
    expect(found).toMatchObject({
      'home/alice/example alice': 'push',
      'home/alice/example bob': '-',
      'home/bob/example bob': 'push',
      'teams/qa-example alice': 'pull list',
      'teams/qa-example bob': '-',
    })
    // What can stand in no repository name stands in none.
    expect(Object.keys(found).filter((name) => /Bob\/|Ops/.test(name))).toEqual([])
  })

  test.each([
    [
      'a rule for some tags alone',
      "{ allow: writer, to: user:a, on: r, when: { tags: ['v*'] } }",
      '',
      'pull~ push~ list',
    ],
    ['a rule for every tag', "{ allow: writer, to: user:a, on: r, when: { tags: ['*'] } }", '', 'pull push list'],
    [
      'a denial of some tags',
      "{ allow: maintainer, to: user:a, on: r }, { deny: [push, delete], to: user:a, on: r, when: { tags: ['v*'] } }",
      '',
      'pull push~ delete~ list',
    ],
    [
      'a denial of all',
      '{ allow: maintainer, to: user:a, on: r }, { deny: push, to: user:a, on: r }',
      '',
      'pull delete list',
    ],
    ['protected tags', '{ allow: maintainer, to: user:a, on: r }', "{ on: r, tags: 'v*' }", 'pull push~ delete~ list'],
    [
      'protected tags elsewhere',
      '{ allow: maintainer, to: user:a, on: r }',
      "{ on: x, tags: 'v*' }",
      'pull push delete list',
    ],
    [
      'protected tags of an owner',
      '{ allow: owner, to: user:a, on: r }',
      "{ on: r, tags: 'v*' }",
      'pull push delete list overwrite',
    ],
  ])('marks what is not for every tag: %s', async (_title, rules, protectedTags, expected) => {
    const policy = `rules: [${rules}]\nprotectedTags: [${protectedTags}]\n`
    const found = await cells(policy, ['--users', 'a', '--repositories', 'r'])
    expect(found['r a']).toBe(expected)
    const { stdout } = await matrix(policy, ['--users', 'a', '--repositories', 'r'])
    expect(stdout.includes('\n~ not for every tag')).toBe(expected.includes('~'))
  })

  test.each([
    ['r:v1', 'pull push~ list'],
    ['r:edge', 'pull push delete list'],
    [`r:sha256-${'a'.repeat(64)}.sig`, 'pull push delete list'],
  ])('decides for the tag of %s', async (target, expected) => {
    const policy = "rules: [{ allow: maintainer, to: user:a, on: r }]\nprotectedTags: [{ on: r, tags: '*' }]\n".replace(
      "'*'",
      "['v*', 'sha256-*']",
    )
    expect((await cells(policy, ['--users', 'a', '--repositories', target]))[`${target} a`]).toBe(expected)
  })

  test('decides for an address and a time, and says where they are wanting', async () => {
    const policy = `rules:
  - { allow: pull, to: anonymous, on: a, when: { addresses: [10.0.0.0/8], hours: { from: "09:00", until: "10:00" } } }
`
    const at = ['--at', '2026-12-01T09:30:00Z']
    expect((await cells(policy, [...at, '--address', '10.1.1.1']))['a anonymous']).toBe('pull list')
    expect((await cells(policy, ['--at', '2026-12-01T10:30:00Z', '--address', '10.1.1.1']))['a anonymous']).toBe('-')
    expect((await cells(policy, at))['a anonymous']).toBe('-')
    const { stdout } = await matrix(policy)
    expect(stdout).toContain(
      'some rules ask for the address of the client, which is not known; name one with --address',
    )
    expect(stdout).toContain('some rules ask for the time, which is now; name another with --at')
    expect((await matrix(policy, [...at, '--address', '::1'])).stdout).not.toContain('some rules')
  })

  test('prints JSON', async () => {
    const { stdout } = await matrix(team, ['--users', 'alice', '--repositories', 'team/a:v1', '--json'])
    expect(JSON.parse(stdout)).toEqual({
      users: ['alice'],
      repositories: [
        {
          repository: 'team/a',
          tag: 'v1',
          may: { alice: { pull: 'all', push: 'all', delete: 'none', list: 'all', overwrite: 'none' } },
        },
      ],
    })
  })

  test('quotes names in CSV that hold a comma or a quotation mark', async () => {
    const policy = `rules: [{ allow: pull, to: ['user:a,"b'], on: a }]`
    expect((await matrix(policy, ['--csv'])).stdout).toMatch(/^,"""a,\\""b""",authenticated,anonymous\n/)
  })

  test('shows two hundred examples at most, and says how many more there are', async () => {
    const on = Array.from({ length: 203 }, (_, index) => `r${index}`).join(', ')
    const { stdout } = await matrix(`rules: [{ allow: pull, to: user:a, on: [${on}] }]`)
    expect(stdout).toContain('3 more patterns are not shown; name repositories with --repositories')
    expect(stdout.split('\n').filter((line) => /^r\d/.test(line))).toHaveLength(200)
  })

  test('prints more repositories than a call has room for arguments', async () => {
    const names = Array.from({ length: 200_000 }, (_, index) => `r${index}`).join('\n')
    const file = terminal.write('many.txt', names)
    const { stdout } = await matrix(team, ['--users', 'alice', '--repositories-file', file])
    expect(stdout.split('\n')).toHaveLength(200_002)
  })

  test('tells twenty of the names that cannot be read, and how many more there are', async () => {
    const file = terminal.write('wrong.txt', 'A\n'.repeat(25))
    const { stderr } = await matrix(team, ['--repositories-file', file])
    expect(stderr.split('\n')).toHaveLength(22)
    expect(stderr).toMatch(/: 5 more names cannot be read\n$/)
  })

  test.each([
    [['--users', 'al:ice'], /--users: "al:ice" must be user:NAME/],
    [['--users', ''], /--users: "" must have a name/],
    [['--repositories', 'a,B'], /--repositories: "B" must be REPOSITORY/],
    [['--repositories-file', '/nowhere/at-all'], /--repositories-file: \/nowhere\/at-all does not exist \(ENOENT\)/],
  ])('refuses %j with exit code 2', async (args, expected) => {
    const { stdout, stderr, code } = await matrix(team, args)
    expect(stderr).toMatch(expected)
    expect(stdout).toBe('')
    expect(code).toBe(2)
  })
})

describe('a cell of the matrix', () => {
  const tags = fc.option(fc.constantFrom(['v*'], ['*'], ['edge']), { nil: undefined })
  const rule = fc.record({
    effect: fc.constantFrom('allow', 'allow', 'deny'),
    actions: fc.uniqueArray(fc.constantFrom(...actions), { minLength: 1 }),
    to: fc.constantFrom('user:alice', 'group:qa', 'authenticated', 'anonymous'),
    on: fc.constantFrom('a', 'a/*', '**'),
    tags,
  })
  const policies = fc.record({ rules: fc.array(rule, { minLength: 1, maxLength: 6 }), protectedTags: fc.boolean() })

  test('says what explain says', () => {
    const people = namedPeople('alice,group:qa,bob,anonymous', 'htpasswd')
    const targets = namedTargets(['a', 'a:v1', 'a/b', 'a/b:edge'], 'here')
    const circumstances = { address: '10.1.2.3', now: 0, ownHosts: new Set<string>() }
    fc.assert(
      fc.property(policies, ({ rules, protectedTags }) => {
        const text = JSON.stringify({
          rules: rules.map(({ effect, actions, to, on, tags }) => ({ [effect]: actions, to, on, when: { tags } })),
          protectedTags: protectedTags ? [{ on: 'a', tags: 'v*' }] : [],
        })
        const load = loadPolicy([{ file: 'p', text }], { name: 'p', generation: 1 })
        if (load.kind === 'faults') throw new Error(JSON.stringify(load.faults))
        for (const { target, cells } of matrixOf(load.policy, people, targets, circumstances)) {
          for (const [index, { principal }] of people.entries()) {
            for (const action of actions) {
              const extent = cells[index]?.[action]
              const { kind } = explain(load.policy, principal, { action, ...target }, circumstances)
              // By digest, a deletion can reach every tag; otherwise what names none is asked about.
              const isForAll = target.tag === undefined && (action === 'delete' || action === 'overwrite')
              expect([action, target, isForAll ? extent === 'all' : extent !== 'none']).toEqual([
                action,
                target,
                kind === 'allowed',
              ])
            }
          }
        }
      }),
      { numRuns: 300 },
    )
  })
})
