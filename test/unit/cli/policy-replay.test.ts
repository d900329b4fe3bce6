import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { createProgress } from '../../../src/cli/policy-replay.ts'
import { createChangeGatherer } from '../../../src/cli/policy-replay-changes.ts'
import { parseReplayLine } from '../../../src/cli/policy-replay-line.ts'
import { RegistryError } from '../../../src/registry/error.ts'
import type { Principal } from '../../../src/registry/principal.ts'
import { parseRegistryRequest } from '../../../src/registry/route.ts'
import { auditLine } from '../../../src/telemetry/audit-line.ts'
import type { ExchangeRecord } from '../../../src/telemetry/exchange-record.ts'
import { fixedPolicy } from '../../support/fixed-policy.ts'
import { exchange } from '../telemetry/samples.ts'
import { createPolicyTerminal } from './policy-terminal.ts'
import type { PolicyTerminal, RunOptions } from './policy-terminal.ts'

const digest = `sha256:${'ab'.repeat(32)}`
const user = (name: string, ...groups: readonly string[]): Principal => ({
  kind: 'user',
  name,
  groups,
  method: 'htpasswd',
})
const alice = user('alice')
const { decision } = exchange()
if (decision === undefined) throw new Error('the sample has a decision')
const granted = { ...decision, kind: 'granted', mountRemoved: false } as const
const refused = { ...granted, kind: 'refused' } as const

/** The line of a request by alice that was granted on 2 January 2026 at 03:04:05.067, but for what is otherwise. */
function entry(method: string, target: string, differences: Partial<ExchangeRecord> = {}): ExchangeRecord {
  const request = parseRegistryRequest(method, target)
  return exchange({ method, request, principal: alice, decision: granted, ...differences })
}

const lineOf = (record: ExchangeRecord, more: object = {}): string =>
  `${JSON.stringify({ ...auditLine(record), ...more })}\n`

let terminal: PolicyTerminal
let audit: string
beforeEach(() => {
  terminal = createPolicyTerminal()
  audit = join(terminal.folder, 'audit.log')
  writeFileSync(audit, '')
})
afterEach(() => {
  terminal.remove()
})

function replay(rules: string, args: readonly string[] = ['--audit', audit], options: RunOptions = {}) {
  return terminal.run(['replay', '--policies', terminal.write('new.yaml', rules), ...args], options)
}

/** What changes in one line: `loses push team/app`, or nothing. */
async function changesOf(rules: string, line: string): Promise<readonly string[]> {
  writeFileSync(audit, line)
  const { stdout } = await replay(rules, ['--audit', audit, '--json'])
  const found = JSON.parse(stdout) as Readonly<Record<string, { groups?: readonly Readonly<Record<string, string>>[] }>>
  return ['loses', 'gains', 'risks'].flatMap((change) =>
    (found[change]?.groups ?? []).map(({ action, target }) => `${change} ${action ?? ''} ${target ?? ''}`),
  )
}

const everything = 'rules: [{ allow: owner, to: [authenticated, anonymous], on: "**" }]\n'
const nothing = 'rules: [{ allow: pull, to: user:nobody, on: nowhere }]\n'

describe('wharfgate policy replay', () => {
  test('lists who would lose and who would gain, counted, with the rule and the sentence', async () => {
    const push = (seconds: number): string =>
      lineOf(entry('PUT', '/v2/prod/api/manifests/v1', { startedAtMs: Date.UTC(2026, 0, 2, 3, 4, seconds) }))
    const bobs = entry('GET', `/v2/team/app/blobs/${digest}`, {
      principal: user('bob'),
      decision: refused,
      status: 403,
    })
    appendFileSync(
      audit,
      [push(30), push(10), lineOf(bobs), push(20), lineOf(entry('GET', '/v2/team/app/tags/list'))].join(''),
    )
    const rules = `rules:
  - { allow: writer, to: [user:alice, user:bob], on: [team/**, prod/**] }
  - { deny: push, to: user:alice, on: prod/**, message: releases go through ci }
`
    const { stdout, stderr, code } = await replay(rules)
    const file = join(terminal.folder, 'new.yaml')
    expect(stdout.split('\n')).toEqual([
      'would be refused: 3',
      '  alice: push prod/api:v1  3x, 2026-01-02T03:04:10.000Z to 2026-01-02T03:04:30.000Z',
      `    by ${file}:3 rules[1] "alice may not push to prod/api: releases go through ci"`,
      '',
      'would be allowed: 1',
      '  bob: pull team/app  1x, 2026-01-02T03:04:05.067Z',
      `    by ${file}:2 rules[0]`,
      '',
      'compared: 5, 2026-01-02T03:04:05.067Z to 2026-01-02T03:04:30.000Z',
      'changes: 3 lost, 1 gained, 0 uncertain',
      '',
    ])
    expect(stderr).toBe('')
    expect(code).toBe(1)
  })

  test('ends with 0 where nothing changes', async () => {
    writeFileSync(audit, lineOf(entry('GET', '/v2/team/app/tags/list')))
    expect(await replay(everything)).toMatchObject({
      stdout: 'compared: 1, 2026-01-02T03:04:05.067Z to 2026-01-02T03:04:05.067Z\nnothing changes\n',
      code: 0,
    })
  })

  test.each([
    ['GET', '/v2/_catalog?n=2', ['loses list the catalog'], ['gains list the catalog']],
    ['GET', '/v2/a/b/tags/list', ['loses pull a/b'], ['gains pull a/b']],
    ['GET', '/v2/a/manifests/v1', ['loses pull a:v1'], ['gains pull a:v1']],
    ['HEAD', `/v2/a/manifests/${digest}`, ['loses pull a'], ['gains pull a']],
    ['PUT', '/v2/a/manifests/v1', ['loses push a:v1'], ['gains push a:v1']],
    ['PUT', `/v2/a/manifests/${digest}?tag=x&tag=y`, ['loses push a:x,y'], ['gains push a:x,y']],
    ['DELETE', '/v2/a/manifests/v1', ['loses delete a:v1'], ['gains delete a:v1']],
    ['DELETE', `/v2/a/manifests/${digest}`, ['loses delete a'], ['gains delete a']],
    ['GET', `/v2/a/blobs/${digest}`, ['loses pull a'], ['gains pull a']],
    ['DELETE', `/v2/a/blobs/${digest}`, ['loses delete a'], ['gains delete a']],
    ['GET', `/v2/a/referrers/${digest}?artifactType=x`, ['loses pull a'], ['gains pull a']],
    ['POST', '/v2/a/blobs/uploads/', ['loses push a'], ['gains push a']],
    ['POST', `/v2/a/blobs/uploads/?digest=${digest}`, ['loses push a'], ['gains push a']],
    ['PATCH', '/v2/a/blobs/uploads/s1?_state=x', ['loses push a'], ['gains push a']],
    ['GET', '/v2/a/blobs/uploads/s1', ['loses push a'], ['gains push a']],
  ] as const)('asks again what %s %s asked', async (method, target, lost, gained) => {
    expect(await changesOf(nothing, lineOf(entry(method, target)))).toEqual(lost)
    expect(await changesOf(everything, lineOf(entry(method, target, { decision: refused, status: 403 })))).toEqual(
      gained,
    )
    expect(await changesOf(everything, lineOf(entry(method, target)))).toEqual([])
    expect(await changesOf(nothing, lineOf(entry(method, target, { decision: refused })))).toEqual([])
  })

  test('finds that a login works under every policy', async () => {
    expect(await changesOf(nothing, lineOf(entry('GET', '/v2/')))).toEqual([])
  })

  test('asks for the tags that a manifest by digest set', async () => {
    const rules =
      "rules: [{ allow: writer, to: user:alice, on: a }, { deny: push, to: user:alice, on: a, when: { tags: ['v*'] } }]"
    expect(await changesOf(rules, lineOf(entry('PUT', `/v2/a/manifests/${digest}?tag=x&tag=v1`)))).toEqual([
      'loses push a:x,v1',
    ])
    expect(await changesOf(rules, lineOf(entry('PUT', `/v2/a/manifests/${digest}?tag=x`)))).toEqual([])
  })

  test('asks as who asked then, from where and when', async () => {
    const line = lineOf(
      entry('GET', '/v2/a/tags/list', {
        principal: user('bob', 'qa'),
        clientAddress: '10.1.2.3',
        startedAtMs: Date.parse('2026-01-05T10:00:00Z'),
      }),
    )
    const rules = (to: string, address: string, day: string): string =>
      `rules: [{ allow: pull, to: ${to}, on: a, when: { addresses: [${address}], methods: [htpasswd], hours: { days: [${day}] } } }]`
    expect(await changesOf(rules('group:qa', '10.0.0.0/8', 'mon'), line)).toEqual([])
    expect(await changesOf(rules('user:bob', '10.0.0.0/8', 'mon'), line)).toEqual([])
    expect(await changesOf(rules('group:ops', '10.0.0.0/8', 'mon'), line)).toEqual(['loses pull a'])
    expect(await changesOf(rules('group:qa', '11.0.0.0/8', 'mon'), line)).toEqual(['loses pull a'])
    expect(await changesOf(rules('group:qa', '10.0.0.0/8', 'tue'), line)).toEqual(['loses pull a'])
  })

  test('asks for who had not logged in as anonymous', async () => {
    const line = lineOf(entry('GET', '/v2/a/tags/list', { principal: { kind: 'anonymous' }, decision: refused }))
    expect(await changesOf('rules: [{ allow: pull, to: anonymous, on: a }]', line)).toEqual(['gains pull a'])
    expect(await changesOf('rules: [{ allow: pull, to: authenticated, on: a }]', line)).toEqual([])
  })

  test('tells mounts that become uploads, and uploads that become mounts', async () => {
    const target = `/v2/a/blobs/uploads/?mount=${digest}&from=base`
    const mounted = entry('POST', target)
    const removed = entry('POST', target, { decision: { ...granted, mountRemoved: true } })
    const pushOnly = 'rules: [{ allow: push, to: user:alice, on: a }]'
    expect(await changesOf(pushOnly, lineOf(mounted))).toEqual(['loses mount a from base'])
    expect(await changesOf(pushOnly, lineOf(removed))).toEqual([])
    expect(await changesOf(everything, lineOf(removed))).toEqual(['gains mount a from base'])
    expect(await changesOf(everything, lineOf(mounted))).toEqual([])
    expect(await changesOf(nothing, lineOf(mounted))).toEqual(['loses push a'])
    // A source on another host is never mounted from.
    expect(await changesOf(everything, lineOf(removed, { mountOrigin: 'elsewhere.example.org' }))).toEqual([])
  })

  test('tells pushes that could move a protected tag apart from those that would be lost', async () => {
    const rules = 'rules: [{ allow: maintainer, to: user:alice, on: a }]\nprotectedTags: [{ on: a, tags: v* }]\n'
    const error = new RegistryError('tagProtected', {})
    const held = lineOf(entry('PUT', '/v2/a/manifests/v1', { status: 403, error }))
    expect(await changesOf(rules, lineOf(entry('PUT', '/v2/a/manifests/v1')))).toEqual(['risks push a:v1'])
    expect(await changesOf(rules, lineOf(entry('PUT', '/v2/a/manifests/edge')))).toEqual([])
    expect(await changesOf(rules, lineOf(entry('DELETE', '/v2/a/manifests/v1')))).toEqual(['loses delete a:v1'])
    expect(await changesOf(rules, held)).toEqual([])
    expect(await changesOf(everything, held)).toEqual(['gains push a:v1'])
    expect(await changesOf(nothing, held)).toEqual([])
    // Where the line tells that the tag was looked at and found absent or the same, it would be found so again.
    const passed = { protectedTags: ['v1'] }
    expect(await changesOf(rules, lineOf(entry('PUT', '/v2/a/manifests/v1'), passed))).toEqual([])
    expect(await changesOf(rules, lineOf(entry('PUT', '/v2/a/manifests/v1'), { protectedTags: null }))).toEqual([
      'risks push a:v1',
    ])
    writeFileSync(audit, lineOf(entry('PUT', '/v2/a/manifests/v1')))
    const { stdout, code } = await replay(rules)
    expect(stdout).toContain('"alice may not move or delete the protected tag v1 of a"')
    expect(code).toBe(1)
  })

  test('counts lines that tell no decision, and lines that cannot be read', async () => {
    const good = entry('GET', '/v2/a/tags/list')
    writeFileSync(
      audit,
      [
        lineOf({ ...good, decision: undefined, principal: undefined, status: 401 }),
        lineOf({ ...good, request: undefined, decision: undefined, status: 400 }),
        lineOf(good),
        '\n',
        '{"time":"2026\n',
        '[]\n',
        'null\n',
        lineOf(good, { decision: 'maybe' }),
        lineOf(good, { time: 'then' }),
        lineOf(good, { repository: '../a' }),
        lineOf(good, { method: 'PUT' }),
        lineOf(good, { route: 'toString' }),
        lineOf(good, { user: undefined }),
        lineOf(good, { authentication: 'guess' }),
        lineOf(good, { clientAddress: null }),
        lineOf(entry('GET', '/v2/a/manifests/v1'), { reference: '?' }),
        '{"time":"the last is not ended"',
      ].join(''),
    )
    const { stdout, code } = await replay(everything)
    expect(stdout.split('\n')).toEqual([
      'compared: 1, 2026-01-02T03:04:05.067Z to 2026-01-02T03:04:05.067Z',
      'not compared: 2 that ended before a policy was asked',
      'not read: 13 that are no lines of the audit, or lack what a decision needs',
      'nothing changes',
      '',
    ])
    expect(code).toBe(0)
  })

  test('prints as many groups as are wanted, the largest first', async () => {
    const pulls = (name: string, times: number): string => lineOf(entry('GET', `/v2/${name}/tags/list`)).repeat(times)
    writeFileSync(audit, pulls('a', 1) + pulls('b', 3) + pulls('c', 2))
    const { stdout } = await replay(nothing, ['--audit', audit, '--limit', '1'])
    expect(stdout.split('\n').slice(0, 5)).toEqual([
      'would be refused: 6',
      expect.stringContaining('  alice: pull b  3x'),
      '    no rule allows it "alice may not pull from b"',
      '  and 2 more groups with 3 decisions; see them with --limit or --json',
      '',
    ])
  })

  test('reads several files, packed ones, and standard input', async () => {
    const line = lineOf(entry('GET', '/v2/a/tags/list'))
    const packed = join(terminal.folder, 'audit.log.1.gz')
    writeFileSync(packed, gzipSync(line.repeat(3)))
    writeFileSync(audit, line.repeat(2))
    const { stdout } = await replay(nothing, ['--audit', packed, '--audit', audit, '--audit', '-'], {
      stdin: line.trimEnd(),
    })
    expect(stdout).toContain('alice: pull a  6x')
  })

  test('prints JSON', async () => {
    writeFileSync(audit, lineOf(entry('GET', '/v2/a/manifests/v1')))
    const { stdout, code } = await replay(nothing, ['--audit', audit, '--json'])
    const at = '2026-01-02T03:04:05.067Z'
    const group = { change: 'loses', user: 'alice', action: 'pull', target: 'a:v1', times: 1, firstAt: at, lastAt: at }
    expect(JSON.parse(stdout)).toEqual({
      decisions: 1,
      undecided: 0,
      unreadable: 0,
      firstAt: at,
      lastAt: at,
      loses: {
        decisions: 1,
        decisionsNotKept: 0,
        groups: [{ ...group, rule: null, sentence: 'alice may not pull from a' }],
      },
      gains: { decisions: 0, decisionsNotKept: 0, groups: [] },
      risks: { decisions: 0, decisionsNotKept: 0, groups: [] },
    })
    expect(code).toBe(1)
  })

  test('takes the audit of the configuration where none is named', async () => {
    const config = (more: string): string =>
      terminal.write(
        'wharfgate.yaml',
        `publicUrls: [https://registry.example.org]
upstream: { url: http://127.0.0.1:5000 }
tls: { certificateFile: tls.crt, keyFile: tls.key }
authentication: { htpasswd: { enabled: true, file: htpasswd } }
authorization: { policies: p.yaml }
${more}
`,
      )
    terminal.write('p.yaml', 'rules: [{ allow: pull, to: anonymous, on: a }]')
    const line = lineOf(entry('GET', '/v2/a/tags/list', { principal: { kind: 'anonymous' }, decision: refused }))
    writeFileSync(audit, line + lineOf(entry('GET', '/v2/a/tags/list')))
    const found = await terminal.run(['replay', '--config', config('audit: { destination: audit.log }')])
    // Nobody is let in without a login by this configuration, whatever the policy says.
    expect(found.stdout).toContain('changes: 1 lost, 0 gained, 0 uncertain')
    const none = await terminal.run(['replay', '--config', config('audit: { destination: stdout }')])
    expect(none).toMatchObject({
      stderr:
        'wharfgate: which audit? the configuration names no audit file; name it with --audit FILE, or --audit - for standard input\n',
      code: 2,
    })
  })

  test.each([
    ['a file that is not there', 'nowhere.log', undefined, /nowhere\.log cannot be read \(ENOENT\)/],
    ['a folder', '.', undefined, /cannot be read \(EISDIR\)/],
    [
      'a packed file that is cut off',
      'cut.gz',
      gzipSync('x'.repeat(1000)).subarray(0, 20),
      /cannot be read \(Z_BUF_ERROR\)/,
    ],
    ['a file that is not packed', 'no.gz', Buffer.from('{}\n'), /cannot be read \(Z_DATA_ERROR\)/],
    ['another file', 'other.log', Buffer.from('hello\nworld\n'), /other\.log: no line is one of the audit/],
  ])('refuses %s with exit code 2', async (_title, name, content, expected) => {
    const path = join(terminal.folder, name)
    if (content !== undefined) writeFileSync(path, content)
    const { stdout, stderr, code } = await replay(everything, ['--audit', path])
    expect(stderr).toMatch(expected)
    expect(stdout).toBe('')
    expect(code).toBe(2)
  })

  test('tells faults of the new policy, before the audit is read', async () => {
    const { stderr, code } = await replay('rules: [{ allow: pul, to: user:a, on: a }]', ['--audit', '/nowhere'])
    expect(stderr).toMatch(/new\.yaml:1:11 rules\[0\]\.allow: .*did you mean pull\?\n$/)
    expect(code).toBe(2)
  })
})

describe('the progress of a replay', () => {
  test.each([
    [true, ['\rreplaying 10 %', '\rreplaying 50 %', '\r\u001b[K']],
    [false, []],
  ])('is told to who watches (%s), twice a second at most, and taken away', (isTTY, expected) => {
    const written: string[] = []
    const stream = Object.assign(new PassThrough(), { isTTY, write: (text: string) => written.push(text) > 0 })
    let now = 0
    const progress = createProgress(stream, 1000, () => now)
    for (const [at, bytes] of [
      [499, 50],
      [500, 50],
      [900, 100],
      [1000, 300],
    ] as const) {
      now = at
      progress.add(bytes)
    }
    progress.clear()
    progress.clear()
    expect(written).toEqual(expected)
  })
})

describe('the changes that a replay gathers', () => {
  test('keeps as many groups as it may, and counts the rest', () => {
    const gatherer = createChangeGatherer(
      fixedPolicy('new', () => false),
      2,
    )
    for (const name of ['a', 'b', 'c', 'd', 'a', 'c']) {
      const read = parseReplayLine(lineOf(entry('GET', `/v2/${name}/tags/list`)))
      if (read.kind === 'decided') gatherer.replay(read.decided)
    }
    const { loses } = gatherer.totals()
    expect(loses.groups.map(({ target, times }) => `${target} ${times}`)).toEqual(['a 2', 'b 1'])
    expect([loses.decisions, loses.decisionsNotKept]).toEqual([6, 3])
  })
})
