import type { IncomingMessage, ServerResponse } from 'node:http'
import type { SecurityHeaders } from './headers/security-headers.ts'
import { closeUnlessComplete, endAnswer } from './proxy/early-answer.ts'
import { errorEnvelope } from './registry/error.ts'
import type { RegistryError } from './registry/error.ts'

export type ErrorResponseSettings = {
  /** Whether the HTTP/1.1 reason phrase tells the reason; several clients show nothing else. */
  readonly reasonPhrase: boolean
  /** How long a client may take to read the answer before its connection is cut, in milliseconds. */
  readonly writeInactivityMs: number
}

/**
 * Answers with the error envelope. Every channel that some client shows says the same: the JSON body, the reason
 * phrase, the challenge and `Retry-After`. When the head has been sent already, the connection is broken instead, so
 * that a cut answer never looks whole. A client that has left is told nothing, and nothing waits for it.
 */
export async function respondWithError(
  req: IncomingMessage,
  res: ServerResponse,
  error: RegistryError,
  requestId: string,
  settings: ErrorResponseSettings,
): Promise<void> {
  if (res.headersSent || res.destroyed) {
    res.destroy()
    return
  }
  const body = errorEnvelope(error.code, error.message, error.detail, requestId)
  res.statusCode = error.status
  if (settings.reasonPhrase) res.statusMessage = error.reason
  for (const [name, value] of errorHeaders(error, body)) res.setHeader(name, value)
  closeUnlessComplete(req, res)
  const deadline = setTimeout(() => res.destroy(), settings.writeInactivityMs)
  res.once('close', () => {
    clearTimeout(deadline)
  })
  await endAnswer(req, res, req.method === 'HEAD' ? undefined : body)
}

/**
 * The same answer as bytes, for a connection on which Node's parser gave up and no response object exists. It says
 * that the connection closes.
 */
export function rawErrorResponse(
  error: RegistryError,
  requestId: string,
  security: SecurityHeaders,
  settings: ErrorResponseSettings,
): string {
  const body = errorEnvelope(error.code, error.message, error.detail, requestId)
  const headers = [
    ...security,
    ['x-request-id', requestId] as const,
    ...errorHeaders(error, body),
    ['connection', 'close'] as const,
  ]
  const reason = settings.reasonPhrase ? error.reason : ''
  const lines = [`HTTP/1.1 ${error.status} ${reason}`, ...headers.map(([name, value]) => `${name}: ${value}`)]
  return `${lines.join('\r\n')}\r\n\r\n${body}`
}

function errorHeaders(error: RegistryError, body: string): readonly (readonly [string, string])[] {
  const headers: [string, string][] = [
    ['content-type', 'application/json'],
    ['content-length', String(Buffer.byteLength(body))],
  ]
  if (error.challenge !== undefined) headers.push(['www-authenticate', error.challenge])
  if (error.retryAfterSeconds !== undefined) headers.push(['retry-after', String(error.retryAfterSeconds)])
  if (error.allow !== undefined) headers.push(['allow', error.allow.join(', ')])
  return headers
}
