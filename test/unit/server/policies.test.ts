import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { createPolicies } from '../../../src/server/policies.ts'
import type { Events } from '../../../src/telemetry/events.ts'

type Told = Parameters<Events['policyLoaded']>[0]

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wharfgate-test-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true })
})

async function load(text: string): Promise<Told | undefined> {
  const policies = join(folder, 'policy.yaml')
  writeFileSync(policies, text)
  const told: Told[] = []
  const settings = { authorization: { policies }, authentication: { anonymous: { enabled: false } } }
  await createPolicies(settings, { policyLoaded: (one) => told.push(one) })
  return told[0]
}

const rulesOf = (count: number, rule: string): string => `rules:\n${`- ${rule}\n`.repeat(count)}`
const plain = '{ allow: pull, to: authenticated, on: a }'

describe('doubts about a policy', () => {
  test.each([
    ['500 rules', rulesOf(500, plain), 499],
    ['125 rules of four pairs', rulesOf(125, '{ allow: pull, to: [user:a, user:b], on: [a, b] }'), 124],
    ['a rule and 499 groups', `${rulesOf(1, plain)}groups: { ${groupsOf(499)} }`, 0],
  ])('are looked for among %s', async (_what, text, count) => {
    expect((await load(text))?.warnings).toHaveLength(count)
  })

  test.each([
    ['501 rules', rulesOf(501, plain)],
    ['126 rules of four pairs', rulesOf(126, '{ allow: pull, to: [user:a, user:b], on: [a, b] }')],
    [
      '126 rules of four pairs by their exceptions',
      rulesOf(126, '{ deny: pull, to: authenticated, except: user:a, on: [a, b] }'),
    ],
    ['a rule and 500 groups', `${rulesOf(1, plain)}groups: { ${groupsOf(500)} }`],
  ])('are left to the command among %s', async (_what, text) => {
    expect(await load(text)).toMatchObject({ role: 'live', generation: 1, warnings: undefined })
  })
})

function groupsOf(count: number): string {
  return Array.from({ length: count }, (_value, index) => `g${index}: [alice]`).join(', ')
}
