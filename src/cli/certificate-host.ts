/** The names and addresses a certificate is made for, as the subjectAltName of RFC 5280 section 4.2.1.6 writes them. */
import { isIP, isIPv4 } from 'node:net'
import { domainToASCII } from 'node:url'
import { CertificateError } from './certificate-error.ts'

export type CertificateHost =
  /** Lower case, punycode, no dot at the end; may begin with `*.`. */
  | { readonly kind: 'dns'; readonly text: string }
  /** `bytes` are 4 or 16 in network order; `text` is canonical (RFC 5952), without brackets. */
  | { readonly kind: 'ip'; readonly text: string; readonly bytes: Uint8Array }

type Parsed =
  | { readonly kind: 'ok'; readonly host: CertificateHost }
  | { readonly kind: 'fault'; readonly problem: string; readonly cure: string }

const maxHosts = 100

const fault = (problem: string, cure: string): Parsed => ({ kind: 'fault', problem, cure })
const anExample = 'give a name such as registry.example.org or an address such as 192.0.2.10'

/**
 * Reads the values of `--host`, without repetitions and in their order.
 *
 * @throws CertificateError that names the first value that is no host, and the cure
 */
export function parseCertificateHosts(values: readonly string[]): readonly CertificateHost[] {
  if (values.length === 0) throw new CertificateError(`--host is missing; ${anExample}`)
  if (values.length > maxHosts) {
    throw new CertificateError(
      `--host is given ${String(values.length)} times; one certificate takes at most ${String(maxHosts)} hosts, ` +
        'so make a second one in another directory',
    )
  }
  const hosts = new Map<string, CertificateHost>()
  for (const value of values) {
    const parsed = parseCertificateHost(value)
    if (parsed.kind === 'fault') {
      throw new CertificateError(`--host ${JSON.stringify(value)} ${parsed.problem}; ${parsed.cure}`)
    }
    hosts.set(parsed.host.text, parsed.host)
  }
  return [...hosts.values()]
}

/** Reads one host. A `problem` and its `cure` complete a sentence that begins with the value. */
export function parseCertificateHost(value: string): Parsed {
  const text = value.replace(/^\[([^\]]*)\]$/, '$1')
  if (text === '') return fault('is empty', anExample)
  if (isIP(text) !== 0) return parseAddress(text)
  return parseName(text) ?? nameFault(text)
}

function parseAddress(text: string): Parsed {
  if (text.includes('%')) {
    return fault('carries a zone, which no certificate can name', 'leave off the % and what follows it')
  }
  const host = isIPv4(text) ? ipv4Host(text) : ipv6Host(text)
  if (host.bytes.every((byte) => byte === 0)) {
    return fault('is an address to listen on, not one to connect to', 'give the name or address that clients type')
  }
  return { kind: 'ok', host }
}

function ipv4Host(text: string) {
  return { kind: 'ip', text, bytes: Uint8Array.from(text.split('.'), Number) } as const
}

function ipv6Host(text: string) {
  // The URL standard prints the shortest form (RFC 5952) and no dotted quad, so that only groups of hex are left.
  const canonical = new URL(`http://[${text}]`).hostname.slice(1, -1)
  const [head = '', tail] = canonical.split('::')
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const before = groups(head)
  const after = groups(tail ?? '')
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0')
  const numbers = [...before, ...zeros, ...after].map((group) => Number.parseInt(group, 16))
  return { kind: 'ip', text: canonical, bytes: Uint8Array.from(numbers.flatMap((n) => [n >> 8, n & 255])) } as const
}

function parseName(text: string): Parsed | undefined {
  const wildcard = text.startsWith('*.')
  const plain = wildcard ? text.slice(2) : text
  // Only what a name may hold: domainToASCII would quietly cut a port, decode a percent sign or fold a path.
  if (/[\s/\\:@?#%*[\]]/u.test(plain)) return undefined
  const ascii = domainToASCII(plain).replace(/\.$/, '')
  const labels = ascii.split('.')
  const wellFormed = labels.every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label))
  // A name whose last label is a number would be read as an IPv4 address (WHATWG URL, "ends in a number").
  if (!wellFormed || ascii.length > 253 || /^\d+$/.test(labels.at(-1) ?? '')) return undefined
  if (wildcard && labels.length < 2) {
    return fault('is too wide: clients refuse a wildcard over a whole top level', `name each host under .${ascii}`)
  }
  return { kind: 'ok', host: { kind: 'dns', text: wildcard ? `*.${ascii}` : ascii } }
}

/** Tells what is wrong with a text that is neither an address nor a name. */
function nameFault(text: string): Parsed {
  if (text.includes('://')) {
    return fault('has a scheme', 'give the host alone, without https:// and without a path')
  }
  if (text.includes('/')) return fault('has a path', 'give the host alone, without the slash and what follows it')
  if (/^(\[.*\]|[^:]*):\d*$/.test(text)) {
    return fault('has a port', 'a certificate holds for every port, so give the host alone (--port is for the port)')
  }
  if (text.includes('@'))
    return fault('has a user name', 'give the host alone, without the @ and what stands before it')
  if (text.includes('*')) {
    return fault(
      'has a * where clients refuse it',
      'put it first and alone before a dot, such as *.example.org, or name each host',
    )
  }
  if (text.includes('_')) {
    return fault('has an underscore, which no registry client accepts in a host', 'use a name with hyphens instead')
  }
  if (/^[\d.]+$/.test(text))
    return fault('is not an IPv4 address', 'give four numbers from 0 to 255, such as 192.0.2.10')
  if (text.includes(':')) return fault('is not an IPv6 address', 'give one such as 2001:db8::10')
  return fault('is not a host name', anExample)
}
