import { describe, expect, test } from '@jest/globals'
import { basicChallenges } from '../../../src/authentication/challenge.ts'

describe.each(Object.entries(basicChallenges))('the challenge for a login that is %s', (_kind, challenge) => {
  test('is one Basic challenge with realm and charset', () => {
    expect(challenge).toMatch(/^Basic realm="Wharfgate", charset="UTF-8"(, [a-z_]+="[^"]+")*$/)
  })

  test('is read alike by parsers that split at commas and by those that unquote as Go does', () => {
    for (const [, value = ''] of challenge.matchAll(/"([^"]*)"/g)) expect(value).toMatch(/^[\x20-\x7e]+$/)
    for (const [, value = ''] of challenge.matchAll(/"([^"]*)"/g)) expect(value).not.toMatch(/[,\\]/)
  })
})

test('only a failed login is described', () => {
  expect(basicChallenges.missing).not.toContain('error')
  expect(basicChallenges.invalid).toContain('error_description="the user name or the password is wrong"')
})
