import { describe, expect, test } from '@jest/globals'
import { countOf, mutationPage, scoreOf, survivorsOf } from '../../../tools/mutation/report.ts'
import type { Mutant, MutationReport } from '../../../tools/mutation/report.ts'

function mutant(status: string, line: number, replacement: string): Mutant {
  return { status, replacement, mutatorName: 'LogicalOperator', location: { start: { line, column: 1 } } }
}

const report: MutationReport = {
  files: {
    'src/b.ts': { source: 'x', mutants: [mutant('Killed', 1, 'y')] },
    'src/a.ts': {
      source: 'if (a || b) x\n  return `${c}`',
      mutants: [
        mutant('Killed', 1, 'true'),
        mutant('Timeout', 1, 'false'),
        mutant('Survived', 1, 'a && b'),
        mutant('NoCoverage', 2, '``'),
        mutant('CompileError', 2, 'z'),
        mutant('Ignored', 2, 'z'),
      ],
    },
  },
}
const known = [{ file: 'src/a.ts', line: 'if (a || b) x', replacement: 'a && b', reason: 'both are the same' }]

describe('the score', () => {
  test('is of the mutants that could be run, and what hangs is found', () => {
    expect(countOf(report.files['src/a.ts']?.mutants ?? [])).toEqual({ killed: 2, all: 4 })
  })
  test.each([
    [2, 4, 50],
    [0, 4, 0],
    [0, 0, 100],
    [8_999, 10_000, 89.9],
    [1_999, 2_000, 99.9],
  ])('of %s in %s is %s, never rounded up', (killed, all, score) => {
    expect(scoreOf({ killed, all })).toBe(score)
  })
})

describe('a survivor', () => {
  test('is explained where its file, its line and its change are known', () => {
    expect(survivorsOf(report, known).map(({ line, reason }) => [line, reason])).toEqual([
      [1, 'both are the same'],
      [2, undefined],
    ])
    const other = known.map((each) => ({ ...each, replacement: 'a' }))
    expect(survivorsOf(report, other).map(({ reason }) => reason)).toEqual([undefined, undefined])
  })
})

test('the page has the score, a row for each file, and every survivor', () => {
  const page = mutationPage(report, known, '2026-11-21')
  expect(page).toContain('Last run: 2026-11-21. **Score: 60.0 %** (3 of 5 mutants found).')
  expect(page.indexOf('| `src/a.ts` | 4 | 2 | 50.0 % |')).toBeLessThan(page.indexOf('| `src/b.ts` | 1 | 1 | 100.0 % |'))
  expect(page).toContain('| `src/a.ts:1` | `if (a \\|\\| b) x` | `a && b` | both are the same |')
  expect(page).toContain(
    '| `src/a.ts:2` | `` return `${c}` `` | ``` `` ``` | LogicalOperator, not reached by any test |',
  )
})
