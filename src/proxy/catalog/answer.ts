import { RegistryError } from '../../registry/error.ts'
import { printQuery } from '../../registry/query.ts'
import type { CatalogCold, CatalogPage } from './catalog.ts'

/** What a client is answered with; a HEAD gets the same without the text. */
export type CatalogAnswer = {
  readonly status: 200
  readonly headers: ReadonlyMap<string, string>
  readonly text: string
}

/** How many names a page has whose size the client does not tell; distribution's own default. */
export const defaultPageSize = 100

/**
 * The answer to `GET /v2/_catalog` (Docker Registry HTTP API V2, "Listing Repositories"). Its `Link` is path-absolute and
 * names the last repository of the page, one that the client has just been shown; it is there when more will follow.
 *
 * @param n the page size that the page was made with
 * @throws RegistryError `catalogCold` when there is nothing to show yet
 */
export function catalogAnswer(page: CatalogPage | CatalogCold, n: number): CatalogAnswer {
  if (page.kind === 'cold') throw coldError(page)
  const text = `${JSON.stringify({ repositories: page.names })}\n`
  const headers = new Map([
    ['content-type', 'application/json'],
    ['content-length', String(Buffer.byteLength(text))],
  ])
  if (page.next !== undefined) {
    const query = printQuery([
      ['last', page.next],
      ['n', n],
    ])
    headers.set('link', `</v2/_catalog${query}>; rel="next"`)
  }
  return { status: 200, headers, text }
}

function coldError({ retryAfterSeconds, failure }: CatalogCold): RegistryError {
  if (failure === undefined) return new RegistryError('catalogCold', { retryAfterSeconds })
  const detail = `the last attempt failed: ${failure.message}`
  return new RegistryError('catalogCold', { retryAfterSeconds, detail, cause: failure })
}
