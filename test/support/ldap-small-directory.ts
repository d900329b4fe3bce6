import type { LdapEntry } from './ldap-entries.ts'
import { administrator, directoryEntries, people, serviceAccount } from './ldap-entries.ts'
import type { LdapFilter } from './ldap-filter.ts'
import { entryMessage, resultMessage } from './ldap-messages.ts'
import type { LdapBind, LdapRequest, LdapSearch } from './ldap-messages.ts'

/** Gives the messages of the proper answer to a request. */
export type SmallDirectory = { readonly answer: (request: LdapRequest) => readonly Buffer[] }

/** The rule by which Active Directory follows nested groups. */
const inChain = '1.2.840.113556.1.4.1941'

/**
 * A directory in memory with the entries of test/support/ldap-entries.ts and more: it knows binds (by DN, by
 * userPrincipalName, by `EXAMPLE\NAME`), searches, pages, and Active Directory's rule for nested groups; no access rules.
 */
export function createSmallDirectory(more: readonly LdapEntry[] = []): SmallDirectory {
  const entries = [...directoryEntries(), ...more]
  const accounts = new Map([
    ...Object.entries(people).flatMap(([key, { dn, password }]) => [
      [sameDn(dn), password] as const,
      [`${key}@example.org`.toLowerCase(), password] as const,
      [`example\\${key}`.toLowerCase(), password] as const,
    ]),
    ...[serviceAccount, administrator].map(({ dn, password }) => [sameDn(dn), password] as const),
  ])

  /** Invalid credentials unless both are right; an empty password is an anonymous bind (RFC 4513 section 5.1.2). */
  function bindCode({ dn, password }: LdapBind): number {
    const expected = accounts.get(sameDn(dn)) ?? accounts.get(dn.toLowerCase())
    return password === '' || password === expected ? 0 : 49
  }

  function search(request: LdapSearch): readonly Buffer[] {
    const found = entries.filter((entry) => isInScope(entry, request) && isMatch(entry, request.filter, entries))
    const start = Number(request.page?.cookie ?? 0)
    const end = request.page === undefined ? found.length : start + request.page.size
    const cookie = request.page === undefined ? undefined : end < found.length ? String(end) : ''
    const messages = found
      .slice(start, end)
      .map(({ dn, attributes }) => entryMessage(request.id, { dn, attributes: chosen(attributes, request.attributes) }))
    return [...messages, resultMessage(request, { code: 0 }, cookie)]
  }

  return {
    answer: (request) => {
      switch (request.kind) {
        case 'bind':
          return [resultMessage(request, { code: bindCode(request) })]
        case 'search':
          return search(request)
        case 'startTls':
          return [resultMessage(request, { code: 0 })]
        case 'other':
          return [resultMessage(request, { code: 2, text: 'not supported' })]
        case 'abandon':
        case 'unbind':
          return []
      }
    },
  }
}

/** DNs in one spelling, as far as the tests spell them. */
function sameDn(dn: string): string {
  return dn
    .toLowerCase()
    .replace(/\\([0-9a-f]{2})/g, (_, code: string) => `\\${String.fromCharCode(Number.parseInt(code, 16))}`)
    .replace(/\s*(?<!\\),\s*/g, ',')
}

function isInScope({ dn }: LdapEntry, { base, scope }: LdapSearch): boolean {
  const [own, wanted] = [sameDn(dn), sameDn(base)]
  if (own === wanted) return scope !== 'one'
  if (!own.endsWith(`,${wanted}`) || scope === 'base') return false
  return scope === 'sub' || !/(?<!\\),/.test(own.slice(0, -wanted.length - 1))
}

function isMatch(entry: LdapEntry, filter: LdapFilter, all: readonly LdapEntry[]): boolean {
  switch (filter.kind) {
    case 'and':
      return filter.filters.every((part) => isMatch(entry, part, all))
    case 'or':
      return filter.filters.some((part) => isMatch(entry, part, all))
    case 'not':
      return !isMatch(entry, filter.filter, all)
    case 'present':
      return valuesOf(entry, filter.attribute).length > 0
    case 'equal':
      return valuesOf(entry, filter.attribute).some((value) => sameDn(value) === sameDn(filter.value))
    case 'substrings': {
      const pattern = filter.parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)).join('.*')
      return valuesOf(entry, filter.attribute).some((value) => new RegExp(`^${pattern}$`, 'is').test(value))
    }
    case 'matching':
      return filter.rule === inChain && isReached(entry, filter.attribute, sameDn(filter.value), all)
    case 'unknown':
      return false
  }
}

/** Whether following the DNs in an attribute, from entry to entry, leads to one DN. */
function isReached(from: LdapEntry, attribute: string, target: string, all: readonly LdapEntry[]): boolean {
  const seen = new Set<string>()
  let next = [from]
  while (next.length > 0) {
    const found = next.flatMap((entry) => valuesOf(entry, attribute).map(sameDn)).filter((dn) => !seen.has(dn))
    for (const dn of found) seen.add(dn)
    next = all.filter(({ dn }) => found.includes(sameDn(dn)))
  }
  return seen.has(target)
}

function valuesOf({ attributes }: LdapEntry, name: string): readonly string[] {
  const wanted = Object.entries(attributes).find(([key]) => key.toLowerCase() === name.toLowerCase())
  return (wanted?.[1] ?? []).map((value) => value.toString())
}

/** What was asked for, never passwords; everything where nothing or `*` was. */
function chosen(attributes: LdapEntry['attributes'], wanted: readonly string[]): LdapEntry['attributes'] {
  const names = wanted.map((name) => name.toLowerCase())
  const isAll = names.length === 0 || names.includes('*')
  const kept = Object.entries(attributes).filter(
    ([name]) => name !== 'userPassword' && (isAll || names.includes(name.toLowerCase())),
  )
  return Object.fromEntries(kept)
}
