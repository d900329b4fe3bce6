/** The kinds of values that the settings of a directory have. Every sentence says what is allowed. */
import { z } from 'zod'
import { parseDn } from './distinguished-name.ts'
import type { DistinguishedName } from './distinguished-name.ts'
import { parseFilter } from './ldap-filter.ts'
import type { FilterTemplate, FilterVariable } from './ldap-filter.ts'

/** Where a directory listens. */
export type LdapAddress = {
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string
  readonly port: number
  /** Whether it speaks TLS from the first byte: `ldaps://`. */
  readonly isTls: boolean
}

/**
 * What stands for a user in a bind without a search: the parts of a DN, in whose values `{{username}}` is, or a user
 * principal name of Active Directory.
 */
export type BindTemplate =
  | { readonly kind: 'dn'; readonly name: DistinguishedName }
  | { readonly kind: 'upn'; readonly before: string; readonly after: string }

type Parsed<T> = { readonly kind: 'ok'; readonly value: T } | { readonly kind: 'fault'; readonly sentence: string }

export const usernameVariable = '{{username}}'

function parsedText<T>(parse: (text: string) => Parsed<T>) {
  return z.string().transform((text, context): T => {
    const parsed = parse(text)
    if (parsed.kind === 'ok') return parsed.value
    context.addIssue({ code: 'custom', message: parsed.sentence })
    return z.NEVER
  })
}

const fault = (sentence: string): Parsed<never> => ({ kind: 'fault', sentence })

/** The address of a server (RFC 4516), without the parts that name an entry. */
export const ldapUrl = parsedText((text): Parsed<LdapAddress> => {
  const scheme = /^ldaps?:\/\/(?=[^/])/i.exec(text)?.[0].toLowerCase()
  const url = scheme === undefined || /[\s\\%]/.test(text) ? null : URL.parse(text)
  const host = url?.hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase() ?? ''
  if (url === null || !/^[a-z0-9.:_-]+$/.test(host) || url.port === '0')
    return fault('must be an address such as ldaps://ldap.example.org or ldap://ldap.example.org:3389')
  if (text.includes('@')) return fault('must not carry a user name or a password; write bindDn and bindPasswordFile')
  if (url.pathname !== '' && url.pathname !== '/')
    return fault('must end after the host and the port; the entry below which users are is searchBase')
  if (/[?#]/.test(text)) return fault('must not have a query or a fragment; the filter is searchFilter')
  const isTls = scheme === 'ldaps://'
  return { kind: 'ok', value: { host, port: url.port === '' ? (isTls ? 636 : 389) : Number(url.port), isTls } }
})

/** The name of an entry (RFC 4514), kept as it is written. */
export const entryName = parsedText((text): Parsed<string> => {
  if (parseDn(text) !== undefined && text.trim() !== '') return { kind: 'ok', value: text.trim() }
  return fault('must be the name of an entry, such as ou=people,dc=example,dc=org')
})

/** What a service account binds with: the name of its entry, or what Active Directory takes instead. */
export const accountName = parsedText((text): Parsed<string> => {
  if (entryName.safeParse(text).success || /^[^\s@\\]+[@\\][^\s@\\]+$/.test(text))
    return { kind: 'ok', value: text.trim() }
  return fault(
    'must be the name of an entry, such as cn=wharfgate,ou=services,dc=example,dc=org, or wharfgate@corp.example.org of Active Directory',
  )
})

/** A template of a filter in which at least one of the variables stands. */
export function filterTemplate(variables: readonly FilterVariable[]) {
  return parsedText((text): Parsed<FilterTemplate> => {
    const reading = parseFilter(text, variables)
    return reading.kind === 'ok' ? { kind: 'ok', value: reading.template } : reading
  })
}

/** A name of an attribute (RFC 4512 section 1.4). */
export const attributeName = parsedText((text): Parsed<string> => {
  if (/^([a-z][a-z0-9-]*|\d+(\.\d+)+)$/i.test(text)) return { kind: 'ok', value: text }
  return fault('must be the name of an attribute, such as uid, cn or sAMAccountName')
})

export const bindTemplate = parsedText((text): Parsed<BindTemplate> => {
  const [before = '', after, ...more] = text.split(usernameVariable)
  if (after === undefined || more.length > 0)
    return fault(
      'must have {{username}} once, such as uid={{username}},ou=people,dc=example,dc=org or {{username}}@corp.example.org',
    )
  if (!text.includes('=')) {
    const isUpn = before === '' && /^@[a-z0-9.-]+$/i.test(after)
    if (isUpn) return { kind: 'ok', value: { kind: 'upn', before, after } }
    return fault('must be the name of an entry, or {{username}}@ and a domain of Active Directory')
  }
  const name = parseDn(text)
  const values = name?.flatMap((attributes) => attributes.map(({ value }) => value)) ?? []
  if (name !== undefined && values.some((value) => value.includes(usernameVariable)))
    return { kind: 'ok', value: { kind: 'dn', name } }
  return fault(
    'must be the name of an entry in which {{username}} is a value, such as uid={{username}},ou=people,dc=org',
  )
})
