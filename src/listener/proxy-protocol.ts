/**
 * The PROXY protocol, versions 1 and 2: the header by which a TCP load balancer tells whose connection it passes on
 * (https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt, sections 2.1 and 2.2).
 */
import { isIPv4, isIPv6 } from 'node:net'
import { crc32c } from './crc32c.ts'

export type Endpoint = { readonly address: string; readonly port: number }

/** What a header says. `local`: the balancer speaks for itself, or of something without an address. */
export type ProxyHeader =
  { readonly kind: 'proxied'; readonly source: Endpoint; readonly destination: Endpoint } | { readonly kind: 'local' }

/** What the bytes received so far are; `length` is where the bytes of the client itself begin. */
export type ProxyHeaderResult =
  | { readonly kind: 'more' }
  | { readonly kind: 'header'; readonly header: ProxyHeader; readonly length: number }
  | { readonly kind: 'invalid'; readonly reason: string }

/** Section 2.1: with the line end, so that a receiver with this much buffer can read every header. */
const maxTextBytes = 107
/** Ours: addresses and TLVs of version 2. Those of real balancers stay below 1 KiB, a client certificate included. */
const maxBinaryBytes = 4096

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const fixedBytes = 16
const checksumType = 0x03
const more: ProxyHeaderResult = { kind: 'more' }

/**
 * Reads the header at the beginning of a connection. To be called with everything received so far each time that more has
 * come; it asks for more only while the bytes can still become a header, and for no more than 4 KiB.
 */
export function parseProxyHeader(bytes: Buffer): ProxyHeaderResult {
  if (bytes.length === 0) return more
  return bytes[0] === signature[0] ? parseBinary(bytes) : parseText(bytes)
}

/** Whether a connection begins with the signature of a header, for telling a stray one from other garbage. */
export function looksLikeProxyHeader(bytes: Buffer): boolean {
  return bytes.subarray(0, 6).toString('latin1') === 'PROXY ' || bytes.subarray(0, 12).equals(signature)
}

function parseText(bytes: Buffer): ProxyHeaderResult {
  const text = bytes.toString('latin1', 0, maxTextBytes)
  if (!'PROXY '.startsWith(text.slice(0, 6))) return invalid('it begins with neither signature')
  const end = text.indexOf('\r\n')
  if (end === -1) return text.length < maxTextBytes ? more : invalid('version 1 is longer than 107 bytes')
  const length = end + 2
  const [, protocol = '', ...parts] = text.slice(0, end).split(' ')
  if (protocol === 'UNKNOWN') return { kind: 'header', header: { kind: 'local' }, length }
  const isAddress = protocol === 'TCP4' ? isIPv4 : protocol === 'TCP6' ? isIPv6 : undefined
  if (isAddress === undefined) return invalid('version 1 names a protocol other than TCP4, TCP6 and UNKNOWN')
  const [source = '', destination = '', sourcePort = '', destinationPort = ''] = parts
  const wellFormed = parts.length === 4 && [source, destination].every(isAddress) && !text.slice(0, end).includes('%')
  if (!wellFormed || ![sourcePort, destinationPort].every(isPort)) return invalid('version 1 has malformed addresses')
  const header: ProxyHeader = {
    kind: 'proxied',
    source: { address: source, port: Number(sourcePort) },
    destination: { address: destination, port: Number(destinationPort) },
  }
  return { kind: 'header', header, length }
}

function isPort(text: string): boolean {
  return /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535
}

function parseBinary(bytes: Buffer): ProxyHeaderResult {
  const begin = bytes.subarray(0, signature.length)
  if (!begin.equals(signature.subarray(0, begin.length))) return invalid('it begins with neither signature')
  if (bytes.length < fixedBytes) return more
  const length = fixedBytes + bytes.readUInt16BE(14)
  if (length > maxBinaryBytes) return invalid(`version 2 is longer than ${maxBinaryBytes} bytes`)
  if (bytes.length < length) return more
  const [versionAndCommand = 0, familyAndTransport = 0] = bytes.subarray(12)
  return parseBinaryBody(versionAndCommand, familyAndTransport, bytes.subarray(0, length))
}

function parseBinaryBody(versionAndCommand: number, familyAndTransport: number, whole: Buffer): ProxyHeaderResult {
  const local: ProxyHeaderResult = { kind: 'header', header: { kind: 'local' }, length: whole.length }
  // What stands in a LOCAL header has to be skipped unread.
  if (versionAndCommand === 0x20) return local
  if (versionAndCommand !== 0x21) return invalid('version 2 has an unknown version or command')
  const addresses = addressBytes[familyAndTransport]
  if (addresses === undefined) return invalid('version 2 speaks of something else than a stream')
  const body = whole.subarray(fixedBytes)
  if (body.length < addresses) return invalid('version 2 is too short for its addresses')
  // Of a family without addresses nothing is known about what follows.
  if (addresses === 0) return local
  const fault = extensionFault(whole, fixedBytes + addresses)
  if (fault !== undefined) return invalid(fault)
  if (familyAndTransport === unixStream) return local
  const size = familyAndTransport === ipv4Stream ? 4 : 16
  const print = size === 4 ? printIpv4 : printIpv6
  const header: ProxyHeader = {
    kind: 'proxied',
    source: { address: print(body.subarray(0, size)), port: body.readUInt16BE(2 * size) },
    destination: { address: print(body.subarray(size, 2 * size)), port: body.readUInt16BE(2 * size + 2) },
  }
  return { kind: 'header', header, length: whole.length }
}

const ipv4Stream = 0x11
const unixStream = 0x31
/** Bytes of the addresses by family and transport. Datagrams are left out: what comes over TCP is none. */
const addressBytes: Readonly<Record<number, number>> = { 0x00: 0, 0x01: 0, 0x11: 12, 0x21: 36, 0x31: 216 }

function printIpv4(bytes: Buffer): string {
  return bytes.join('.')
}

function printIpv6(bytes: Buffer): string {
  return (bytes.toString('hex').match(/.{4}/g) ?? []).join(':')
}

/** Walks over the TLVs (section 2.2). They are not used, but a sender that miscounts them may have miscounted the rest. */
function extensionFault(whole: Buffer, begin: number): string | undefined {
  let offset = begin
  while (offset < whole.length) {
    const end = offset + 3 > whole.length ? Number.POSITIVE_INFINITY : offset + 3 + whole.readUInt16BE(offset + 1)
    if (end > whole.length) return 'version 2 has an extension that is longer than the header'
    if (whole[offset] === checksumType && !hasChecksum(whole, offset + 3, end)) return 'version 2 has a wrong checksum'
    offset = end
  }
  return undefined
}

/** Section 2.2.3: over the whole header with the checksum itself taken as zero. */
function hasChecksum(whole: Buffer, begin: number, end: number): boolean {
  if (end - begin !== 4) return false
  const blank = Buffer.from(whole).fill(0, begin, end)
  return whole.readUInt32BE(begin) === crc32c(blank)
}

function invalid(reason: string): ProxyHeaderResult {
  return { kind: 'invalid', reason: `the PROXY header is not valid: ${reason}` }
}
