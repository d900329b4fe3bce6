import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { parseDocument } from 'yaml'
import { printFinding } from '../../src/cli/check.ts'
import { runCases } from '../../src/cli/policy-cases.ts'
import type { CasesOutcome } from '../../src/cli/policy-cases.ts'
import { checkPolicies } from '../../src/cli/policy-check.ts'
import { findCases, readPolicy } from '../../src/cli/policy-source.ts'

const root = join(import.meta.dirname, '..', '..')
const folders = ['policies', ...globSync('policies/examples/*', { cwd: root }).sort()]
const now = Date.parse('2026-12-01T09:00:00Z')

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wharfgate-examples-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

/** The one policy file of a folder; what is proven rule by rule below has all its rules there. */
function policyFileOf(name: string): string {
  const files = globSync('*.yaml', { cwd: join(root, name) }).filter((file) => !file.endsWith('.cases.yaml'))
  expect(files).toHaveLength(1)
  return files[0] ?? ''
}

async function casesOf(path: string): Promise<CasesOutcome> {
  return runCases(await readPolicy(path), await findCases(path), now)
}

function asWritten(name: string): ReturnType<typeof parseDocument> {
  return parseDocument(readFileSync(join(root, name, policyFileOf(name)), 'utf8'))
}

/** Every rule and every protection of a folder, to be left out by itself. */
const parts = folders.flatMap((name) =>
  ['rules', 'protectedTags'].flatMap((section) => {
    const items = (asWritten(name).toJS() as Readonly<Record<string, readonly unknown[] | undefined>>)[section] ?? []
    return items.map((_, index) => ({ name, section, index }))
  }),
)

test('there are the examples that the documentation names', () => {
  const named = [...readFileSync(join(root, 'policies/README.md'), 'utf8').matchAll(/\]\(examples\/([a-z-]+)\//g)]
  expect([...new Set(named.map(([, name]) => name))].sort()).toEqual(folders.slice(1).map((name) => basename(name)))
})

describe.each(folders)('%s', (name) => {
  test('has nothing at fault or doubtful in it, and its cases hold', async () => {
    expect((await checkPolicies(join(root, name), now)).map(printFinding)).toEqual([])
  })

  test('has cases that expect something allowed and something refused', async () => {
    const files = await findCases(join(root, name))
    expect(files).toHaveLength(1)
    expect(readFileSync(files[0] ?? '', 'utf8')).toMatch(/\bmay:[^]*\bmayNot:/)
    expect((await casesOf(join(root, name))).decisions).toBeGreaterThan(10)
  })
})

test.each(parts)('the cases of $name notice that $section[$index] is missing', async ({ name, section, index }) => {
  cpSync(join(root, name), folder, { recursive: true })
  const document = asWritten(name)
  document.deleteIn([section, index])
  // A policy without a rule is none; this one allows nothing.
  const rules = document.toJS() as { readonly rules: readonly unknown[] }
  if (rules.rules.length === 0) document.addIn(['rules'], { deny: 'pull', to: 'anonymous', on: 'nothing' })
  writeFileSync(join(folder, policyFileOf(name)), document.toString())
  expect((await casesOf(folder)).failures).not.toEqual([])
})

describe('the next steps of the default policy', () => {
  const steps = /^# (?= {2}|groups:|protectedTags:)/gm

  test('are a policy without a fault when all are taken', async () => {
    const text = readFileSync(join(root, 'policies/default.yaml'), 'utf8')
    expect(text.match(steps)?.length).toBeGreaterThan(15)
    writeFileSync(join(folder, 'default.yaml'), text.replace(steps, ''))
    expect((await checkPolicies(folder, now)).map(printFinding)).toEqual([])
    const { policy } = await readPolicy(folder)
    expect(policy.rules).toHaveLength(4)
    expect([...policy.groups]).toEqual(['developers'])
    expect(policy.protectionIn('prod/api')).toBeDefined()
  })
})
