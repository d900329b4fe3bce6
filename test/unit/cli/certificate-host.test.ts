import { describe, expect, test } from '@jest/globals'
import { CertificateError } from '../../../src/cli/certificate-error.ts'
import { parseCertificateHosts } from '../../../src/cli/certificate-host.ts'

const texts = (...values: string[]): readonly string[] => parseCertificateHosts(values).map(({ text }) => text)

describe('hosts of a certificate', () => {
  test.each([
    ['registry.example.org', 'registry.example.org'],
    ['Registry.EXAMPLE.org', 'registry.example.org'],
    ['registry.example.org.', 'registry.example.org'],
    ['localhost', 'localhost'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['*.example.org', '*.example.org'],
    ['1password.example', '1password.example'],
    ['192.0.2.10', '192.0.2.10'],
    ['::1', '::1'],
    ['[::1]', '::1'],
    ['2001:DB8:0:0:0:0:0:10', '2001:db8::10'],
    ['::ffff:192.0.2.1', '::ffff:c000:201'],
  ])('%s becomes %s', (value, text) => {
    expect(texts(value)).toEqual([text])
  })

  test.each([
    ['192.0.2.10', [192, 0, 2, 10]],
    ['::1', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]],
    ['2001:db8::a:10', [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xa, 0, 0x10]],
    ['fe80::', [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
    ['1:2:3:4:5:6:7:8', [0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8]],
  ])('%s has its bytes in network order', (value, bytes) => {
    expect(parseCertificateHosts([value])).toEqual([{ kind: 'ip', text: value, bytes: Uint8Array.from(bytes) }])
  })

  test('repetitions are dropped and the order stays', () => {
    expect(texts('b.example', 'A.example', '::1', 'a.example.', '0:0::1')).toEqual(['b.example', 'a.example', '::1'])
  })

  test.each([
    ['', /is empty; give a name such as/],
    ['[]', /is empty/],
    ['https://registry.example.org', /has a scheme; give the host alone, without https/],
    ['registry.example.org/v2', /has a path; give the host alone/],
    ['registry.example.org:8443', /has a port; .* give the host alone \(--port/],
    ['192.0.2.10:8443', /has a port/],
    ['[::1]:8443', /has a port/],
    ['alice@example.org', /has a user name/],
    ['*', /has a \* where clients refuse it/],
    ['a.*.example.org', /has a \* where clients refuse it/],
    ['reg*.example.org', /has a \* where clients refuse it/],
    ['*.*.example.org', /has a \* where clients refuse it/],
    ['*.org', /is too wide: .*; name each host under \.org/],
    ['my_registry', /has an underscore/],
    ['256.1.1.1', /is not an IPv4 address/],
    ['1.2.3', /is not an IPv4 address/],
    ['0x7f.1', /is not a host name/],
    ['１２７.0.0.1', /is not a host name/],
    ['1:2:3', /is not an IPv6 address/],
    ['fe80::1%eth0', /carries a zone/],
    ['0.0.0.0', /is an address to listen on/],
    ['::', /is an address to listen on/],
    ['-a.example', /is not a host name/],
    ['a..example', /is not a host name/],
    ['a b', /is not a host name/],
    ['a%2eb', /is not a host name/],
    [`${'a'.repeat(64)}.example`, /is not a host name/],
    [`${'a.'.repeat(127)}example`, /is not a host name/],
  ])('%j is refused by name, with the cure', (value, sentence) => {
    const parse = (): unknown => parseCertificateHosts(['localhost', value])
    expect(parse).toThrow(CertificateError)
    expect(parse).toThrow(sentence)
    expect(parse).toThrow(`--host ${JSON.stringify(value)} `)
  })

  test('no host and too many hosts are refused', () => {
    expect(() => parseCertificateHosts([])).toThrow(/--host is missing/)
    const many = Array.from({ length: 101 }, (_, at) => `h${String(at)}.example`)
    expect(() => parseCertificateHosts(many)).toThrow(/101 times; one certificate takes at most 100/)
    expect(parseCertificateHosts(many.slice(1))).toHaveLength(100)
  })
})
