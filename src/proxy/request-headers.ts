import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { RegistryRequest } from '../registry/route.ts'

/** What the gateway tells the upstream about the exchange, from its own knowledge alone. */
export type Forwarding = {
  readonly requestId: string
  /** The client's address, after trusted proxies. */
  readonly clientAddress: string
  /** Host and scheme of the gateway's first public URL. */
  readonly publicHost: string
  readonly publicProtocol: string
}

/** How the client frames its body; `none` also for an explicit length of zero. */
export type BodyFraming =
  { readonly kind: 'none' } | { readonly kind: 'sized'; readonly bytes: number } | { readonly kind: 'chunked' }

/** The only headers of a client that reach the upstream; everything else stays here, whatever it is called. */
const passed = [
  'accept',
  'accept-encoding',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'range',
  'user-agent',
] as const

/** Methods of the registry API that carry a body. */
const withBody = new Set(['POST', 'PUT', 'PATCH'])

/**
 * Reads how a vetted request frames its body (RFC 9112 section 6). Methods without a body have none here whatever their
 * headers say: bytes written behind a request that declares none would be read as the next request.
 */
export function bodyFraming({ method = '', headers }: Pick<IncomingMessage, 'method' | 'headers'>): BodyFraming {
  if (!withBody.has(method)) return { kind: 'none' }
  if (headers['transfer-encoding'] !== undefined) return { kind: 'chunked' }
  const bytes = Number(headers['content-length'] ?? '0')
  return bytes > 0 ? { kind: 'sized', bytes } : { kind: 'none' }
}

/**
 * Builds the headers of the upstream request from the allow-list, the framing and the gateway's own knowledge.
 * An upload's body is always `application/octet-stream`: the registry would read a form body's fields as parameters
 * of the request, before those of the query.
 */
export function upstreamRequestHeaders(
  client: IncomingHttpHeaders,
  request: RegistryRequest,
  body: BodyFraming,
  forwarding: Forwarding,
  upstream: { readonly host: string; readonly authorization: string | undefined },
): Record<string, string | number | string[]> {
  const headers: Record<string, string | number | string[]> = {
    host: upstream.host,
    'x-request-id': forwarding.requestId,
    'x-forwarded-for': forwarding.clientAddress,
    'x-forwarded-host': forwarding.publicHost,
    'x-forwarded-proto': forwarding.publicProtocol,
  }
  if (upstream.authorization !== undefined) headers['authorization'] = upstream.authorization
  for (const name of passed) {
    const value = client[name]
    if (value !== undefined) headers[name] = value
  }
  const range = client['content-range']
  if (request.kind === 'upload-session' && range !== undefined) headers['content-range'] = range
  if (!withBody.has(request.method)) return headers
  if (body.kind === 'chunked') headers['transfer-encoding'] = 'chunked'
  else headers['content-length'] = body.kind === 'sized' ? body.bytes : 0
  if (body.kind !== 'none') {
    const type = request.kind === 'manifest' ? client['content-type'] : 'application/octet-stream'
    if (type !== undefined) headers['content-type'] = type
  }
  return headers
}
