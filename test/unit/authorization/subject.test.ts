import { describe, expect, test } from '@jest/globals'
import { groupName, groupsOf, parseSubject, subjectsOf } from '../../../src/authorization/subject.ts'
import { anonymous } from '../../../src/registry/principal.ts'
import type { Principal } from '../../../src/registry/principal.ts'

const forms = 'must be user:NAME, group:NAME, authenticated or anonymous'
const named = (kind: string): string =>
  `must have a name behind ${kind}:, without blanks around it or control characters in it`
const one = (kind: string): string =>
  `names one ${kind}, and neither wildcards nor variables can stand for it; everyone who has logged in is authenticated`

describe('a subject', () => {
  test.each([
    ['authenticated', 'authenticated', ''],
    ['anonymous', 'anonymous', ''],
    ['user:alice', 'user', 'alice'],
    ['group:a:b', 'group', 'a:b'],
    ['group:cn=a b,dc=c', 'group', 'cn=a b,dc=c'],
    ['user:a*', 'user', 'a*'],
    ['user:*a', 'user', '*a'],
    ['group:$user', 'group', '$user'],
  ])('%j is of the kind %s and the name %j', (text, kind, name) => {
    expect(parseSubject(text)).toEqual({ kind: 'ok', value: { kind, name, text } })
  })
  test.each([
    ['*', `${forms}; did you mean authenticated?`],
    ['all', `${forms}; did you mean authenticated?`],
    ['any', `${forms}; did you mean authenticated?`],
    ['Everyone', `${forms}; did you mean authenticated?`],
    ['users', `${forms}; did you mean authenticated?`],
    ['constructor', `${forms}; did you mean user:constructor or group:constructor?`],
    ['a.b@c-d', `${forms}; did you mean user:a.b@c-d or group:a.b@c-d?`],
    ['a b', forms],
    ['!a', forms],
    ['a!', forms],
    ['', forms],
    [':a', forms],
    ['x:user:a', forms],
    ['Authenticated:x', forms],
    ['user:', named('user')],
    ['group:', named('group')],
    ['user: a', named('user')],
    ['user:a ', named('user')],
    ['group:a\u0000b', named('group')],
    ['group:a\u001fb', named('group')],
    ['group:a\u007fb', named('group')],
    ['user:a\nb', named('user')],
    ['user:*', one('user')],
    ['group:**', one('group')],
    ['group:a${user}', one('group')],
    ['user:a:b', 'names a user, whose name cannot contain a colon'],
  ])('%j is none: %s', (text, sentence) => {
    expect(parseSubject(text)).toEqual({ kind: 'fault', sentence })
  })
})

describe('what a principal is', () => {
  const alice: Principal = { kind: 'user', name: 'alice', groups: ['a', 'b'], method: 'htpasswd' }
  test('are its name, its groups and that it has logged in', () => {
    expect([...subjectsOf(alice, ['a'])]).toEqual(['user:alice', 'group:a', 'authenticated'])
    expect([...subjectsOf(anonymous, ['a'])]).toEqual(['anonymous'])
  })
  test('each group counts once, whoever gives it', () => {
    expect(groupsOf(alice, new Map([['alice', ['b', 'c']]]))).toEqual(['a', 'b', 'c'])
    expect(groupsOf(alice, new Map([['bob', ['c']]]))).toEqual(['a', 'b'])
  })
  test('anonymous is in no group, whatever the policy calls its members', () => {
    expect(groupsOf(anonymous, new Map([['anonymous', ['a']]]))).toEqual([])
  })
})

test('a group of a directory is the same one however its name is written', () => {
  const written = parseSubject('group:CN=A  B , DC=C')
  expect(written).toEqual(parseSubject('group:cn=a b,dc=c'))
  expect(written.kind === 'ok' && written.value.text).toBe('group:cn=a b,dc=c')
  expect(groupName('Developers')).toBe('Developers')
})
