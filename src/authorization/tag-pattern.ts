import { parseTag } from '../registry/name.ts'
import type { Tag } from '../registry/name.ts'
import { fault, ok } from './parsed.ts'
import type { Parsed } from './parsed.ts'
import { matchesPieces } from './wildcard.ts'

/** A pattern of tags: `*` is any run of characters, everything else is itself; anchored, case-sensitive. */
export type TagPattern = { readonly text: string; readonly pieces: readonly string[] }

export function parseTagPattern(text: string): Parsed<TagPattern> {
  if (text === '') return fault('is empty; a pattern of tags is such as v*, or * for every tag')
  const wrong = /[^\w.*-]/.exec(text)
  if (wrong !== null) return fault(`holds ${quoted(text, wrong.index)}, which no tag can hold; the only wildcard is *`)
  if (text.includes('**')) return fault('holds **; in a pattern of tags one * is any run of characters')
  // The shortest runs that can stand in the place of the asterisks: none, or a letter where the tag would not begin with one.
  const shortest = [text, text.replace('*', 'a')].map((candidate) => parseTag(candidate.replaceAll('*', '')))
  if (shortest.every((tag) => tag === undefined))
    return fault('matches no tag: a tag begins with a letter, a digit or _, and has at most 128 characters')
  return ok({ text, pieces: text.split('*') })
}

export function matchesTag({ pieces }: TagPattern, tag: Tag): boolean {
  return matchesPieces(pieces, tag)
}

/** Whether the pattern is every tag there can be. */
export function matchesEveryTag({ text }: TagPattern): boolean {
  return text === '*'
}

/** A character of a pattern as people find it: what it is and where, counted from 1. */
export function quoted(text: string, index: number): string {
  const character = String.fromCodePoint(text.codePointAt(index) ?? 0)
  return `${JSON.stringify(character)} at character ${index + 1}`
}
