import { describe, expect, test } from '@jest/globals'
import { parseCertificateHosts } from '../../../src/cli/certificate-host.ts'
import {
  constraintsFor,
  decodeNameConstraints,
  describeConstraints,
  encodeNameConstraints,
  permits,
} from '../../../src/cli/name-constraints.ts'

const allows = (limits: readonly string[], host: string): boolean => {
  const constraints = decodeNameConstraints(encodeNameConstraints(constraintsFor(parseCertificateHosts(limits))))
  return parseCertificateHosts([host]).every((parsed) => permits(constraints, parsed))
}

describe('name constraints', () => {
  test.each([
    [['example.org'], 'example.org', true],
    [['example.org'], 'registry.example.org', true],
    [['example.org'], '*.example.org', true],
    [['example.org'], 'badexample.org', false],
    [['example.org'], 'org', false],
    [['*.example.org'], 'a.example.org', true],
    [['registry.example.org'], 'example.org', false],
    [['registry.example.org'], '*.example.org', false],
    [['example.org'], '192.0.2.1', false],
    [['example.org'], '::1', false],
    [['192.0.2.1'], '192.0.2.1', true],
    [['192.0.2.1'], '192.0.2.2', false],
    [['192.0.2.1'], '::1', false],
    [['192.0.2.1'], 'localhost', false],
    [['::1'], '::1', true],
    [['::1'], '::2', false],
    [['::1'], '127.0.0.1', false],
    [['localhost', '127.0.0.1', '::1'], '::1', true],
    [['localhost', '127.0.0.1', '::1'], '10.0.0.1', false],
  ])('a CA for %j may vouch for %s: %s', (limits, host, expected) => {
    expect(allows(limits, host)).toBe(expected)
  })

  test('a long list survives the encoding of lengths', () => {
    const names = Array.from({ length: 100 }, (_, at) => `${'x'.repeat(60)}.${'y'.repeat(60)}.h${String(at)}.example`)
    const constraints = constraintsFor(parseCertificateHosts(names))
    expect(decodeNameConstraints(encodeNameConstraints(constraints))).toEqual(constraints)
  })

  test('constraints that others wrote are understood', () => {
    // permitted: a directoryName, DNS .Example.org with minimum 0 spelled out, IP 10.0.0.0/8; excluded: DNS bad.example.org
    const der =
      '303ca0253004a40230003011820c2e4578616d706c652e6f7267800100300a87080a000000ff000000a1133011820f6261642e6578616d706c652e6f7267'
    const constraints = decodeNameConstraints(Buffer.from(der, 'hex'))
    const hosts = parseCertificateHosts([
      'a.example.org',
      'example.org',
      'x.bad.example.org',
      '10.1.2.3',
      '11.1.2.3',
      '::1',
    ])
    expect(hosts.map((host) => permits(constraints, host))).toEqual([true, false, false, true, false, false])
  })

  test('ranges are told to people with their prefix', () => {
    const range = (...bytes: number[]) => ({ kind: 'ip', range: Uint8Array.from(bytes) }) as const
    const v6 = [0xfd, ...Array.from({ length: 15 }, () => 0), 0xff, ...Array.from({ length: 15 }, () => 0)]
    const permitted = [
      { kind: 'dns', domain: 'example.org' } as const,
      range(10, 0, 0, 0, 255, 0, 0, 0),
      range(...v6),
      ...constraintsFor(parseCertificateHosts(['192.0.2.1', '2001:db8::1'])).permitted,
    ]
    expect(describeConstraints({ permitted, excluded: [] })).toBe(
      'example.org, 10.0.0.0/8, fd00::/8, 192.0.2.1, 2001:db8::1',
    )
    const inside = parseCertificateHosts(['10.9.8.7', 'fdab::1'])
    expect(inside.map((host) => permits({ permitted, excluded: [] }, host))).toEqual([true, true])
  })
})
