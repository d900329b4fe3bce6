import type { IncomingMessage } from 'node:http'
import { RegistryError } from '../../registry/error.ts'
import { parseRepositoryName } from '../../registry/name.ts'
import type { RepositoryName } from '../../registry/name.ts'
import { isStaleConnection } from '../upstream-client.ts'
import type { OpenCall, OpenUpstream } from '../upstream-client.ts'
import { isError, upstreamError } from '../upstream-fault.ts'
import type { FetchPage, UpstreamPage } from './walk.ts'

export type UpstreamPagesOptions = {
  readonly open: OpenUpstream
  /** Origin of the registry: http or https, no path. */
  readonly url: URL
  /** What the gateway shows the upstream of itself. */
  readonly authorization: string | undefined
  /** From the end of the request to the head of the answer, in milliseconds. */
  readonly headersMs: number
  /** From the head of the answer to the end of its body, in milliseconds. */
  readonly bodyMs: number
}

const path = '/v2/_catalog'
/** Distribution's own bound: its version 3 refuses a greater `n`. */
const pageSize = 1_000
/** A thousand names of 255 characters are a quarter of a megabyte; registries that know no pages send all at once. */
const maxPageBytes = 8 * 1024 * 1024
const maxCursorLength = 4_096

/**
 * Reads pages of the upstream's catalog. A cursor is the target of a page, as the `Link` of the one before names it: only
 * path and query of it are taken, the path must be that of the catalog, and it goes to no other host than the upstream.
 */
export function createUpstreamPages(options: UpstreamPagesOptions): FetchPage {
  return async (cursor, signal) => {
    if (cursor !== undefined) return pageAt(options, cursor, signal)
    try {
      return await pageAt(options, `${path}?n=${pageSize}`, signal)
    } catch (error) {
      // An operator of distribution may allow less (`catalog.maxentries`); without a size it takes its own.
      if (
        !(error instanceof RegistryError) ||
        !(error.cause instanceof PageStatusError) ||
        error.cause.status !== 400
      ) {
        throw error
      }
      return pageAt(options, path, signal)
    }
  }
}

class PageStatusError extends Error {
  readonly status: number
  constructor(status: number) {
    super(`the upstream answered ${status} when it was asked for its catalog`)
    this.name = 'PageStatusError'
    this.status = status
  }
}

async function pageAt(options: UpstreamPagesOptions, target: string, signal: AbortSignal): Promise<UpstreamPage> {
  const first = openPage(options, target, false)
  try {
    return await pageOf(first, options, signal)
  } catch (error) {
    if (signal.aborted || !isStaleConnection(first.request, error)) throw error
    return pageOf(openPage(options, target, true), options, signal)
  }
}

function openPage({ open, url, authorization }: UpstreamPagesOptions, target: string, fresh: boolean): OpenCall {
  const headers = { host: url.host, accept: 'application/json', ...(authorization !== undefined && { authorization }) }
  return open({ url, method: 'GET', target, headers }, fresh)
}

/** Reads one answer. Its connection goes back to the pool when it was read to its end, and is given up otherwise. */
async function pageOf(
  call: OpenCall,
  { headersMs, bodyMs }: UpstreamPagesOptions,
  signal: AbortSignal,
): Promise<UpstreamPage> {
  const giveUp = (): void => void call.request.destroy()
  signal.addEventListener('abort', giveUp)
  try {
    signal.throwIfAborted()
    call.request.end()
    call.awaitHead(headersMs)
    const response = await call.answer
    checkHead(response)
    const text = await readWithin(response, bodyMs)
    return { ...namesOf(text), next: nextCursor(response.headers['link']) }
  } catch (error) {
    giveUp()
    throw error
  } finally {
    signal.removeEventListener('abort', giveUp)
  }
}

function checkHead({ statusCode = 0, headers }: IncomingMessage): void {
  if (statusCode === 401 || statusCode === 403) {
    throw new RegistryError('upstreamRefusedGateway', { cause: new PageStatusError(statusCode) })
  }
  if (statusCode !== 200) {
    const sentence = `the registry behind this gateway answered ${statusCode}`
    throw new RegistryError('upstreamInvalid', { sentence, cause: new PageStatusError(statusCode) })
  }
  const encoding = headers['content-encoding'] ?? 'identity'
  if (encoding !== 'identity') throw unusable('it is compressed, which was not asked for')
}

async function readWithin(response: IncomingMessage, limitMs: number): Promise<string> {
  const tooLate = new RegistryError('upstreamTimeout', {
    cause: new Error(`a page of the upstream's catalog took longer than ${limitMs} ms`),
  })
  const deadline = setTimeout(() => response.destroy(tooLate), limitMs)
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > maxPageBytes) throw unusable(`it is larger than ${maxPageBytes} bytes`)
      chunks.push(chunk)
    }
  } catch (error) {
    throw isError(error) && !(error instanceof RegistryError) ? upstreamError(error) : error
  } finally {
    clearTimeout(deadline)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** The names of a page: `{"repositories":[...]}`, where an empty listing may be `null`, as Go prints it. */
function namesOf(text: string): Pick<UpstreamPage, 'names' | 'ignored'> {
  const value = parseJson(text)
  if (typeof value !== 'object' || value === null || !('repositories' in value))
    throw unusable('it lists no repositories')
  const entries: unknown = value.repositories ?? []
  if (!Array.isArray(entries)) throw unusable('its repositories are no list')
  const names = entries.flatMap((entry: unknown): readonly RepositoryName[] => {
    if (typeof entry !== 'string') throw unusable('a repository in it is no string')
    const name = parseRepositoryName(entry)
    return name === undefined ? [] : [name]
  })
  return { names, ignored: entries.length - names.length }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw unusable('it is no JSON', error)
  }
}

/**
 * Where the `next` link of a page (RFC 8288) leads; nothing on the last page. A link that leads elsewhere than to a page
 * of the catalog is a fault: to leave it out would pass off a part as the whole.
 */
function nextCursor(link: string | string[] | undefined): string | undefined {
  const text = Array.isArray(link) ? link.join(',') : (link ?? '')
  const references = [...text.matchAll(/<([^<>]*)>([^<]*)/g)]
  const reference = references.find(([, , parameters = '']) => /;\s*rel="?next"?\s*(?:[;,]|$)/i.test(parameters))?.[1]
  if (reference === undefined) return undefined
  const base = `http://upstream.invalid${path}`
  const next = URL.canParse(reference, base) ? new URL(reference, base) : undefined
  if (next?.pathname !== path || next.search === '' || next.search.length > maxCursorLength) {
    throw unusable('its Link leads to no page of the catalog')
  }
  return path + next.search
}

function unusable(why: string, cause?: unknown): RegistryError {
  return new RegistryError('upstreamInvalid', {
    cause: new Error(`a page of the upstream's catalog cannot be used: ${why}`, { cause }),
  })
}
