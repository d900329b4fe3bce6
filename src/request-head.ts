import type { IncomingMessage } from 'node:http'
import { RegistryError } from './registry/error.ts'
import type { ErrorId } from './registry/error.ts'

const maxTargetBytes = 8 * 1024
const maxHeaderLines = 100

/** Headers that mean one thing; given twice, two readers could each take another. */
const singletons = new Set([
  'authorization',
  'content-length',
  'content-range',
  'content-type',
  'expect',
  'host',
  'if-range',
  'origin',
  'range',
  'transfer-encoding',
])

/** Methods of the registry API that carry a body. */
const withBody = new Set(['POST', 'PUT', 'PATCH'])

/** What vetting found: the target in origin-form, or the refusal. Nothing but the refusal is sent, then the connection closes. */
export type VettedHead =
  { readonly kind: 'vetted'; readonly target: string } | { readonly kind: 'refused'; readonly error: RegistryError }

/**
 * Vets a request's head before anything routes by it, from the raw header lines, since Node's parsed view hides
 * duplicates. Whatever two servers could read differently is refused (RFC 9112 sections 3, 5, 6 and 11.2).
 */
export function vetRequestHead(req: IncomingMessage): VettedHead {
  const error = headFault(req)
  if (error !== undefined) return { kind: 'refused', error }
  const target = originForm(req)
  if (target === undefined) return { kind: 'refused', error: new RegistryError('targetInvalid') }
  return { kind: 'vetted', target }
}

function headFault(req: IncomingMessage): RegistryError | undefined {
  const { rawHeaders, headers } = req
  if (req.httpVersion !== '1.1' && req.httpVersion !== '1.0') return malformed('the HTTP version is not 1.1 or 1.0')
  if (Buffer.byteLength(req.url ?? '') > maxTargetBytes) return new RegistryError('targetTooLong')
  if (rawHeaders.length / 2 > maxHeaderLines) return new RegistryError('headersTooLarge')
  const seen = new Set<string>()
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase()
    if (!/^[a-z0-9-]+$/.test(name)) return malformed('a header name has other characters than letters, digits and -')
    if (singletons.has(name) && seen.has(name)) return malformed(`the header ${name} is given twice`)
    seen.add(name)
  }
  if (headers.host === undefined && req.httpVersion === '1.1') return malformed('the Host header is missing')
  if (headers.host !== undefined && !/^(?:[A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?$/.test(headers.host)) {
    return malformed('the Host header is not a host')
  }
  return framingFault(req) ?? contentFault(req)
}

function framingFault({ headers, httpVersion, method = '' }: IncomingMessage): RegistryError | undefined {
  const encoding = headers['transfer-encoding']
  const length = headers['content-length']
  if (encoding !== undefined && (encoding.toLowerCase() !== 'chunked' || httpVersion !== '1.1')) {
    return malformed('the only transfer encoding is chunked, on HTTP/1.1')
  }
  if (encoding !== undefined && length !== undefined)
    return malformed('both Content-Length and Transfer-Encoding are given')
  if (length !== undefined && !/^(?:0|[1-9][0-9]{0,15})$/.test(length))
    return malformed('Content-Length is not a plain number')
  const hasBody = encoding !== undefined || (length !== undefined && length !== '0')
  // A body on a method that has none is where a proxy and a server most often part over where a request ends.
  if (hasBody && !withBody.has(method)) {
    // A browser's OPTIONS has no body, and no other OPTIONS is answered.
    return method === 'OPTIONS'
      ? new RegistryError('methodNotAllowed', { allow: ['GET', 'HEAD'] })
      : new RegistryError('bodyRefused')
  }
  const { expect } = headers
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') return new RegistryError('expectationFailed')
  return undefined
}

/** Form bodies are refused everywhere: the registry would read their fields as parameters of the request. */
function contentFault({ headers }: IncomingMessage): RegistryError | undefined {
  const type = headers['content-type'] ?? ''
  const form = /^\s*(?:application\/x-www-form-urlencoded|multipart\/)/i.test(type)
  return form ? new RegistryError('contentTypeRefused') : undefined
}

/**
 * The target in origin-form. Absolute-form is accepted when it names the host of the Host header, which changes
 * nothing (RFC 9112 section 3.2.2); every other form is refused.
 */
function originForm(req: IncomingMessage): string | undefined {
  const target = req.url ?? ''
  if (target.startsWith('/')) return target
  const absolute = /^https?:\/\/([^/?#@]+)(\/.*)?$/i.exec(target)
  if (absolute?.[1]?.toLowerCase() !== req.headers.host?.toLowerCase()) return undefined
  return absolute === null ? undefined : (absolute[2] ?? '/')
}

function malformed(detail: string): RegistryError {
  return new RegistryError('requestMalformed', { detail })
}

/** The refusal for what Node's own parser reports through `clientError`; nothing when there is nobody to answer. */
export function parserRefusal(error: NodeJS.ErrnoException): RegistryError | undefined {
  const id = refusalByCode(error.code ?? '')
  return id === undefined ? undefined : new RegistryError(id, { cause: error })
}

function refusalByCode(code: string): ErrorId | undefined {
  if (code === 'HPE_HEADER_OVERFLOW') return 'headersTooLarge'
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'requestTimeout'
  return code.startsWith('HPE_') ? 'requestMalformed' : undefined
}
