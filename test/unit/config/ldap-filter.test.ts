import { describe, expect, test } from '@jest/globals'
import { parseFilter } from '../../../src/config/ldap-filter.ts'

const username = { variable: 'username' }
const read = (text: string) => {
  const reading = parseFilter(text, [])
  return reading.kind === 'ok' ? reading.template : reading.sentence
}
const sentence = (text: string) => {
  const reading = parseFilter(text, ['username'])
  return reading.kind === 'fault' ? reading.sentence : undefined
}

describe('the template of a filter', () => {
  test.each([
    ['(uid=alice)', { kind: 'equal', attribute: 'uid', value: ['alice'] }],
    ['uid=alice', { kind: 'equal', attribute: 'uid', value: ['alice'] }],
    ['(uid=)', { kind: 'equal', attribute: 'uid', value: [] }],
    ['(cn=a=b)', { kind: 'equal', attribute: 'cn', value: ['a=b'] }],
    ['(cn;lang-de=a)', { kind: 'equal', attribute: 'cn;lang-de', value: ['a'] }],
    ['(2.5.4.3=a)', { kind: 'equal', attribute: '2.5.4.3', value: ['a'] }],
    ['(uid~=alice)', { kind: 'approximate', attribute: 'uid', value: ['alice'] }],
    ['(age>=3)', { kind: 'greaterOrEqual', attribute: 'age', value: ['3'] }],
    ['(age<=3)', { kind: 'lessOrEqual', attribute: 'age', value: ['3'] }],
    ['(uid=*)', { kind: 'present', attribute: 'uid' }],
    ['(cn=a*)', { kind: 'substrings', attribute: 'cn', initial: 'a', any: [], final: '' }],
    ['(cn=a*b**c*d)', { kind: 'substrings', attribute: 'cn', initial: 'a', any: ['b', 'c'], final: 'd' }],
    [String.raw`(cn=\2a\28\29\5c)`, { kind: 'equal', attribute: 'cn', value: ['*()\\'] }],
    [String.raw`(cn=al\c3\a9)`, { kind: 'equal', attribute: 'cn', value: ['alé'] }],
    ['(!(a=b))', { kind: 'not', filter: { kind: 'equal', attribute: 'a', value: ['b'] } }],
    [
      ' ( & (a=b) ( | (c=*)(d=*) ) ) ',
      {
        kind: 'and',
        filters: [
          { kind: 'equal', attribute: 'a', value: ['b'] },
          { kind: 'or', filters: ['c', 'd'].map((attribute) => ({ kind: 'present', attribute })) },
        ],
      },
    ],
    [
      '(memberOf:1.2.840.113556.1.4.1941:=cn=x)',
      {
        kind: 'extensible',
        attribute: 'memberOf',
        rule: '1.2.840.113556.1.4.1941',
        dnAttributes: false,
        value: ['cn=x'],
      },
    ],
    ['(ou:dn:=x)', { kind: 'extensible', attribute: 'ou', rule: '', dnAttributes: true, value: ['x'] }],
    [
      '(:caseExactMatch:=x)',
      { kind: 'extensible', attribute: '', rule: 'caseExactMatch', dnAttributes: false, value: ['x'] },
    ],
  ])('%s is read', (text, expected) => {
    expect(read(text)).toEqual(expected)
  })

  test.each([
    ['(uid={{username}})', [username]],
    ['(uid={{ username }})', [username]],
    ['(mail={{username}}@example.org)', [username, '@example.org']],
    [String.raw`(mail=\5c{{username}})`, ['\\', username]],
  ])('%s keeps the place of the name', (text, value) => {
    expect(parseFilter(text, ['username'])).toMatchObject({ kind: 'ok', template: { value } })
  })

  test.each([
    ['', 'must compare an attribute'],
    ['(uid=alice', 'no parenthesis ) that closes'],
    ['(uid=alice))', 'more text after its last parenthesis, from ")"'],
    ['(&)', 'combines no filters'],
    ['(&(a=b)', 'needs a parenthesis ) before its end'],
    ['(&(a=b)x)', 'needs a parenthesis ) before "x)"'],
    ['(!a=b)', 'needs a parenthesis ( before "a=b)"'],
    ['(uid={{user}})', 'there are {{username}} and {{dn}}'],
    ['(uid={{username)', 'in a value; write ( ) * and'],
    ['({{username}}=a)', 'must compare an attribute'],
    ['(uid=alice)', 'must have {{username}}'],
    ['(&(uid={{username}})(m={{dn}}))', 'cannot use {{dn}}'],
    ['(uid={{username}}*)', 'must not have a wildcard * beside {{username}}'],
    [String.raw`(uid=\2{{username}})`, 'write ( ) * and'],
    [String.raw`(uid=\ff)`, 'not UTF-8'],
    ['(:=x)', 'neither an attribute nor a rule'],
    ['(a=b)(c=d)', 'more text'],
    [`${'(!'.repeat(40)}(a=b)${')'.repeat(40)}`, 'deeper than 16'],
    [`(uid=${'a'.repeat(5_000)})`, 'longer than 4096'],
  ])('%s is refused with what to write', (text, expected) => {
    expect(sentence(text)).toContain(expected)
  })
})
