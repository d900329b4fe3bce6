/** The keys that a schema knows, as data: for the environment, the reference and the nearest name to a mistyped one. */
import { z } from 'zod'

/** A JSON Schema node, as zod prints it, with our notes of `values.ts` beside the standard keywords. */
export type JsonSchema = z.core.JSONSchema.BaseSchema

/** One step of a path: the name of a key, or the index of a list item. */
export type PathStep = string | number

/** A key of a schema. */
export type KnownKey = {
  /** Names from the top; `[]` stands for any item of a list. */
  readonly path: readonly string[]
  readonly type: 'section' | 'list' | 'text' | 'number' | 'boolean'
  /** Whether the section around it cannot do without. */
  readonly required: boolean
  /** The node it was read from: default, bounds, sentence, notes. */
  readonly schema: JsonSchema
  /** For a key that ends in `File`: the secret whose value that file holds. */
  readonly secretPath?: readonly string[]
}

/** JSON Schema (draft-07) of what a document may contain, before defaults are filled in. */
export function toJsonSchema(schema: z.ZodType): JsonSchema {
  return withoutFeatureUnions(z.toJSONSchema(schema, { target: 'draft-7', io: 'input', unrepresentable: 'any' }))
}

/** Every key below the top of a schema, in its order; a secret is followed by its twin that names a file. */
export function knownKeys(schema: z.ZodType): readonly KnownKey[] {
  return keysBelow([], toJsonSchema(schema))
}

function keysBelow(parent: readonly string[], node: JsonSchema): readonly KnownKey[] {
  const { properties = {}, items, required = [], oneOf = [], anyOf = [] } = node
  if (isSchema(items)) return keysBelow([...parent, '[]'], items)
  const own = Object.entries(properties).flatMap(([name, property]) => {
    if (!isSchema(property)) return []
    const path = [...parent, name]
    const known: KnownKey = { path, type: typeOf(property), required: required.includes(name), schema: property }
    return [known, ...secretTwin(known), ...keysBelow(path, property)]
  })
  const ofVariants = [...oneOf, ...anyOf].flatMap((variant) => (isSchema(variant) ? keysBelow(parent, variant) : []))
  return ofVariants.length === 0 ? own : onceEach([...own, ...ofVariants])
}

/** Variants share keys; the first of each path stands for all. */
function onceEach(keys: readonly KnownKey[]): readonly KnownKey[] {
  const paths = keys.map(({ path }) => printPath(path))
  return keys.filter((_, index) => paths.indexOf(paths[index] ?? '') === index)
}

function secretTwin({ path, schema }: KnownKey): readonly KnownKey[] {
  if (schema['secret'] !== true) return []
  const description = `The file that \`${path.join('.')}\` is read from, instead; a newline at its end is dropped.`
  const twin = [...path.slice(0, -1), `${path.at(-1) ?? ''}File`]
  return [
    {
      path: twin,
      type: 'text',
      required: false,
      schema: { type: 'string', kind: 'path', description },
      secretPath: path,
    },
  ]
}

const types: Readonly<Record<string, KnownKey['type']>> = {
  object: 'section',
  array: 'list',
  integer: 'number',
  number: 'number',
  boolean: 'boolean',
}

function typeOf({ type }: JsonSchema): KnownKey['type'] {
  return (typeof type === 'string' ? types[type] : undefined) ?? 'text'
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * Prints a feature, which zod prints as "off or on", as the one map that a person writes: `enabled` and the keys of
 * "on". The two say the same, because a feature that is off accepts the keys of one that is on.
 */
function withoutFeatureUnions(node: JsonSchema): JsonSchema {
  const { oneOf, default: absent, ...rest } = node
  const [off, on] = oneOf ?? []
  const [disabled, enabled] = [switchOf(off), switchOf(on)]
  if (!isSchema(on) || disabled?.const !== false || enabled?.const !== true) return mapChildren(node)
  const state: JsonSchema = { ...enabled, type: 'boolean', default: isSchema(absent) ? absent['enabled'] : undefined }
  delete state.const
  return mapChildren({ ...on, ...rest, properties: { ...on.properties, enabled: state } })
}

function switchOf(variant: unknown): JsonSchema | undefined {
  const enabled = isSchema(variant) ? variant.properties?.['enabled'] : undefined
  return isSchema(enabled) ? enabled : undefined
}

function mapChildren(node: JsonSchema): JsonSchema {
  const mapped: JsonSchema = { ...node }
  if (node.properties !== undefined) {
    const entries = Object.entries(node.properties).map(
      ([name, child]) => [name, isSchema(child) ? withoutFeatureUnions(child) : child] as const,
    )
    mapped.properties = Object.fromEntries(entries)
  }
  if (isSchema(node.items)) mapped.items = withoutFeatureUnions(node.items)
  return mapped
}

/** Prints a path as people write it: `tls.certificates[0].keyFile`; the top of a document is `document`. */
export function printPath(path: readonly PathStep[]): string {
  if (path.length === 0) return 'document'
  return path
    .map((step, index) => {
      if (typeof step === 'number') return `[${step}]`
      if (step === '[]') return step
      return index === 0 ? printName(step) : `.${printName(step)}`
    })
    .join('')
}

/** A name from a document may hold anything, so what could confuse a terminal is printed as JSON does. */
export function printName(name: string): string {
  const short = name.length > 80 ? `${name.slice(0, 80)}...` : name
  return /^[\w.$@/*-]+$/.test(short) ? short : JSON.stringify(short).replace(/[\u007f-\uffff]/g, escapeUnit)
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/**
 * The known key that a mistyped or misplaced one was probably meant to be: a similar name in the same place, else a
 * similar whole path (`upstreamUrl` for `upstream.url`), else the same name elsewhere.
 */
export function nearestKey(known: readonly KnownKey[], unknownPath: readonly PathStep[]): string | undefined {
  const path = unknownPath.map((step) => (typeof step === 'number' ? '[]' : step))
  const parent = printPath(path.slice(0, -1))
  const leaf = path.at(-1) ?? ''
  const siblings = known.filter(({ path }) => printPath(path.slice(0, -1)) === parent)
  const nearest =
    nearestBy(siblings, leaf, ({ path }) => path.at(-1) ?? '') ??
    nearestBy(known, path.join(''), ({ path }) => path.join('')) ??
    known.find(({ path }) => path.at(-1)?.toLowerCase() === leaf.toLowerCase())
  return nearest === undefined ? undefined : printPath(nearest.path)
}

/** The candidate whose name differs from `name` in the fewest letters, if they are few enough to be a slip. */
export function nearestBy<T>(candidates: readonly T[], name: string, nameOf: (candidate: T) => string): T | undefined {
  const folded = name.toLowerCase()
  if (folded.length > 64) return undefined
  const distances = candidates.map((candidate) => editDistance(folded, nameOf(candidate).toLowerCase()))
  const least = Math.min(...distances)
  return least <= Math.max(1, Math.floor(folded.length / 4)) ? candidates[distances.indexOf(least)] : undefined
}

/** Letters to insert, delete, replace or swap with their neighbour (optimal string alignment). */
function editDistance(from: string, to: string): number {
  let beforeLast: readonly number[] = []
  let last: readonly number[] = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row]
    for (let column = 1; column <= to.length; column += 1) {
      const replaced = at(last, column - 1) + (from[row - 1] === to[column - 1] ? 0 : 1)
      const swapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      const distances = [replaced, at(last, column) + 1, at(current, column - 1) + 1]
      if (swapped) distances.push(at(beforeLast, column - 2) + 1)
      current.push(Math.min(...distances))
    }
    beforeLast = last
    last = current
  }
  return at(last, to.length)
}

function at(numbers: readonly number[], index: number): number {
  return numbers[index] ?? Number.POSITIVE_INFINITY
}
