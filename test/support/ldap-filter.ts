import { readBerList } from './ldap-ber.ts'
import type { BerElement } from './ldap-ber.ts'

/** A search filter (RFC 4511 section 4.5.1.7); `unknown` is what this does not read. */
export type LdapFilter =
  | { readonly kind: 'and' | 'or'; readonly filters: readonly LdapFilter[] }
  | { readonly kind: 'not'; readonly filter: LdapFilter }
  | { readonly kind: 'equal'; readonly attribute: string; readonly value: string }
  | { readonly kind: 'present'; readonly attribute: string }
  /** `parts` are what stands before, between and after the asterisks; the first and the last may be empty. */
  | { readonly kind: 'substrings'; readonly attribute: string; readonly parts: readonly string[] }
  | { readonly kind: 'matching'; readonly rule: string; readonly attribute: string; readonly value: string }
  | { readonly kind: 'unknown'; readonly tag: number }

export function readFilter(element: BerElement | undefined): LdapFilter {
  const { tag, content } = element ?? { tag: 0, content: Buffer.alloc(0) }
  const text = (part: BerElement | undefined): string => part?.content.toString('utf8') ?? ''
  const parts = (tag & 0x20) === 0 ? [] : readBerList(content)
  switch (tag) {
    case 0xa0:
      return { kind: 'and', filters: parts.map(readFilter) }
    case 0xa1:
      return { kind: 'or', filters: parts.map(readFilter) }
    case 0xa2:
      return { kind: 'not', filter: readFilter(parts[0]) }
    case 0xa3:
      return { kind: 'equal', attribute: text(parts[0]), value: text(parts[1]) }
    case 0x87:
      return { kind: 'present', attribute: content.toString('utf8') }
    case 0xa4: {
      const pieces = readBerList(parts[1]?.content ?? Buffer.alloc(0))
      const initial = pieces[0]?.tag === 0x80 ? [] : ['']
      const final = pieces.at(-1)?.tag === 0x82 ? [] : ['']
      return { kind: 'substrings', attribute: text(parts[0]), parts: [...initial, ...pieces.map(text), ...final] }
    }
    case 0xa9: {
      const of = (wanted: number): string => text(parts.find((part) => part.tag === wanted))
      return { kind: 'matching', rule: of(0x81), attribute: of(0x82), value: of(0x83) }
    }
    default:
      return { kind: 'unknown', tag }
  }
}

/** As RFC 4515 writes it, with every character escaped that must be. */
export function filterText(filter: LdapFilter): string {
  switch (filter.kind) {
    case 'and':
      return `(&${filter.filters.map(filterText).join('')})`
    case 'or':
      return `(|${filter.filters.map(filterText).join('')})`
    case 'not':
      return `(!${filterText(filter.filter)})`
    case 'equal':
      return `(${filter.attribute}=${escaped(filter.value)})`
    case 'present':
      return `(${filter.attribute}=*)`
    case 'substrings':
      return `(${filter.attribute}=${filter.parts.map(escaped).join('*')})`
    case 'matching':
      return `(${filter.attribute}:${filter.rule}:=${escaped(filter.value)})`
    case 'unknown':
      return `(?${String(filter.tag)})`
  }
}

function escaped(value: string): string {
  return value.replace(/[\0()*\\]/g, (character) => `\\${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
