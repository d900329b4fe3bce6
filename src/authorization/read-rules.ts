/** Turns what stands in a policy file into rules, or into faults with their places. */
import type { Fault } from '../config/document.ts'
import { printName, printPath } from '../config/keys.ts'
import type { PathStep } from '../config/keys.ts'
import type {
  ConditionsDocument,
  PolicyReading,
  ProtectedTagsDocument,
  RuleDocument,
} from '../config/policy-document.ts'
import { addressRange } from './address-range.ts'
import { conditionsOf } from './conditions.ts'
import type { Conditions } from './conditions.ts'
import { fault } from './parsed.ts'
import type { Parsed } from './parsed.ts'
import { parseRepositoryPattern } from './repository-pattern.ts'
import { actionsOf } from './roles.ts'
import type { Roles } from './roles.ts'
import type { ProtectedTags, Rule } from './rule.ts'
import { parseSubject } from './subject.ts'
import { parseTagPattern } from './tag-pattern.ts'
import type { TagPattern } from './tag-pattern.ts'
import { weekdays } from './weekly-window.ts'

/** Takes note of what is wrong at a place of the file. */
export type Report = (path: readonly PathStep[], sentence: string) => void

/** A reporter that turns sentences into faults of one file. */
export function createReport(file: string, { placeOf }: PolicyReading, faults: Fault[]): Report {
  return (path, sentence) => {
    faults.push({ file, ...placeOf(path), key: printPath(path), sentence })
  }
}

type Path = readonly PathStep[]

/** Reads every rule of a file and reports what is at fault in it; a policy with a fault is not made. */
export function readRules(file: string, reading: PolicyReading, roles: Roles, report: Report): readonly Rule[] {
  return reading.rules.map((document, index): Rule => {
    const path: Path = ['rules', index]
    const place = reading.placeOf(path)
    const { allow, deny, to, except, on, when, message } = document
    reportForm(document, path, report, reading.faults.length === 0)
    const effect = allow === undefined ? 'deny' : 'allow'
    const conditions = when === undefined ? undefined : readConditions(when, [...path, 'when'], report)
    return {
      effect,
      actions: new Set(textsOf(allow ?? deny, [...path, effect], report, (name) => actionsOf(name, roles)).flat()),
      to: textsOf(to, [...path, 'to'], report, parseSubject),
      except: textsOf(except, [...path, 'except'], report, parseSubject),
      on: textsOf(on, [...path, 'on'], report, parseRepositoryPattern),
      when: conditions,
      conditions: conditions === undefined ? [] : conditionsOf(conditions, effect),
      message,
      reference: { file, line: place.line, index },
      place,
    }
  })
}

/** @param isWhole whether nothing is missing from the document but what is not there */
function reportForm(
  { allow, deny, except }: Partial<RuleDocument>,
  path: Path,
  report: Report,
  isWhole: boolean,
): void {
  if (allow !== undefined && deny !== undefined)
    report([...path, 'deny'], 'stands beside allow; a rule allows or denies: make two of it')
  else if (allow !== undefined && except !== undefined)
    report([...path, 'except'], 'stands in a rule that allows; only a rule that denies has exceptions')
  else if (allow === undefined && deny === undefined && isWhole)
    report(path, 'does nothing; it needs allow or deny, with the actions or roles that it is about')
}

/** Reads the protected tags of a file and reports what is at fault in them. */
export function readProtectedTags(file: string, reading: PolicyReading, report: Report): readonly ProtectedTags[] {
  return reading.protectedTags.map(({ on, tags, message }: Partial<ProtectedTagsDocument>, index) => {
    const path: Path = ['protectedTags', index]
    const place = reading.placeOf(path)
    return {
      on: textsOf(on, [...path, 'on'], report, parseStaticPattern),
      tags: textsOf(tags, [...path, 'tags'], report, parseTagPattern),
      message,
      reference: { file, line: place.line, index },
      place,
    }
  })
}

/** Tags are protected whoever asks, so there is no principal whose name could stand in the pattern. */
function parseStaticPattern(text: string): ReturnType<typeof parseRepositoryPattern> {
  const parsed = parseRepositoryPattern(text)
  if (parsed.kind === 'fault' || parsed.value.variables.size === 0) return parsed
  return fault('holds a variable; protected tags are protected for everyone, so there is nobody it could stand for')
}

/** Reads the conditions of a rule; nothing where none is given. */
function readConditions(document: ConditionsDocument, path: Path, report: Report): Conditions | undefined {
  const { addresses, methods, tags, hours, notBefore, notAfter } = document
  const conditions: Conditions = {
    addresses: addresses?.map(addressRange),
    methods: methods === undefined ? undefined : new Set(methods),
    tags: tags === undefined ? undefined : readTags(tags, [...path, 'tags'], report),
    hours: hours === undefined ? undefined : windowOf(hours),
    notBefore,
    notAfter,
  }
  return Object.values(conditions).some((condition) => condition !== undefined) ? conditions : undefined
}

function readTags(tags: readonly string[], path: Path, report: Report): readonly TagPattern[] {
  return textsOf(tags, path, report, parseTagPattern)
}

function windowOf({ from, until, days, timeZone }: NonNullable<ConditionsDocument['hours']>): Conditions['hours'] {
  return { fromMinute: from, untilMinute: until, days: new Set(days ?? weekdays), timeZone }
}

/** Parses a text, or each text of a list; what cannot be parsed is reported at its place and left out. */
function textsOf<T>(
  value: string | readonly string[] | undefined,
  path: Path,
  report: Report,
  parse: (text: string) => Parsed<T>,
): readonly T[] {
  if (value === undefined) return []
  const texts =
    typeof value === 'string'
      ? [{ text: value, at: path }]
      : value.map((text, index) => ({ text, at: [...path, index] }))
  return texts.flatMap(({ text, at }) => {
    const parsed = parse(text)
    if (parsed.kind === 'ok') return [parsed.value]
    report(at, `${printName(text)} ${parsed.sentence}`)
    return []
  })
}
