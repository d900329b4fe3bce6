import { RegistryError } from './error.ts'

/**
 * Reads a raw query once, the strict way: every reader behind us must come to the same result, so whatever two
 * parsers might read differently (`;`, a bad escape, a name twice) is refused instead of guessed at.
 *
 * @param raw the query without its question mark
 * @param known the names to keep; every other name is dropped
 * @param repeatable the known names that may stand more than once
 * @throws RegistryError `queryInvalid`
 */
export function parseQuery(
  raw: string,
  known: ReadonlySet<string>,
  repeatable: ReadonlySet<string> = new Set(),
): ReadonlyMap<string, readonly string[]> {
  if (raw.includes(';')) throw new RegistryError('queryInvalid', { detail: 'a semicolon is not allowed in the query' })
  const values = new Map<string, string[]>()
  for (const pair of raw.split('&')) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = decodeQueryPart(equals === -1 ? pair : pair.slice(0, equals))
    const value = decodeQueryPart(equals === -1 ? '' : pair.slice(equals + 1))
    if (!known.has(name)) continue
    const earlier = values.get(name)
    if (earlier === undefined) values.set(name, [value])
    else if (repeatable.has(name)) earlier.push(value)
    else throw new RegistryError('queryInvalid', { detail: `the parameter ${name} is given twice` })
  }
  return values
}

function decodeQueryPart(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch (error) {
    throw new RegistryError('queryInvalid', { detail: 'a percent escape in the query is not valid', cause: error })
  }
}

/** Prints a query that {@link parseQuery} reads back; an absent value is left out, an empty query is the empty string. */
export function printQuery(pairs: readonly (readonly [string, string | number | undefined])[]): string {
  const printed = pairs.flatMap(([name, value]) =>
    value === undefined ? [] : [`${encodeURIComponent(name)}=${encodeURIComponent(value)}`],
  )
  return printed.length === 0 ? '' : `?${printed.join('&')}`
}

/**
 * Counts how often `name` could be read in a query that passes on unchanged: split at `&` and at `;`, since servers
 * differ, and with escapes decoded where they are valid.
 */
export function countParameter(raw: string, name: string): number {
  return raw.split(/[&;]/).filter((pair) => {
    const key = pair.split('=', 1)[0] ?? ''
    try {
      return decodeURIComponent(key.replaceAll('+', ' ')) === name
    } catch {
      return false
    }
  }).length
}
