import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { crc32c } from '../../../src/listener/crc32c.ts'
import { parseProxyHeader } from '../../../src/listener/proxy-protocol.ts'
import type { ProxyHeaderResult } from '../../../src/listener/proxy-protocol.ts'

const text = (line: string): Buffer => Buffer.from(line, 'latin1')
const signature = text('\r\n\r\n\0\r\nQUIT\n')

/** A header of version 2: version and command, family and transport, and what the length counts. */
function binary(command: number, family: number, body: Buffer, length = body.length): Buffer {
  return Buffer.concat([signature, Buffer.from([command, family, length >> 8, length & 0xff]), body])
}
const ipv4 = Buffer.from([203, 0, 113, 7, 10, 0, 0, 1, 0xdc, 0x04, 0x01, 0xbb])
const ipv6 = Buffer.from('20010db8000000000000000000000001fd00000000000000000000000000000200500051', 'hex')
const tlv = (type: number, value: Buffer): Buffer =>
  Buffer.concat([Buffer.from([type, value.length >> 8, value.length & 0xff]), value])
const withChecksum = (family: number, addresses: Buffer, before: Buffer = Buffer.alloc(0)): Buffer => {
  const blank = binary(0x21, family, Buffer.concat([addresses, before, tlv(3, Buffer.alloc(4))]))
  blank.writeUInt32BE(crc32c(blank), blank.length - 4)
  return blank
}

const fromIpv4 = {
  kind: 'proxied',
  source: { address: '203.0.113.7', port: 56_324 },
  destination: { address: '10.0.0.1', port: 443 },
} as const
const fromIpv6 = {
  kind: 'proxied',
  source: { address: '2001:0db8:0000:0000:0000:0000:0000:0001', port: 80 },
  destination: { address: 'fd00:0000:0000:0000:0000:0000:0000:0002', port: 81 },
} as const
const longest =
  'PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n'

const valid: readonly (readonly [string, Buffer, unknown])[] = [
  ['version 1, TCP4', text('PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n'), fromIpv4],
  [
    'version 1, TCP6',
    text('PROXY TCP6 2001:db8::1 fd00::2 80 81\r\n'),
    {
      kind: 'proxied',
      source: { address: '2001:db8::1', port: 80 },
      destination: { address: 'fd00::2', port: 81 },
    },
  ],
  ['version 1, UNKNOWN', text('PROXY UNKNOWN\r\n'), { kind: 'local' }],
  ['version 1, UNKNOWN with what must be ignored', text('PROXY UNKNOWN ffff::1 x 1 2\r\n'), { kind: 'local' }],
  ['version 2, IPv4', binary(0x21, 0x11, ipv4), fromIpv4],
  ['version 2, IPv6', binary(0x21, 0x21, ipv6), fromIpv6],
  ['version 2, LOCAL', binary(0x20, 0x00, Buffer.alloc(0)), { kind: 'local' }],
  ['version 2, LOCAL with addresses', binary(0x20, 0x11, ipv4), { kind: 'local' }],
  ['version 2, unspecified', binary(0x21, 0x00, Buffer.from('anything')), { kind: 'local' }],
  ['version 2, a Unix socket', binary(0x21, 0x31, Buffer.alloc(216)), { kind: 'local' }],
  [
    'version 2, extensions',
    binary(0x21, 0x11, Buffer.concat([ipv4, tlv(0x02, text('registry.example.org')), tlv(0x04, Buffer.alloc(0))])),
    fromIpv4,
  ],
  [
    'version 2, as long as it may be',
    binary(0x21, 0x11, Buffer.concat([ipv4, tlv(0x20, Buffer.alloc(4_065))])),
    fromIpv4,
  ],
  ['version 2, a checksum', withChecksum(0x11, ipv4), fromIpv4],
  ['version 2, a checksum after an extension', withChecksum(0x21, ipv6, tlv(0xe0, text('x'))), fromIpv6],
]

const wrongChecksum = withChecksum(0x11, ipv4)
wrongChecksum.writeUInt8(wrongChecksum.readUInt8(16) ^ 1, 16)

const invalid: readonly (readonly [string, Buffer])[] = [
  ['a request', text('GET / HTTP/1.1\r\n')],
  ['a ClientHello', Buffer.from('1603010200010001fc0303', 'hex')],
  ['lower case', text('proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n')],
  ['another protocol', text('PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n')],
  ['nothing after the signature', text('PROXY \r\n')],
  ['IPv6 in TCP4', text('PROXY TCP4 ::1 ::1 1 2\r\n')],
  ['IPv4 in TCP6', text('PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n')],
  ['a zone', text('PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n')],
  ['a host name', text('PROXY TCP4 localhost 1.2.3.4 1 2\r\n')],
  ['an octet with a leading zero', text('PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n')],
  ['a port that is too high', text('PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n')],
  ['a port with a sign', text('PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n')],
  ['a port with a leading zero', text('PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n')],
  ['two spaces', text('PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n')],
  ['a part too few', text('PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n')],
  ['a part too many', text('PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n')],
  ['a space at the end', text('PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n')],
  ['a bare line feed', text(`PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n${'x'.repeat(100)}`)],
  ['108 bytes', text(`PROXY UNKNOWN ${'x'.repeat(92)}\r\n`)],
  ['another version', binary(0x11, 0x11, ipv4)],
  ['another command', binary(0x22, 0x11, ipv4)],
  ['another family', binary(0x21, 0x41, ipv4)],
  ['another transport', binary(0x21, 0x13, ipv4)],
  ['a datagram', binary(0x21, 0x12, ipv4)],
  ['too short for IPv4', binary(0x21, 0x11, ipv4.subarray(0, 11))],
  ['too short for IPv6', binary(0x21, 0x21, ipv4)],
  ['an extension that reaches beyond the header', binary(0x21, 0x11, Buffer.concat([ipv4, Buffer.from([2, 0, 9, 1])]))],
  ['an extension that is cut off', binary(0x21, 0x11, Buffer.concat([ipv4, Buffer.from([2, 0])]))],
  ['a wrong checksum', wrongChecksum],
  ['a checksum of three bytes', binary(0x21, 0x11, Buffer.concat([ipv4, tlv(3, Buffer.alloc(3))]))],
  ['a length beyond the bound', binary(0x21, 0x11, ipv4, 4_081)],
  ['the greatest length', binary(0x21, 0x11, ipv4, 65_535)],
  ['another signature', text('\r\n\r\n\0\r\nQUIT\r!\x11\0\f')],
]

describe('a PROXY header', () => {
  test.each(valid)('%s is read', (_title, bytes, header) => {
    expect(parseProxyHeader(bytes)).toEqual({ kind: 'header', header, length: bytes.length })
  })
  test.each(valid)('%s is complete with its last byte and not before', (_title, bytes) => {
    for (let length = 0; length < bytes.length; length += 1) {
      expect(parseProxyHeader(bytes.subarray(0, length))).toEqual({ kind: 'more' })
    }
  })
  test.each(valid)('%s ends where the client begins', (_title, bytes, header) => {
    const client = Buffer.from('160301', 'hex')
    expect(parseProxyHeader(Buffer.concat([bytes, client]))).toEqual({ kind: 'header', header, length: bytes.length })
  })
  test('version 1 may have 107 bytes, line end included', () => {
    const padded = text(`PROXY UNKNOWN ${'x'.repeat(91)}\r\n`)
    expect(padded).toHaveLength(107)
    expect(parseProxyHeader(padded)).toMatchObject({ kind: 'header', length: 107 })
    expect(parseProxyHeader(text(longest))).toMatchObject({ kind: 'header', header: { kind: 'proxied' } })
  })
  test.each(invalid)('%s is refused', (_title, bytes) => {
    expect(parseProxyHeader(bytes)).toMatchObject({ kind: 'invalid' })
  })
  test('what cannot become a header any more is refused at its first wrong byte', () => {
    expect(parseProxyHeader(text('G'))).toMatchObject({ kind: 'invalid' })
    expect(parseProxyHeader(text('PROXZ'))).toMatchObject({ kind: 'invalid' })
    expect(parseProxyHeader(text('\r\n\r\n\r'))).toMatchObject({ kind: 'invalid' })
  })
  test('whatever comes, it asks for no more than its bound', () => {
    const begin = fc.constantFrom(signature, text('PROXY '), text('PROXY TCP4 '), Buffer.alloc(0))
    fc.assert(
      fc.property(begin, fc.uint8Array({ maxLength: 5_000, size: 'max' }), (start, rest) => {
        const bytes = Buffer.concat([start, rest])
        const result: ProxyHeaderResult = parseProxyHeader(bytes)
        if (result.kind === 'more') expect(bytes.length).toBeLessThan(4_096)
        if (result.kind === 'header') expect(result.length).toBeLessThanOrEqual(Math.min(bytes.length, 4_096))
      }),
    )
  })
})

test('CRC-32C of the check value of its specification', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3_06_92_83)
  expect(crc32c(Buffer.alloc(32))).toBe(0x8a_91_36_aa)
})
