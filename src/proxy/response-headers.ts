import type { IncomingHttpHeaders } from 'node:http'
import { RegistryError } from '../registry/error.ts'
import { parseRegistryRequest, printTarget } from '../registry/route.ts'
import type { RegistryRequest } from '../registry/route.ts'

/**
 * The only headers of the upstream that reach a client; cookies, challenges, CORS, Alt-Svc, server names and
 * hop-by-hop headers have no way through. `docker-*` and `oci-*` pass besides: registries add to them.
 */
const passed = new Set([
  'accept-ranges',
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'date',
  'etag',
  'expires',
  'last-modified',
  'range',
  'retry-after',
  'warning',
])

/** What the gateway says itself; whose limit a registry behind it counts is nothing a client can act on. */
const own = ['docker-distribution-api-version', 'docker-ratelimit-source']

/**
 * The headers of an upstream answer as the client may see them, `Location` and `Link` path-absolute.
 *
 * @throws RegistryError `upstreamInvalid` when the answer needs a Location that cannot be expressed here
 */
export function clientResponseHeaders(
  upstream: IncomingHttpHeaders,
  status: number,
  request: RegistryRequest,
): ReadonlyMap<string, string> {
  const headers = new Map<string, string>()
  const withheld = new Set([...own, ...hopByHop(upstream)])
  for (const [name, value] of Object.entries(upstream)) {
    const wanted = passed.has(name) || name.startsWith('docker-') || name.startsWith('oci-')
    if (wanted && !withheld.has(name) && typeof value === 'string') headers.set(name, value)
  }
  if (upstream.location !== undefined && (status < 300 || status >= 400)) {
    const location = localLocation(upstream.location, request)
    if (location !== undefined) headers.set('location', location)
    else if (status === 202) {
      throw new RegistryError('upstreamInvalid', {
        cause: new Error('the Location of an upload is not an upload address of the same repository'),
      })
    }
  }
  const link = typeof upstream['link'] === 'string' ? localLink(upstream['link']) : undefined
  if (link !== undefined) headers.set('link', link)
  return headers
}

/**
 * The headers that the upstream's `Connection` names as meant for the gateway alone (RFC 9110 section 7.6.1), save for
 * those that say what the body is: without them the answer would be another one.
 */
function hopByHop({ connection = '' }: IncomingHttpHeaders): readonly string[] {
  const names = connection.split(',').map((name) => name.trim().toLowerCase())
  return names.filter((name) => !name.startsWith('content-'))
}

/** Path and query of a URL reference, byte for byte; scheme, authority and fragment are cut off, not interpreted. */
function originForm(reference: string): string {
  return reference.replace(/^(?:[a-z][a-z0-9+.-]*:)?\/\/[^/?#]*/i, '').replace(/#.*$/s, '')
}

/**
 * The Location as our own path: whatever host or scheme the upstream names, the client stays with the host it used,
 * since it drops its credentials for another. Only an address of the repository of the request itself is passed on.
 */
function localLocation(location: string, request: RegistryRequest): string | undefined {
  const parsed = parsedTarget(resolve(originForm(location), printTarget(request)))
  if (parsed === undefined || !('repository' in parsed) || !('repository' in request)) return undefined
  return parsed.repository === request.repository ? printTarget(parsed) : undefined
}

/** Resolves the relative forms that registries use: an absolute path, a query alone, or a name beside the last one. */
function resolve(reference: string, base: string): string {
  if (reference.startsWith('/')) return reference
  const path = base.split('?', 1)[0] ?? base
  if (reference.startsWith('?')) return path + reference
  return path.slice(0, path.lastIndexOf('/') + 1) + reference
}

function parsedTarget(target: string): RegistryRequest | undefined {
  try {
    return parseRegistryRequest('GET', target)
  } catch (error) {
    if (error instanceof RegistryError) return undefined
    throw error
  }
}

/**
 * The `next` link of a listing as our own path. A link whose query we could not read back is left out: following it
 * would begin the listing again.
 */
function localLink(link: string): string | undefined {
  const reference = /^\s*<([^<>]*)>\s*;\s*rel="?next"?\s*$/i.exec(link)?.[1]
  if (reference === undefined) return undefined
  const parsed = parsedTarget(originForm(reference))
  if (parsed?.kind !== 'tags' && parsed?.kind !== 'catalog') return undefined
  return parsed.page.last === undefined ? undefined : `<${printTarget(parsed)}>; rel="next"`
}
