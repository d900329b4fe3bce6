import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import { RegistryError, errorEnvelope } from '../registry/error.ts'
import type { RegistryRequest } from '../registry/route.ts'
import { clientResponseHeaders } from './response-headers.ts'
import type { OpenUpstream, UpstreamResponse } from './upstream-client.ts'

/**
 * What becomes of an upstream redirect to where a blob is kept. `pass` sends https Locations on to the client, to the
 * listed hosts only when any are listed; `follow` fetches from the listed hosts and streams through the gateway.
 */
export type RedirectSettings = { readonly mode: 'pass' | 'follow'; readonly hosts: ReadonlySet<string> }

/** What the client is given for an answer of the upstream. */
export type GivenAnswer = {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly content:
    | { readonly kind: 'stream'; readonly stream: UpstreamResponse }
    | { readonly kind: 'none'; readonly discard: UpstreamResponse }
    | { readonly kind: 'text'; readonly text: string }
}

export type AnswerPolicy = {
  /**
   * Decides what an upstream answer becomes. `open` sends the requests of a followed redirect.
   *
   * @throws RegistryError when it cannot be passed on in any form
   */
  judge(
    response: UpstreamResponse,
    request: RegistryRequest,
    client: IncomingHttpHeaders,
    requestId: string,
    open: OpenUpstream,
  ): Promise<GivenAnswer>
}

const maxErrorBytes = 64 * 1024
/** How long a body that nobody wants is read, in milliseconds. */
const discardMs = 2_000
const maxHops = 3
const redirects = new Set([301, 302, 303, 307, 308])
/** What an error whose body we replace still tells: when to come again, and how far a blob or an upload goes. */
const keptOfErrors = new Set(['content-range', 'docker-upload-uuid', 'location', 'range', 'retry-after'])

/**
 * @param hasCredential whether the gateway shows the upstream a credential of its own; only then is an upstream's 403
 *   about the request (quota, immutability) and not about the gateway
 */
export function createAnswerPolicy(
  settings: RedirectSettings,
  hasCredential: boolean,
  headersMs: number,
): AnswerPolicy {
  async function judge(
    ...[response, request, headers, requestId, open]: Parameters<AnswerPolicy['judge']>
  ): Promise<GivenAnswer> {
    const status = response.statusCode ?? 0
    if (redirects.has(status)) return redirected(response, request, headers, requestId, open)
    if (status === 401) throw refusedGateway(response)
    if (status === 403) return denied(response, request)
    if (status >= 400) return failed(response, status, request, requestId)
    return passed(response, status, request)
  }

  async function redirected(
    response: UpstreamResponse,
    request: RegistryRequest,
    headers: IncomingHttpHeaders,
    requestId: string,
    open: OpenUpstream,
  ): Promise<GivenAnswer> {
    discard(response)
    const target = redirectTarget(response, request)
    if (settings.mode === 'follow') return follow(target, request, headers, requestId, open)
    const listed = settings.hosts.size === 0 || isListed(target)
    if (target.protocol !== 'https:' || !listed) throw redirectRefused(`to ${target.origin}`)
    const kept = clientResponseHeaders(response.headers, response.statusCode ?? 307, request)
    const own = new Map([...kept].filter(([name]) => name !== 'content-length' && name !== 'content-type'))
    own.set('location', response.headers.location ?? '').set('content-length', '0')
    return { status: 307, headers: own, content: { kind: 'text', text: '' } }
  }

  /** Fetches the content in the client's place. No credential of anybody goes to where the redirect points. */
  async function follow(
    first: URL,
    request: RegistryRequest,
    headers: IncomingHttpHeaders,
    requestId: string,
    open: OpenUpstream,
  ): Promise<GivenAnswer> {
    let target = first
    for (let hop = 0; hop < maxHops; hop += 1) {
      if (!isListed(target)) throw redirectRefused(`to ${target.origin}`)
      const call = open({
        url: target,
        method: request.method,
        target: target.pathname + target.search,
        headers: storageHeaders(headers, target.host),
      })
      call.request.end()
      call.awaitHead(headersMs)
      const response = await call.answer
      const status = response.statusCode ?? 0
      if (status === 401 || status === 403) throw refusedGateway(response)
      if (!redirects.has(status))
        return status >= 400 ? failed(response, status, request, requestId) : stored(response, request)
      discard(response)
      target = redirectTarget(response, request)
    }
    throw redirectRefused(`more than ${maxHops} times`)
  }

  /** Whether a host is listed, with its port or without where that is the scheme's own. */
  function isListed({ host, hostname, port, protocol }: URL): boolean {
    const ownPort = protocol === 'https:' ? '443' : '80'
    return settings.hosts.has(host) || (port === '' && settings.hosts.has(`${hostname}:${ownPort}`))
  }

  function stored(response: UpstreamResponse, request: RegistryRequest): GivenAnswer {
    const given = passed(response, response.statusCode ?? 0, request)
    if (request.kind !== 'blob') return given
    // The store does not know what it holds by its digest; the registry would have said so.
    return { ...given, headers: new Map([...given.headers, ['docker-content-digest', request.digest]]) }
  }

  async function denied(response: UpstreamResponse, request: RegistryRequest): Promise<GivenAnswer> {
    if (!hasCredential) throw refusedGateway(response)
    if (request.method === 'HEAD') {
      discard(response)
      throw new RegistryError('upstreamDenied')
    }
    const text = await readBounded(response, headersMs)
    if (text === undefined || !isErrorEnvelope(text)) throw new RegistryError('upstreamRefusedGateway')
    return { status: 403, headers: textHeaders(text), content: { kind: 'text', text } }
  }

  return { judge }
}

function passed(response: UpstreamResponse, status: number, request: RegistryRequest): GivenAnswer {
  const bodiless = request.method === 'HEAD' || status === 204 || status === 304
  return {
    status,
    headers: clientResponseHeaders(response.headers, status, request),
    content: bodiless ? { kind: 'none', discard: response } : { kind: 'stream', stream: response },
  }
}

/** An error of the upstream: passed when it speaks the registry's JSON, else told in our own (never HTML). */
function failed(response: UpstreamResponse, status: number, request: RegistryRequest, requestId: string): GivenAnswer {
  if (/^application\/(?:json|problem\+json)\b/i.test(response.headers['content-type'] ?? '')) {
    return passed(response, status, request)
  }
  discard(response)
  const text = errorEnvelope(
    codeFor(status, request),
    `the registry behind this gateway answered ${status}`,
    undefined,
    requestId,
  )
  const kept = [...clientResponseHeaders(response.headers, status, request)].filter(([name]) => keptOfErrors.has(name))
  return { status, headers: new Map([...kept, ...textHeaders(text)]), content: { kind: 'text', text } }
}

function textHeaders(text: string): ReadonlyMap<string, string> {
  return new Map([
    ['content-type', 'application/json'],
    ['content-length', String(Buffer.byteLength(text))],
  ])
}

function codeFor(status: number, request: RegistryRequest): string {
  if (status === 404 && request.kind === 'manifest') return 'MANIFEST_UNKNOWN'
  if (status === 404 && request.kind === 'blob') return 'BLOB_UNKNOWN'
  if (status === 404 && request.kind === 'upload-session') return 'BLOB_UPLOAD_UNKNOWN'
  if (status === 404) return 'NAME_UNKNOWN'
  if (status === 429) return 'TOOMANYREQUESTS'
  return status >= 500 ? 'UNAVAILABLE' : 'UNSUPPORTED'
}

/** Where a redirect points; only reads of content are redirected by registries. */
function redirectTarget(response: UpstreamResponse, request: RegistryRequest): URL {
  const reads = request.method === 'GET' || request.method === 'HEAD'
  const location = response.headers.location
  if (!reads || (request.kind !== 'blob' && request.kind !== 'manifest'))
    throw redirectRefused('a request that is not a read')
  if (location === undefined || !/^https?:\/\/[^/\\@?#]+(?:[/?][!-~]*)?$/i.test(location) || !URL.canParse(location)) {
    throw redirectRefused('to no absolute http(s) address')
  }
  return new URL(location)
}

function redirectRefused(where: string): RegistryError {
  return new RegistryError('upstreamRedirectRefused', { cause: new Error(`the upstream redirects ${where}`) })
}

/** What a content store is told: which bytes are wanted, and nothing about who wants them. */
function storageHeaders(client: IncomingHttpHeaders, host: string): OutgoingHttpHeaders {
  const headers: Record<string, string | number | string[]> = { host }
  for (const name of ['accept', 'range', 'if-none-match', 'if-range'] as const) {
    const value = client[name]
    if (value !== undefined) headers[name] = value
  }
  return headers
}

/** The upstream refuses the gateway; its challenge stays here, since the client could only answer it with its own login. */
function refusedGateway(response: UpstreamResponse): RegistryError {
  discard(response)
  return new RegistryError('upstreamRefusedGateway')
}

/** Lets go of a body nobody wants: a short one is read, for a short while, so that the connection can be used again. */
function discard(response: UpstreamResponse): void {
  const bytes = Number(response.headers['content-length'] ?? Number.POSITIVE_INFINITY)
  if (bytes > maxErrorBytes) {
    response.destroy()
    return
  }
  destroyAfter(response, discardMs)
  response.resume()
}

/** Gives up a body that has not come to its end in time, and with it its connection. */
function destroyAfter(response: UpstreamResponse, limitMs: number): void {
  const deadline = setTimeout(() => response.destroy(), limitMs)
  response.once('close', () => {
    clearTimeout(deadline)
  })
}

async function readBounded(response: UpstreamResponse, limitMs: number): Promise<string | undefined> {
  destroyAfter(response, limitMs)
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > maxErrorBytes) return undefined
      chunks.push(chunk)
    }
  } catch {
    return undefined
  }
  return Buffer.concat(chunks).toString('utf8')
}

function isErrorEnvelope(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && 'errors' in value && Array.isArray(value.errors)
  } catch {
    return false
  }
}
