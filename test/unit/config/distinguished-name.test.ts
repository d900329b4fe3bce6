import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { escapeDnValue, isBelow, normalDn, parseDn } from '../../../src/config/distinguished-name.ts'

const read = (text: string) => parseDn(text) ?? []
const values = (text: string) => parseDn(text)?.map((names) => names.map(({ value }) => value).join('+'))

describe('a distinguished name', () => {
  test.each([
    ['uid=alice,ou=people,dc=example,dc=org', ['alice', 'people', 'example', 'org']],
    ['UID = alice , ou=people', ['alice', 'people']],
    [String.raw`cn=Smith\, Alice,o=x`, ['Smith, Alice', 'x']],
    [String.raw`cn=\ alice\ ,o=x`, [' alice ', 'x']],
    [String.raw`cn=al\c3\a9,o=x`, ['alé', 'x']],
    [String.raw`cn=\23hash\2c\5c,o=x`, [String.raw`#hash,` + '\\', 'x']],
    ['cn=a=b,o=x', ['a=b', 'x']],
    ['cn=,o=x', ['', 'x']],
    ['cn=#0403666F6F,o=x', ['#0403666f6f', 'x']],
    ['sn=x+cn=y,o=z', ['y+x', 'z']],
    ['2.5.4.3=alice,OID.0.9.2342.19200300.100.1.25=org', ['alice', 'org']],
    ['cn=日本 語,o=x', ['日本 語', 'x']],
    ['', []],
    ['  ', []],
  ])('%s is read', (text, expected) => {
    expect(values(text)).toEqual(expected)
  })

  test.each([
    ['no type', 'alice,dc=org'],
    ['an end that is missing', 'cn=alice,'],
    ['a part that is missing', 'cn=alice,,dc=org'],
    ['a quoted value', 'cn="alice",dc=org'],
    ['a semicolon', 'cn=alice;dc=org'],
    ['an escape of nothing', 'cn=alice\\'],
    ['an escape of a letter', String.raw`cn=\alice`],
    ['bytes that are no UTF-8', String.raw`cn=\ff\fe,dc=org`],
    ['an encoded value cut off', 'cn=#040,dc=org'],
    ['text behind an encoded value', 'cn=#0403zz,dc=org'],
    ['NUL', 'cn=al\0ice,dc=org'],
    ['an underscore in a type', 'c_n=alice,dc=org'],
    ['8 KiB and more', `cn=${'a'.repeat(8_192)}`],
  ])('one with %s is none', (_, text) => {
    expect(parseDn(text)).toBeUndefined()
  })

  test.each([
    ['capitals', 'UID=Alice,OU=People,DC=org', 'uid=alice,ou=people,dc=org'],
    ['blanks', 'uid=alice  b , ou=people', 'uid=alice b,ou=people'],
    ['escapes', String.raw`cn=\41lice\2C b`, String.raw`cn=alice\, b`],
    ['the order in one level', 'sn=B+cn=A,o=x', 'cn=a+sn=b,o=x'],
    ['a composed letter', 'cn=e\u0301', 'cn=\u00e9'],
    ['a long name of a type', 'commonName=x,2.5.4.10=y', 'cn=x,o=y'],
  ])('is the same whatever its %s', (_, text, expected) => {
    expect(normalDn(text)).toBe(expected)
    expect(normalDn(expected)).toBe(expected)
  })

  test.each([
    ['a full-width letter', 'cn=\uff41dmins', 'cn=admins'],
    ['a comma in a value', String.raw`cn=a\,ou=b`, 'cn=a,ou=b'],
    ['a plus in a value', String.raw`cn=a\+sn=b`, 'cn=a+sn=b'],
    ['an encoded value', 'cn=#0401', String.raw`cn=\#0401`],
    ['another level', 'cn=a,ou=b', 'cn=a'],
  ])('is another with %s', (_, one, other) => {
    expect(normalDn(one)).toBeDefined()
    expect(normalDn(one)).not.toBe(normalDn(other))
  })

  test.each([
    ['cn=admins,ou=groups,dc=org', 'OU=Groups, DC=org', true],
    ['cn=admins,ou=a,ou=groups,dc=org', 'ou=groups,dc=org', true],
    ['cn=admins,dc=org', '', true],
    ['ou=groups,dc=org', 'ou=groups,dc=org', false],
    ['cn=admins,ou=other,dc=org', 'ou=groups,dc=org', false],
    [String.raw`cn=admins\,ou=groups,dc=org`, 'ou=groups,dc=org', false],
    ['cn=admins,ou=my groups,dc=org', 'ou=groups,dc=org', false],
    ['dc=org', 'ou=groups,dc=org', false],
  ])('%s below %s: %s', (name, base, expected) => {
    expect(isBelow(read(name), read(base))).toBe(expected)
  })

  test('holds any text that was escaped as one value', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
        const name = `uid=${escapeDnValue(text)},dc=org`
        const expected = text.includes('\0') || !text.isWellFormed() ? text.toWellFormed() : text
        expect(values(name)).toEqual([expected, 'org'])
      }),
    )
  })

  test.each([',', '+', ' ', '#', '"', '=', '\\', ' # ', '\0', 'alice,dc=org', '  ', '\\2c'])('holds %j', (text) => {
    expect(values(`uid=${escapeDnValue(text)},dc=org`)).toEqual([text, 'org'])
  })

  test('stays the same when it is read again', () => {
    const part = fc.tuple(fc.constantFrom('cn', 'ou', 'uid'), fc.string({ unit: 'grapheme', maxLength: 12 }))
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), (parts) => {
        const text = parts.map(([type, value]) => `${type}=${escapeDnValue(value)}`).join(',')
        const normal = normalDn(text)
        expect(normal).toBeDefined()
        expect(normalDn(normal ?? '')).toBe(normal)
      }),
    )
  })
})
