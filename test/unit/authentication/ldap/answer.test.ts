import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { readAnswer, readCookie, readPolicyError } from '../../../../src/authentication/ldap/answer.ts'
import { BerFault, createMessageReader, MessageTooLarge } from '../../../../src/authentication/ldap/ber.ts'
import { ber, berInteger, berOctets, berTag, readBer } from '../../../support/ldap-ber.ts'
import { garbage } from '../../../support/ldap-fault-answers.ts'
import { entryMessage, ldapMessage, resultMessage } from '../../../support/ldap-messages.ts'

const content = (message: Buffer): Buffer => readBer(message)?.content ?? Buffer.alloc(0)
const read = (message: Buffer) => readAnswer(content(message))
const bind = { kind: 'bind', id: 7, dn: 'cn=x', password: 'x' } as const

const alice = entryMessage(7, {
  dn: 'uid=alice,dc=org',
  attributes: { uid: ['alice'], memberOf: ['cn=a', 'cn=b'], objectGUID: [Buffer.from([0xff, 0])] },
})

describe('an answer', () => {
  test('of a bind has a code and a text', () => {
    expect(read(resultMessage(bind, { code: 49, text: 'data 52e\0' }))).toMatchObject({
      ...{ kind: 'done', id: 7, operation: 'bind', result: { code: 49, message: 'data 52e' } },
    })
  })

  test('of a search has entries, whose attributes have names in lower case and bytes as values', () => {
    const answer = read(alice)
    const entry = answer.kind === 'entry' ? answer.entry : undefined
    expect(entry?.dn).toBe('uid=alice,dc=org')
    expect([...(entry?.attributes ?? [])]).toEqual([
      ['uid', [Buffer.from('alice')]],
      ['memberof', [Buffer.from('cn=a'), Buffer.from('cn=b')]],
      ['objectguid', [Buffer.from([0xff, 0])]],
    ])
  })

  test('may bring controls', () => {
    const paged = resultMessage({ ...searchOf(9), page: { size: 5, cookie: '' } }, { code: 0 }, 'cookie')
    const answer = read(paged)
    const controls = answer.kind === 'done' ? answer.controls : new Map<string, Buffer>()
    expect(String(readCookie(controls.get('1.2.840.113556.1.4.319')))).toBe('cookie')
  })

  test.each([
    [ber(berTag.sequence, ber(0x81, Buffer.from([2]))), 2],
    [ber(berTag.sequence, ber(0xa0, ber(0x80, Buffer.from([9]))), ber(0x81, Buffer.from([1]))), 1],
    [ber(berTag.sequence), undefined],
    [Buffer.alloc(0), undefined],
  ])('tells the error of a password policy', (value, expected) => {
    expect(readPolicyError(value)).toBe(expected)
  })

  const value = Buffer.from([0x04, 0x50, 0x61, 0x62])
  test.each([
    ['a value longer than its message', ldapMessage(1, ber(0x64, berOctets('cn=x'), list(ber(0x31, value))))],
    ['a set longer than its message', ldapMessage(1, ber(0x64, berOctets('cn=x'), list(Buffer.from([0x31, 0x7f]))))],
    ['an attribute without values', ldapMessage(1, ber(0x64, berOctets('cn=x'), list(Buffer.alloc(0))))],
    ['a name that is no text', ldapMessage(1, ber(0x64, berOctets(Buffer.from([0xff])), ber(berTag.sequence)))],
    ['no operation', ber(berTag.sequence, berInteger(1))],
    ['an unknown operation', ldapMessage(1, Buffer.from([0x7e, 0]))],
    ['no code', ldapMessage(1, ber(0x61, berOctets(''), berOctets('')))],
    ['a code of nine bytes', ldapMessage(1, ber(0x61, ber(0x0a, Buffer.alloc(9)), berOctets(''), berOctets('')))],
    ['an id that is no number', ber(berTag.sequence, berOctets('1'), ber(0x61))],
  ])('with %s is none', (_, message) => {
    expect(() => read(message)).toThrow(BerFault)
  })

  test('that was damaged anywhere is read, or refused, and always soon', () => {
    const whole = content(alice)
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), (at, byte, length) => {
        const damaged = Buffer.from(whole.subarray(0, length))
        if (at < damaged.length) damaged[at] = byte
        try {
          readAnswer(damaged)
        } catch (error) {
          expect(error).toBeInstanceOf(BerFault)
        }
      }),
      { numRuns: 3_000 },
    )
  })
})

describe('the reader of messages', () => {
  test('finds messages however they are cut', () => {
    const messages = [
      alice,
      resultMessage(bind, { code: 0 }),
      entryMessage(7, { dn: 'x'.repeat(7_000), attributes: {} }),
    ]
    const stream = Buffer.concat(messages)
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9_000 }), { minLength: 1, maxLength: 20 }), (sizes) => {
        const reader = createMessageReader(1_048_576)
        const found: Buffer[] = []
        for (let at = 0, turn = 0; at < stream.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1
          found.push(...reader.take(stream.subarray(at, at + size)))
          at += size
        }
        expect(found.map((one) => one.toString('base64'))).toEqual(
          messages.map((one) => content(one).toString('base64')),
        )
        expect(reader.pendingBytes()).toBe(0)
      }),
      { numRuns: 30 },
    )
  })

  test('finds a byte at a time too', () => {
    const reader = createMessageReader(100)
    const found = [...resultMessage(bind, { code: 0 })].flatMap((byte) => reader.take(Buffer.from([byte])))
    expect(found).toHaveLength(1)
  })

  test.each(Object.entries(garbage).filter(([name]) => !/empty|inner|number/.test(name)))('refuses %s', (_, bytes) => {
    expect(() => createMessageReader(1_000).take(bytes)).toThrow(BerFault)
  })

  test('refuses a message for its announced length, before it has come', () => {
    const head = Buffer.from([0x30, 0x84, 0x06, 0x40, 0x00, 0x00])
    expect(() => createMessageReader(1_048_576).take(head)).toThrow(MessageTooLarge)
  })

  test('puts a long message together once', () => {
    const reader = createMessageReader(1_048_576)
    const message = entryMessage(1, { dn: 'x'.repeat(1_000_000), attributes: {} })
    const startedAt = performance.now()
    let found = 0
    for (let at = 0; at < message.length; at += 100) found += reader.take(message.subarray(at, at + 100)).length
    expect(found).toBe(1)
    expect(performance.now() - startedAt).toBeLessThan(1_000)
  })
})

function list(set: Buffer): Buffer {
  return ber(berTag.sequence, ber(berTag.sequence, berOctets('uid'), set))
}

function searchOf(id: number) {
  const filter = { kind: 'present', attribute: 'objectClass' } as const
  const filterText = '(objectClass=*)'
  return { kind: 'search', id, base: '', scope: 'sub', filter, filterText, attributes: [], sizeLimit: 0 } as const
}
