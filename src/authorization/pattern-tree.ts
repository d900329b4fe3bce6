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
 * Globs that are found by the same part of a segment: their known beginning and ending, or, where they have neither, a
 * known part of the middle. Of ten thousand such as `app-1-*` a segment is compared with those alone that it can match.
 */
type GlobGroup<T> = {
  /** The parts of a segment by which the globs of the group are found, as keys of `edges`. */
  readonly keysOf: (text: string) => readonly string[]
  readonly edges: Map<string, Map<string, GlobEdge<T>>>
}

type GlobEdge<T> = {
  readonly text: string
  readonly pieces: readonly Piece[]
  /** The pieces, where they hold no variable. */
  readonly plain: readonly string[] | undefined
  readonly node: Node<T>
}

type Glob = Segment & { readonly kind: 'glob' }

export function createPatternTree<T>(): PatternTree<T> {
  const root: Node<T> = createNode(false)
  return {
    at: ({ segments }, make) => {
      const node = segments.reduce(childFor, root)
      node.value ??= make()
      return node.value
    },
    matching: (repository, binding) => {
      // No name has an empty segment; a listing of somebody else's might.
      if (repository.includes('')) return []
      return walk(root, repository, (node, text, reached) => {
        stepByText(node, text, reached, binding)
      })
    },
    covering: ({ segments }) => walk(root, segments, stepBySegment),
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
      const { name, key, keysOf } = finderOf(segment)
      const group = valueAt(node.globs, name, (): GlobGroup<T> => ({ keysOf, edges: new Map() }))
      const edges = valueAt(group.edges, key, () => new Map<string, GlobEdge<T>>())
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

type Finder = {
  /** Globs whose finders have the same name have the same `keysOf`. */
  readonly name: string
  /** Under which the glob is found: one of `keysOf` every text that it matches, whoever the principal is. */
  readonly key: string
  readonly keysOf: (text: string) => readonly string[]
}

function finderOf({ pieces }: Glob): Finder {
  const prefix = textOf(pieces[0][0])
  const suffix = textOf(pieces.at(-1)?.at(-1))
  if (prefix !== '' || suffix !== '') {
    const [before, after] = [prefix.length, suffix.length]
    return {
      name: `${before}*${after}`,
      key: `${prefix}*${suffix}`,
      keysOf: (text) => [`${text.slice(0, before)}*${text.slice(text.length - after)}`],
    }
  }
  const key = pieces
    .flat()
    .map(textOf)
    .reduce((longest, part) => (part.length > longest.length ? part : longest), '')
  return { name: `*${key.length}*`, key, keysOf: (text) => windowsOf(text, key.length) }
}

function textOf(part: Piece[number] | undefined): string {
  return typeof part === 'string' ? part : ''
}

/** Every run of so many characters, once. */
function windowsOf(text: string, length: number): readonly string[] {
  const windows = new Set<string>()
  const last = length === 0 ? 0 : text.length - length
  for (let start = 0; start <= last; start += 1) windows.add(text.slice(start, start + length))
  return [...windows]
}

/** Leads from the nodes that a name's beginning reaches to those that one more of its segments reaches. */
type Step<T, S> = (node: Node<T>, segment: S, reached: Node<T>[]) => void

/**
 * Goes over the segments once. A node has one parent, so it is reached once by it; only where `**` goes on for another
 * segment could it be reached twice, and it is then left to itself.
 */
function walk<T, S>(root: Node<T>, segments: readonly S[], step: Step<T, S>): readonly T[] {
  let nodes: readonly Node<T>[] = [root]
  for (const segment of segments) {
    const reached: Node<T>[] = []
    const going = nodes.some(({ isDeep }) => isDeep) ? new Set(nodes) : undefined
    for (const node of nodes) {
      if (node.isDeep) reached.push(node)
      if (node.deep !== undefined && going?.has(node.deep) !== true) reached.push(node.deep)
      step(node, segment, reached)
    }
    if (reached.length === 0) return []
    nodes = reached
  }
  const values: T[] = []
  for (const { value } of nodes) if (value !== undefined) values.push(value)
  return values
}

function stepByText<T>(node: Node<T>, text: string, reached: Node<T>[], binding: Binding): void {
  const literal = node.literals.get(text)
  if (literal !== undefined) reached.push(literal)
  if (node.any !== undefined) reached.push(node.any)
  if (node.globs.size === 0) return
  for (const edge of edgesFor(node, text)) {
    const pieces = edge.plain ?? filledIn(edge.pieces, binding)
    if (pieces !== undefined && matchesPieces(pieces, text)) reached.push(edge.node)
  }
}

function stepBySegment<T>(node: Node<T>, segment: Segment, reached: Node<T>[]): void {
  if (segment.kind === 'deep') return
  if (node.any !== undefined) reached.push(node.any)
  if (segment.kind === 'any') return
  const { text } = segment
  const literal = node.literals.get(text)
  if (literal !== undefined) reached.push(literal)
  // An asterisk in the text is a character that no piece holds, so only an asterisk can take it.
  for (const edge of edgesFor(node, text)) {
    if (edge.text === text || (edge.plain !== undefined && matchesPieces(edge.plain, text))) reached.push(edge.node)
  }
}

function edgesFor<T>({ globs }: Node<T>, text: string): readonly GlobEdge<T>[] {
  return [...globs.values()].flatMap(({ keysOf, edges }) =>
    keysOf(text).flatMap((key) => [...(edges.get(key)?.values() ?? [])]),
  )
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
