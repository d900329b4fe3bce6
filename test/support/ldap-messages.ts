/** LDAP messages (RFC 4511) as the fault server reads and writes them. */
import { ber, berInteger, berOctets, berTag, readBer, readBerList, readBerNumber } from './ldap-ber.ts'
import type { BerElement } from './ldap-ber.ts'
import type { LdapEntry } from './ldap-entries.ts'
import { filterText, readFilter } from './ldap-filter.ts'
import type { LdapFilter } from './ldap-filter.ts'

export type LdapBind = { readonly kind: 'bind'; readonly id: number; readonly dn: string; readonly password: string }

export type LdapSearch = {
  readonly kind: 'search'
  readonly id: number
  readonly base: string
  readonly scope: 'base' | 'one' | 'sub'
  readonly sizeLimit: number
  readonly filter: LdapFilter
  /** The filter as RFC 4515 writes it. */
  readonly filterText: string
  readonly attributes: readonly string[]
  /** What the paging control asks for (RFC 2696). */
  readonly page?: { readonly size: number; readonly cookie: string }
}

/** One request; `other` is whatever the server has no answer for. */
export type LdapRequest =
  | LdapBind
  | LdapSearch
  | { readonly kind: 'startTls'; readonly id: number }
  | { readonly kind: 'abandon' | 'other' | 'unbind'; readonly id: number }

/** What ends an operation. */
export type LdapResult = {
  readonly code: number
  /** The diagnostic message. */
  readonly text?: string
  /** LDAP URLs, with code 10 (RFC 4511 section 4.1.10). */
  readonly referrals?: readonly string[]
}

const responseTag = { bind: 0x61, entry: 0x64, done: 0x65, reference: 0x73, extended: 0x78 } as const
const startTlsOid = '1.3.6.1.4.1.1466.20037'
const pagingOid = '1.2.840.113556.1.4.319'

/** Reads the message in an element that came whole. */
export function readRequest({ content }: BerElement): LdapRequest {
  const [idElement, operation, controls] = readBerList(content)
  const id = idElement === undefined ? -1 : readBerNumber(idElement)
  if (operation === undefined) return { kind: 'other', id }
  switch (operation.tag) {
    case 0x60: {
      const [, dn, password] = readBerList(operation.content)
      return { kind: 'bind', id, dn: textOf(dn), password: textOf(password) }
    }
    case 0x63:
      return readSearch(id, operation.content, controls)
    case 0x77:
      return { kind: textOf(readBerList(operation.content)[0]) === startTlsOid ? 'startTls' : 'other', id }
    case 0x42:
      return { kind: 'unbind', id }
    case 0x50:
      return { kind: 'abandon', id }
    default:
      return { kind: 'other', id }
  }
}

function readSearch(id: number, content: Buffer, controls: BerElement | undefined): LdapSearch {
  const [base, scope, , sizeLimit, , , filterElement, attributes] = readBerList(content)
  const filter = readFilter(filterElement)
  const page = readPage(controls)
  return {
    kind: 'search',
    id,
    base: textOf(base),
    scope: (['base', 'one', 'sub'] as const)[scope === undefined ? 2 : readBerNumber(scope)] ?? 'sub',
    sizeLimit: sizeLimit === undefined ? 0 : readBerNumber(sizeLimit),
    filter,
    filterText: filterText(filter),
    attributes: readBerList(attributes?.content ?? Buffer.alloc(0)).map(textOf),
    ...(page === undefined ? {} : { page }),
  }
}

function readPage(controls: BerElement | undefined): LdapSearch['page'] {
  for (const { content } of readBerList(controls?.content ?? Buffer.alloc(0))) {
    const parts = readBerList(content)
    if (textOf(parts[0]) !== pagingOid) continue
    const value = readBer(parts.at(-1)?.content ?? Buffer.alloc(0))
    const [size, cookie] = readBerList(value?.content ?? Buffer.alloc(0))
    return { size: size === undefined ? 0 : readBerNumber(size), cookie: textOf(cookie) }
  }
  return undefined
}

function textOf(element: BerElement | undefined): string {
  return element?.content.toString('utf8') ?? ''
}

/** Any message: its id, an operation and, where there are any, controls. */
export function ldapMessage(id: number, ...parts: readonly Buffer[]): Buffer {
  return ber(berTag.sequence, berInteger(id), ...parts)
}

/** The message that ends the operation that was asked for. */
export function resultMessage(request: LdapRequest, result: LdapResult, cookie?: string): Buffer {
  const kinds = { bind: responseTag.bind, search: responseTag.done } as const
  const tag = request.kind === 'bind' || request.kind === 'search' ? kinds[request.kind] : responseTag.extended
  return ldapMessage(
    request.id,
    ber(tag, ...resultParts(result)),
    ...(cookie === undefined ? [] : [pageControl(cookie)]),
  )
}

export function entryMessage(id: number, { dn, attributes }: LdapEntry): Buffer {
  const list = Object.entries(attributes).map(([name, values]) =>
    ber(berTag.sequence, berOctets(name), ber(berTag.set, ...values.map(berOctets))),
  )
  return ldapMessage(id, ber(responseTag.entry, berOctets(dn), ber(berTag.sequence, ...list)))
}

/** A search reference: go on looking there (RFC 4511 section 4.5.3). */
export function referenceMessage(id: number, urls: readonly string[]): Buffer {
  return ldapMessage(id, ber(responseTag.reference, ...urls.map(berOctets)))
}

/** The unsolicited message before a server hangs up (RFC 4511 section 4.4.1). */
export function disconnectionMessage(result: LdapResult): Buffer {
  const name = ber(0x8a, '1.3.6.1.4.1.1466.20036')
  return ldapMessage(0, ber(responseTag.extended, ...resultParts(result), name))
}

function resultParts({ code, text = '', referrals = [] }: LdapResult): readonly Buffer[] {
  const urls = referrals.length === 0 ? [] : [ber(0xa3, ...referrals.map(berOctets))]
  return [berInteger(code, berTag.enumerated), berOctets(''), berOctets(text), ...urls]
}

function pageControl(cookie: string): Buffer {
  const value = ber(berTag.sequence, berInteger(0), berOctets(cookie))
  return ber(0xa0, ber(berTag.sequence, berOctets(pagingOid), berOctets(value)))
}
