/** The commands about policies as they are installed, and their replay of what a gateway really wrote. */
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { writePolicy } from '../support/policies.ts'
import { run } from '../support/processes.ts'
import type { RunResult } from '../support/processes.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'
import { until } from '../support/until.ts'

const executable = join(import.meta.dirname, '..', '..', 'bin', 'wharfgate.js')
const digest = `sha256:${'ab'.repeat(32)}`

const policy = `rules:
  - allow: writer
    to: group:developers
    on: team/**
  - allow: reader
    to: [user:bob, user:ci]
    on: team/**
groups:
  developers: [alice]
`

let upstream: RecordingUpstream
let gateway: TestGateway
beforeEach(async () => {
  upstream = await startRecordingUpstream()
  gateway = await startGateway({ upstreamUrl: upstream.url, policy })
})
afterEach(async () => {
  await gateway.stop()
  await upstream.close()
})

/** Runs `wharfgate policy`, with the configuration of the gateway behind it. */
function ask(...args: readonly string[]): Promise<RunResult> {
  const command = [...args, '--config', join(gateway.directory, 'wharfgate.json')]
  return run(process.execPath, [executable, 'policy', ...command], { env: {}, cwd: gateway.directory })
}

describe('wharfgate policy', () => {
  test('explains what the gateway decides, by its own configuration', async () => {
    const file = join(gateway.directory, 'policies', 'default.yaml')
    expect(await ask('explain', '--user', 'alice', 'push', 'team/app')).toEqual({
      code: 0,
      stdout: `allowed: alice may push team/app\n  by ${file}:2 rules[0]: allow: writer, to: group:developers, on: team/**\n`,
      stderr: '',
    })
    const refused = await ask('explain', '--user', 'bob', 'push', 'team/app')
    expect(refused.code).toBe(1)
    const [told = ''] = refused.stdout.split('\n')
    const response = await gateway.as('bob', { method: 'POST', path: '/v2/team/app/blobs/uploads/' })
    expect(response.status).toBe(403)
    expect(response.body).toContain(told.replace('refused: ', ''))
  })

  test('tests cases beside the policies', async () => {
    writePolicy(gateway.directory, 'cases: [{ user: alice, may: push, on: team/a }]\n', 'team.cases.yaml')
    expect(await ask('test')).toMatchObject({ code: 0, stderr: '' })
    writePolicy(gateway.directory, 'cases: [{ user: bob, may: push, on: team/a }]\n', 'team.cases.yaml')
    const { code, stdout } = await ask('test')
    expect(stdout).toMatch(
      /team\.cases\.yaml:1:22 cases\[0\]\.may: push team\/a by bob should be allowed, and is refused/,
    )
    expect(code).toBe(1)
  })

  test('prints a matrix without colours where there is no terminal', async () => {
    const { code, stdout } = await ask('matrix', '--repositories', 'team/a')
    expect(stdout.split('\n')).toEqual([
      '        alice           bob        ci         authenticated  anonymous',
      'team/a  pull push list  pull list  pull list  -              -',
      '',
    ])
    expect(code).toBe(0)
  })

  test.each([
    ['explain'],
    ['explain --user alice pul a'],
    ['explain --user alice pull A'],
    ['explain pull a'],
    ['matrix --users a:b'],
    ['replay --audit nowhere.log'],
    ['replay --limit all'],
    ['test nowhere.cases.yaml'],
    ['test --what'],
    ['explain --policies nowhere --user alice pull a'],
  ])('ends with 2 and one reason: %s', async (words) => {
    const { code, stdout, stderr } = await ask(...words.split(' '))
    expect(stderr).not.toBe('')
    expect(stderr).not.toMatch(/\n\s+at /)
    expect(stdout).toBe('')
    expect(code).toBe(2)
  })

  test('ends in peace when nobody reads on', async () => {
    const names = Array.from({ length: 4_000 }, (_, index) => `team/application-${index}`).join('\n')
    writePolicy(gateway.directory, names, 'names.txt')
    const config = join(gateway.directory, 'wharfgate.json')
    const list = join(gateway.directory, 'policies', 'names.txt')
    const matrix = `"$0" "$1" policy matrix --config "${config}" --repositories-file "${list}" | head -n 1`
    const { stdout, stderr } = await run('sh', ['-c', matrix, process.execPath, executable], { env: process.env })
    expect(stdout).toMatch(/^ +alice/)
    expect(stderr).toBe('')
  })
})

describe('wharfgate policy replay of what the gateway wrote', () => {
  const requests = [
    ['alice', 'GET', '/v2/'],
    ['alice', 'GET', '/v2/team/app/manifests/v1'],
    ['alice', 'HEAD', `/v2/team/app/blobs/${digest}`],
    ['alice', 'POST', `/v2/team/app/blobs/uploads/?mount=${digest}&from=team/base`],
    ['alice', 'POST', `/v2/team/app/blobs/uploads/?mount=${digest}&from=elsewhere`],
    ['alice', 'PUT', '/v2/team/app/manifests/v1'],
    ['alice', 'PUT', `/v2/team/app/manifests/${digest}?tag=v1&tag=v2`],
    ['alice', 'DELETE', '/v2/team/app/manifests/v1'],
    ['bob', 'GET', '/v2/team/app/tags/list'],
    ['bob', 'POST', '/v2/team/app/blobs/uploads/'],
    ['bob', 'GET', `/v2/other/referrers/${digest}`],
    ['ci', 'GET', '/v2/_catalog'],
    ['ci', 'DELETE', `/v2/team/app/blobs/${digest}`],
  ] as const

  beforeEach(async () => {
    for (const [persona, method, path] of requests)
      await gateway.as(persona, { method, path, ...(method === 'PUT' ? { body: '{}' } : {}) })
    // Of these two no policy is asked: no login, and no request of a registry.
    await gateway.ask({ path: '/v2/team/app/tags/list' })
    await gateway.ask({ path: '/v2/Nope' })
    await until(() => gateway.auditLines().length === requests.length + 2, { what: 'every line of the audit' })
  })

  test('finds that the policy that decided would decide it all again', async () => {
    const { code, stdout, stderr } = await ask('replay')
    expect(stdout).toMatch(
      /^compared: 13, .*\nnot compared: 2 that ended before a policy was asked\nnothing changes\n$/,
    )
    expect(stderr).toBe('')
    expect(code).toBe(0)
  })

  test('tells who would lose and who would gain under another', async () => {
    const other = `rules:
  - { allow: reader, to: user:alice, on: team/** }
  - { allow: maintainer, to: user:bob, on: '**' }
`
    writePolicy(gateway.directory, other, '../new.yaml')
    const { code, stdout } = await ask('replay', '--policies', 'new.yaml')
    const changed = stdout
      .split('\n')
      .filter((line) => /^ {2}\w/.test(line))
      .map((line) => line.trim().replace(/, .*/, ''))
    expect(changed).toEqual([
      'alice: push team/app  2x',
      'alice: push team/app:v1  1x',
      'alice: push team/app:v1,v2  1x',
      'ci: list the catalog  1x',
      'bob: push team/app  1x',
      'bob: pull other  1x',
    ])
    expect(stdout).toContain('changes: 5 lost, 2 gained, 0 uncertain\n')
    expect(code).toBe(1)
  })
})
