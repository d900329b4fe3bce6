import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { parseAuthorization } from '../../../src/authentication/credentials.ts'

const encode = (text: string | Uint8Array): string => Buffer.from(text).toString('base64')
const basic = (text: string): string => `Basic ${encode(text)}`

describe('a login that can be read', () => {
  test.each([
    ['a name and a password', basic('alice:secret'), 'alice', 'secret'],
    ['colons in the password', basic('alice:a:b::c'), 'alice', 'a:b::c'],
    ['an empty name', basic(':secret'), '', 'secret'],
    ['an empty password', basic('alice:'), 'alice', ''],
    ['only spaces in the password', basic('alice:   '), 'alice', '   '],
    ['NUL in the password', basic('alice:a\0b'), 'alice', 'a\0b'],
    ['letters beyond ASCII', basic('älice:pässwörd'), 'älice', 'pässwörd'],
    ['a byte order mark, which stays', basic('\ufeffalice:x'), '\ufeffalice', 'x'],
    ['a scheme in small letters', `basic ${encode('alice:secret')}`, 'alice', 'secret'],
    ['a scheme in mixed letters', `bAsIc ${encode('alice:secret')}`, 'alice', 'secret'],
    ['several spaces after the scheme', `Basic   ${encode('alice:secret')}`, 'alice', 'secret'],
  ])('%s', (_title, header, username, password) => {
    expect(parseAuthorization(header)).toEqual({ kind: 'basic', username, password })
  })

  test('a bearer token', () => {
    expect(parseAuthorization('Bearer eyJ.abc-_~+/.x==')).toEqual({ kind: 'bearer', token: 'eyJ.abc-_~+/.x==' })
  })
})

test.each([
  ['no header', undefined],
  ['an empty header', ''],
  ['no name and no password, as podman sends it', 'Basic Og=='],
])('%s is no login', (_title, header) => {
  expect(parseAuthorization(header)).toEqual({ kind: 'none' })
})

describe('what cannot be read as a login is malformed', () => {
  test.each([
    ['no padding', 'Basic YWxpY2U6c2VjcmV0MQ'],
    ['too much padding', 'Basic YWxpY2U6c2VjcmV0MQ==='],
    ['base64url', `Basic ${Buffer.from('a:\u00ff\u00ff?>').toString('base64url')}`],
    ['bits after the end', 'Basic YWxpY2U6eR=='],
    ['white space inside', 'Basic YWxp Y2U6c2VjcmV0'],
    ['white space behind', `${basic('alice:secret')} `],
    ['a tab after the scheme', `Basic\t${encode('alice:secret')}`],
    ['a line break', `Basic ${encode('alice:secret')}\n`],
    ['two schemes', `${basic('alice:secret')}, Bearer abc`],
    ['two logins', `${basic('alice:secret')}, ${basic('alice:secret')}`],
    ['a word that only contains the scheme', `XBasicY ${encode('alice:secret')}`],
    ['a scheme without a space', `Basic${encode('alice:secret')}`],
    ['a scheme alone', 'Basic'],
    ['a scheme and a space', 'Basic '],
    ['credentials without a scheme', encode('alice:secret')],
    ['another scheme', 'Digest username="alice"'],
    ['no colon', basic('alice')],
    ['invalid UTF-8', `Basic ${encode(Buffer.from([0x61, 0xff, 0x3a, 0x62]))}`],
    ['an overlong colon', `Basic ${encode(Buffer.from([0x61, 0xc0, 0xba, 0x62]))}`],
    ['a UTF-8 surrogate', `Basic ${encode(Buffer.from([0xed, 0xa0, 0x80, 0x3a, 0x62]))}`],
    ['NUL in the name', basic('al\0ice:secret')],
    ['a line break in the name', basic('alice\r\nX: y:secret')],
    ['a C1 control in the name', basic('al\u0085ice:secret')],
    ['letters beyond ASCII in the header', 'Basic äöü'],
    ['an empty token', 'Bearer '],
    ['a token with a comma', 'Bearer a,b'],
  ])('%s', (_title, header) => {
    const parsed = parseAuthorization(header)
    expect(parsed.kind).toBe('malformed')
  })

  test('the sentence repeats nothing of the header', () => {
    const parsed = parseAuthorization('Mallory c2VjcmV0LXBhc3N3b3Jk')
    expect(JSON.stringify(parsed)).not.toMatch(/Mallory|c2VjcmV0/)
  })
})

test.each([
  [8_192, 'basic'],
  [8_193, 'tooLong'],
  [65_536, 'tooLong'],
])('a header of %i bytes is %s', (length, kind) => {
  const encoded = encode('alice:secret')
  const header = `Basic ${encoded.padStart(length - 'Basic '.length)}`
  expect(header).toHaveLength(length)
  expect(parseAuthorization(header).kind).toBe(kind)
})

describe('properties', () => {
  test('whatever a client can encode comes out as it went in', () => {
    const name = fc.string({ unit: 'grapheme' }).filter((text) => !text.includes(':') && !/\p{Cc}/u.test(text))
    const secret = fc.string({ unit: 'binary', minLength: 1 }).filter((text) => text.isWellFormed())
    fc.assert(
      fc.property(name, secret, (username, password) => {
        fc.pre(username.isWellFormed())
        expect(parseAuthorization(basic(`${username}:${password}`))).toEqual({ kind: 'basic', username, password })
      }),
    )
  })

  test('no header makes it throw, and a name never has a control character or a colon', () => {
    const latin1 = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('latin1'))
    const encoded = fc.uint8Array({ maxLength: 200 }).map((bytes) => `Basic ${encode(bytes)}`)
    fc.assert(
      fc.property(fc.oneof(latin1, encoded, fc.string({ unit: 'binary' })), (header) => {
        const parsed = parseAuthorization(header)
        if (parsed.kind === 'basic') expect(parsed.username).not.toMatch(/[\p{Cc}:]/u)
        else expect(['none', 'bearer', 'malformed']).toContain(parsed.kind)
      }),
      { numRuns: 500 },
    )
  })
})
