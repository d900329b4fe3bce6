import { describe, expect, test } from '@jest/globals'
import { loadPolicy } from '../../../src/authorization/load-policy.ts'
import { parseTag } from '../../../src/registry/name.ts'
import type { Principal } from '../../../src/registry/principal.ts'
import { policyOf } from '../../support/policy-text.ts'

const circumstances = { address: '192.0.2.1', now: 0, ownHosts: new Set<string>() }
const alice: Principal = { kind: 'user', name: 'alice', groups: [], method: 'htpasswd' }
const rule = 'rules: [{ allow: pull, to: user:alice, on: a }]'

function protection(entries: readonly string[], label?: string) {
  const policy = policyOf(`${rule}\nprotectedTags:\n${entries.map((entry) => `- ${entry}\n`).join('')}`)
  const tag = label === undefined ? undefined : parseTag(label)
  const found = tag === undefined ? policy.protectionIn('prod/api') : policy.protectionOf('prod/api', tag)
  return found === undefined ? undefined : { index: found.rule.index, message: found.message }
}

describe('of several protections of a tag', () => {
  const wide = '{ on: "prod/**", tags: v* }'
  const narrow = '{ on: prod/api, tags: [v*, latest] }'
  const speaking = (entry: string, message: string): string => entry.replace(' }', `, message: ${message} }`)
  test.each([
    ['the first is named', [wide, narrow], { index: 0, message: undefined }],
    ['the first is named, however they are written', [narrow, wide], { index: 0, message: undefined }],
    ['the first that speaks', [wide, speaking(narrow, 'x')], { index: 1, message: 'x' }],
    ['the first of two that speak', [speaking(wide, 'x'), speaking(narrow, 'y')], { index: 0, message: 'x' }],
    ['the first of two, turned round', [speaking(narrow, 'y'), speaking(wide, 'x')], { index: 0, message: 'y' }],
  ])('%s', (_name, entries, expected) => {
    expect(protection(entries, 'v1')).toEqual(expected)
    expect(protection(entries)).toEqual(expected)
  })
  test('only those count whose tags it matches', () => {
    expect(protection([speaking(wide, 'x'), speaking(narrow, 'y')], 'latest')).toEqual({ index: 1, message: 'y' })
    expect(protection([speaking(wide, 'x'), speaking(narrow, 'y')], 'test')).toBe(undefined)
  })
  test('there is none where nothing is protected, or something else', () => {
    expect(policyOf(rule).protectionIn('prod/api')).toBe(undefined)
    expect(protection(['{ on: prod/web, tags: v* }'], 'v1')).toBe(undefined)
    expect(protection(['{ on: prod/web, tags: v* }'])).toBe(undefined)
  })
})

describe('of several rules that decide alike', () => {
  const rules = ['{ allow: pull, to: authenticated, on: "**" }', '{ allow: pull, to: user:alice, on: a }']
  test.each([
    ['wide first', rules],
    ['narrow first', [...rules].reverse()],
  ])('the first of the files is named: %s', (_name, written) => {
    const policy = policyOf(`rules: [${written.join(', ')}]`)
    expect(policy.judgeFor(alice, circumstances).judge({ repository: 'a', action: 'pull' })).toMatchObject({
      kind: 'allowed',
      rule: { index: 0 },
    })
  })
  test('the files come by name, whatever their order', () => {
    const files = ['c', 'a', 'b'].map((name) => ({ file: `${name}.yaml`, text: rule }))
    const load = loadPolicy(files, { name: 'p', generation: 1 })
    expect(load.kind === 'ok' && load.policy.rules.map(({ reference }) => reference.file)).toEqual([
      'a.yaml',
      'b.yaml',
      'c.yaml',
    ])
  })
})

test('a judge answers for each repository by itself', () => {
  const judge = policyOf(rule).judgeFor(alice, circumstances)
  const kinds = ['a', 'b', 'a'].map((repository) => judge.judge({ repository, action: 'pull' }).kind)
  expect(kinds).toEqual(['allowed', 'unmatched', 'allowed'])
})

test('a principal that comes again is judged under the circumstances of its time', () => {
  const policy = policyOf('rules: [{ allow: pull, to: user:alice, on: a, when: { addresses: [10.0.0.0/8] } }]')
  const kinds = ['10.0.0.1', '192.0.2.1'].map(
    (address) => policy.judgeFor(alice, { ...circumstances, address }).judge({ repository: 'a', action: 'pull' }).kind,
  )
  expect(kinds).toEqual(['allowed', 'unmatched'])
})
