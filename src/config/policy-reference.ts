/** What people and editors read about policy files, made from their schema. */
import { knownKeys, toJsonSchema } from './keys.ts'
import type { JsonSchema } from './keys.ts'
import { policySchema } from './policy-document.ts'
import { keyTable, publishedSchema } from './reference.ts'

/** The JSON Schema (draft-07) of a policy file, for editors; without a newline at its end. */
export function policyJsonSchema(): string {
  const schema = toJsonSchema(policySchema)
  const description = 'A policy file of Wharfgate. All files of a folder are one policy.'
  return publishedSchema(withRuleForms(schema), 'Wharfgate policy', description)
}

/** A rule allows or denies: what the schema of the loader leaves to the loader, because its sentence is better. */
function withRuleForms(schema: JsonSchema): JsonSchema {
  const rules = schema.properties?.['rules']
  if (typeof rules !== 'object' || typeof rules.items !== 'object' || Array.isArray(rules.items)) return schema
  const items: JsonSchema = {
    ...rules.items,
    oneOf: [{ required: ['allow'], not: { required: ['except'] } }, { required: ['deny'] }],
  }
  return { ...schema, properties: { ...schema.properties, rules: { ...rules, items } } }
}

/** The table of all keys of a policy file. */
export function policyKeyTable(): string {
  return keyTable(knownKeys(policySchema), () => undefined)
}
