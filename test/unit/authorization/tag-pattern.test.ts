import { describe, expect, test } from '@jest/globals'
import { matchesEveryTag, matchesTag, parseTagPattern } from '../../../src/authorization/tag-pattern.ts'
import type { TagPattern } from '../../../src/authorization/tag-pattern.ts'
import { parseTag } from '../../../src/registry/name.ts'

function patternOf(text: string): TagPattern {
  const parsed = parseTagPattern(text)
  if (parsed.kind === 'fault') throw new Error(`${text} ${parsed.sentence}`)
  return parsed.value
}

describe('a pattern of tags', () => {
  test.each([
    ['v*', ['v', 'v1', 'v1.2-rc_3'], ['1v', 'V1']],
    ['*', ['a', '_', 'v1.2'], []],
    ['*.1', ['a.1', 'v2.1'], ['a.12', 'a1']],
    ['*-rc', ['1-rc'], ['rc']],
    ['v*.*', ['v1.2', 'v.', 'v1.2.3'], ['v1']],
    ['_x', ['_x'], ['x', '_x1']],
    ['a'.repeat(128), ['a'.repeat(128)], ['a'.repeat(127)]],
    [`${'a'.repeat(128)}*`, ['a'.repeat(128)], ['a'.repeat(127)]],
  ])('%s matches %j but not %j', (text, matches, misses) => {
    const matched = [...matches, ...misses].filter((given) => {
      const tag = parseTag(given)
      return tag !== undefined && matchesTag(patternOf(text), tag)
    })
    expect(matched).toEqual(matches)
  })
  test('is every tag where it is an asterisk alone', () => {
    expect(['*', 'v*', '*v', 'v'].filter((text) => matchesEveryTag(patternOf(text)))).toEqual(['*'])
  })
  test.each([
    ['', 'is empty; a pattern of tags is such as v*, or * for every tag'],
    ['a/b', 'holds "/" at character 2, which no tag can hold; the only wildcard is *'],
    ['\u{1f600}', 'holds "\u{1f600}" at character 1, which no tag can hold; the only wildcard is *'],
    ['v**', 'holds **; in a pattern of tags one * is any run of characters'],
    ['.x*', 'matches no tag: a tag begins with a letter, a digit or _, and has at most 128 characters'],
    ['-*', 'matches no tag: a tag begins with a letter, a digit or _, and has at most 128 characters'],
    [`*${'a'.repeat(129)}`, 'matches no tag: a tag begins with a letter, a digit or _, and has at most 128 characters'],
  ])('%j is none: %s', (text, sentence) => {
    expect(parseTagPattern(text)).toEqual({ kind: 'fault', sentence })
  })
})
