/**
 * Templates of search filters (RFC 4515), such as `(&(objectClass=person)(uid={{username}}))`: parsed once, when the
 * configuration is read. What a variable stands for is put into the parsed form as a value, never into text.
 */

/** What a template can ask for: the name that was typed, the user's entry, or the user's canonical name. */
export type FilterVariable = 'username' | 'dn'

/** Pieces of a value, in order. */
export type FilterValue = readonly (string | { readonly variable: FilterVariable })[]

export type FilterTemplate =
  | { readonly kind: 'and' | 'or'; readonly filters: readonly FilterTemplate[] }
  | { readonly kind: 'not'; readonly filter: FilterTemplate }
  | { readonly kind: 'present'; readonly attribute: string }
  | {
      readonly kind: 'equal' | 'approximate' | 'greaterOrEqual' | 'lessOrEqual'
      readonly attribute: string
      readonly value: FilterValue
    }
  | {
      readonly kind: 'substrings'
      readonly attribute: string
      readonly initial: string
      readonly any: readonly string[]
      readonly final: string
    }
  | {
      readonly kind: 'extensible'
      /** Empty: every attribute that the rule is for. */
      readonly attribute: string
      /** Empty: the rule of the attribute. */
      readonly rule: string
      readonly dnAttributes: boolean
      readonly value: FilterValue
    }

/** A template, or the sentence that says what is wrong with the text. */
export type FilterReading =
  { readonly kind: 'ok'; readonly template: FilterTemplate } | { readonly kind: 'fault'; readonly sentence: string }

/** Longer ones are refused, and those with filters in filters in filters beyond this depth. */
const maxLength = 4_096
const maxDepth = 16

const attribute = String.raw`(?:[a-z][a-z0-9-]*|\d+(?:\.\d+)+)(?:;[a-z0-9-]+)*`
const ordinary = new RegExp(`^(${attribute}) *([~<>]?=)(.*)$`, 'is')
const extended = new RegExp(String.raw`^(${attribute})?(:dn)?(?::(?!dn:=)(${attribute}))? *:=(.*)$`, 'is')
const kinds = { '=': 'equal', '~=': 'approximate', '>=': 'greaterOrEqual', '<=': 'lessOrEqual' } as const

/** A fault of the text; caught in this file. */
class FilterFault extends Error {}

/**
 * Reads a template in which at least one of `variables`, and no others, has to stand. Blanks between filters are allowed,
 * and the outermost parentheses may be missing. Never throws.
 */
export function parseFilter(text: string, variables: readonly FilterVariable[]): FilterReading {
  try {
    if (text.length > maxLength) throw new FilterFault(`must not be longer than ${maxLength} characters`)
    const trimmed = text.trim()
    const whole = trimmed.startsWith('(') ? trimmed : `(${trimmed})`
    const { filter, end } = readFilter(whole, 0, 1)
    if (end !== whole.length)
      throw new FilterFault(`has more text after its last parenthesis, from ${quoted(whole, end)}`)
    const used = variablesOf(filter)
    const [first] = variables
    if (first !== undefined && used.size === 0)
      throw new FilterFault(`must have {{${first}}} where the ${meaning[first]} belongs, such as ${example[first]}`)
    const foreign = [...used].find((variable) => !variables.includes(variable))
    if (foreign !== undefined) throw new FilterFault(`cannot use {{${foreign}}}, which is not known here`)
    return { kind: 'ok', template: filter }
  } catch (error) {
    if (error instanceof FilterFault) return { kind: 'fault', sentence: error.message }
    throw error
  }
}

const meaning = { username: 'name that was typed', dn: 'user’s entry' } as const
const example = { username: '(uid={{username}})', dn: '(member={{dn}})' } as const

type Read = { readonly filter: FilterTemplate; readonly end: number }

function readFilter(text: string, start: number, depth: number): Read {
  if (depth > maxDepth) throw new FilterFault(`must not nest filters deeper than ${maxDepth}`)
  if (text[start] !== '(') throw new FilterFault(`needs a parenthesis ( before ${quoted(text, start)}`)
  const at = skipBlanks(text, start + 1)
  const operator = text[at]
  if (operator === '&' || operator === '|') {
    const { filters, end } = readFilters(text, at + 1, depth + 1)
    return { filter: { kind: operator === '&' ? 'and' : 'or', filters }, end }
  }
  if (operator === '!') {
    const { filter, end } = readFilter(text, skipBlanks(text, at + 1), depth + 1)
    return { filter: { kind: 'not', filter }, end: closed(text, end) }
  }
  const end = text.indexOf(')', at)
  if (end === -1) throw new FilterFault(`has no parenthesis ) that closes ${quoted(text, start)}`)
  return { filter: readItem(text.slice(at, end)), end: end + 1 }
}

function readFilters(text: string, start: number, depth: number) {
  const filters: FilterTemplate[] = []
  let at = skipBlanks(text, start)
  while (text[at] === '(') {
    const { filter, end } = readFilter(text, at, depth)
    filters.push(filter)
    at = skipBlanks(text, end)
  }
  if (filters.length === 0) throw new FilterFault(`combines no filters at ${quoted(text, start - 1)}`)
  return { filters, end: closed(text, at) }
}

/** The place behind the parenthesis that must come next. */
function closed(text: string, start: number): number {
  const at = skipBlanks(text, start)
  if (text[at] !== ')') throw new FilterFault(`needs a parenthesis ) before ${quoted(text, at)}`)
  return at + 1
}

function skipBlanks(text: string, start: number): number {
  let at = start
  while (/\s/.test(text[at] ?? '')) at += 1
  return at
}

function readItem(text: string): FilterTemplate {
  const [, rule, dn, matching, assertion] = extended.exec(text) ?? []
  if (assertion !== undefined) {
    if (rule === undefined && matching === undefined)
      throw new FilterFault(`names neither an attribute nor a rule in ${quoted(text, 0)}`)
    const value = readValue(assertion)
    return {
      ...{ kind: 'extensible', attribute: rule ?? '', rule: matching ?? '' },
      ...{ dnAttributes: dn !== undefined, value },
    }
  }
  const [, name = '', operator = '', written = ''] = ordinary.exec(text) ?? []
  if (name === '')
    throw new FilterFault(`must compare an attribute with a value, as (uid=alice) does, in ${quoted(text, 0)}`)
  if (operator !== '=') return { kind: kindOf(operator), attribute: name, value: readValue(written) }
  if (written === '*') return { kind: 'present', attribute: name }
  if (written.includes('*')) return readSubstrings(name, written)
  return { kind: 'equal', attribute: name, value: readValue(written) }
}

function kindOf(operator: string): 'equal' | 'approximate' | 'greaterOrEqual' | 'lessOrEqual' {
  return kinds[operator === '~=' || operator === '>=' || operator === '<=' ? operator : '=']
}

/** Parts of a name must not find somebody, so no variable stands beside a wildcard. */
function readSubstrings(name: string, written: string): FilterTemplate {
  const parts = written.split('*').map((part) =>
    readValue(part).map((piece) => {
      if (typeof piece === 'string') return piece
      throw new FilterFault(
        `must not have a wildcard * beside {{${piece.variable}}}; write (${name}={{${piece.variable}}})`,
      )
    }),
  )
  const [initial = '', ...rest] = parts.map((pieces) => pieces.join(''))
  const final = rest.pop() ?? ''
  return { kind: 'substrings', attribute: name, initial, any: rest.filter((part) => part !== ''), final }
}

function readValue(written: string): FilterValue {
  return written.split(/(\{\{.*?\}\})/s).flatMap((piece): FilterValue => {
    const variable = /^\{\{\s*(.*?)\s*\}\}$/s.exec(piece)?.[1]
    if (variable === undefined) return piece === '' ? [] : [unescaped(piece)]
    if (variable === 'username' || variable === 'dn') return [{ variable }]
    throw new FilterFault(`has an unknown {{${variable}}}; there are {{username}} and {{dn}}`)
  })
}

function unescaped(piece: string): string {
  const wrong = /\\(?![0-9a-f]{2})|[(\0]|\{\{|\}\}/i.exec(piece)
  if (wrong !== null)
    throw new FilterFault(
      `has ${quoted(piece, wrong.index)} in a value; write ( ) * and \\ as \\28 \\29 \\2a and \\5c (RFC 4515)`,
    )
  return piece.replaceAll(/(?:\\[0-9a-f]{2})+/gi, (escapes) => {
    const bytes = Buffer.from(escapes.replaceAll('\\', ''), 'hex')
    const text = bytes.toString('utf8')
    if (Buffer.from(text, 'utf8').equals(bytes)) return text
    throw new FilterFault(`has bytes in a value that are not UTF-8: ${escapes}`)
  })
}

/** What a template asks for. */
export function variablesOf(filter: FilterTemplate): ReadonlySet<FilterVariable> {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return new Set(filter.filters.flatMap((one) => [...variablesOf(one)]))
    case 'not':
      return variablesOf(filter.filter)
    case 'present':
    case 'substrings':
      return new Set()
    case 'equal':
    case 'approximate':
    case 'greaterOrEqual':
    case 'lessOrEqual':
    case 'extensible':
      return new Set(filter.value.flatMap((piece) => (typeof piece === 'string' ? [] : [piece.variable])))
  }
}

function quoted(text: string, at: number): string {
  const rest = text.slice(at)
  return rest === '' ? 'its end' : `"${rest.slice(0, 24)}${rest.length > 24 ? '…' : ''}"`
}
