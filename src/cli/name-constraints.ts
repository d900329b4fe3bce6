/**
 * The nameConstraints extension (RFC 5280 section 4.2.1.10), which limits what a CA can vouch for. It is written and
 * read here byte by byte, because @peculiar/x509 has no class for it.
 */
import type { CertificateHost } from './certificate-host.ts'

export const nameConstraintsOid = '2.5.29.30'

/** `dns` names a domain and everything under it, '' every name; `ip` is an address followed by its mask. */
type Subtree = { readonly kind: 'dns'; readonly domain: string } | { readonly kind: 'ip'; readonly range: Uint8Array }

/** Names outside `permitted` are refused where it holds any of their kind; names inside `excluded` always are. */
export type NameConstraints = { readonly permitted: readonly Subtree[]; readonly excluded: readonly Subtree[] }

const sequenceTag = 0x30
const permittedTag = 0xa0
const excludedTag = 0xa1
const dnsNameTag = 0x82
const ipAddressTag = 0x87

const everyDomain: Subtree = { kind: 'dns', domain: '' }
const everyAddress: readonly Subtree[] = [
  { kind: 'ip', range: new Uint8Array(8) },
  { kind: 'ip', range: new Uint8Array(32) },
]

/**
 * The narrowest constraints under which the hosts can be named. A kind of name of which there is none is excluded as a
 * whole, as the CA/Browser Forum's Baseline Requirements have it for technically constrained CAs, because a kind that
 * is not mentioned is free.
 */
export function constraintsFor(hosts: readonly CertificateHost[]): NameConstraints {
  const permitted = hosts.map(subtreeOf)
  const has = (kind: Subtree['kind']): boolean => permitted.some((subtree) => subtree.kind === kind)
  return { permitted, excluded: [...(has('dns') ? [] : [everyDomain]), ...(has('ip') ? [] : everyAddress)] }
}

function subtreeOf(host: CertificateHost): Subtree {
  if (host.kind === 'dns') return { kind: 'dns', domain: host.text.replace(/^\*\./, '') }
  return { kind: 'ip', range: Uint8Array.from([...host.bytes, ...host.bytes.map(() => 255)]) }
}

/** Whether a CA under the constraints can vouch for the host. */
export function permits(constraints: NameConstraints, host: CertificateHost): boolean {
  const sameKind = constraints.permitted.filter((subtree) => subtree.kind === host.kind)
  const permitted = sameKind.length === 0 || sameKind.some((subtree) => contains(subtree, host))
  return permitted && !constraints.excluded.some((subtree) => contains(subtree, host))
}

function contains(subtree: Subtree, host: CertificateHost): boolean {
  if (subtree.kind === 'dns') {
    if (host.kind !== 'dns') return false
    const domain = subtree.domain.toLowerCase()
    return domain === '' || host.text === domain || host.text.endsWith(domain.startsWith('.') ? domain : `.${domain}`)
  }
  const { range } = subtree
  if (host.kind !== 'ip' || range.length !== host.bytes.length * 2) return false
  return host.bytes.every((byte, at) => {
    const mask = range[host.bytes.length + at] ?? 0
    return (byte & mask) === ((range[at] ?? 0) & mask)
  })
}

/** The hosts a CA is limited to, for people. */
export function describeConstraints(constraints: NameConstraints): string {
  return constraints.permitted
    .map((subtree) => (subtree.kind === 'dns' ? subtree.domain : rangeText(subtree)))
    .join(', ')
}

function rangeText({ range }: { readonly range: Uint8Array }): string {
  const half = range.length / 2
  const address = [...range.subarray(0, half)]
  const prefix = [...range.subarray(half)].map((byte) => byte.toString(2).replaceAll('0', '').length)
  const bits = prefix.reduce((sum, ones) => sum + ones, 0)
  const text =
    half === 4
      ? address.join('.')
      : new URL(
          `http://[${Buffer.from(address)
            .toString('hex')
            .replace(/(.{4})(?!$)/g, '$1:')}]`,
        ).hostname.slice(1, -1)
  return bits === half * 8 ? text : `${text}/${String(bits)}`
}

/** The DER of the extension's value. */
export function encodeNameConstraints(constraints: NameConstraints): Uint8Array<ArrayBuffer> {
  const subtrees = (tag: number, list: readonly Subtree[]): Uint8Array[] =>
    list.length === 0 ? [] : [element(tag, ...list.map((subtree) => element(sequenceTag, encodeSubtree(subtree))))]
  return element(
    sequenceTag,
    ...subtrees(permittedTag, constraints.permitted),
    ...subtrees(excludedTag, constraints.excluded),
  )
}

function encodeSubtree(subtree: Subtree): Uint8Array {
  return subtree.kind === 'dns'
    ? element(dnsNameTag, Buffer.from(subtree.domain, 'latin1'))
    : element(ipAddressTag, subtree.range)
}

function element(tag: number, ...contents: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const content = Buffer.concat(contents)
  const { length } = content
  const lengthBytes = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Uint8Array.from([tag, ...lengthBytes, ...content])
}

/** Reads the DER of the extension's value; kinds of names other than DNS and IP are passed over. */
export function decodeNameConstraints(der: Uint8Array): NameConstraints {
  const parts = elements(elements(der)[0]?.content ?? new Uint8Array())
  const subtrees = (tag: number): readonly Subtree[] =>
    parts
      .filter((part) => part.tag === tag)
      .flatMap((part) => elements(part.content))
      .flatMap((subtree) => decodeSubtree(elements(subtree.content)[0]))
  return { permitted: subtrees(permittedTag), excluded: subtrees(excludedTag) }
}

function decodeSubtree(base: Element | undefined): readonly Subtree[] {
  if (base?.tag === dnsNameTag) return [{ kind: 'dns', domain: Buffer.from(base.content).toString('latin1') }]
  if (base?.tag === ipAddressTag) return [{ kind: 'ip', range: base.content }]
  return []
}

type Element = { readonly tag: number; readonly content: Uint8Array }

function elements(der: Uint8Array): readonly Element[] {
  const found: Element[] = []
  let at = 0
  while (at + 1 < der.length) {
    const [tag = 0, first = 0] = der.subarray(at, at + 2)
    const lengthSize = first < 128 ? 0 : first & 127
    const start = at + 2 + lengthSize
    const length = lengthSize === 0 ? first : der.subarray(at + 2, start).reduce((sum, byte) => sum * 256 + byte, 0)
    found.push({ tag, content: der.subarray(start, start + length) })
    at = start + length
  }
  return found
}
