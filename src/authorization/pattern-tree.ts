/**
 * Many repository patterns as one tree, so that a name meets all of its patterns in the time that its segments take, not
 * in the time of their number. Matching keeps a set of nodes and goes over the name once, whatever the patterns are.
 */
import type { Piece, RepositoryPattern, Segment, Variable } from './repository-pattern.ts'
import { matchesPieces } from './wildcard.ts'

/** What variables stand for; a pattern with one that has no value matches nothing. */
export type Binding = Readonly<Partial<Record<Variable, string | undefined>>>

export type PatternTree<T> = {
  /** The value that stands at a pattern, made where there is none yet. */
  at(pattern: RepositoryPattern, make: () => T): T
  /** The values of all patterns that match. */
  matching(repository: readonly string[], binding: Binding): readonly T[]
  /**
   * The values of patterns that match every name that `pattern` matches, itself among them. Of patterns with variables
   * only those that are written alike are found.
   */
  covering(pattern: RepositoryPattern): readonly T[]
}

type Node<T> = {
  readonly literals: Map<string, Node<T>>
  readonly globs: Map<string, GlobGroup<T>>
  any: Node<T> | undefined
  deep: Node<T> | undefined
  /** Reached by `**`, which may take further segments. */
  readonly isDeep: boolean
  value: T | undefined
}

/**
 * Globs that begin with so many known characters and end with so many: of ten thousand such as `app-1-*` a segment is
 * compared with those alone that have its own beginning and ending.
 */
type GlobGroup<T> = {
  readonly prefixLength: number
  readonly suffixLength: number
  readonly byEnds: Map<string, Map<string, GlobEdge<T>>>
}

type GlobEdge<T> = {
  readonly text: string
  readonly pieces: readonly Piece[]
  /** The pieces, where they hold no variable. */
  readonly plain: readonly string[] | undefined
  readonly node: Node<T>
}

type Glob = Segment & { readonly kind: 'glob' }

/** How one step of a walk leads from a node to its children. */
type Step = <T>(node: Node<T>, reached: Set<Node<T>>) => void

export function createPatternTree<T>(): PatternTree<T> {
  const root: Node<T> = createNode(false)
  return {
    at: ({ segments }, make) => {
      const node = segments.reduce(childFor, root)
      node.value ??= make()
      return node.value
    },
    matching: (repository, binding) => {
      return walk(
        root,
        repository.map((text): Step => (node, reached) => {
          stepByText(node, reached, text, binding)
        }),
      )
    },
    covering: ({ segments }) => {
      return walk(
        root,
        segments.map((segment): Step => (node, reached) => {
          stepBySegment(node, reached, segment)
        }),
      )
    },
  }
}

function createNode<T>(isDeep: boolean): Node<T> {
  return { literals: new Map(), globs: new Map(), any: undefined, deep: undefined, isDeep, value: undefined }
}

function childFor<T>(node: Node<T>, segment: Segment): Node<T> {
  switch (segment.kind) {
    case 'literal':
      return valueAt(node.literals, segment.text, () => createNode<T>(false))
    case 'any':
      node.any ??= createNode(false)
      return node.any
    case 'deep':
      node.deep ??= createNode(true)
      return node.deep
    case 'glob': {
      const { prefix, suffix } = endsOf(segment)
      const group = valueAt(node.globs, `${prefix.length}/${suffix.length}`, (): GlobGroup<T> => {
        return { prefixLength: prefix.length, suffixLength: suffix.length, byEnds: new Map() }
      })
      const edges = valueAt(group.byEnds, `${prefix}*${suffix}`, () => new Map<string, GlobEdge<T>>())
      return valueAt(edges, segment.text, () => edgeOf<T>(segment)).node
    }
  }
}

function valueAt<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}

function edgeOf<T>({ text, pieces }: Glob): GlobEdge<T> {
  return { text, pieces, plain: filledIn(pieces, {}), node: createNode(false) }
}

/** The characters that every text begins and ends with that the glob matches, whoever the principal is. */
function endsOf({ pieces }: Glob): { readonly prefix: string; readonly suffix: string } {
  return { prefix: textOf(pieces[0][0]), suffix: textOf(pieces.at(-1)?.at(-1)) }
}

function textOf(part: Piece[number] | undefined): string {
  return typeof part === 'string' ? part : ''
}

function walk<T>(root: Node<T>, steps: readonly Step[]): readonly T[] {
  let nodes = new Set([root])
  for (const step of steps) {
    const reached = new Set<Node<T>>()
    for (const node of nodes) {
      if (node.isDeep) reached.add(node)
      step(node, reached)
    }
    if (reached.size === 0) return []
    nodes = reached
  }
  const values: T[] = []
  for (const { value } of nodes) if (value !== undefined) values.push(value)
  return values
}

function stepByText<T>(node: Node<T>, reached: Set<Node<T>>, text: string, binding: Binding): void {
  const literal = node.literals.get(text)
  if (literal !== undefined) reached.add(literal)
  if (node.any !== undefined) reached.add(node.any)
  if (node.deep !== undefined) reached.add(node.deep)
  for (const edge of edgesByEnds(node, text)) {
    const pieces = edge.plain ?? filledIn(edge.pieces, binding)
    if (pieces !== undefined && matchesPieces(pieces, text)) reached.add(edge.node)
  }
}

function stepBySegment<T>(node: Node<T>, reached: Set<Node<T>>, segment: Segment): void {
  if (node.deep !== undefined) reached.add(node.deep)
  if (segment.kind === 'deep') return
  if (node.any !== undefined) reached.add(node.any)
  if (segment.kind === 'any') return
  const { text } = segment
  const literal = segment.kind === 'literal' ? node.literals.get(text) : undefined
  if (literal !== undefined) reached.add(literal)
  // An asterisk in the text is a character that no piece holds, so only an asterisk can take it.
  for (const edge of edgesByEnds(node, text)) {
    if (edge.text === text || (edge.plain !== undefined && matchesPieces(edge.plain, text))) reached.add(edge.node)
  }
}

function* edgesByEnds<T>({ globs }: Node<T>, text: string): Generator<GlobEdge<T>> {
  for (const { prefixLength, suffixLength, byEnds } of globs.values()) {
    if (prefixLength + suffixLength > text.length) continue
    const edges = byEnds.get(`${text.slice(0, prefixLength)}*${text.slice(text.length - suffixLength)}`)
    if (edges !== undefined) yield* edges.values()
  }
}

/** The pieces with the values of their variables in place; nothing where one has no value. */
function filledIn(pieces: readonly Piece[], binding: Binding): readonly string[] | undefined {
  const filled: string[] = []
  for (const piece of pieces) {
    let text = ''
    for (const part of piece) {
      const value = typeof part === 'string' ? part : binding[part.variable]
      if (value === undefined) return undefined
      text += value
    }
    filled.push(text)
  }
  return filled
}
