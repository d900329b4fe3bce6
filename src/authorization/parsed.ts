/** The answer of a parser: a value, or what is wrong in a sentence without its subject. */
export type Parsed<T> =
  { readonly kind: 'ok'; readonly value: T } | { readonly kind: 'fault'; readonly sentence: string }

export function ok<T>(value: T): Parsed<T> {
  return { kind: 'ok', value }
}

export function fault(sentence: string): Parsed<never> {
  return { kind: 'fault', sentence }
}
