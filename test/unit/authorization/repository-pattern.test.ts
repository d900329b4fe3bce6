import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { askedRepository, createPatternIndex } from '../../../src/authorization/pattern-index.ts'
import { createPatternTree } from '../../../src/authorization/pattern-tree.ts'
import { parseRepositoryPattern, variableValue } from '../../../src/authorization/repository-pattern.ts'
import type { RepositoryPattern } from '../../../src/authorization/repository-pattern.ts'
import { matchesPieces } from '../../../src/authorization/wildcard.ts'
import { parseRepositoryName } from '../../../src/registry/name.ts'
import { patternTable } from '../../../tools/policy-pattern-table.ts'

function patternOf(text: string): RepositoryPattern {
  const parsed = parseRepositoryPattern(text)
  if (parsed.kind === 'fault') throw new Error(`${text} ${parsed.sentence}`)
  return parsed.value
}

type Who = { readonly user?: string | undefined; readonly groups?: readonly string[] }

/** Which of several patterns match, all asked at once as a policy does. */
function matching(patterns: readonly string[], repository: string, { user, groups = [] }: Who = {}): readonly string[] {
  const index = createPatternIndex<string>()
  for (const text of patterns) index.at(patternOf(text), () => text)
  return [...new Set(index.matching(askedRepository(repository, { user, groups })))].sort()
}

const alice: Who = { user: 'alice', groups: ['web', 'ops'] }
const rows = patternTable.flatMap(({ pattern, matches, misses }) => [
  ...matches.map((repository) => [pattern, repository, true] as const),
  ...misses.map((repository) => [pattern, repository, false] as const),
])

describe('A-36 the table of patterns', () => {
  test('is long enough to be a specification', () => {
    expect(rows.length).toBeGreaterThanOrEqual(60)
  })
  test('names repositories that can be', () => {
    expect(rows.map(([, repository]) => repository).filter((name) => parseRepositoryName(name) === undefined)).toEqual([
      'x-',
    ])
  })
  test.each(rows)('%s and %s: %s', (pattern, repository, expected) => {
    expect(matching([pattern], repository, alice)).toEqual(expected ? [pattern] : [])
  })
  test('holds for all patterns at once', () => {
    const patterns = patternTable.map(({ pattern }) => pattern)
    for (const { pattern, matches, misses } of patternTable) {
      for (const repository of matches) expect(matching(patterns, repository, alice)).toContain(normal(pattern))
      for (const repository of misses) expect(matching(patterns, repository, alice)).not.toContain(normal(pattern))
    }
  })
  test.each(['Team/a', 'team/', 'team//a', '/team/a', 'team/../a'])(
    '%s, which is no name, matches no team/*',
    (name) => {
      expect(matching(['team/*'], name)).toEqual([])
    },
  )
})

/** Three ways to write one pattern; the first that is put into a tree is the one that is kept. */
function normal(pattern: string): string {
  return ['*/**', '**/*', '**/**'].includes(pattern) ? '*/**' : pattern
}

/** The plainest possible matcher: tries everything, takes exponential time. */
function naive(pattern: readonly string[], name: readonly string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return name.length === 0
  if (name.length === 0) return false
  if (first === '**') return name.some((_, index) => naive(rest, name.slice(index + 1)))
  return naiveSegment(first, name[0] ?? '') && naive(rest, name.slice(1))
}

function naiveSegment(pattern: string, text: string): boolean {
  if (pattern === '') return text === ''
  if (pattern.startsWith('*')) {
    return Array.from({ length: text.length + 1 }, (_, at) => at).some((at) =>
      naiveSegment(pattern.slice(1), text.slice(at)),
    )
  }
  return pattern[0] === text[0] && naiveSegment(pattern.slice(1), text.slice(1))
}

const segment = fc.string({ unit: fc.constantFrom('a', 'b', 'a', '-', '.'), minLength: 1, maxLength: 4 })
const names = fc
  .array(segment, { minLength: 1, maxLength: 6 })
  .map((segments) => segments.join('/'))
  .filter((name) => parseRepositoryName(name) !== undefined)
const glob = fc.string({ unit: fc.constantFrom('a', 'b', '*', '-'), minLength: 1, maxLength: 5 })
const patterns = fc
  .array(fc.oneof(glob, fc.constant('*'), fc.constant('**'), segment), { minLength: 1, maxLength: 6 })
  .map((segments) => segments.join('/'))
  .filter((text) => parseRepositoryPattern(text).kind === 'ok')

describe('A-36 against a naive matcher', () => {
  test('any set of patterns matches what each of them matches', () => {
    let hits = 0
    fc.assert(
      fc.property(fc.uniqueArray(patterns, { minLength: 1, maxLength: 12 }), names, (texts, name) => {
        const tree = createPatternTree<Set<string>>()
        for (const text of texts) tree.at(patternOf(text), () => new Set()).add(text)
        const found = tree.matching(name.split('/'), {}).flatMap((set) => [...set])
        expect(found.sort()).toEqual(texts.filter((text) => naive(text.split('/'), name.split('/'))).sort())
        hits += found.length
      }),
      { numRuns: 3_000 },
    )
    expect(hits).toBeGreaterThan(500)
  })
  test('pieces match as a regular expression of the same meaning does', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 8 })
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 8 }), text, (pattern, given) => {
        const expected = new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(given)
        expect(matchesPieces(pattern.split('*'), given)).toBe(expected)
      }),
      { numRuns: 3_000 },
    )
  })
  test('a pattern that covers another matches whatever the other does', () => {
    const all = fc.sample(names, 200)
    let covers = 0
    fc.assert(
      fc.property(patterns, patterns, (wide, narrow) => {
        const tree = createPatternTree<true>()
        tree.at(patternOf(wide), () => true)
        if (tree.covering(patternOf(narrow)).length === 0) return
        covers += 1
        for (const name of all) {
          if (naive(narrow.split('/'), name.split('/'))) expect(naive(wide.split('/'), name.split('/'))).toBe(true)
        }
      }),
      { numRuns: 3_000 },
    )
    expect(covers).toBeGreaterThan(100)
  })
  test.each([
    ['team/**', 'team/a', true],
    ['team/**', 'team/*', true],
    ['team/**', 'team/**', true],
    ['team/**', 'team/a/**', true],
    ['team/**', '**', false],
    ['team/*', 'team/**', false],
    ['team/*', 'team/app-*', true],
    ['team/app*', 'team/app-*', true],
    ['team/app-*', 'team/app*', false],
    ['*/app', '**/app', false],
    ['**/app', '*/app', true],
    ['**', '*/**', true],
    ['*/**', '**', false],
    ['*b*', 'a*b', true],
    ['team/*', 'team/${user}', true],
    ['team/${user}', 'team/${user}', true],
    ['team/${user}', 'team/${group}', false],
    ['team/x-*', 'team/x-${user}', true],
    ['team/${user}', 'team/*', false],
    ['a', 'a*', false],
  ])('%s covers %s: %s', (wide, narrow, expected) => {
    const tree = createPatternTree<true>()
    tree.at(patternOf(wide), () => true)
    expect(tree.covering(patternOf(narrow)).length > 0).toBe(expected)
  })
})

describe('A-38 a pattern that no name can fit', () => {
  test.each([
    ['', 'is empty; a pattern is such as team/*, or ** for every repository'],
    ['/', 'has an empty segment; a pattern neither begins nor ends with /, nor holds //'],
    ['team/', 'has an empty segment; a pattern neither begins nor ends with /, nor holds //'],
    ['/team', 'has an empty segment; a pattern neither begins nor ends with /, nor holds //'],
    ['a//b', 'has an empty segment; a pattern neither begins nor ends with /, nor holds //'],
    ['Team/a', 'holds "T" at character 1; repository names are in lower case'],
    ['team/aB', 'holds "B" at character 7; repository names are in lower case'],
    ['[', 'holds "[" at character 1, which no repository name can hold; the only wildcards are * and **'],
    ['team/[a-z]', 'holds "[" at character 6, which no repository name can hold; the only wildcards are * and **'],
    ['{a,b}/x', 'holds "{" at character 1, which no repository name can hold; the only wildcards are * and **'],
    ['a?', 'holds "?" at character 2, which no repository name can hold; the only wildcards are * and **'],
    ['!team/**', 'holds "!" at character 1, which no repository name can hold; the only wildcards are * and **'],
    ['^team', 'holds "^" at character 1, which no repository name can hold; the only wildcards are * and **'],
    ['team\\a', 'holds "\\\\" at character 5, which no repository name can hold; the only wildcards are * and **'],
    ['te am', 'holds " " at character 3, which no repository name can hold; the only wildcards are * and **'],
    ['team\n', 'holds "\\n" at character 5, which no repository name can hold; the only wildcards are * and **'],
    ['tëam', 'holds "ë" at character 2, which no repository name can hold; the only wildcards are * and **'],
    [
      't\u{1f600}',
      'holds "\u{1f600}" at character 2, which no repository name can hold; the only wildcards are * and **',
    ],
    ['a**', 'holds ** beside other characters; it stands alone between two /'],
    ['**a/b', 'holds ** beside other characters; it stands alone between two /'],
    ['***', 'holds ** beside other characters; it stands alone between two /'],
    ['$user/*', 'holds "$" at character 1; a variable is ${user} or ${group}'],
    ['a/${user', 'holds "$" at character 3; a variable is ${user} or ${group}'],
    ['${users}/*', 'holds the variable ${users}; known are ${user} and ${group}'],
    ['${}/*', 'holds the variable ${}; known are ${user} and ${group}'],
    ['${USER}/*', 'holds the variable ${USER}; known are ${user} and ${group}'],
    ['${user}${constructor}', 'holds the variable ${constructor}; known are ${user} and ${group}'],
    ['a..b', expect.stringContaining('matches nothing: no repository name has a segment such as a..b')],
    ['.', expect.stringContaining('matches nothing')],
    ['..', expect.stringContaining('matches nothing')],
    ['team/../x', expect.stringContaining('no repository name has a segment such as ..')],
    ['-*', expect.stringContaining('matches nothing')],
    ['*-', expect.stringContaining('matches nothing')],
    ['a___b', expect.stringContaining('matches nothing')],
    ['a._*', expect.stringContaining('matches nothing')],
    ['${user}-', expect.stringContaining('matches nothing')],
    [`${'a/'.repeat(128)}a`, 'matches nothing: a repository name has at most 255 characters'],
    [`${'a'.repeat(255)}/*`, 'matches nothing: a repository name has at most 255 characters'],
  ])('%j is a fault', (text, sentence) => {
    expect(parseRepositoryPattern(text)).toEqual({ kind: 'fault', sentence })
  })
  test.each([
    'a__b',
    'a--b',
    'a-*-b',
    'a.*',
    '*_b',
    'a*-b',
    '${user}-${group}',
    `${'a/'.repeat(127)}a`,
    `${'a'.repeat(253)}/*`,
  ])('%j is none', (text) => {
    expect(parseRepositoryPattern(text)).toEqual({ kind: 'ok', value: expect.objectContaining({ text }) })
  })
})

describe('A-37 what a principal brings into a pattern', () => {
  test.each([
    '*',
    '**',
    'a/b',
    '[a-z]',
    '..',
    '.',
    '',
    'team,admins',
    '${group}',
    'Team',
    'a..b',
    '-a',
    'a-',
    'a b',
    '/',
    'ü',
    'a\n',
  ])('the name %j matches nothing, wherever it stands', (name) => {
    for (const repository of ['team/app', 'a/b', 'team/team', 'a', name]) {
      const who = { user: variableValue(name), groups: [name].filter((group) => variableValue(group) !== undefined) }
      const all = ['${user}/*', '${group}/*', '${user}', '${group}', '${user}/${group}', 'a${user}', '**/${group}']
      expect(matching(all, repository, who)).toEqual([])
    }
  })
  test('a name is itself and nothing wider', () => {
    expect(variableValue('a.b_c-d')).toBe('a.b_c-d')
    expect(matching(['${user}/x'], 'a.b/x', { user: 'a.b' })).toEqual(['${user}/x'])
    expect(matching(['${user}/x'], 'axb/x', { user: 'a.b' })).toEqual([])
  })
  test('without a name, a pattern with a variable matches nothing', () => {
    expect(matching(['${user}/*', '${group}/*', 'x*${user}', 'undefined/*'], 'undefined/x')).toEqual(['undefined/*'])
  })
  test('any name in any place matches exactly what it would as a literal', () => {
    const values = fc.string({
      unit: fc.constantFrom('a', 'b', '*', '/', '.', '-', '$', '{', '}', ','),
      minLength: 1,
      maxLength: 5,
    })
    const forms = fc.constantFrom(
      '${user}',
      '${user}/a',
      'a-${user}',
      '${user}*',
      '*${user}*',
      '**/${user}',
      '${group}/**',
      'x/${group}-*',
    )
    fc.assert(
      fc.property(values, forms, names, (value, form, name) => {
        const who = { user: variableValue(value), groups: variableValue(value) === undefined ? [] : [value] }
        const literal = form.replace('${user}', value).replace('${group}', value)
        const isName = !value.includes('/') && parseRepositoryName(value) !== undefined
        const expected = isName && naive(literal.split('/'), name.split('/'))
        expect(matching([form], name, who)).toEqual(expected ? [form] : [])
      }),
      { numRuns: 3_000 },
    )
  })
})

describe('wildcards side by side', () => {
  test.each([
    ['**/*', '*/**', true],
    ['*/**', '**/*', true],
    ['*/**', '**/**', true],
    ['**/**', '*/*', true],
    ['**/a/*/**', '**/a/**/*', true],
    ['**/*', '*', false],
    ['**/*', '**', false],
    ['*/a/**', '**/a/**', false],
  ])('say how many segments there are, in whatever order: %s covers %s: %s', (wide, narrow, expected) => {
    const tree = createPatternTree<true>()
    tree.at(patternOf(wide), () => true)
    expect(tree.covering(patternOf(narrow)).length > 0).toBe(expected)
  })
})

describe('what is read of a pattern', () => {
  test.each([
    ['a-*', []],
    ['a', []],
    ['${user}/*', ['user']],
    ['x-${group}-*/${user}', ['group', 'user']],
    ['${user}/a/*${user}', ['user']],
  ])('the variables of %s are %j', (text, expected) => {
    expect([...patternOf(text).variables]).toEqual(expected)
  })
  test.each([
    ['${user}/aB', 'holds "B" at character 10; repository names are in lower case'],
    [
      'a.-b',
      'matches nothing: no repository name has a segment such as a.-b; the separators ., _, __ and - stand alone between letters or digits',
    ],
    [`${'a'.repeat(254)}/**`, 'matches nothing: a repository name has at most 255 characters'],
    [`${'a'.repeat(253)}/aa*`, 'matches nothing: a repository name has at most 255 characters'],
    [`${'a'.repeat(253)}/\${user}b*`, 'matches nothing: a repository name has at most 255 characters'],
  ])('%s has this fault: %s', (text, sentence) => {
    expect(parseRepositoryPattern(text)).toEqual({ kind: 'fault', sentence })
  })
  test.each([`${'a'.repeat(253)}/**`, `${'a'.repeat(253)}/a*`, `${'a'.repeat(253)}/*\${user}`])(
    '%s fits the longest of names',
    (text) => {
      expect(parseRepositoryPattern(text)).toMatchObject({ kind: 'ok' })
    },
  )
})

test('of several characters that no name can hold the first is told of', () => {
  expect(parseRepositoryPattern('te?A')).toEqual({
    kind: 'fault',
    sentence: 'holds "?" at character 3, which no repository name can hold; the only wildcards are * and **',
  })
})
