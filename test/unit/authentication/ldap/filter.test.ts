import { describe, expect, test } from '@jest/globals'
import { BerWriter } from 'ldapts'
import { fillFilter } from '../../../../src/authentication/ldap/filter.ts'
import { parseFilter } from '../../../../src/config/ldap-filter.ts'
import type { FilterTemplate } from '../../../../src/config/ldap-filter.ts'
import { readBer, readBerList } from '../../../support/ldap-ber.ts'

/** The bytes of an element as text in brackets, by their tags. */
function printed(bytes: Buffer): unknown {
  const element = readBer(bytes)
  if (element === undefined) throw new Error('no element')
  const { tag, content } = element
  if ((tag & 0x20) === 0) return content.toString()
  return [
    tag,
    ...readBerList(content).map((part) =>
      printed(Buffer.concat([Buffer.from([part.tag]), ...lengthAnd(part.content)])),
    ),
  ]
}

function lengthAnd(content: Buffer): readonly Buffer[] {
  const length = Buffer.alloc(5)
  length[0] = 0x84
  length.writeUInt32BE(content.length, 1)
  return [length, content]
}

function template(text: string, ...variables: readonly ('username' | 'dn')[]): FilterTemplate {
  const reading = parseFilter(text, variables)
  if (reading.kind === 'fault') throw new Error(reading.sentence)
  return reading.template
}

function written(text: string, name: string): unknown {
  const writer = new BerWriter()
  fillFilter(template(text, 'username'), { username: name }).write(writer)
  return printed(writer.buffer)
}

const and = 0xa0
const equal = 0xa3

/** Names that break filters which are put together as text. */
const names = [
  ...["$'", '$`', '$&', '$$', "a$'$`", '*', 'a*', ')(uid=*', '\\', '\\2a', 'a\0b', '😀', '\u202eabc', ' alice ', 'a/b'],
  ...['{{username}}', '{{dn}}', '(|(uid=*', 'x'.repeat(100_000)],
]

describe('a filled filter', () => {
  test.each(names)('holds %j as one value', (name) => {
    expect(written('(&(objectClass=person)(uid={{username}}))', name)).toEqual([
      and,
      [equal, 'objectClass', 'person'],
      [equal, 'uid', name],
    ])
  })

  test.each([
    ['(!(uid={{username}}))', [0xa2, [equal, 'uid', 'alice']]],
    ['(|(uid={{username}})(mail={{username}}@x))', [0xa1, [equal, 'uid', 'alice'], [equal, 'mail', 'alice@x']]],
    ['(&(a=*)(uid={{username}}))', [and, 'a', [equal, 'uid', 'alice']]],
    ['(&(a=b*c*d)(uid={{username}}))', [and, [0xa4, 'a', [0x30, 'b', 'c', 'd']], [equal, 'uid', 'alice']]],
    ['(uid~={{username}})', [0xa8, 'uid', 'alice']],
    ['(uid>={{username}})', [0xa5, 'uid', 'alice']],
    ['(uid<={{username}})', [0xa6, 'uid', 'alice']],
    ['(uid:caseExactMatch:={{username}})', [0xa9, 'caseExactMatch', 'uid', 'alice']],
  ])('%s is written as RFC 4511 has it', (text, expected) => {
    expect(written(text, 'alice')).toEqual(expected)
  })

  test('needs what its template asks for', () => {
    expect(() => fillFilter(template('(member={{dn}})', 'dn'), { username: 'alice' })).toThrow('wants {{dn}}')
  })
})
