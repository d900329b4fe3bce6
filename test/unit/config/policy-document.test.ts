import { describe, expect, test } from '@jest/globals'
import { readPolicyDocument } from '../../../src/config/policy-document.ts'
import { policyJsonSchema, policyKeyTable } from '../../../src/config/policy-reference.ts'

const read = (text: string) => readPolicyDocument({ file: 'p.yaml', text })

describe('reading a policy file', () => {
  test('fills in what has defaults, and takes times apart', () => {
    const { faults, rules } = read(
      'rules: [{ allow: pull, to: user:a, on: a, when: { hours: { from: "09:30" }, notBefore: 1970-01-01T00:00:01+00:00 } }]',
    )
    expect(faults).toEqual([])
    expect(rules[0]?.when).toEqual({ hours: { from: 570, until: 1_440, timeZone: 'UTC' }, notBefore: 1_000 })
  })
  test('an empty file says nothing, and that is no fault', () => {
    expect(read('# nothing')).toMatchObject({ faults: [], rules: [], protectedTags: [] })
  })
  test('keeps the sound part of what is at fault, so that more can be found in it', () => {
    const { faults, rules, protectedTags, roles, groups } = read(`
rules:
  - { allow: 5, to: user:a, on: [a, b], x: 1 }
  - nothing
protectedTags: [{ on: a, tags: [] }]
roles: { own: [pull] }
groups: { dev: alice }`)
    expect(faults.map(({ line, key }) => `${String(line)} ${key}`)).toEqual([
      '3 rules[0].allow',
      '3 rules[0].x',
      '4 rules[1]',
      '5 protectedTags[0].tags',
      '7 groups.dev',
    ])
    expect(rules).toEqual([{ to: 'user:a', on: ['a', 'b'] }, {}])
    expect(protectedTags).toEqual([{ on: 'a' }])
    expect([...roles]).toEqual([['own', ['pull']]])
    expect([...groups]).toEqual([])
  })
  test.each(['text', '5', '[]', 'rules: text', 'rules: { a: b }', 'rules: [', '&a *a'])(
    '%s is at fault and throws nothing',
    (text) => {
      expect(read(text).faults.length).toBeGreaterThan(0)
      expect(read(text).rules).toEqual([])
    },
  )
  test.each([
    ['to', 1_000],
    ['on', 1_000],
  ])('a list of %s has at most %d items', (name, most) => {
    const listOf = (count: number): string =>
      `[${Array.from({ length: count }, (_, index) => `user:u${String(index)}`).join(', ')}]`
    const rule = { allow: 'pull', to: 'user:a', on: 'a' }
    const textOf = (count: number): string => {
      const fields = Object.entries({ ...rule, [name]: listOf(count) }).map(([key, value]) => `${key}: ${value}`)
      return `rules: [{ ${fields.join(', ')} }]`
    }
    expect(read(textOf(most)).faults).toEqual([])
    expect(read(textOf(most + 1)).faults).toHaveLength(1)
  })
})

describe('what is published', () => {
  test('every key has a sentence', () => {
    const rows = policyKeyTable().split('\n').slice(2)
    expect(rows.length).toBeGreaterThan(20)
    expect(rows.filter((row) => !/\| [A-Z`][^|]*\. \|$/.test(row))).toEqual([])
  })
  test('the schema knows that a rule allows or denies, and that only a denial has exceptions', () => {
    const schema = JSON.parse(policyJsonSchema()) as { properties: { rules: { items: unknown } } }
    expect(schema.properties.rules.items).toMatchObject({
      required: ['to', 'on'],
      additionalProperties: false,
      oneOf: [{ required: ['allow'], not: { required: ['except'] } }, { required: ['deny'] }],
    })
  })
  test('none of our own words is in it', () => {
    expect(policyJsonSchema()).not.toMatch(/"(?:kind|unset|samples|unit)":/)
  })
})
