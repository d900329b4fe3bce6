import type { HandshakeFailure } from './labels.ts'

/** Codes of OpenSSL and Node, in the order in which they are looked for. */
const reasons: readonly (readonly [RegExp, HandshakeFailure])[] = [
  [/HTTP_REQUEST|HTTPS_PROXY_REQUEST/, 'plain_http'],
  [/NO_SHARED_CIPHER|NO_SHARED_GROUP|NO_SUITABLE/, 'no_shared_cipher'],
  [/UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW|ALERT_PROTOCOL_VERSION/, 'protocol_version'],
  [/ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE|UNSUPPORTED_CERTIFICATE)/, 'certificate_not_trusted'],
  [/WRONG_VERSION_NUMBER|UNEXPECTED_MESSAGE|RECORD|LENGTH|BAD_/, 'not_tls'],
  [/HANDSHAKE_TIMEOUT|ETIMEDOUT/, 'timeout'],
  [/ECONNRESET|EPIPE|SOCKET_CLOSED|PREMATURE_CLOSE/, 'closed'],
]

/**
 * Tells from the error of a TLS server's `tlsClientError` why the handshake failed. `certificate_not_trusted` is
 * the one that operators look for: a client that does not know our authority says so in an alert.
 */
export function handshakeFailureOf(error: unknown): HandshakeFailure {
  const hasCode = typeof error === 'object' && error !== null && 'code' in error
  const code = hasCode ? String(error.code) : ''
  return reasons.find(([pattern]) => pattern.test(code))?.[1] ?? 'other'
}
