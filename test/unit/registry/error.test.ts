import { describe, expect, test } from '@jest/globals'
import { errorTable, RegistryError } from '../../../src/registry/error.ts'

describe('a reason phrase', () => {
  test.each(Object.entries(errorTable))('of %s has at most 80 visible ASCII characters', (_id, { reason }) => {
    expect(reason).toMatch(/^[ -~]{1,80}$/)
  })

  test('is that of the row, whatever the sentence, unless it is to tell it too', () => {
    const sentence = 'alice may not push to prod/api'
    expect(new RegistryError('accessDenied', { sentence })).toMatchObject({
      message: sentence,
      reason: 'Forbidden (policy)',
    })
    expect(new RegistryError('accessDenied', { sentence, sentenceInReason: true })).toMatchObject({
      message: sentence,
      reason: 'Forbidden (alice may not push to prod/api)',
    })
  })

  test.each([
    ['zoë may', 'Forbidden (zo? may)'],
    ['a\r\nX-Injected: yes\u0000\u007f', 'Forbidden (a??X-Injected: yes??)'],
    ['a \u{1F6A2} and (brackets) "quotes" \\', 'Forbidden (a ? and (brackets) "quotes" \\)'],
    ['a'.repeat(148), `Forbidden (${'a'.repeat(148)})`],
    ['a'.repeat(149), `Forbidden (${'a'.repeat(145)}...)`],
    ['a'.repeat(10_000), `Forbidden (${'a'.repeat(145)}...)`],
  ])('tells %j on one line of visible ASCII, cut where it is too long', (sentence, reason) => {
    expect(new RegistryError('accessDenied', { sentence, sentenceInReason: true }).reason).toBe(reason)
  })
})
