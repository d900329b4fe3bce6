import { RegistryError } from '../../registry/error.ts'
import type { RepositoryName } from '../../registry/name.ts'
import type { CatalogWalk } from '../../telemetry/policy-events.ts'
import { createTurns, scanPage } from './scan.ts'
import type { ListFilter, NamePage, PageWanted } from './scan.ts'
import { withName } from './snapshot.ts'
import type { Snapshot, SnapshotBounds } from './snapshot.ts'
import { walkCatalog } from './walk.ts'
import type { FetchPage } from './walk.ts'

export type CatalogOptions = SnapshotBounds & {
  readonly fetchPage: FetchPage
  /** How long a snapshot is left alone before somebody's question starts the next walk, in milliseconds. */
  readonly refreshMs: number
  /** How old a snapshot may be when a walk begins and it is still shown until that walk ends, in milliseconds. */
  readonly staleMs: number
  /** How long a question waits for a walk when there is nothing to show; a small registry is walked in that time. */
  readonly waitMs: number
  readonly observe: { walked(end: CatalogWalk): void }
  /** Milliseconds since some fixed moment; never backwards. */
  readonly now?: () => number
}

/** There is nothing to show yet. */
export type CatalogCold = {
  readonly kind: 'cold'
  /** When asking again makes sense; whole seconds, from 1. */
  readonly retryAfterSeconds: number
  /** Why the last walk failed, if that is the reason. */
  readonly failure: RegistryError | undefined
}

export type CatalogPage = NamePage & { readonly kind: 'page' }

export type Catalog = {
  /**
   * The page of the listing as it looks to one principal: other repositories leave no trace in it.
   *
   * @param signal tells that nobody waits for the page any more; the promise is then rejected with its reason
   */
  page(isListed: ListFilter, wanted: PageWanted, signal?: AbortSignal): Promise<CatalogPage | CatalogCold>
  /** Shows a repository at once that was just pushed through the door; beyond the bounds it waits for the next walk. */
  add(name: RepositoryName): void
  /** Gives up a walk that is under way; from now on there is nothing to show. */
  stop(): void
}

const retryColdSeconds = 5
const firstRetryMs = 5_000
/** A walk costs a large registry a processor for its duration; it is given at least this many times that to rest. */
const restPerWalk = 2

type Kept = { readonly snapshot: Snapshot; readonly atMs: number; readonly restMs: number }
type Failed = { readonly times: number; readonly untilMs: number; readonly error: RegistryError }
type Walking = { readonly done: Promise<void>; readonly pushed: Set<RepositoryName> }

/**
 * Keeps the names of the upstream's repositories, so that every principal can be shown its own part of them.
 *
 * One walk at a time, however many ask, and none while nobody asks: walking 100,000 names costs distribution 2.8 more
 * than a minute of a processor, and most gateways are never asked. The first question starts the first walk and waits a
 * moment for it; a later one starts the next when the snapshot has been left alone for `refreshMs` and for twice the time
 * that its walk took (at most half of `staleMs`), and is answered from the old one. A failed walk leaves the snapshot as
 * it is, until it is stale; it is repeated after 5 s, 10 s, 20 s ... and at most `refreshMs`.
 *
 * A name that is gone at the upstream goes with the next walk. Distribution lists a repository whose manifests were all
 * deleted; so does this.
 */
export function createCatalog(options: CatalogOptions): Catalog {
  const { fetchPage, refreshMs, staleMs, waitMs, observe, now = () => performance.now() } = options
  const turns = createTurns()
  const stopping = new AbortController()
  let kept: Kept | undefined
  let failed: Failed | undefined
  let walking: Walking | undefined

  function current(): Snapshot | undefined {
    // While a walk is on its way to replace it, an old snapshot is better than none.
    if (kept !== undefined && walking === undefined && now() - kept.atMs > staleMs) kept = undefined
    return kept?.snapshot
  }

  function isDue(): boolean {
    if (walking !== undefined || stopping.signal.aborted) return false
    if (failed !== undefined && now() < failed.untilMs) return false
    return current() === undefined || (kept !== undefined && now() - kept.atMs >= kept.restMs)
  }

  async function walk(pushed: ReadonlySet<RepositoryName>): Promise<void> {
    const startedMs = now()
    const seconds = (): number => (now() - startedMs) / 1000
    try {
      const { snapshot, pages, ignored } = await walkCatalog(fetchPage, options, pushed, stopping.signal)
      const restMs = Math.min(Math.max(refreshMs, restPerWalk * (now() - startedMs)), staleMs / 2)
      kept = { snapshot, atMs: now(), restMs }
      failed = undefined
      observe.walked({ kind: 'complete', seconds: seconds(), names: snapshot.names.length, pages, ignored })
    } catch (error) {
      if (stopping.signal.aborted) return
      const times = (failed?.times ?? 0) + 1
      failed = { times, untilMs: now() + Math.min(refreshMs, firstRetryMs * 2 ** (times - 1)), error: faultOf(error) }
      observe.walked({ kind: 'failed', seconds: seconds(), error })
    } finally {
      walking = undefined
    }
  }

  function startWalk(): void {
    const pushed = new Set<RepositoryName>()
    // It begins in a later turn, when `walking` has been set.
    const done = Promise.resolve().then(() => walk(pushed))
    walking = { done, pushed }
  }

  function cold(): CatalogCold {
    const restMs = walking === undefined && failed !== undefined ? failed.untilMs - now() : 0
    const retryAfterSeconds = restMs > 0 ? Math.ceil(restMs / 1000) : retryColdSeconds
    return { kind: 'cold', retryAfterSeconds, failure: failed?.error }
  }

  return {
    page: async (isListed, wanted, signal) => {
      signal?.throwIfAborted()
      if (isDue()) startWalk()
      if (current() === undefined && walking !== undefined) await settledWithin(walking.done, waitMs, signal)
      const snapshot = stopping.signal.aborted ? undefined : current()
      if (snapshot === undefined) return cold()
      return { kind: 'page', ...(await scanPage(snapshot, isListed, wanted, turns, signal)) }
    },
    add: (name) => {
      if (walking !== undefined && walking.pushed.size < options.maxNames) walking.pushed.add(name)
      const snapshot = current()
      if (kept !== undefined && snapshot !== undefined) {
        kept = { ...kept, snapshot: withName(snapshot, name, options) }
      }
    },
    stop: () => {
      stopping.abort()
      kept = undefined
    },
  }
}

function faultOf(error: unknown): RegistryError {
  return error instanceof RegistryError ? error : new RegistryError('gatewayFault', { cause: error })
}

/** Waits for the end of a walk, for a limited time or until the signal; the walk goes on in any case. */
async function settledWithin(done: Promise<void>, limitMs: number, signal: AbortSignal | undefined): Promise<void> {
  const { promise: enough, resolve, reject } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => {
    resolve(undefined)
  }, limitMs)
  const onAbort = (): void => {
    reject(signal?.reason)
  }
  signal?.addEventListener('abort', onAbort)
  try {
    await Promise.race([done, enough])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}
