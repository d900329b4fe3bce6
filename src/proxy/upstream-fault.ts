/** What Node says of a connection to the upstream, as a row of the error table. */
import { RegistryError } from '../registry/error.ts'

const unreachable = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
  'EADDRNOTAVAIL',
])

/** Maps what Node says of a failed call to the row that tells who has to act. */
export function upstreamError(error: Error): RegistryError {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  // Several addresses were tried; the first failure speaks for all.
  const first: unknown = 'errors' in error && Array.isArray(error.errors) ? error.errors[0] : undefined
  if (isError(first)) return upstreamError(first)
  if (unreachable.has(code)) return new RegistryError('upstreamUnreachable', { cause: error })
  if (code === 'ETIMEDOUT') return new RegistryError('upstreamTimeout', { cause: error })
  if (isTlsFault(code)) return new RegistryError('upstreamTlsFailed', { cause: error })
  return new RegistryError('upstreamInvalid', { cause: error })
}

function isTlsFault(code: string): boolean {
  return (
    code.startsWith('CERT_') ||
    code.startsWith('ERR_TLS_') ||
    code.startsWith('ERR_SSL_') ||
    code.startsWith('UNABLE_TO_') ||
    code === 'DEPTH_ZERO_SELF_SIGNED_CERT' ||
    code === 'SELF_SIGNED_CERT_IN_CHAIN' ||
    code === 'EPROTO'
  )
}

/** By its shape: what Node's core throws may come from another realm than this module's `Error`. */
export function isError(value: unknown): value is Error {
  return typeof value === 'object' && value !== null && 'message' in value
}
