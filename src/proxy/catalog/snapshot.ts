/** The names of all repositories at one moment: an immutable value, so that a reader may take its time over it. */
import type { RepositoryName } from '../../registry/name.ts'

export type Snapshot = {
  /** In the order of {@link compareNames}, each once. */
  readonly names: readonly RepositoryName[]
  /** What they take in memory, as {@link nameBytes} estimates it. */
  readonly bytes: number
}

/** How many names a snapshot may hold, and how much memory they may take. */
export type SnapshotBounds = { readonly maxNames: number; readonly maxBytes: number }

const slash = 0x2f

/**
 * The order of distribution's own walk: path component by path component, so that `a/b` stands before `a-b`, although a
 * slash is the greater byte. What the registry lists is then in order already, and clients see the order they know.
 *
 * The second name may be any text; a client's `last` need not be a repository.
 */
export function compareNames(name: RepositoryName, text: string): number {
  const shorter = Math.min(name.length, text.length)
  for (let index = 0; index < shorter; index += 1) {
    const difference = rank(name.charCodeAt(index)) - rank(text.charCodeAt(index))
    if (difference !== 0) return difference
  }
  return name.length - text.length
}

function rank(code: number): number {
  return code === slash ? 0 : code
}

/** What one name takes in memory, about: its characters, the header of the string, its places in array and set. */
export function nameBytes(name: RepositoryName): number {
  return name.length + 48
}

/** Sorts names into a snapshot. Those that come in order cost one comparison each. */
export function snapshotOf(names: ReadonlySet<RepositoryName>): Snapshot {
  let bytes = 0
  for (const name of names) bytes += nameBytes(name)
  return { names: [...names].sort(compareNames), bytes }
}

/** The same snapshot with one name more; the very same where it has the name, or would grow over its bounds. */
export function withName(snapshot: Snapshot, name: RepositoryName, { maxNames, maxBytes }: SnapshotBounds): Snapshot {
  const index = indexAfter(snapshot, name)
  const bytes = snapshot.bytes + nameBytes(name)
  if (snapshot.names[index - 1] === name || snapshot.names.length >= maxNames || bytes > maxBytes) return snapshot
  return { names: snapshot.names.toSpliced(index, 0, name), bytes }
}

/** Where the names behind `last` begin, whether or not there is a repository of that name. */
export function indexAfter({ names }: Snapshot, last: string): number {
  let [low, high] = [0, names.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    const name = names[middle]
    if (name !== undefined && compareNames(name, last) <= 0) low = middle + 1
    else high = middle
  }
  return low
}
