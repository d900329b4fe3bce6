import { describe, expect, test } from '@jest/globals'
import { clientAddress, contains, networkList, parseAddress } from '../../../src/listener/client-address.ts'
import { network } from '../../../src/config/values.ts'
import { costOfFourfold } from '../../support/processor-time.ts'

const networks = (...texts: readonly string[]) => networkList(texts.map((text) => network.parse(text)))
const proxies = networks('10.0.0.0/8', 'fd00::/8', '192.0.2.7')

describe('the address of a client', () => {
  test.each([
    ['a peer that is no proxy is not asked', '203.0.113.9', ['1.2.3.4'], '203.0.113.9'],
    ['a proxy that says nothing', '10.0.0.1', [], '10.0.0.1'],
    ['one hop', '10.0.0.1', ['198.51.100.4'], '198.51.100.4'],
    ['the right-most that is no proxy', '10.0.0.1', ['1.2.3.4, 198.51.100.4, 10.0.0.2'], '198.51.100.4'],
    ['lines are one list', '10.0.0.1', ['1.2.3.4', '198.51.100.4', '10.0.0.2,10.0.0.3'], '198.51.100.4'],
    ['all are proxies: the one that began', '10.0.0.1', ['10.0.0.9, 10.0.0.2'], '10.0.0.9'],
    ['garbage behind a proxy', '10.0.0.1', ['1.2.3.4, garbage, 10.0.0.2'], '10.0.0.1'],
    ['garbage left of the answer does not matter', '10.0.0.1', ['garbage, 198.51.100.4'], '198.51.100.4'],
    ['an empty entry', '10.0.0.1', ['198.51.100.4,'], '10.0.0.1'],
    ['an empty line', '10.0.0.1', [''], '10.0.0.1'],
    ['"unknown"', '10.0.0.1', ['unknown'], '10.0.0.1'],
    ['IPv4 with a port', '10.0.0.1', ['198.51.100.4:51234'], '198.51.100.4'],
    ['IPv6', '10.0.0.1', ['2001:DB8:0:0::1'], '2001:db8::1'],
    ['IPv6 in brackets', '10.0.0.1', ['[2001:db8::1]'], '2001:db8::1'],
    ['IPv6 with a port', '10.0.0.1', ['[2001:db8::1]:443'], '2001:db8::1'],
    ['IPv6 with a zone', '10.0.0.1', ['fe80::1%eth0'], 'fe80::1'],
    ['IPv4 in brackets', '10.0.0.1', ['[198.51.100.4]'], '10.0.0.1'],
    ['IPv4 with a leading zero', '10.0.0.1', ['198.51.100.04'], '10.0.0.1'],
    ['half a port', '10.0.0.1', ['198.51.100.4:'], '10.0.0.1'],
    ['an IPv4-mapped peer', '::ffff:10.0.0.1', ['198.51.100.4'], '198.51.100.4'],
    ['an IPv4-mapped hop', '10.0.0.1', ['::ffff:198.51.100.4'], '198.51.100.4'],
    ['an IPv4-mapped hop in hexadecimal', '10.0.0.1', ['0:0:0:0:0:FFFF:c633:6404'], '198.51.100.4'],
    ['an IPv4-mapped proxy among the hops', '10.0.0.1', ['198.51.100.4, ::ffff:10.0.0.2'], '198.51.100.4'],
    ['an IPv6 proxy', 'fd00::1', ['198.51.100.4'], '198.51.100.4'],
    ['a peer with a zone', 'fe80::1%eth0', [], 'fe80::1'],
    ['spaces and tabs around', '10.0.0.1', ['\t198.51.100.4 '], '198.51.100.4'],
    ['white space within', '10.0.0.1', ['198.51. 100.4'], '10.0.0.1'],
    ['NUL', '10.0.0.1', ['198.51.100.4\0'], '10.0.0.1'],
  ])('%s', (_title, peer, lines, expected) => {
    expect(clientAddress(peer, lines, proxies)).toBe(expected)
  })
  test.each([
    ['trusted entries', '10.0.0.2'],
    ['short trusted entries', '::1'],
    ['entries that are nothing', ''],
  ])('of ten thousand %s no more are looked at than of a quarter of them', (_title, entry) => {
    const trusted = networks('10.0.0.0/8', '::1')
    const cost = costOfFourfold(2_500, (count) => {
      const line = Array.from({ length: count }, () => entry).join(',')
      return () => {
        expect(clientAddress('10.0.0.1', [line], trusted)).toBe('10.0.0.1')
      }
    })
    // Four times as much where all of them are looked at.
    expect(cost).toBeLessThan(2)
  })
  test('the answer among ten thousand is the right-most', () => {
    const line = `${'garbage,'.repeat(10_000)}198.51.100.4, 10.0.0.2`
    expect(clientAddress('10.0.0.1', [line], proxies)).toBe('198.51.100.4')
  })
  test('an entry as long as a header does not hold anything up', () => {
    expect(clientAddress('10.0.0.1', [' '.repeat(16_000)], proxies)).toBe('10.0.0.1')
    expect(clientAddress('10.0.0.1', [`[${'1:'.repeat(8_000)}]`], proxies)).toBe('10.0.0.1')
  })
  test('the chain is believed for 32 hops', () => {
    const chain = (hops: number) => ['198.51.100.4', ...Array.from({ length: hops }, () => '10.0.0.2')].join(', ')
    expect(clientAddress('10.0.0.1', [chain(31)], proxies)).toBe('198.51.100.4')
    expect(clientAddress('10.0.0.1', [chain(32)], proxies)).toBe('10.0.0.1')
  })
})

describe('a list of networks', () => {
  test.each([
    ['10.255.0.1', true],
    ['11.0.0.1', false],
    ['192.0.2.7', true],
    ['192.0.2.8', false],
    ['::ffff:10.0.0.1', true],
    ['fdab::1', true],
    ['fe80::1', false],
    ['', false],
    ['no address', false],
  ])('%s: %s', (address, expected) => {
    expect(contains(proxies, address)).toBe(expected)
  })
  test('an IPv4 network that is written as IPv6 holds IPv4 addresses', () => {
    const list = networks('::ffff:172.16.0.0/108')
    expect(contains(list, '172.16.5.6')).toBe(true)
    expect(contains(list, '172.32.0.1')).toBe(false)
  })
  test('all of IPv6 is not all of IPv4', () => {
    expect(contains(networks('::/0'), '2001:db8::1')).toBe(true)
    expect(contains(networks('::/0'), '198.51.100.4')).toBe(false)
  })
})

test.each([
  ['198.51.100.4', '198.51.100.4'],
  ['2001:0db8::0001', '2001:db8::1'],
  ['::ffff:1.2.3.4', '1.2.3.4'],
  ['::1.2.3.4', '::1.2.3.4'],
  ['fe80::1%25', 'fe80::1'],
  ['localhost', undefined],
  ['', undefined],
  [`fe80::1%${'x'.repeat(100)}`, undefined],
])('%s is the address %s', (text, expected) => {
  expect(parseAddress(text)).toBe(expected)
})
