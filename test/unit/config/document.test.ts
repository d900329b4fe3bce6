import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { z } from 'zod'
import { maxDocumentBytes, readDocument } from '../../../src/config/document.ts'
import { costOfFourfold, linearlyMore } from '../../support/processor-time.ts'

const rule = z.discriminatedUnion('effect', [
  z.strictObject({ effect: z.literal('allow'), actions: z.array(z.enum(['pull', 'push'])) }),
  z.strictObject({ effect: z.literal('deny') }),
])
const schema = z.strictObject({
  name: z.string().optional(),
  limits: z.strictObject({ count: z.int().max(10) }).optional(),
  rules: z.array(rule).default([]),
  either: z.union([z.string(), z.strictObject({ from: z.string() })]).optional(),
})

function faultsOf(text: string): readonly string[] {
  const document = readDocument({ text, file: 'f.yaml', schema })
  if (document.kind === 'ok') return []
  return document.faults.map(({ file, line, column, key, sentence }) => `${file}:${line}:${column} ${key}: ${sentence}`)
}

describe('a document that fits', () => {
  test('is its value, defaults filled in', () => {
    expect(readDocument({ text: 'name: a\n', file: 'f.yaml', schema })).toEqual({
      kind: 'ok',
      value: { name: 'a', rules: [] },
    })
  })
  test('may use anchors and aliases', () => {
    const text = 'rules: [ &all { effect: allow, actions: [pull] }, *all ]'
    expect(readDocument({ text, file: 'f.yaml', schema })).toMatchObject({
      kind: 'ok',
      value: {
        rules: [
          { effect: 'allow', actions: ['pull'] },
          { effect: 'allow', actions: ['pull'] },
        ],
      },
    })
  })
  test('may have a byte order mark, comments and carriage returns', () => {
    expect(faultsOf('\ufeff# a comment\r\nname: a\r\n')).toEqual([])
  })
})

describe('a value that does not fit is told with its place', () => {
  test.each([
    ['the key of a nested value', 'limits:\n  count: 11', 'f.yaml:2:3 limits.count: must be at most 10; got 11'],
    ['a key in a flow map', 'limits: { count: 1.5 }', 'f.yaml:1:11 limits.count: must be a whole number; got a number'],
    ['a missing key: the key above it', 'limits: {}', 'f.yaml:1:1 limits.count: is required'],
    [
      'a list item',
      'rules:\n  - effect: allow\n    actions:\n      - pull\n      - delete',
      'f.yaml:5:9 rules[0].actions[1]: must be pull or push; got delete',
    ],
    ['a missing discriminator', 'rules:\n  - actions: []', 'f.yaml:2:5 rules[0].effect: is required: allow or deny'],
    [
      'a wrong discriminator',
      'rules: [{ effect: maybe }]',
      'f.yaml:1:11 rules[0].effect: must be allow or deny; got maybe',
    ],
    [
      'a key without a value',
      'name:\nlimits: { count: 1 }',
      'f.yaml:1:1 name: is empty; give it a value or remove the key',
    ],
    [
      'text that YAML takes for a number',
      'name: 0123',
      'f.yaml:1:1 name: must be text; got a number: put it in quotes',
    ],
    ['a map where a list belongs', 'rules: {}', 'f.yaml:1:1 rules: must be a list; got a map'],
    ['the form that was probably meant', 'either: { form: x }', 'f.yaml:1:1 either.from: is required'],
    [
      'a key that no form has',
      'either: { from: x, form: y }',
      'f.yaml:1:20 either.form: unknown key; did you mean either.from?',
    ],
    ['no form at all', 'either: [1]', 'f.yaml:1:1 either: has none of the forms allowed here; got a list of 1'],
    ['the document itself', '- name', 'f.yaml:1:1 document: must be a map; got a list of 1'],
    ['an empty document', '# nothing\n', 'f.yaml:1:1 document: is empty; give it a value or remove the key'],
    ['what an alias stands for', 'limits: &l { count: 11 }\nname: *l', 'f.yaml:2:1 name: must be text; got a map'],
  ])('%s', (_, text, expected) => {
    expect(faultsOf(text)).toContain(expected)
  })
  test('all faults at once, in the order of the file', () => {
    expect(faultsOf('name: 1\nlimits:\n  count: x\nrules: 3')).toEqual([
      'f.yaml:1:1 name: must be text; got a number: put it in quotes',
      'f.yaml:3:3 limits.count: must be a whole number; got text',
      'f.yaml:4:1 rules: must be a list; got a number',
    ])
  })
})

describe('an unknown key is refused with the nearest known one', () => {
  test.each([
    ['a slip', 'nmae: a', 'f.yaml:1:1 nmae: unknown key; did you mean name?'],
    [
      'a slip in a nested map',
      'limits:\n  count: 1\n  cuont: 2',
      'f.yaml:3:3 limits.cuont: unknown key; did you mean limits.count?',
    ],
    ['another case', 'Name: a', 'f.yaml:1:1 Name: unknown key; did you mean name?'],
    ['a path written as one word', 'limitsCount: 1', 'f.yaml:1:1 limitsCount: unknown key; did you mean limits.count?'],
    [
      'a path written with a dot',
      'limits.count: 1',
      'f.yaml:1:1 limits.count: unknown key; did you mean limits.count?',
    ],
    ['a key in the wrong place', 'count: 1', 'f.yaml:1:1 count: unknown key; did you mean limits.count?'],
    ['nothing like it', 'zebra: 1', 'f.yaml:1:1 zebra: unknown key; known here are name, limits, rules, either'],
    [
      'nothing like it in a list item',
      'rules: [{ effect: deny, zebra: 1 }]',
      'f.yaml:1:25 rules[0].zebra: unknown key; known here are effect, actions',
    ],
    [
      'a name that would colour a terminal',
      '"\\e[31m": 1',
      'f.yaml:1:1 "\\u001b[31m": unknown key; known here are name, limits, rules, either',
    ],
    [
      'the prototype',
      '__proto__: { name: 1 }',
      'f.yaml:1:1 __proto__: unknown key; known here are name, limits, rules, either',
    ],
  ])('%s', (_, text, expected) => {
    expect(faultsOf(text)).toContain(expected)
  })
})

describe('what is not one sound YAML document is refused', () => {
  test.each([
    [
      'a key twice',
      'name: a\nlimits: { count: 1 }\nname: b',
      'f.yaml:3:1 name: stands here twice; keep one of the two',
    ],
    [
      'a nested key twice',
      'limits: { count: 1, count: 1 }',
      'f.yaml:1:21 limits.count: stands here twice; keep one of the two',
    ],
    [
      'two documents',
      'name: a\n---\nname: b',
      'f.yaml:2:1 document: is followed by a second document (---); only one is read',
    ],
    ['tabs', 'limits:\n\tcount: 1', 'f.yaml:2:1 document: is not valid YAML here; indent with spaces, not with tabs'],
    [
      'an unknown tag',
      'name: !secret x',
      'f.yaml:1:7 document: has a tag (!name) that is not known here; remove it, or put text that begins with ! in quotes',
    ],
    [
      'a bad escape',
      'name: "\\q"',
      'f.yaml:1:8 document: is not valid YAML here; a backslash in double quotes begins an escape, write \\ or use single quotes',
    ],
    [
      'an alias of nothing',
      'name: *x',
      'f.yaml:1:7 name: is an alias (*name) of nothing; text that begins with * must stand in quotes',
    ],
    [
      'an alias of what it stands in',
      'rules: &r [*r]',
      'f.yaml:1:12 rules[0]: is an alias (*name) of nothing; text that begins with * must stand in quotes',
    ],
    ['a list as a key', '[a]: 1', 'f.yaml:1:1 document: is not valid YAML here; a key must be text'],
  ])('%s', (_, text, expected) => {
    expect(faultsOf(text)).toContain(expected)
  })
  test('an unclosed quote', () => {
    expect(faultsOf('name: "a')).toEqual([
      'f.yaml:1:9 document: is not valid YAML here; a colon, comma, quote or bracket is missing',
    ])
  })
})

describe('a document that attacks is refused quickly', () => {
  const bomb = [
    'a: &a [x, x, x, x, x, x, x, x, x]',
    ...[...'bcdefghij'].map(
      (name, index) =>
        `${name}: &${name} [${Array(9)
          .fill(`*${'abcdefghi'[index] ?? ''}`)
          .join(', ')}]`,
    ),
  ].join('\n')
  test.each([
    ['aliases that multiply', bomb, /aliases/],
    ['many aliases', `a: &a x\nrules: [${Array(101).fill('*a').join(', ')}]`, /more than 100 aliases/],
    ['deep brackets', '['.repeat(20_000), /nested too deep/],
    [
      'deep maps',
      Array.from({ length: 2_000 }, (_, depth) => `${' '.repeat(depth)}a:`)
        .join('\n')
        .slice(0, maxDocumentBytes),
      /nested too deep/,
    ],
    ['more than 1 MiB', `name: ${'x'.repeat(maxDocumentBytes)}`, /larger than 1 MiB/],
    ['1 MiB counted in bytes', `name: ${'\u20ac'.repeat(maxDocumentBytes / 3)}`, /larger than 1 MiB/],
  ])('%s', (_, text, expected) => {
    expect(faultsOf(text)[0]).toMatch(expected)
  })
  test('very many keys, at a cost that grows as they do', () => {
    const keys = (count: number) => Array.from({ length: count }, (_, index) => `k${index}: 1`).join('\n')
    expect(faultsOf(keys(50_000))).toHaveLength(50_000)
    const cost = costOfFourfold(3_000, (count) => {
      const text = keys(count)
      return () => void faultsOf(text)
    })
    expect(cost).toBeLessThan(linearlyMore)
  })
})

describe('secrets', () => {
  test.each([
    ['an alias', 'name: *hunter2'],
    ['a tag', 'name: !hunter2 x'],
    ['a bad escape', 'name: "hunter2\\q"'],
    ['an unclosed quote', "name: 'hunter2"],
    ['a bad plain scalar', 'name: @hunter2'],
    ['a directive', '%hunter2\n---\nname: a'],
    ['wrong indentation', 'limits:\n  count: 1\n name: hunter2'],
    ['text instead of a map', 'limits: hunter2'],
    ['a second colon', 'name: hunter2: hunter2'],
  ])('are not repeated: %s', (_, text) => {
    const faults = faultsOf(text)
    expect(faults).not.toEqual([])
    expect(faults.join('\n')).not.toContain('hunter2')
  })
})

test('any text is read without an exception, and every fault has a place inside it', () => {
  const punctuation = fc.constantFrom(
    'name',
    'rules',
    'limits',
    ':',
    ' ',
    '\n',
    '-',
    '{',
    '}',
    '[',
    ']',
    '&a',
    '*a',
    '"',
    "'",
    '|',
    '>',
    '#',
    '!',
    '?',
    '%',
    '\t',
    '---',
    '...',
    '<<',
  )
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(punctuation, { maxLength: 60 }).map((parts) => parts.join('')),
  )
  fc.assert(
    fc.property(text, (text) => {
      const document = readDocument({ text, file: 'f.yaml', schema })
      if (document.kind === 'ok') return
      expect(document.faults.length).toBeGreaterThan(0)
      for (const { line, column, sentence } of document.faults) {
        expect(line).toBeGreaterThanOrEqual(1)
        expect(line).toBeLessThanOrEqual(text.split('\n').length)
        expect(column).toBeGreaterThanOrEqual(1)
        expect(sentence).not.toBe('')
      }
    }),
    { numRuns: 2_000 },
  )
})
