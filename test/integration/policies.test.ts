import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { Persona } from '../support/personas.ts'
import { writePolicy } from '../support/policies.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'
import { until } from '../support/until.ts'

const allow = (persona: Persona, role = 'owner', on = '**'): string =>
  `rules:\n  - { allow: ${role}, to: user:${persona}, on: '${on}' }\n`

let upstream: RecordingUpstream
let gateway: TestGateway

beforeEach(async () => {
  upstream = await startRecordingUpstream()
  gateway = await startGateway({ upstreamUrl: upstream.url, policy: allow('alice') })
})
afterEach(async () => {
  await gateway.stop()
  await upstream.close()
})

const file = (...names: readonly string[]): string => join(gateway.directory, ...names)
const inForce = file.bind(undefined, 'policies')

async function statusOf(persona: Persona, path = '/v2/team/app/tags/list', method = 'GET'): Promise<number> {
  return (await gateway.as(persona, { method, path })).status
}

/** Value of a metric; NaN where it is not there. */
async function metric(series: string): Promise<number> {
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
  const found = text.split('\n').find((candidate) => candidate.startsWith(`${series} `))
  return Number(found?.slice(series.length + 1) ?? Number.NaN)
}

const generation = (policy: 'live' | 'shadow' = 'live'): Promise<number> =>
  metric(`wharfgate_policy_generation{policy="${policy}"}`)
const refusals = (): Promise<number> => metric('wharfgate_config_reloads_total{part="policies",result="error"}')

function configure(changed: Readonly<Record<string, unknown>>): void {
  const config = JSON.parse(readFileSync(file('wharfgate.json'), 'utf8')) as Record<string, unknown>
  writeFileSync(file('wharfgate.json'), JSON.stringify({ ...config, ...changed }))
}

describe('the policy', () => {
  test.each<[string, (text: string) => void]>([
    [
      'is written in place',
      (text) => {
        writeFileSync(inForce('default.yaml'), text)
      },
    ],
    [
      'is replaced by a rename, as editors do',
      (text) => {
        writeFileSync(inForce('.default.yaml.swp'), text)
        renameSync(inForce('.default.yaml.swp'), inForce('default.yaml'))
      },
    ],
    [
      'gets a file beside it and loses its own',
      (text) => {
        writeFileSync(inForce('other.yaml'), text)
        rmSync(inForce('default.yaml'))
      },
    ],
  ])('%s: the new one is in force, whole, under the next generation', async (_name, replace) => {
    expect([await generation(), await statusOf('alice'), await statusOf('bob')]).toEqual([1, 200, 403])
    replace(allow('bob'))
    await until(async () => (await statusOf('alice')) === 403, { what: 'the old rule is gone' })
    expect([await generation(), await statusOf('bob')]).toEqual([2, 200])
    expect(await metric('wharfgate_policy_rules{policy="live"}')).toBe(1)
    expect(await metric('wharfgate_config_last_reload_successful{part="policies"}')).toBe(1)
  })

  test('is told in the audit line, with the rule that decided', async () => {
    const before = await gateway.as('alice', { path: '/v2/team/app/tags/list' })
    writePolicy(gateway.directory, `# moved by a line\n${allow('alice')}`)
    await until(async () => (await generation()) === 2, { what: 'the next generation' })
    const after = await gateway.as('alice', { path: '/v2/team/app/tags/list' })
    const idOf = ({ headers }: typeof after): string => String(headers['x-request-id'])
    const decided = {
      decision: 'granted',
      policy: 'policies',
      shadowDecision: null,
      required: ['repository:team/app:pull'],
    }
    expect(await gateway.auditLineOf(idOf(before))).toMatchObject({
      ...decided,
      policyGeneration: 1,
      rule: `${inForce('default.yaml')}:2`,
    })
    expect(await gateway.auditLineOf(idOf(after))).toMatchObject({
      ...decided,
      policyGeneration: 2,
      rule: `${inForce('default.yaml')}:3`,
    })
  })

  test('gets the files that are new in its folder, and neither cases nor hidden ones', async () => {
    writePolicy(gateway.directory, allow('ci'), '.hidden.yaml')
    writePolicy(gateway.directory, 'cases: []\n', 'default.cases.yaml')
    writePolicy(gateway.directory, allow('bob', 'reader', 'team/*'), 'team.yaml')
    await until(async () => (await statusOf('bob')) === 200, { what: 'the new file is in force' })
    expect([await statusOf('alice'), await statusOf('ci')]).toEqual([200, 403])
    expect(await metric('wharfgate_policy_rules{policy="live"}')).toBe(2)
    rmSync(inForce('team.yaml'))
    await until(async () => (await statusOf('bob')) === 403, { what: 'it is gone again' })
    expect([await generation(), await statusOf('alice')]).toEqual([3, 200])
  })

  test('stays of its generation when it is touched, and says the same', async () => {
    writePolicy(gateway.directory, allow('alice'))
    expect(await gateway.server.reload()).toContainEqual({ part: 'policies', result: 'reloaded', needRestart: [] })
    expect(await generation()).toBe(1)
  })

  test('filters the catalog anew from the moment it is in force', async () => {
    const names = ['team/app', 'other/app']
    const body = JSON.stringify({ repositories: names })
    upstream.respondWith(({ socket }) => {
      if (!socket.writableEnded) socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    })
    const listed = async (): Promise<unknown> =>
      JSON.parse((await gateway.as('alice', { path: '/v2/_catalog' })).body) as unknown
    expect(await listed()).toEqual({ repositories: ['other/app', 'team/app'] })
    writePolicy(gateway.directory, allow('alice', 'reader', 'team/**'))
    await until(async () => (await generation()) === 2, { what: 'the policy is in force' })
    expect(await listed()).toEqual({ repositories: ['team/app'] })
  })

  test('comes from another path when the configuration names one', async () => {
    writeFileSync(file('one.yaml'), allow('bob'))
    configure({ authorization: { policies: 'one.yaml' } })
    await until(async () => (await statusOf('bob')) === 200, { what: 'the other policy is in force' })
    expect([await statusOf('alice'), await generation()]).toEqual([403, 2])
  })

  test('is swapped behind a link, as Kubernetes does it', async () => {
    const mounted = file('mounted')
    const version = (name: string, text: string): void => {
      mkdirSync(join(mounted, name), { recursive: true })
      writeFileSync(join(mounted, name, 'team.yaml'), text)
    }
    version('..1', allow('bob'))
    symlinkSync('..1', join(mounted, '..data'))
    symlinkSync('..data/team.yaml', join(mounted, 'team.yaml'))
    configure({ authorization: { policies: 'mounted' } })
    await until(async () => (await statusOf('bob')) === 200, { what: 'the mounted policy is in force' })
    version('..2', allow('ci'))
    symlinkSync('..2', join(mounted, '..data_tmp'))
    renameSync(join(mounted, '..data_tmp'), join(mounted, '..data'))
    await until(async () => (await statusOf('ci')) === 200, { what: 'the swapped policy is in force' })
    expect([await statusOf('alice'), await statusOf('bob'), await generation()]).toEqual([403, 403, 3])
  })
})

describe('A-38 A-40 a policy that cannot be used', () => {
  const spoilt: readonly (readonly [string, () => void, RegExp])[] = [
    ['empty', () => writePolicy(gateway.directory, ''), /says nothing|no rule/],
    ['of comments alone', () => writePolicy(gateway.directory, '# nobody\n'), /says nothing|no rule/],
    ['without a rule', () => writePolicy(gateway.directory, 'rules: []\n'), /no rule/],
    [
      'deleted',
      () => {
        rmSync(inForce('default.yaml'))
      },
      /holds no policy: no file in \.yaml/,
    ],
    [
      'deleted with its folder',
      () => {
        rmSync(inForce(), { recursive: true })
      },
      /policies:1:1 document: does not exist \(ENOENT\)/,
    ],
    ['cut off', () => writePolicy(gateway.directory, 'rules:\n  - { allow: ow'), /default\.yaml:\d+:\d+ /],
    [
      'with a pattern that is none',
      () => writePolicy(gateway.directory, `${allow('bob')}  - { deny: push, to: user:bob, on: '[' }\n`),
      /default\.yaml:3:\d+ rules\[1\]\.on/,
    ],
    [
      'with an unknown key',
      () => writePolicy(gateway.directory, allow('bob').replace('allow', 'alow')),
      /default\.yaml:2:\d+ rules\[0\]\.alow/,
    ],
    [
      'at fault in another file',
      () => writePolicy(gateway.directory, 'rules: 7\n', 'other.yaml'),
      /other\.yaml:1:\d+ rules/,
    ],
    [
      'of a kind that is not read',
      () => writePolicy(gateway.directory, allow('bob'), 'other.yml'),
      /other\.yml:1:1 .*rename it/,
    ],
  ]

  test.each(spoilt)('%s is refused with its place, and the last good one serves on', async (_name, spoil, sentence) => {
    spoil()
    await until(async () => (await refusals()) >= 1, { what: 'the refusal is counted' })
    expect([await statusOf('alice'), await statusOf('bob'), await generation()]).toEqual([200, 403, 1])
    expect(gateway.log()).toMatch(sentence)
    expect(await metric('wharfgate_config_last_reload_successful{part="policies"}')).toBe(0)
    expect((await fetch(`${gateway.adminUrl}/readyz`)).status).toBe(200)
    rmSync(inForce(), { recursive: true, force: true })
    writePolicy(gateway.directory, allow('bob'))
    await until(async () => (await statusOf('bob')) === 200, { what: 'a good one is taken again' })
    expect([await statusOf('alice'), await generation()]).toEqual([403, 2])
  })

  test('is refused as well when somebody asks for the reload, with the reason', async () => {
    writePolicy(gateway.directory, '')
    const outcomes = await gateway.server.reload()
    expect(outcomes).toContainEqual({
      part: 'policies',
      result: 'refused',
      problems: [expect.stringContaining('policies')],
    })
    expect(await statusOf('alice')).toBe(200)
  })

  test.each([
    ['an empty file', 'empty.yaml'],
    ['a folder without a file', 'nothing'],
    ['what does not exist', 'nowhere'],
    ['a file that is no YAML', 'broken.yaml'],
  ])('%s keeps a gateway from starting', async (_name, name) => {
    mkdirSync(file('nothing'))
    writeFileSync(file('empty.yaml'), '')
    writeFileSync(file('broken.yaml'), 'rules: [')
    const settings = { authorization: { policies: file(name) } }
    await expect(startGateway({ upstreamUrl: upstream.url, settings })).rejects.toMatchObject({
      name: 'PolicyError',
      message: expect.stringContaining(file(name)),
    })
  })
})

describe('the shadow policy', () => {
  const comparisons = async (): Promise<Readonly<Record<string, number>>> => {
    const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
    const found = text.matchAll(/^wharfgate_policy_shadow_decisions_total\{comparison="([^"]+)"\} (\d+)$/gm)
    return Object.fromEntries([...found].map(([, name = '', count = '']) => [name, Number(count)]))
  }

  beforeEach(async () => {
    writePolicy(gateway.directory, 'rules:\n  - { allow: owner, to: [user:alice, user:ci], on: team/** }\n')
    mkdirSync(file('shadow'))
    writeFileSync(
      file('shadow', 'next.yaml'),
      'rules:\n  - { allow: owner, to: [user:alice, user:bob], on: team/** }\n',
    )
    configure({ authorization: { policies: 'policies', shadow: 'shadow' } })
    await until(async () => (await generation('shadow')) === 1 && (await generation()) === 2, {
      what: 'both are in force',
    })
  })

  test.each<[Persona, number, string, string]>([
    ['alice', 200, 'granted', 'same'],
    ['bob', 403, 'granted', 'would_grant'],
    ['ci', 200, 'refused', 'would_refuse'],
  ])('is asked for %s and not obeyed', async (persona, status, shadowDecision, comparison) => {
    const before = await comparisons()
    const answer = await gateway.as(persona, { path: '/v2/team/app/tags/list' })
    const line = await gateway.auditLineOf(String(answer.headers['x-request-id']))
    expect({ status: answer.status, line }).toMatchObject({
      status,
      line: {
        decision: status === 200 ? 'granted' : 'refused',
        policy: 'policies',
        policyGeneration: 2,
        shadowDecision,
      },
    })
    const after = await comparisons()
    const grown = Object.keys(after).filter((name) => after[name] !== before[name])
    expect(grown).toEqual([comparison])
  })

  test('does not give the client a word, whatever it says', async () => {
    const plain = await gateway.as('bob', { path: '/v2/team/app/tags/list' })
    expect(plain.body).toContain('"bob may not pull from team/app"')
    expect(JSON.stringify(plain)).not.toContain('shadow')
  })

  test('is reloaded by itself, kept when it is at fault, and ended', async () => {
    writeFileSync(file('shadow', 'next.yaml'), allow('bob'))
    await until(async () => (await generation('shadow')) === 2, { what: 'the new shadow is in force' })
    writeFileSync(file('shadow', 'next.yaml'), '')
    await until(async () => (await refusals()) >= 1, { what: 'the refusal is counted' })
    expect([await generation('shadow'), await generation(), await statusOf('ci')]).toEqual([2, 2, 200])
    configure({ authorization: { policies: 'policies' } })
    await until(async () => (await generation('shadow')) === 0, { what: 'there is no shadow any more' })
    const answer = await gateway.as('alice', { path: '/v2/team/app/tags/list' })
    const line = await gateway.auditLineOf(String(answer.headers['x-request-id']))
    expect(line).toMatchObject({ decision: 'granted', shadowDecision: null })
  })

  test('at fault does not keep a change of the live policy from taking effect', async () => {
    writeFileSync(file('shadow', 'next.yaml'), 'rules: [')
    writePolicy(gateway.directory, allow('bob'))
    await until(async () => (await statusOf('bob')) === 200, { what: 'the live policy is in force' })
    expect([await statusOf('alice'), await generation('shadow')]).toEqual([403, 1])
  })
})
