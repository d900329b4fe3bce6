/** One walk over the upstream's catalog, page after page, within bounds. */
import { setImmediate } from 'node:timers/promises'
import { RegistryError } from '../../registry/error.ts'
import type { RepositoryName } from '../../registry/name.ts'
import { nameBytes, snapshotOf } from './snapshot.ts'
import type { Snapshot, SnapshotBounds } from './snapshot.ts'

/** A page as the upstream gave it. */
export type UpstreamPage = {
  readonly names: readonly RepositoryName[]
  /** How many entries of the page are no names by the grammar of the registry; nobody could ask for them here. */
  readonly ignored: number
  /** Where the upstream says the next page is; whatever that means to {@link FetchPage}. */
  readonly next: string | undefined
}

/**
 * Asks the upstream for one page; `undefined` is the first.
 *
 * @throws RegistryError when there is no usable page
 */
export type FetchPage = (cursor: string | undefined, signal: AbortSignal) => Promise<UpstreamPage>

export type Walked = { readonly snapshot: Snapshot; readonly pages: number; readonly ignored: number }

/** A page asks the upstream for a thousand names; registries that give a hundred at most must come to an end too. */
const maxPages = 20_000
/** How many pages in a row may bring nothing new. */
const maxFruitlessPages = 3

/**
 * Reads the whole catalog of the upstream, or nothing: a listing that is cut short would hide repositories from those
 * who may see them, and nobody would know.
 *
 * @param pushed what is pushed through the door while the walk goes on, and may belong to pages that it has read before
 * @throws RegistryError of the page that failed; `upstreamInvalid` where the pages run in a circle or grow over a bound
 */
export async function walkCatalog(
  fetchPage: FetchPage,
  bounds: SnapshotBounds,
  pushed: ReadonlySet<RepositoryName>,
  signal: AbortSignal,
): Promise<Walked> {
  const names = new Set<RepositoryName>()
  let [pages, ignored, fruitless, bytes] = [0, 0, 0, 0]
  let cursor: string | undefined
  function take(name: RepositoryName): void {
    if (names.has(name)) return
    names.add(name)
    bytes += nameBytes(name)
    if (names.size > bounds.maxNames) throw unusable(`it has more than ${bounds.maxNames} names`)
    if (bytes > bounds.maxBytes) throw unusable(`its names take more than ${bounds.maxBytes} bytes`)
  }
  do {
    const page = await fetchPage(cursor, signal)
    signal.throwIfAborted()
    const before = names.size
    for (const name of page.names) take(name)
    pages += 1
    ignored += page.ignored
    fruitless = names.size === before ? fruitless + 1 : 0
    if (page.next !== undefined && (page.next === cursor || fruitless >= maxFruitlessPages)) {
      throw unusable(`its pages bring nothing new: ${fruitless} in a row, the last of them ${cursor ?? 'the first'}`)
    }
    if (pages >= maxPages) throw unusable(`it has more than ${maxPages} pages`)
    cursor = page.next
    // Pages that are there at once must not keep everybody else waiting.
    await setImmediate()
  } while (cursor !== undefined)
  for (const name of pushed) take(name)
  return { snapshot: snapshotOf(names), pages, ignored }
}

function unusable(why: string): RegistryError {
  return new RegistryError('upstreamInvalid', { cause: new Error(`the upstream's catalog cannot be used: ${why}`) })
}
