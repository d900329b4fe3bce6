/** A YAML document with places: what is wrong with it is told by line, column and key. Owns yaml and, with the schema, zod. */
import { LineCounter, isAlias, isCollection, isMap, isScalar, isSeq, parseAllDocuments } from 'yaml'
import type { Document, Pair, YAMLError, YAMLMap } from 'yaml'
import type { z } from 'zod'
import { explain } from './explain.ts'
import { knownKeys, printPath } from './keys.ts'
import type { PathStep } from './keys.ts'

/** Larger documents are refused: 1 MiB. */
export const maxDocumentBytes = 1_048_576

/** Aliases that a document may resolve, counted as often as they multiply: more is an attack on memory. */
const maxAliases = 100

/** One thing that is wrong with a document. Printed as `file:line:column key: sentence`. */
export type Fault = {
  readonly file: string
  /** From 1. */
  readonly line: number
  /** From 1, in UTF-16 code units. */
  readonly column: number
  /** Where in the document, such as `tls.certificates[0].keyFile`; `document` for the whole. */
  readonly key: string
  /** What is wrong and what is allowed; never a value that may be a secret. */
  readonly sentence: string
}

/** Where something stands in a file. */
export type Place = Pick<Fault, 'line' | 'column'>

/** The answer of {@link parseDocument}: a value not yet checked, and where its parts stand. */
export type ParsedDocument =
  | {
      readonly kind: 'ok'
      readonly value: unknown
      /** The place of a key, of a list item, or, where that is missing, of what should contain it. */
      readonly placeOf: (path: readonly PathStep[]) => Place
    }
  | { readonly kind: 'faults'; readonly faults: readonly Fault[] }

type Source = { readonly text: string; readonly file: string }

/**
 * Reads one YAML 1.2 document of at most 1 MiB and checks it against a schema. Never throws: whatever is wrong, all of
 * it, comes back as faults in the order of the file.
 */
export function readDocument<T extends z.ZodType>({
  text,
  file,
  schema,
}: Source & { readonly schema: T }):
  | { readonly kind: 'ok'; readonly value: z.output<T> }
  | { readonly kind: 'faults'; readonly faults: readonly Fault[] } {
  const parsed = parseDocument({ text, file })
  if (parsed.kind === 'faults') return parsed
  const result = schema.safeParse(parsed.value, { reportInput: true })
  if (result.success) return { kind: 'ok', value: result.data }
  const faults = explain(result.error.issues, knownKeys(schema)).map(({ path, sentence }) => ({
    file,
    ...parsed.placeOf(path),
    key: printPath(path),
    sentence,
  }))
  return { kind: 'faults', faults: faults.sort(byPlace) }
}

/** The order of the file. */
export function byPlace(one: Place, other: Place): number {
  return one.line - other.line || one.column - other.column
}

/** Reads one YAML document without a schema; an empty one is null. Never throws. */
export function parseDocument({ text, file }: Source): ParsedDocument {
  const refuse = (sentence: string, place: Place = top, key = 'document'): ParsedDocument => ({
    kind: 'faults',
    faults: [{ file, ...place, key, sentence }],
  })
  if (Buffer.byteLength(text) > maxDocumentBytes) return refuse('is larger than 1 MiB')
  try {
    return parse(text, file)
  } catch (error) {
    // yaml descends by recursion, so a document of brackets alone ends in a RangeError.
    if (error instanceof RangeError) return refuse('is nested too deep')
    // The other one is an alias that yaml will not resolve; its message repeats the text, which may be a secret.
    return refuse('uses aliases (*name) that cannot be resolved, or more than 100 of them')
  }
}

const top: Place = { line: 1, column: 1 }

function parse(text: string, file: string): ParsedDocument {
  const lines = new LineCounter()
  const options = {
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
    uniqueKeys: false,
    merge: false,
  } as const
  const documents = parseAllDocuments(text, options)
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return line === 0 ? top : { line, column: col }
  }
  const [document, second] = [...documents]
  if (document === undefined) return { kind: 'ok', value: null, placeOf: () => top }
  const faults: Fault[] = firstOfEachLine([...document.errors, ...document.warnings], placeAt).map(
    ({ error, ...place }) => ({ file, ...place, key: 'document', sentence: syntaxSentence(error) }),
  )
  if (second !== undefined) {
    const place = placeAt(second.range[0])
    faults.push({
      file,
      ...place,
      key: 'document',
      sentence: 'is followed by a second document (---); only one is read',
    })
  }
  faults.push(...unsoundNodes(document).map(({ offset, ...fault }) => ({ file, ...placeAt(offset), ...fault })))
  if (faults.length > 0) return { kind: 'faults', faults: faults.sort(byPlace) }
  const value: unknown = document.toJS({ maxAliasCount: maxAliases })
  return { kind: 'ok', value, placeOf: placeFinder(document, placeAt) }
}

/** What follows an error on the same line follows from it, and only hides it. */
function firstOfEachLine(errors: readonly YAMLError[], placeAt: (offset: number) => Place) {
  const lines = new Map<number, Place & { readonly error: YAMLError }>()
  for (const error of errors) {
    const place = placeAt(error.pos[0])
    if (!lines.has(place.line)) lines.set(place.line, { ...place, error })
  }
  return [...lines.values()]
}

type Unsound = { readonly offset: number; readonly key: string; readonly sentence: string }

/** Keys that stand twice, and aliases of nothing. Found here in one pass: yaml compares every key with every other. */
function unsoundNodes({ contents }: Document.Parsed): readonly Unsound[] {
  const found: Unsound[] = []
  const anchors = new Set<string>()
  let aliases = 0
  const report = (node: unknown, path: readonly PathStep[], sentence: string): void => {
    found.push({ offset: startOf(node), key: printPath(path), sentence })
  }
  const walk = (node: unknown, path: readonly PathStep[]): void => {
    const anchor = isScalar(node) || isCollection(node) ? node.anchor : undefined
    // An anchor counts once its node has ended: a value that contained itself would have no end.
    if (anchor !== undefined) anchors.delete(anchor)
    walkInto(node, path)
    if (anchor !== undefined) anchors.add(anchor)
  }
  const walkInto = (node: unknown, path: readonly PathStep[]): void => {
    if (isAlias(node)) {
      aliases += 1
      if (!anchors.has(node.source))
        report(node, path, 'is an alias (*name) of nothing; text that begins with * must stand in quotes')
      if (aliases === maxAliases + 1) report(node, path, `more than ${maxAliases} aliases (*name) are not read`)
    }
    if (isSeq(node)) node.items.forEach((item, index) => walk(item, [...path, index]))
    if (!isMap(node)) return
    const seen = new Set<string>()
    for (const { key, value } of node.items) {
      const name = nameOf(key)
      if (seen.has(name)) report(key, [...path, name], 'stands here twice; keep one of the two')
      seen.add(name)
      walk(key, [...path, name])
      walk(value, [...path, name])
    }
  }
  walk(contents, [])
  return found
}

function nameOf(key: unknown): string {
  return isScalar(key) ? String(key.value) : ''
}

function startOf(node: unknown): number {
  return isAlias(node) || isScalar(node) || isCollection(node) ? (node.range?.[0] ?? 0) : 0
}

/** Finds the key of a map entry, the item of a list, or the last of a path that is there at all. */
function placeFinder(document: Document.Parsed, placeAt: (offset: number) => Place) {
  const indexes = new WeakMap<object, ReadonlyMap<string, Pair>>()
  const entryOf = (map: YAMLMap, name: string): Pair | undefined => {
    const index = indexes.get(map) ?? new Map(map.items.map((pair) => [nameOf(pair.key), pair]))
    indexes.set(map, index)
    return index.get(name)
  }
  return (path: readonly PathStep[]): Place => {
    let place = top
    let node: unknown = document.contents
    for (const step of path) {
      const target: unknown = isAlias(node) ? node.resolve(document) : node
      const entry = isMap(target) ? entryOf(target, String(step)) : undefined
      const item = isSeq(target) && typeof step === 'number' ? target.items[step] : undefined
      const anchor = entry?.key ?? item
      if (anchor === undefined) return place
      place = placeAt(startOf(anchor))
      node = entry === undefined ? item : entry.value
    }
    return place
  }
}

/** The parser's message in words of ours: its own repeats the text around the error, which may be a secret. */
function syntaxSentence({ code }: YAMLError): string {
  return syntaxSentences[code] ?? 'is not valid YAML here; look for a missing colon, quote or bracket'
}

const indentation = 'is not valid YAML here; the indentation does not fit, or a bracket or quote is not closed'
const implicitKey = 'is not valid YAML here; a key and its colon must stand on one line'

const syntaxSentences: Partial<Readonly<Record<YAMLError['code'], string>>> = {
  BAD_INDENT: indentation,
  TAB_AS_INDENT: 'is not valid YAML here; indent with spaces, not with tabs',
  MISSING_CHAR: 'is not valid YAML here; a colon, comma, quote or bracket is missing',
  BAD_SCALAR_START: 'is not valid YAML here; text that begins with this character must stand in quotes',
  BAD_ALIAS: 'is not valid YAML here; text that begins with * or & must stand in quotes',
  BAD_DQ_ESCAPE: 'is not valid YAML here; a backslash in double quotes begins an escape, write \\ or use single quotes',
  BLOCK_AS_IMPLICIT_KEY: implicitKey,
  MULTILINE_IMPLICIT_KEY: implicitKey,
  KEY_OVER_1024_CHARS: 'is not valid YAML here; a key is at most 1024 characters',
  BLOCK_IN_FLOW: 'is not valid YAML here; inside brackets only brackets and text may stand',
  NON_STRING_KEY: 'is not valid YAML here; a key must be text',
  TAG_RESOLVE_FAILED: 'has a tag (!name) that is not known here; remove it, or put text that begins with ! in quotes',
  RESOURCE_EXHAUSTION: 'is nested too deep',
}
