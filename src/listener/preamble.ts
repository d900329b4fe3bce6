/** The first bytes of a connection: a PROXY header where one is expected, and a look at whether TLS follows. */
import type { Socket } from 'node:net'
import { looksLikeProxyHeader, parseProxyHeader } from './proxy-protocol.ts'
import type { Endpoint } from './proxy-protocol.ts'

/** What a connection has to begin with. */
export type PreambleExpectations = { readonly proxyHeader: boolean; readonly tls: boolean }

export type Preamble =
  /** What follows is for the next layer; bytes of it that had been read are back in the socket. */
  | { readonly kind: 'ready'; readonly source: Endpoint | undefined }
  /** The PROXY header is missing, malformed, cut off, or from somebody who must not send one. */
  | { readonly kind: 'proxy_header' }
  | { readonly kind: 'plain_http' }
  | { readonly kind: 'not_tls' }
  /** Closed before anything came, as the health checks of load balancers do. */
  | { readonly kind: 'silent' }

/** The type of a record that carries a handshake (RFC 8446 section 5.1): each TLS connection begins with it. */
const handshakeRecord = 0x16

/**
 * Reads the preamble of a connection that was just accepted and tells, once, how it turned out. It has no deadline of its
 * own: whoever destroys the socket ends it. Until `done` is called, nothing else may read from the socket.
 */
export function readPreamble(socket: Socket, expected: PreambleExpectations, done: (preamble: Preamble) => void): void {
  let received: Buffer = Buffer.alloc(0)
  /** Undefined while the header is outstanding. */
  let header: { readonly source: Endpoint | undefined } | undefined = expected.proxyHeader
    ? undefined
    : { source: undefined }
  let isSilent = true

  function finish(preamble: Preamble): void {
    socket.off('readable', onReadable).off('end', onEnd).off('close', onEnd)
    // The TLS layer takes what lies in the socket before it reads from the system; so does the HTTP parser.
    if (preamble.kind === 'ready' && received.length > 0) socket.unshift(received)
    done(preamble)
  }

  function onReadable(): void {
    for (let chunk = read(socket); chunk !== undefined; chunk = read(socket)) {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
      isSilent = false
    }
    if (header === undefined) {
      const result = parseProxyHeader(received)
      if (result.kind === 'more') return
      if (result.kind === 'invalid') {
        finish({ kind: 'proxy_header' })
        return
      }
      header = { source: result.header.kind === 'proxied' ? result.header.source : undefined }
      received = received.subarray(result.length)
      isSilent = received.length === 0
    }
    const [first] = received
    if (!expected.tls || first === handshakeRecord) finish({ kind: 'ready', ...header })
    else if (first !== undefined) finish(strange(received))
  }

  function onEnd(): void {
    if (isSilent) finish({ kind: 'silent' })
    else finish({ kind: header === undefined ? 'proxy_header' : 'not_tls' })
  }

  socket.on('readable', onReadable).on('end', onEnd).on('close', onEnd)
}

function read(socket: Socket): Buffer | undefined {
  const chunk: unknown = socket.read()
  return Buffer.isBuffer(chunk) ? chunk : undefined
}

function strange(bytes: Buffer): Preamble {
  if (looksLikeProxyHeader(bytes)) return { kind: 'proxy_header' }
  // A request line begins with a method, all of which are in capital letters.
  return { kind: /^[A-Z]/.test(bytes.toString('latin1', 0, 1)) ? 'plain_http' : 'not_tls' }
}
