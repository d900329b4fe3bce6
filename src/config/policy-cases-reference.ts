/** What people and editors read about files of cases, made from their schema. */
import { knownKeys, toJsonSchema } from './keys.ts'
import type { JsonSchema } from './keys.ts'
import { policyCasesSchema } from './policy-cases.ts'
import { keyTable, publishedSchema } from './reference.ts'

/** The JSON Schema (draft-07) of a file of cases, for editors; without a newline at its end. */
export function policyCasesJsonSchema(): string {
  const description = 'Cases of a Wharfgate policy: what it is expected to decide.'
  return publishedSchema(withCaseForms(toJsonSchema(policyCasesSchema)), 'Wharfgate policy cases', description)
}

/** Who asks, and what is expected: what the schema of the reader leaves to the reader, because its sentence is better. */
function withCaseForms(schema: JsonSchema): JsonSchema {
  const cases = schema.properties?.['cases']
  if (typeof cases !== 'object' || typeof cases.items !== 'object' || Array.isArray(cases.items)) return schema
  const items: JsonSchema = {
    ...cases.items,
    oneOf: [{ required: ['user'] }, { required: ['anonymous'], not: { required: ['groups'] } }],
    anyOf: [{ required: ['mayNot'] }, { required: ['may'], not: { required: ['message'] } }],
  }
  return { ...schema, properties: { ...schema.properties, cases: { ...cases, items } } }
}

/** The table of all keys of a file of cases. */
export function policyCasesKeyTable(): string {
  return keyTable(knownKeys(policyCasesSchema), () => undefined)
}
