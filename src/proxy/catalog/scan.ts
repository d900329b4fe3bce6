/** Finding a page of permitted names among all, without holding up everybody else's requests. */
import { setImmediate } from 'node:timers/promises'
import type { RepositoryName } from '../../registry/name.ts'
import { indexAfter } from './snapshot.ts'
import type { Snapshot } from './snapshot.ts'

/** Whether the one who asks may see that a repository exists. */
export type ListFilter = (name: RepositoryName) => boolean

/** Which part of the listing is wanted: at most `n` names, from 1, behind `last` in the order of the listing. */
export type PageWanted = { readonly n: number; readonly last: string | undefined }

export type NamePage = {
  readonly names: readonly RepositoryName[]
  /** The last name of this page, where another permitted one follows. */
  readonly next: RepositoryName | undefined
}

/** Lets one scan at a time look at names, for a slice of time; the others, and all I/O, come in between. */
export type Turns = {
  /** Resolves when it is the caller's turn. The function it gives ends the turn, and must be called. */
  take(): Promise<() => void>
}

/** How long names are looked at without a pause, in milliseconds, and after how many the time is taken. */
const sliceMs = 5
const namesPerLook = 64

export function createTurns(): Turns {
  let last: Promise<void> = Promise.resolve()
  return {
    take: async () => {
      const { promise: ended, resolve } = Promise.withResolvers<undefined>()
      const before = last
      // The pause is part of the turn: however many scans are under way, I/O is looked at after each slice.
      last = ended.then(() => setImmediate())
      await before
      return () => {
        resolve(undefined)
      }
    },
  }
}

/**
 * Collects the names that pass the filter, in order, until the page is full and it is known whether another follows.
 * Names that do not pass leave no trace in the result, in `next` neither.
 *
 * @param signal ends the scan between two slices; the page is then nobody's
 * @throws whatever the filter throws, and the reason of the signal
 */
export async function scanPage(
  snapshot: Snapshot,
  isListed: ListFilter,
  { n, last }: PageWanted,
  turns: Turns,
  signal?: AbortSignal,
): Promise<NamePage> {
  const found: RepositoryName[] = []
  let index = last === undefined ? 0 : indexAfter(snapshot, last)
  while (index < snapshot.names.length && found.length <= n) {
    const endTurn = await turns.take()
    try {
      signal?.throwIfAborted()
      index = scanSlice(snapshot, index, isListed, n, found)
    } finally {
      endTurn()
    }
  }
  const names = found.slice(0, n)
  return { names, next: found.length > n ? names.at(-1) : undefined }
}

/** Looks at names for one slice of time; answers where the next one begins. One more than `n` is looked for. */
function scanSlice(
  { names }: Snapshot,
  from: number,
  isListed: ListFilter,
  n: number,
  found: RepositoryName[],
): number {
  const endMs = performance.now() + sliceMs
  for (let index = from; index < names.length; index += 1) {
    if (found.length > n || (index > from && index % namesPerLook === 0 && performance.now() >= endMs)) return index
    const name = names[index]
    if (name !== undefined && isListed(name)) found.push(name)
  }
  return names.length
}
