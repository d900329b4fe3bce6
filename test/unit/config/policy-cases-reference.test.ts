import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { readPolicyCases } from '../../../src/config/policy-cases.ts'
import { policyCasesJsonSchema, policyCasesKeyTable } from '../../../src/config/policy-cases-reference.ts'

describe('what is published of files of cases', () => {
  test('has every key with a sentence', () => {
    const rows = policyCasesKeyTable().split('\n').slice(2)
    expect(rows.length).toBeGreaterThan(10)
    expect(rows.filter((row) => !/\| [A-Z`][^|]*\. \|$/.test(row))).toEqual([])
  })

  test('knows who can ask and that something is expected', () => {
    const schema = JSON.parse(policyCasesJsonSchema()) as { properties: { cases: { items: unknown } } }
    expect(schema.properties.cases.items).toMatchObject({
      required: ['on'],
      additionalProperties: false,
      oneOf: [{ required: ['user'] }, { required: ['anonymous'], not: { required: ['groups'] } }],
      anyOf: [{ required: ['mayNot'] }, { required: ['may'], not: { required: ['message'] } }],
    })
  })

  test('has none of our own words in it', () => {
    expect(policyCasesJsonSchema()).not.toMatch(/"(?:kind|unset|samples|unit)":/)
  })

  test('begins with an example that can be read', () => {
    const file = join(import.meta.dirname, '../../../docs/reference/policy-cases.md')
    const [, text = ''] = /```yaml\n([^`]*)```/.exec(readFileSync(file, 'utf8')) ?? []
    const reading = readPolicyCases({ text, file })
    if (reading.kind === 'faults') throw new Error(JSON.stringify(reading.faults))
    expect([reading.caseCount, reading.expectations.length]).toEqual([3, 12])
  })
})
