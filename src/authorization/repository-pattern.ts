/** Patterns of repositories, as docs/reference/policies.md explains them; matched by `pattern-tree.ts`. */
import { parseRepositoryName } from '../registry/name.ts'
import { fault, ok } from './parsed.ts'
import type { Parsed } from './parsed.ts'
import { quoted } from './tag-pattern.ts'

/** What stands for something of the principal. */
export type Variable = 'user' | 'group'

/** Text without an asterisk, whose variables are filled in when a principal is known. */
export type Piece = readonly (string | { readonly variable: Variable })[]

/** One segment of a pattern. */
export type Segment =
  /** Itself. */
  | { readonly kind: 'literal'; readonly text: string }
  /** `*`: any one segment. */
  | { readonly kind: 'any' }
  /** `**`: one or more segments of any kind. */
  | { readonly kind: 'deep' }
  /** Anything else: any runs of characters between pieces; `text` is how it is written. */
  | { readonly kind: 'glob'; readonly text: string; readonly pieces: readonly [Piece, ...Piece[]] }

export type RepositoryPattern = {
  /** As it was written. */
  readonly text: string
  /** In a normal form: of wildcards that stand side by side, `**` is the last, and there is one at most. */
  readonly segments: readonly Segment[]
  readonly variables: ReadonlySet<Variable>
}

const maxRepositoryLength = 255

/** Reads a pattern; what no repository name can hold is a fault that says where. */
export function parseRepositoryPattern(text: string): Parsed<RepositoryPattern> {
  if (text === '') return fault('is empty; a pattern is such as team/*, or ** for every repository')
  const wrong = wrongCharacter(text)
  if (wrong !== undefined) return fault(wrong)
  const segments: Segment[] = []
  const variables = new Set<Variable>()
  for (const part of text.split('/')) {
    const segment = parseSegment(part)
    if (segment.kind === 'fault') return segment
    segments.push(segment.value)
    for (const variable of variablesOf(segment.value)) variables.add(variable)
  }
  if (shortest(segments) > maxRepositoryLength)
    return fault(`matches nothing: a repository name has at most ${maxRepositoryLength} characters`)
  return ok({ text, segments: normalised(segments), variables })
}

/** The value of a variable, if it can stand in a pattern: text that could itself be a segment of a repository name. */
export function variableValue(text: string): string | undefined {
  return !text.includes('/') && parseRepositoryName(text) !== undefined ? text : undefined
}

const variablePattern = /\$\{[^}]*\}/g
const knownVariables: readonly string[] = ['${user}', '${group}']

function wrongCharacter(text: string): string | undefined {
  // Letters in the place of variables, so that what stands behind them keeps its place.
  const plain = text.replace(variablePattern, (variable) => 'x'.repeat(variable.length))
  const index = plain.search(/[^a-z0-9._\-/*]/)
  if (index === -1) return undefined
  const found = quoted(text, index)
  if (/[A-Z]/.test(plain.charAt(index))) return `holds ${found}; repository names are in lower case`
  if (plain[index] === '$') return `holds ${found}; a variable is \${user} or \${group}`
  return `holds ${found}, which no repository name can hold; the only wildcards are * and **`
}

function parseSegment(text: string): Parsed<Segment> {
  if (text === '') return fault('has an empty segment; a pattern neither begins nor ends with /, nor holds //')
  if (text === '*') return ok({ kind: 'any' })
  if (text === '**') return ok({ kind: 'deep' })
  if (text.includes('**')) return fault('holds ** beside other characters; it stands alone between two /')
  for (const [variable] of text.matchAll(variablePattern)) {
    if (!knownVariables.includes(variable))
      return fault(`holds the variable ${variable}; known are \${user} and \${group}`)
  }
  // A letter is what fits beside everything that can stand in a name at all.
  if (parseRepositoryName(text.replace(variablePattern, 'a').replaceAll('*', 'a')) === undefined) {
    return fault(
      `matches nothing: no repository name has a segment such as ${text}; the separators ., _, __ and - stand alone ` +
        'between letters or digits',
    )
  }
  if (!/[*$]/.test(text)) return ok({ kind: 'literal', text })
  const [first = '', ...others] = text.split('*')
  return ok({ kind: 'glob', text, pieces: [parsePiece(first), ...others.map(parsePiece)] })
}

function parsePiece(text: string): Piece {
  return text
    .split(/(\$\{(?:user|group)\})/)
    .map((part) => (part === '${user}' ? { variable: 'user' } : part === '${group}' ? { variable: 'group' } : part))
}

function variablesOf(segment: Segment): readonly Variable[] {
  if (segment.kind !== 'glob') return []
  return segment.pieces.flat().flatMap((part) => (typeof part === 'string' ? [] : [part.variable]))
}

/** Characters of the shortest name that can match, slashes included. */
function shortest(segments: readonly Segment[]): number {
  const lengths = segments.map((segment) => {
    switch (segment.kind) {
      case 'literal':
        return segment.text.length
      case 'any':
      case 'deep':
        return 1
      case 'glob':
        return segment.pieces.flat().reduce((sum, part) => sum + (typeof part === 'string' ? part.length : 1), 0)
    }
  })
  return lengths.reduce((sum, length) => sum + length + 1, -1)
}

/**
 * `**` and `*` side by side are "so many segments or more", in whatever order; said in one way, patterns that mean the
 * same are the same, and a tree of patterns stays as small as what they mean.
 */
function normalised(segments: readonly Segment[]): readonly Segment[] {
  const result: Segment[] = []
  for (const segment of segments) {
    if (isWildcard(segment) && result.at(-1)?.kind === 'deep') result.splice(-1, 1, { kind: 'any' }, { kind: 'deep' })
    else result.push(segment)
  }
  return result
}

function isWildcard({ kind }: Segment): boolean {
  return kind === 'any' || kind === 'deep'
}
