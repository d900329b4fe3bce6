import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { printFinding } from '../../../src/cli/check.ts'
import { checkPolicies } from '../../../src/cli/policy-check.ts'
import { readPolicyCases } from '../../../src/config/policy-cases.ts'
import { createPolicyTerminal } from './policy-terminal.ts'
import type { PolicyTerminal } from './policy-terminal.ts'

const policy = `rules:
  - allow: writer
    to: group:developers
    on: team/**
  - deny: push
    to: authenticated
    except: user:ci
    on: prod/**
    message: releases go through ci
  - allow: pull
    to: [authenticated, anonymous]
    on: public/*
    when: { addresses: [10.0.0.0/8], hours: { from: "09:00", until: "17:00" } }
groups:
  developers: [alice]
`

const holding = `cases:
  - user: alice
    may: [pull, push]
    mayNot: [delete]
    on: [team/app, team/x/y:v1]
  - user: [alice, bob]
    mayNot: push
    on: prod/api:v1
    message: releases go through ci
  - user: bob
    groups: [developers]
    method: htpasswd
    may: push
    on: team/app
  - anonymous: true
    address: 10.1.2.3
    at: 2026-12-01T10:00:00Z
    may: pull
    mayNot: push
    on: public/x
  - anonymous: true
    address: 10.1.2.3
    at: 2026-12-01T19:00:00Z
    mayNot: pull
    on: public/x
`

let terminal: PolicyTerminal
let folder: string
beforeEach(() => {
  terminal = createPolicyTerminal()
  terminal.write('policies/team.yaml', policy)
  folder = join(terminal.folder, 'policies')
})
afterEach(() => {
  terminal.remove()
})

const runTest = (...args: readonly string[]) => terminal.run(['test', '--policies', folder, ...args])

describe('wharfgate policy test', () => {
  test('asks the cases beside the policies', async () => {
    terminal.write('policies/team.cases.yaml', holding)
    expect(await runTest()).toEqual({
      stdout: '12 decisions of 5 cases in 1 file: all as expected\n',
      stderr: '',
      code: 0,
    })
  })

  test('asks the cases that are named, and no others', async () => {
    terminal.write('policies/team.cases.yaml', 'cases: [{ user: bob, may: pull, on: team/app }]')
    const named = terminal.write('named.cases.yaml', 'cases: [{ user: bob, mayNot: pull, on: team/app }]')
    expect(await runTest(named)).toMatchObject({ code: 0, stdout: '1 decision of 1 case in 1 file: all as expected\n' })
    expect(await runTest()).toMatchObject({ code: 1 })
  })

  test('takes for a single policy file the cases with its name', async () => {
    terminal.write('policies/team.cases.yaml', 'cases: [{ user: bob, mayNot: pull, on: team/app }]')
    terminal.write('policies/other.cases.yaml', 'cases: [{ user: bob, may: pull, on: team/app }]')
    const { stdout, code } = await terminal.run(['test', '--policies', join(folder, 'team.yaml')])
    expect(stdout).toBe('1 decision of 1 case in 1 file: all as expected\n')
    expect(code).toBe(0)
  })

  test('prints for each case that fails its place, what was expected, what was decided, and by which rule', async () => {
    const cases = terminal.write(
      'policies/a.cases.yaml',
      `cases:
  - user: bob
    may: pull
    on: team/app
  - user: alice
    mayNot: [delete, push]
    on: team/app
  - user: alice
    may: push
    on: [prod/a:v1, team/app]
  - user: alice
    mayNot: push
    on: prod/a
    message: ask the release team
`,
    )
    const { stdout, code } = await runTest()
    const rules = join(folder, 'team.yaml')
    const writer = `${rules}:2 rules[0]: allow: writer, to: group:developers, on: team/**`
    const denial = `${rules}:5 rules[1]: deny: push, to: authenticated, except: user:ci, on: prod/**, message: "releases go through ci"`
    expect(stdout.split('\n')).toEqual([
      `${cases}:3:5 cases[0].may: pull team/app by bob should be allowed, and is refused since no rule allows it; the nearest, ${writer}, is for group:developers, not for bob`,
      `${cases}:6:22 cases[1].mayNot: push team/app by alice should be refused, and is allowed by ${writer}`,
      `${cases}:9:5 cases[2].may: push prod/a:v1 by alice should be allowed, and is refused by ${denial}`,
      `${cases}:12:5 cases[3].mayNot: push prod/a by alice should be refused with the message "ask the release team", and is refused with "alice may not push to prod/a: releases go through ci" by ${denial}`,
      '6 decisions of 4 cases in 1 file: 4 are not as expected',
      '',
    ])
    expect(code).toBe(1)
  })

  test('tells what protected tags ask for where they are why a case fails', async () => {
    const file = terminal.write(
      'p.yaml',
      'rules: [{ allow: maintainer, to: user:alice, on: a }]\nprotectedTags: [{ on: a, tags: v* }]\n',
    )
    terminal.write('p.cases.yaml', 'cases: [{ user: alice, may: [push, delete], on: a:v1 }]')
    const { stdout } = await terminal.run(['test', '--policies', file])
    expect(stdout).toMatch(
      /delete a:v1 by alice should be allowed, and is refused since no rule allows overwrite, which .*p\.yaml:2 protectedTags\[0\]: on: a, tags: v\* asks for; /,
    )
    expect(stdout).toContain('2 decisions of 1 case in 1 file: 1 is not as expected')
  })

  test('gives no orders to a terminal, whatever stands in the files', async () => {
    terminal.write('policies/a.cases.yaml', 'cases: [{ user: "a\\x9b31m\\u202eb", may: pull, on: team/app }]')
    const { stdout } = await runTest()
    expect(stdout).toContain('pull team/app by a?31m?b should be allowed')
    expect(stdout).not.toMatch(/[\u0080-\u009f\u202e]/)
  })

  test('does not pass where there is nothing to ask', async () => {
    const { stderr, code } = await runTest()
    expect(stderr).toBe(
      `wharfgate: no cases were found; write some in ${folder}/*.cases.yaml, or name their files behind the command\n`,
    )
    expect(code).toBe(2)
  })

  test('asks nothing while a file of cases has faults', async () => {
    terminal.write('policies/a.cases.yaml', 'cases: [{ user: bob, may: pull, on: team/app }]')
    const bad = terminal.write('policies/b.cases.yaml', 'cases: [{ user: bob, may: pul, on: team/app }]')
    expect(await runTest()).toEqual({
      stdout: '',
      stderr: `${bad}:1:22 cases[0].may: pul is no action; did you mean pull?\n`,
      code: 2,
    })
    const nowhere = join(folder, 'nowhere.cases.yaml')
    expect((await runTest(nowhere)).stderr).toBe(`${nowhere}:1:1 document: does not exist (ENOENT)\n`)
  })
})

describe('a file of cases', () => {
  test.each([
    ['', '1:1 cases: is required'],
    ['cases: []', '1:1 cases: must have at least 1 item; got a list of 0'],
    ['cases: [{ user: a, may: pull }]', '1:9 cases[0].on: is required'],
    ['cases: [{ user: a, may: pull, on: 7 }]', '1:31 cases[0].on: has none of the forms allowed here; got a number'],
    ['cases: [{ user: a, may: [pull, pus], on: a }]', '1:32 cases[0].may[1]: pus is no action; did you mean push?'],
    [
      'cases: [{ user: a, mayNot: admin, on: a }]',
      '1:20 cases[0].mayNot: admin is no action; known are pull, push, delete, list, overwrite',
    ],
    [
      'cases: [{ user: a, may: pull, on: [a, A] }]',
      '1:39 cases[0].on[1]: A must be REPOSITORY or REPOSITORY:TAG; a repository is such as team/app, in lower case',
    ],
    [
      'cases: [{ user: a, may: pull, on: a, adress: x }]',
      '1:38 cases[0].adress: unknown key; did you mean cases[].address?',
    ],
    ['cases: [{ may: pull, on: a }]', '1:9 cases[0]: says not who asks; it needs user, or anonymous: true'],
    [
      'cases: [{ user: a, anonymous: true, may: pull, on: a }]',
      '1:20 cases[0].anonymous: stands beside user; make two cases of it',
    ],
    [
      'cases: [{ anonymous: true, groups: [a], may: pull, on: a }]',
      '1:28 cases[0].groups: needs a user, who is in them',
    ],
    ['cases: [{ anonymous: false, may: pull, on: a }]', '1:11 cases[0].anonymous: must be true; got true or false'],
    ['cases: [{ user: a, on: a }]', '1:9 cases[0]: expects nothing; it needs may or mayNot'],
    [
      'cases: [{ user: a, may: pull, mayNot: [push, pull], on: a }]',
      '1:31 cases[0].mayNot: holds pull, which stands in may too; take it out of one of them',
    ],
    [
      'cases: [{ user: a, may: pull, on: a, message: no }]',
      '1:38 cases[0].message: needs mayNot: only who is refused is told',
    ],
    [
      "cases: [{ user: '', may: pull, on: a }]",
      '1:11 cases[0].user: "" is no user name: it must not be empty or hold a colon',
    ],
    [
      'cases: [{ user: a, may: pull, on: a, address: 10.0.0.0/8 }]',
      '1:38 cases[0].address: must be one address, such as 10.1.2.3 or ::1',
    ],
    [
      'cases: [{ user: a, may: pull, on: a, at: 2026-12-01 }]',
      '1:38 cases[0].at: must be an instant with its offset from UTC, such as 2026-12-01T09:00:00Z',
    ],
  ])('%j is at fault: %s', (text, expected) => {
    const reading = readPolicyCases({ file: 'f', text })
    const faults = reading.kind === 'faults' ? reading.faults : []
    expect(faults.map(({ line, column, key, sentence }) => `${line}:${column} ${key}: ${sentence}`)).toEqual([expected])
  })

  test('tells all faults at once', () => {
    const text = 'cases:\n  - user: a:b\n    may: pul\n    on: A\n  - user: a\n    on: 3\n    what: x\n'
    const reading = readPolicyCases({ file: 'f', text })
    const faults = reading.kind === 'faults' ? reading.faults : []
    expect(faults.map(({ line, key }) => `${line} ${key}`)).toEqual([
      '2 cases[0].user',
      '3 cases[0].may',
      '4 cases[0].on',
      '6 cases[1].on',
      '7 cases[1].what',
    ])
  })

  test('asks for a hundred thousand decisions at most', () => {
    const on = Array.from({ length: 1000 }, (_, index) => `r${index}`).join(', ')
    const user = Array.from({ length: 51 }, (_, index) => `u${index}`).join(', ')
    const reading = readPolicyCases({ file: 'f', text: `cases: [{ user: [${user}], may: [pull, push], on: [${on}] }]` })
    expect(reading).toMatchObject({
      kind: 'faults',
      faults: [{ key: 'cases', sentence: 'asks for more than 100000 decisions; make several files of it' }],
    })
  })
})

describe('the check of policies', () => {
  const now = Date.parse('2026-12-01T10:00:00Z')
  const check = async (path = folder) => (await checkPolicies(path, now)).map(printFinding)

  test('finds nothing where all holds, with cases and without', async () => {
    expect(await check()).toEqual([])
    terminal.write('policies/team.cases.yaml', holding)
    expect(await check()).toEqual([])
  })

  test('tells faults of the policy, and leaves its cases alone', async () => {
    terminal.write('policies/x.yaml', 'rules: [{ allow: pul, to: user:a, on: a }]')
    terminal.write('policies/x.cases.yaml', 'cases: [{ user: bob, may: pull, on: team/app }]')
    expect(await check()).toEqual([expect.stringMatching(/x\.yaml:1:11 rules\[0\]\.allow: .*did you mean pull\?$/)])
    expect(await check(join(folder, 'nowhere'))).toEqual([expect.stringContaining('does not exist (ENOENT)')])
  })

  test('tells what is probably not meant as warnings, and cases that do not hold as errors', async () => {
    terminal.write(
      'policies/x.yaml',
      'rules: [{ allow: pull, to: user:a, on: a, when: { notAfter: 2026-01-01T00:00:00Z } }]',
    )
    terminal.write('policies/x.cases.yaml', 'cases: [{ user: a, may: pull, on: a }]')
    terminal.write('policies/y.cases.yaml', 'cases: 7')
    expect(await check()).toEqual([
      expect.stringMatching(/x\.yaml:1:9 .*: warning: /),
      expect.stringContaining('y.cases.yaml:1:1 cases: must be a list; got a number'),
      expect.stringMatching(/x\.cases\.yaml:1:20 cases\[0\]\.may: pull a by a should be allowed, and is refused/),
    ])
    expect((await checkPolicies(folder, now)).map(({ severity }) => severity)).toEqual(['warning', 'error', 'error'])
  })
})
