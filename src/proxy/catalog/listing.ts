import type { ServerResponse } from 'node:http'
import type { Grant } from '../../registry/grant.ts'
import type { Page } from '../../registry/route.ts'
import type { OpenUpstream } from '../upstream-client.ts'
import { catalogAnswer, defaultPageSize } from './answer.ts'
import type { CatalogAnswer } from './answer.ts'
import { createCatalog } from './catalog.ts'
import type { Catalog, CatalogOptions } from './catalog.ts'
import { createUpstreamPages } from './upstream-page.ts'

export type ListingOptions = Pick<CatalogOptions, 'observe'> & {
  readonly open: OpenUpstream
  readonly upstreamUrl: URL
  readonly authorization: string | undefined
  readonly headersMs: number
  /** How long a page of the upstream's may take behind its head, in milliseconds. */
  readonly bodyMs: number
}

export type Listing = Pick<Catalog, 'add' | 'stop'> & {
  /**
   * The page that the holder of a grant is shown; undefined when the client left while it was made.
   *
   * @throws RegistryError `catalogCold`
   */
  answer(res: ServerResponse, page: Page, grant: Pick<Grant, 'listFilter'>): Promise<CatalogAnswer | undefined>
}

/** Some 400,000 names of usual length. A registry with more cannot be listed: a walk that goes beyond fails. */
const bounds = { maxNames: 500_000, maxBytes: 32 * 1024 * 1024 }
const refreshMs = 60_000
const staleMs = 10 * 60_000
/** A small registry is read in this time, so that the first to ask is answered. */
const waitMs = 2_000

/** Creates the filtered catalog of one upstream. */
export function createListing(options: ListingOptions): Listing {
  const { open, upstreamUrl, authorization, headersMs, bodyMs, observe } = options
  const fetchPage = createUpstreamPages({ open, url: upstreamUrl, authorization, headersMs, bodyMs })
  const catalog = createCatalog({ fetchPage, ...bounds, refreshMs, staleMs, waitMs, observe })
  return {
    add: (name) => {
      catalog.add(name)
    },
    stop: () => {
      catalog.stop()
    },
    answer: async (res, { n = defaultPageSize, last }, { listFilter = () => false }) => {
      const leaving = new AbortController()
      const onClose = (): void => {
        leaving.abort(new Error('the client left'))
      }
      res.once('close', onClose)
      try {
        return catalogAnswer(await catalog.page(listFilter, { n, last }, leaving.signal), n)
      } catch (error) {
        if (leaving.signal.aborted) return undefined
        throw error
      } finally {
        res.off('close', onClose)
      }
    },
  }
}
