/** The plain-HTTP port that sends people to https and does nothing else. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Network } from '../config/values.ts'
import { RegistryError, errorEnvelope } from '../registry/error.ts'
import { createListener } from './listen.ts'
import type { Listener, ListenerObserver } from './listen.ts'

export type RedirectOptions = {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  /** Where it sends everybody, whatever host they asked for. */
  readonly publicUrl: URL
  /** As of the public port, for a balancer that stands in front of both. */
  readonly proxyProtocolFrom: readonly Network[]
  readonly observer: ListenerObserver
  readonly newRequestId: () => string
}

const deadlineMs = 5_000
const maxConnections = 512
const maxTargetBytes = 2_048

/** A path of our own site: one slash and then what RFC 3986 sections 3.3 and 3.4 allow. No `//host`, no backslash. */
const harmlessTarget = /^\/(?!\/)[A-Za-z0-9\-._~!$&'()*+,;=:@%/?]*$/

/**
 * Creates the listener. It answers GET and HEAD by 308 to the same target below the public URL; nothing else of the
 * request, least of all its Host, gets into the answer. Bodies are never read: each connection ends with its answer.
 */
export function createRedirectListener(options: RedirectOptions): Listener {
  const { host, port, publicUrl, proxyProtocolFrom, observer, newRequestId } = options
  const listener = createListener({
    host,
    port,
    maxConnections,
    deadlines: { handshakeMs: deadlineMs, requestHeadersMs: deadlineMs, keepAliveMs: 1 },
    tls: undefined,
    proxyProtocolFrom,
    observer,
    answerPlainHttp: () => '',
  })

  function onRequest(req: IncomingMessage, res: ServerResponse): void {
    const { status, headers, body } = answerTo(req, publicUrl, newRequestId())
    res.writeHead(status, headers).end(req.method === 'HEAD' ? undefined : body)
  }

  /** What Node's parser cannot read is not looked at any further. */
  function onClientError(_error: Error, socket: Duplex): void {
    const { headers, body } = refusal(new RegistryError('requestMalformed'), newRequestId())
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    if (socket.writable) socket.end(`HTTP/1.1 400 Bad Request\r\n${lines.join('')}\r\n${body}`, () => socket.destroy())
    else socket.destroy()
  }

  const { server } = listener
  server.on('request', onRequest).on('checkContinue', onRequest).on('checkExpectation', onRequest)
  server.on('clientError', onClientError)
  return listener
}

type Answer = { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: string }

function answerTo({ method = '', url = '' }: IncomingMessage, publicUrl: URL, requestId: string): Answer {
  if (method !== 'GET' && method !== 'HEAD') {
    const error = new RegistryError('methodNotAllowed', { detail: 'this port only redirects GET and HEAD to https' })
    return refusal(error, requestId, { allow: 'GET, HEAD' })
  }
  if (url.length > maxTargetBytes || !harmlessTarget.test(url)) {
    return refusal(new RegistryError('targetInvalid'), requestId)
  }
  const headers = { ...commonHeaders(requestId, ''), location: `${publicUrl.origin}${url}` }
  return { status: 308, headers, body: '' }
}

function refusal(error: RegistryError, requestId: string, further: Readonly<Record<string, string>> = {}): Answer {
  const body = errorEnvelope(error.code, error.message, error.detail, requestId)
  const headers = { ...commonHeaders(requestId, body), 'content-type': 'application/json', ...further }
  return { status: error.status, headers, body }
}

function commonHeaders(requestId: string, body: string): Readonly<Record<string, string>> {
  return {
    'x-request-id': requestId,
    'content-length': String(Buffer.byteLength(body)),
    // A redirect that a browser keeps would outlive a change of the public URL.
    'cache-control': 'no-store',
    connection: 'close',
  }
}
