/** Rules as they are written, each on one line. */
import { printReference } from '../authorization/rule.ts'
import { parseDocument } from '../config/document.ts'
import { printName } from '../config/keys.ts'
import type { RuleReference } from '../registry/grant.ts'

/** Where a rule stands, and what stands there. */
export type WrittenRule = RuleReference & {
  /** Such as `allow: [pull, push], to: group:developers, on: team/**`; long lists are cut short. */
  readonly text: string
  /** The conditions that it has, such as `addresses`. */
  readonly conditions: readonly string[]
}

/** Finds what is written at a reference. */
export type RuleTexts = (reference: RuleReference, list?: 'rules' | 'protectedTags') => WrittenRule

/** @param files the files that the policy was made of; each is read again when it is first asked for */
export function createRuleTexts(files: readonly { readonly file: string; readonly text: string }[]): RuleTexts {
  const texts = new Map(files.map(({ file, text }) => [file, text]))
  const values = new Map<string, unknown>()

  function valueOf(file: string): unknown {
    if (!values.has(file)) {
      const parsed = parseDocument({ file, text: texts.get(file) ?? '' })
      values.set(file, parsed.kind === 'ok' ? parsed.value : undefined)
    }
    return values.get(file)
  }

  return (reference, list = 'rules') => {
    const written = [list, reference.index].reduce(fieldOf, valueOf(reference.file))
    const when = fieldOf(written, 'when')
    return {
      ...reference,
      text: typeof written === 'object' && written !== null ? printEntries(written) : '',
      conditions: typeof when === 'object' && when !== null ? Object.keys(when) : [],
    }
  }
}

function fieldOf(value: unknown, step: string | number): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, step) : undefined
}

/** A rule with its place: `policies/team.yaml:12 rules[3]: allow: push, to: group:developers, on: team/**`. */
export function printRule(rule: WrittenRule, list: 'rules' | 'protectedTags' = 'rules'): string {
  return `${printReference(rule, list)}: ${rule.text}`
}

const shownItems = 8

function printEntries(map: object): string {
  return Object.entries(map)
    .map(([name, value]) => `${printName(name)}: ${printValue(value)}`)
    .join(', ')
}

function printValue(value: unknown): string {
  if (typeof value === 'string') return printText(value)
  if (Array.isArray(value)) {
    const shown = value.slice(0, shownItems).map(printValue)
    const rest = value.length - shown.length
    return `[${[...shown, ...(rest > 0 ? [`${rest} more`] : [])].join(', ')}]`
  }
  return typeof value === 'object' && value !== null ? `{ ${printEntries(value)} }` : String(value)
}

/** In quotes where that is no plain word; sentences are not cut short, as names are. */
function printText(text: string): string {
  return /^[\w.${}@/*:+-]+$/.test(text) ? text : JSON.stringify(text)
}

/** Text for a terminal: what is no letter but an order to it, or turns the direction of reading, is a question mark. */
export function forTerminal(text: string): string {
  return text.replace(/(?!\n)[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\p{Bidi_Control}]/gu, '?')
}
