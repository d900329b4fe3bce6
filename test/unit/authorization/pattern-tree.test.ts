import { describe, expect, test } from '@jest/globals'
import { askedRepository } from '../../../src/authorization/pattern-index.ts'
import { createPatternTree } from '../../../src/authorization/pattern-tree.ts'
import { parseRepositoryPattern } from '../../../src/authorization/repository-pattern.ts'
import type { RepositoryPattern } from '../../../src/authorization/repository-pattern.ts'
import { costOfFourfold, linearlyMore } from '../../support/processor-time.ts'

function patternOf(text: string): RepositoryPattern {
  const parsed = parseRepositoryPattern(text)
  if (parsed.kind === 'fault') throw new Error(`${text} ${parsed.sentence}`)
  return parsed.value
}

describe('a pattern that matches in several ways', () => {
  test.each([
    ['**/a/**', 'a/a/a/a/a'],
    ['**/a/**/a/**', 'a/a/a/a/a/a/a'],
    ['*/**', 'a/a/a'],
    ['a/**', 'a/a/a/a'],
  ])('%s is found once in %s', (text, repository) => {
    const tree = createPatternTree<string>()
    tree.at(patternOf(text), () => text)
    expect(tree.matching(repository.split('/'), {})).toEqual([text])
  })
})

describe('of many patterns that differ in one part alone', () => {
  test.each<[string, (part: string) => string, (part: string) => string]>([
    ['the beginning', (part) => `t${part}-*-service-*`, (part) => `t${part}-x-service-y`],
    ['the end', (part) => `*-service-*-t${part}`, (part) => `x-service-y-t${part}`],
    ['the longer of two in the middle', (part) => `*-x-*-t${part}-*`, (part) => `a-x-b-t${part}-c`],
  ])('a name is not compared with each: %s', (_name, pattern, repository) => {
    const cost = costOfFourfold(1_500, (count) => {
      const parts = Array.from({ length: count }, (_, index) => String(1_000 + index))
      const tree = createPatternTree<string>()
      for (const part of parts) tree.at(patternOf(pattern(part)), () => part)
      expect(parts.map((part) => tree.matching([repository(part)], {}))).toEqual(parts.map((part) => [part]))
      return () => {
        for (const part of parts) tree.matching([repository(part)], {})
      }
    })
    expect(cost).toBeLessThan(linearlyMore)
  })
})

test('only groups that the name holds are asked for, since somebody may be in thousands', () => {
  const groups = ['team', 'ops', 'app-', 'x']
  expect(askedRepository('team/app-1', { user: 'alice', groups })).toEqual({
    segments: ['team', 'app-1'],
    user: 'alice',
    groups: ['team', 'app-'],
  })
})
