import { describe, expect, test } from '@jest/globals'
import { addressRange, addressWords, isInRange } from '../../../src/authorization/address-range.ts'

function isIn(address: string, range: string): boolean {
  const [base = '', length = ''] = range.split('/')
  const family = base.includes(':') ? 'ipv6' : 'ipv4'
  const words = addressWords(address)
  if (words === undefined) throw new Error(`${address} is no address`)
  return isInRange(words, addressRange({ family, address: base, prefixLength: Number(length) }))
}

describe('an address lies in a range', () => {
  test.each([
    ['10.0.0.1', '10.0.0.0/31', true],
    ['10.0.0.2', '10.0.0.0/31', false],
    ['2001:db8::1', '2001::/16', true],
    ['2002::1', '2001::/16', false],
    ['2001:db8:ffff:ffff:ffff::1', '2001:db8::/32', true],
    ['2001:db8:0:1::', '2001:db8::/63', true],
    ['2001:db8:0:2::', '2001:db8::/63', false],
    ['2001:db8::1:0:0', '2001:db8::/96', false],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8/128', true],
    ['1:2:3:4:5:6:7:9', '1:2:3:4:5:6:7:8/128', false],
    ['1:2:3:4:5:6:8:8', '1:2:3:4:5:6:7:8/128', false],
    ['1:2:3:4:5:6:7:0', '1:2:3:4:5:6:7::/128', true],
    ['0:2:3:4:5:6:7:8', '::2:3:4:5:6:7:8/128', true],
    ['fe80::1%eth0', 'fe80::/64', true],
    ['fe81::1%eth0', 'fe80::/64', false],
  ])('%s in %s: %s', (address, range, expected) => {
    expect(isIn(address, range)).toBe(expected)
  })
  test.each([
    ['10.0.0.1', '::ffff:0:0/96', true],
    ['::ffff:10.0.0.1', '10.0.0.1/32', true],
    ['::ffff:a00:1', '10.0.0.1/32', true],
    ['10.0.0.1', '::ffff:10.0.0.1/128', true],
    ['10.0.0.2', '::ffff:10.0.0.1/128', false],
    ['10.0.0.1', '::ffff:0:0/95', false],
    ['::fffe:0:1', '::ffff:0:0/95', true],
    ['::fffd:0:1', '::ffff:0:0/95', false],
    ['::10.0.0.1', '10.0.0.1/32', false],
    ['1::ffff:10.0.0.1', '10.0.0.1/32', false],
    ['0:0:1::ffff:10.0.0.1', '10.0.0.1/32', false],
    ['::1:ffff:10.0.0.1', '10.0.0.1/32', false],
  ])('IPv4 in the clothes of IPv6: %s in %s: %s', (address, range, expected) => {
    expect(isIn(address, range)).toBe(expected)
  })
})

test('in a range around no address there is nothing', () => {
  const range = addressRange({ family: 'ipv4', address: 'nowhere', prefixLength: 0 })
  for (const address of ['10.0.0.1', '::1']) expect(isInRange(addressWords(address) ?? [], range)).toBe(false)
})
