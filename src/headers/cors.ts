import type { IncomingMessage } from 'node:http'
import type { OriginPattern } from '../config/cors-settings.ts'
import { RegistryError } from '../registry/error.ts'

export type CorsSettings =
  | { readonly enabled: false }
  | {
      readonly enabled: true
      readonly origins: readonly OriginPattern[]
      readonly allowCredentials: boolean
      /** How long a browser may remember a preflight, in seconds. */
      readonly maxAgeSeconds: number
    }

/** Headers of an answer; names in lower case. */
export type CorsHeaders = readonly (readonly [name: string, value: string])[]

/** What pages in a browser may do from another origin (Fetch standard, "CORS protocol"). */
export type Cors = {
  /** The headers of every answer, errors included, to a request with this `Origin`; `undefined` where it has none. */
  headers(origin: string | undefined): CorsHeaders
  /**
   * The further headers of the 204 that answers a preflight; nothing where the request is none. They are the same
   * whatever is asked about, so that a preflight tells nothing of what exists.
   *
   * @throws RegistryError `originRefused` when pages of the origin may not ask
   */
  preflight(req: Pick<IncomingMessage, 'method' | 'headers'>): CorsHeaders | undefined
}

const allowedMethods = 'HEAD, GET, OPTIONS, DELETE'
const allowedHeaders = 'Authorization, Accept, Cache-Control'
/** A page sees no other header than these and the few that browsers always show, such as Content-Type. */
const exposedHeaders = [
  'Docker-Content-Digest',
  'WWW-Authenticate',
  'Link',
  'Docker-Distribution-Api-Version',
  'Retry-After',
  'RateLimit',
  'RateLimit-Policy',
  'X-Request-Id',
].join(', ')

const off: Cors = { headers: () => [], preflight: () => undefined }

/**
 * Creates the stage that tells browsers which pages may read answers. The origin is named, never `*`, which would be
 * every page there is; so answers differ by origin, and `Vary` says so even where no origin was sent. A request of
 * another origin goes its way without these headers: the browser keeps its answer from the page, and whoever sends it
 * from anywhere else is authorized like any client.
 */
export function createCors(settings: CorsSettings): Cors {
  if (!settings.enabled) return off
  const { origins, allowCredentials, maxAgeSeconds } = settings
  const vary = ['vary', 'Origin'] as const
  const isAllowed = (origin: string): boolean => origins.some((pattern) => matches(pattern, origin))

  return {
    headers: (origin) => {
      if (origin === undefined || !isAllowed(origin)) return [vary]
      return [
        vary,
        ['access-control-allow-origin', origin],
        ...(allowCredentials ? [['access-control-allow-credentials', 'true'] as const] : []),
        ['access-control-expose-headers', exposedHeaders],
      ]
    },
    preflight: ({ method, headers }) => {
      const { origin } = headers
      const isPreflight = method === 'OPTIONS' && headers['access-control-request-method'] !== undefined
      if (!isPreflight || origin === undefined) return undefined
      if (!isAllowed(origin)) throw new RegistryError('originRefused')
      return [
        ['access-control-allow-methods', allowedMethods],
        ['access-control-allow-headers', allowedHeaders],
        ['access-control-max-age', String(maxAgeSeconds)],
      ]
    },
  }
}

/**
 * Compares byte for byte, as the browser compares the answer with the origin that it sent. The label that a pattern
 * leaves open holds nothing that ends a label, a host or a header.
 */
function matches(pattern: OriginPattern, origin: string): boolean {
  if (pattern.kind === 'exact') return origin === pattern.origin
  const { prefix, suffix } = pattern
  if (!origin.startsWith(prefix) || !origin.endsWith(suffix)) return false
  return /^[a-z0-9_-]{1,63}$/.test(origin.slice(prefix.length, -suffix.length))
}
