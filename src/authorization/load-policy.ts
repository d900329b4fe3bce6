/** From the files of a policy to the policy, or to everything that is wrong with them. */
import { byPlace } from '../config/document.ts'
import type { Fault } from '../config/document.ts'
import { printName } from '../config/keys.ts'
import { readPolicyDocument } from '../config/policy-document.ts'
import type { PolicyReading } from '../config/policy-document.ts'
import { basicUserName } from '../config/values.ts'
import type { Action } from '../registry/access.ts'
import { compilePolicy } from './compile-policy.ts'
import type { LoadedPolicy } from './compile-policy.ts'
import { createReport, readProtectedTags, readRules } from './read-rules.ts'
import type { Report } from './read-rules.ts'
import { knownRoles, parseAction } from './roles.ts'
import type { Roles } from './roles.ts'
import { groupName, parseSubject } from './subject.ts'

/** One file of a policy, already read. */
export type PolicyFile = {
  /** As faults and traces name it. */
  readonly file: string
  readonly text: string
}

/** The answer of {@link loadPolicy}. */
export type PolicyLoad =
  | { readonly kind: 'ok'; readonly policy: LoadedPolicy }
  | { readonly kind: 'faults'; readonly faults: readonly Fault[] }

export type LoadOptions = {
  /** What the audit calls the policy. */
  readonly name: string
  /** Which version it is. */
  readonly generation: number
}

/** Pairs of a subject and a pattern that one policy may have; each takes room in memory. */
const maxPairs = 250_000

/**
 * Makes one policy of files, which together say what a single one could. Pure, and never throws: whatever is wrong with
 * any of them, all of it, comes back as faults, file by file in the order of each.
 */
export function loadPolicy(files: readonly PolicyFile[], options: LoadOptions): PolicyLoad {
  const faults: Fault[] = []
  const readings = [...files]
    .sort((one, other) => (one.file < other.file ? -1 : 1))
    .map((source) => {
      const reading = readPolicyDocument(source)
      faults.push(...reading.faults)
      return { file: source.file, reading, report: createReport(source.file, reading, faults) }
    })
  const roles = mergedRoles(readings)
  const memberships = mergedGroups(readings)
  const rules = readings.flatMap(({ file, reading, report }) => readRules(file, reading, roles, report))
  const protectedTags = readings.flatMap(({ file, reading, report }) => readProtectedTags(file, reading, report))
  if (faults.length === 0) faults.push(...tooLittle(files[0]?.file ?? options.name, rules.length), ...tooMuch(rules))
  if (faults.length > 0) return { kind: 'faults', faults: inOrder(faults) }
  return { kind: 'ok', policy: compilePolicy({ ...options, rules, protectedTags, ...memberships }) }
}

type Read = { readonly file: string; readonly reading: PolicyReading; readonly report: Report }

function mergedRoles(readings: readonly Read[]): Roles {
  const roles = new Map(knownRoles)
  const definedAt = new Map<string, string>()
  for (const { file, reading, report } of readings) {
    for (const [name, texts] of reading.roles) {
      const path = ['roles', name]
      noteDefinition(name, path, file, reading, report, definedAt)
      if (knownRoles.has(name)) report(path, 'is the name of a built-in role or of an action; choose another name')
      if (!/^[a-z][a-z0-9_-]*$/i.test(name)) report(path, 'is no name for a role: letters, digits, _ and -')
      const actions = texts.flatMap((text, index): readonly Action[] => {
        const parsed = parseAction(text)
        if (parsed.kind === 'ok') return [parsed.value]
        report([...path, index], `${printName(text)} ${parsed.sentence}`)
        return []
      })
      roles.set(name, actions)
    }
  }
  return roles
}

type Memberships = {
  readonly groups: ReadonlySet<string>
  readonly memberships: ReadonlyMap<string, readonly string[]>
}

function mergedGroups(readings: readonly Read[]): Memberships {
  const memberships = new Map<string, string[]>()
  const definedAt = new Map<string, string>()
  for (const { file, reading, report } of readings) {
    for (const [group, users] of reading.groups) {
      const path = ['groups', group]
      const name = groupName(group)
      noteDefinition(name, path, file, reading, report, definedAt)
      const named = parseSubject(`group:${group}`)
      if (named.kind === 'fault') report(path, `cannot be used in a rule: group:${printName(group)} ${named.sentence}`)
      users.forEach((user, index) => {
        const sentence = wrongMember(user)
        if (sentence !== undefined) report([...path, index], `${printName(user)} ${sentence}`)
        const groups = memberships.get(user)
        if (groups === undefined) memberships.set(user, [name])
        else if (!groups.includes(name)) groups.push(name)
      })
    }
  }
  return { groups: new Set(definedAt.keys()), memberships }
}

function wrongMember(user: string): string | undefined {
  if (user.startsWith('user:')) return 'is written here without user: in front, since only users are in groups'
  if (user.startsWith('group:')) return 'is a group, and only users are in groups'
  const parsed = basicUserName.safeParse(user)
  if (!parsed.success) return `is no user name; it ${parsed.error.issues[0]?.message ?? 'is not valid'}`
  const subject = parseSubject(`user:${user}`)
  return subject.kind === 'fault' ? subject.sentence : undefined
}

/** Takes note of where a name is given; the second time is a fault that names the first place. */
function noteDefinition(
  name: string,
  path: readonly string[],
  file: string,
  reading: PolicyReading,
  report: Report,
  definedAt: Map<string, string>,
): void {
  const first = definedAt.get(name)
  if (first !== undefined) {
    report(path, `is defined already at ${first}; define it in one place`)
    return
  }
  const { line, column } = reading.placeOf(path)
  definedAt.set(name, `${file}:${line}:${column}`)
}

/** A policy without a rule refuses everyone everything; nobody writes that on purpose. */
function tooLittle(file: string, ruleCount: number): readonly Fault[] {
  if (ruleCount > 0) return []
  const sentence = 'has no rule in any file of the policy, so nobody could do anything; a policy needs at least one'
  return [{ file, line: 1, column: 1, key: 'rules', sentence }]
}

function tooMuch(rules: LoadedPolicy['rules']): readonly Fault[] {
  let pairs = 0
  const over = rules.find(({ to, on }) => (pairs += to.length * on.length) > maxPairs)
  if (over === undefined) return []
  const { file, index } = over.reference
  const sentence = `with this rule there are more than ${maxPairs} pairs of a subject and a pattern; use groups and wildcards`
  return [{ file, ...over.place, key: `rules[${index}]`, sentence }]
}

/** File by file, each in its order. */
export function inOrder(faults: readonly Fault[]): readonly Fault[] {
  return [...faults].sort((one, other) => {
    if (one.file !== other.file) return one.file < other.file ? -1 : 1
    return byPlace(one, other)
  })
}
