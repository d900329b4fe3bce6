import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { createPolicyTerminal } from './policy-terminal.ts'
import type { PolicyTerminal } from './policy-terminal.ts'

const policy = `rules:
  - allow: [writer]
    to: group:developers
    on: team/**
  - allow: owner
    to: user:ci
    on: [prod/**, team/**]
  - deny: push
    to: [authenticated, anonymous]
    except: user:ci
    on: prod/**
    message: releases go through ci
  - allow: pull
    to: [authenticated, anonymous]
    on: public/*
    when:
      addresses: [10.0.0.0/8]
      hours: { from: "09:00", until: "17:00" }
groups:
  developers: [alice]
protectedTags:
  - on: [prod/**, team/**]
    tags: [v*]
`

let terminal: PolicyTerminal
let file: string
beforeEach(() => {
  terminal = createPolicyTerminal()
  file = terminal.write('policies/team.yaml', policy)
})
afterEach(() => {
  terminal.remove()
})

const explain = (...args: readonly string[]) => terminal.run(['explain', '--policies', file, ...args])

const writerRule = (): string => `${file}:2 rules[0]: allow: [writer], to: group:developers, on: team/**`
const ownerRule = (): string => `${file}:5 rules[1]: allow: owner, to: user:ci, on: [prod/**, team/**]`
const protection = (): string => `${file}:22 protectedTags[0]: on: [prod/**, team/**], tags: [v*]`

describe('wharfgate policy explain', () => {
  test('names the rule that allows, with its place and its text', async () => {
    expect(await explain('--user', 'alice', 'push', 'team/app')).toEqual({
      stdout: `allowed: alice may push team/app\n  by ${writerRule()}\n`,
      stderr: '',
      code: 0,
    })
  })

  test('prints what the client is told, and the rule that denies', async () => {
    const { stdout, code } = await explain('--user', 'alice', 'push', 'prod/app:v1')
    expect(stdout.split('\n')).toEqual([
      'refused: alice may not push to prod/app: releases go through ci',
      `  by ${file}:8 rules[2]: deny: push, to: [authenticated, anonymous], except: user:ci, on: prod/**, message: "releases go through ci"`,
      '',
    ])
    expect(code).toBe(1)
  })

  test('prints the rules that almost allow, and what each lacks', async () => {
    const { stdout, code } = await explain('--user', 'bob', 'delete', 'team/app:x')
    expect(stdout.split('\n')).toEqual([
      'refused: bob may not delete from team/app',
      '  by no rule: none allows it',
      'nearest:',
      `  ${ownerRule()}`,
      '    is for user:ci, not for bob',
      `  ${writerRule()}`,
      '    is for group:developers, not for bob, and allows pull, push, list, not delete',
      '',
    ])
    expect(code).toBe(1)
  })

  test('says that a protected tag may be created and not moved', async () => {
    const { stdout, code } = await explain('--user', 'alice', 'push', 'team/app:v1')
    expect(stdout).toContain(`  may create the protected tag v1, but not move it once it is there: ${protection()}\n`)
    expect(code).toBe(0)
    const ofOwner = await explain('--user', 'ci', 'push', 'team/app:v1')
    expect(ofOwner.stdout).toContain(`  may move the protected tag v1 too: ${protection()}\n`)
    expect((await explain('--user', 'alice', 'push', 'team/app:edge')).stdout).not.toContain('protected')
  })

  test('prints each access that deleting among protected tags needs', async () => {
    const { stdout } = await explain('--user', 'ci', 'delete', 'team/app')
    expect(stdout.split('\n')).toEqual([
      'allowed: ci may delete team/app',
      `  delete: by ${ownerRule()}`,
      `  overwrite: by ${ownerRule()}`,
      `  overwrite is needed by ${protection()}`,
      '',
    ])
  })

  test.each([
    [['--user', 'bob', '--group', 'developers', 'pull', 'team/app'], 0],
    [['--user', 'bob', '--group', 'x', '--group', 'developers', 'pull', 'team/app'], 0],
    [['--user', 'bob', '--group', 'x', 'pull', 'team/app'], 1],
    [['--anonymous', '--address', '10.1.2.3', '--at', '2026-12-01T10:00:00Z', 'pull', 'public/x'], 0],
    [['--anonymous', '--address', '11.1.2.3', '--at', '2026-12-01T10:00:00Z', 'pull', 'public/x'], 1],
    [['--anonymous', '--address', '10.1.2.3', '--at', '2026-12-01T18:00:00Z', 'pull', 'public/x'], 1],
    [['--anonymous', '--address', '10.1.2.3', '--at', '2026-12-01T18:00:00+02:00', 'pull', 'public/x'], 0],
    [['--anonymous', '--at', '2026-12-01T10:00:00Z', 'pull', 'public/x'], 1],
    [['--user', 'bob', '--method', 'htpasswd', 'list', 'team/app'], 1],
    [['--user', 'alice', 'list', 'team/app'], 0],
    [['--user', 'alice', 'overwrite', 'team/app:v1'], 1],
    [['--user', 'ci', 'overwrite', 'team/app:v1'], 0],
  ])('%j ends with %d', async (args, expected) => {
    expect((await explain(...args)).code).toBe(expected)
  })

  test('advises to name the address where a rule asks for it', async () => {
    const note = 'note: the address of the client may decide here; name it with --address ADDRESS\n'
    const at = ['--at', '2026-12-01T10:00:00Z']
    expect((await explain('--anonymous', ...at, 'pull', 'public/x')).stdout).toContain(note)
    expect((await explain('--anonymous', ...at, '--address', '10.1.2.3', 'pull', 'public/x')).stdout).not.toContain(
      note,
    )
  })

  test('prints everything as one JSON object', async () => {
    const { stdout, code } = await explain('--user', 'bob', '--group', 'qa', '--json', 'delete', 'team/app:x')
    const report: unknown = JSON.parse(stdout)
    expect(report).toMatchObject({
      decision: 'refused',
      principal: { kind: 'user', name: 'bob', groups: ['qa'], method: 'htpasswd' },
      action: 'delete',
      repository: 'team/app',
      tag: 'x',
      sentence: 'bob may not delete from team/app',
      reasons: [{ action: 'delete', verdict: 'unmatched', rule: null, protection: null }],
      mayMoveTag: null,
      nearest: [{ rule: { file, line: 5, index: 1 }, missing: [{ kind: 'subject' }], message: null }, {}],
      notes: [],
    })
    expect(stdout.indexOf('\n')).toBe(stdout.length - 1)
    expect(code).toBe(1)
  })

  test('gives no orders to a terminal, whatever somebody is called', async () => {
    const { stdout } = await explain('--user', 'a\u001b[31mb', 'pull', 'team/app')
    expect(stdout).toMatch(/^refused: a\?\[31mb may not pull from team\/app\n/)
    expect(stdout).not.toContain('\u001b')
  })

  test('cuts long lists of a rule short', async () => {
    const users = Array.from({ length: 20 }, (_, index) => `user:u${index}`)
    const long = terminal.write('long.yaml', `rules:\n  - {allow: pull, to: [${users.join(', ')}], on: '**'}\n`)
    const { stdout } = await terminal.run(['explain', '--policies', long, '--user', 'u3', 'pull', 'a'])
    expect(stdout).toContain('user:u7, 12 more], on: **')
  })

  test.each([
    [['pull', 'a'], /who asks\? name a user with --user NAME, or say --anonymous/],
    [['--anonymous', '--user', 'alice', 'pull', 'a'], /--anonymous is somebody without a login/],
    [['--anonymous', '--group', 'developers', 'pull', 'a'], /--anonymous is somebody without a login/],
    [['--user', 'a:b', 'pull', 'a'], /--user: a user name is neither empty nor holds a colon/],
  ])('refuses %j with exit code 2', async (args, expected) => {
    const { stdout, stderr, code } = await explain(...args)
    expect(stderr).toMatch(expected)
    expect(stdout).toBe('')
    expect(code).toBe(2)
  })

  test.each([
    [['--user', 'alice', 'pul', 'team/app'], /'pul' is invalid.*Allowed choices are pull, push/],
    [['--user', 'alice', 'pull', 'localhost:5000/app'], /without the host of the registry/],
    [['--user', 'alice', 'pull', 'Team/app'], /a repository is such as team\/app, in lower case/],
    [['--user', 'alice', 'pull', 'team/app:-x'], /a tag has at most 128/],
    [['--user', 'alice', 'pull', 'team/app:'], /a tag has at most 128/],
    [['--user', 'alice', 'pull', 'a:b:c'], /must be REPOSITORY or REPOSITORY:TAG/],
    [['--user', 'alice', 'pull', 'team/app@sha256:00'], /names a digest; leave it out/],
    [['--user', 'alice', '--address', '10.0.0.0/8', 'pull', 'a'], /must be one address/],
    [['--user', 'alice', '--at', 'tomorrow', 'pull', 'a'], /must be an instant with its offset/],
    [['--user', 'alice', '--at', '2026-12-01T10:00:00', 'pull', 'a'], /must be an instant with its offset/],
    [['--user', 'alice', '--method', 'guess', 'pull', 'a'], /Allowed choices are htpasswd/],
    [['--user', 'alice', 'pull'], /missing required argument/],
  ])('does not understand %j', async (args, expected) => {
    await expect(explain(...args)).rejects.toThrow(expected)
  })

  test('tells all faults of a policy with their places', async () => {
    const bad = terminal.write('bad.yaml', 'rules:\n  - {allow: pul, to: user:a, on: a}\n  - {allow: pull, on: A}\n')
    const { stderr, code } = await terminal.run(['explain', '--policies', bad, '--user', 'alice', 'pull', 'a'])
    expect(stderr).toMatch(/bad\.yaml:2:\d+ rules\[0\]\.allow: .*did you mean pull\?\n/)
    expect(stderr).toMatch(/bad\.yaml:3:\d+ rules\[1\]\.to: is required\n/)
    expect(code).toBe(2)
  })

  test('tells that a policy is not there', async () => {
    const nowhere = join(terminal.folder, 'nowhere')
    const { stderr, code } = await terminal.run(['explain', '--policies', nowhere, '--user', 'alice', 'pull', 'a'])
    expect(stderr).toBe(`${nowhere}:1:1 document: does not exist (ENOENT); name the file or folder of the policies\n`)
    expect(code).toBe(2)
  })

  test('needs no configuration where policies are named, and says so where there is none', async () => {
    const { stderr, code } = await terminal.run(['explain', '--user', 'alice', 'pull', 'a'])
    expect(stderr).toMatch(/WHARFGATE_UPSTREAM_URL upstream\.url: is required\n/)
    expect(stderr).toMatch(/or policies with --policies PATH\n$/)
    expect(code).toBe(2)
  })

  test('takes the policies of a configuration, relative to it', async () => {
    const { stdout, code } = await terminal.run([
      ...['explain', '--config', configuration(), '--user', 'alice', 'push', 'team/app'],
    ])
    expect(stdout).toBe(`allowed: alice may push team/app\n  by ${writerRule()}\n`)
    expect(code).toBe(0)
  })

  test('refuses who has not logged in where the configuration lets nobody in without', async () => {
    const asked = ['--anonymous', '--address', '10.1.2.3', '--at', '2026-12-01T10:00:00Z', 'pull', 'public/x']
    const closed = await terminal.run(['explain', '--config', configuration(), ...asked])
    expect(closed.stdout).toMatch(/^refused: anonymous may not pull from public\/x\n/)
    expect(closed.stdout).toContain('note: authentication.anonymous.enabled is false')
    expect(closed.code).toBe(1)
    const open = await terminal.run(['explain', '--config', configuration('  anonymous: { enabled: true }'), ...asked])
    expect(open.stdout).toMatch(/^allowed/)
    expect(open.code).toBe(0)
  })
})

function configuration(more = ''): string {
  return terminal.write(
    'wharfgate.yaml',
    `publicUrls: [https://registry.example.org]
upstream: { url: http://127.0.0.1:5000 }
tls: { certificateFile: tls.crt, keyFile: tls.key }
authentication:
  htpasswd: { enabled: true, file: htpasswd }
${more}
`,
  )
}
