import { describe, expect, test } from '@jest/globals'
import { addressIdentity, groupIdentity, userIdentity } from '../../../src/rate-limit/identity.ts'
import { bytesText, durationText, nameOf, quotaText, waitText } from '../../../src/rate-limit/limit-words.ts'
import { bucket, bucketsOf } from './limit-site.ts'

describe('words', () => {
  test.each([
    [1, '1 second'],
    [60, '1 minute'],
    [90, '90 seconds'],
    [600, '10 minutes'],
    [21_600, '6 hours'],
    [86_400, '1 day'],
    [604_800, '7 days'],
  ])('%i seconds are %s', (seconds, expected) => {
    expect(durationText(seconds)).toBe(expected)
  })
  test.each([
    [0, '1 s'],
    [0.5, '1 s'],
    [35_001, '36 s'],
    [120_000, '120 s'],
    [121_000, '2 min'],
    [7_200_000, '120 min'],
    [7_500_000, '2 h 5 min'],
    [10_800_000, '3 h'],
  ])('a wait of %d ms is %s', (ms, expected) => {
    expect(waitText(ms)).toBe(expected)
  })
  test.each([
    [1, '1 bytes'],
    [999, '999 bytes'],
    [1_000, '1 kB'],
    [1_024, '1 KiB'],
    [1_500_000, '1.5 MB'],
    [20_000_000_000, '20 GB'],
    [21_474_836_480, '20 GiB'],
    [999_999_999_999_999, '1000 TB'],
  ])('%i bytes are %s', (bytes, expected) => {
    expect(bytesText(bytes)).toBe(expected)
  })
  test.each<readonly [Readonly<Record<string, unknown>>, string]>([
    [{ class: 'login', scope: 'address', quota: 5, windowSeconds: 60 }, '5 logins in 1 minute'],
    [{ class: 'token', quota: 1, windowSeconds: 1 }, '1 token in 1 second'],
    [{ class: 'push', quota: 300 }, '300 pushes in 1 hour'],
    [{ class: 'api', quota: 100, burst: 10 }, '10 listings at once (of 100 in 1 hour)'],
    [{ class: 'push', unit: 'bytes', quota: 2_000_000_000 }, '2 GB up in 1 hour'],
    [{ unit: 'concurrent', quota: 4, windowSeconds: undefined }, '4 transfers at one time'],
  ])('%j is %s', (changes, expected) => {
    const all: Readonly<Record<string, unknown>> = bucket('some', changes)
    const [settings] = bucketsOf([Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))])
    expect(settings && quotaText(settings)).toBe(expected)
  })
})

describe('identities', () => {
  test('of addresses are those of their networks', () => {
    expect(addressIdentity('2001:db8::1')).toBe(addressIdentity('2001:db8::2'))
    expect(addressIdentity('2001:db8::1')).not.toBe(addressIdentity('2001:db8:0:1::1'))
    expect(addressIdentity('::ffff:192.0.2.1')).toBe(addressIdentity('192.0.2.1'))
  })
  test.each(['alice', 'Alice', 'j\u00fcrgen', 'a}b{c', 'a:b', 'a%7Db', ' ', 'a\nb', '..', 'a/b'])(
    'a user called %j is a key of its own, and has its name back',
    (name) => {
      expect(userIdentity(name)).toMatch(/^u=[^{}:\s]+$/)
      expect(nameOf(userIdentity(name))).toBe(name)
    },
  )
  test('a user, a group and an address of one name are three', () => {
    expect(new Set([userIdentity('x'), groupIdentity('x'), addressIdentity('x')]).size).toBe(3)
  })
  test('a name that is no text of Unicode is one all the same', () => {
    expect(userIdentity('a\ud800')).toBe(userIdentity('a\ufffd'))
  })
})
