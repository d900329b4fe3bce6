/** The head of an HTTP/1.1 answer, read by the letter: what this accepts, every reader of HTTP reads alike. */
import type { IncomingHttpHeaders } from 'node:http'

/** A head without ambiguity, and where the body behind it begins and ends. */
export type ResponseHead = {
  readonly statusCode: number
  /** As `node:http` gives them: names in lower case, values of repeated ones joined. */
  readonly headers: IncomingHttpHeaders
  /** Length of the body in bytes; 0 for a status that has none. */
  readonly bodyBytes: number
  /** Whether the connection may carry another request when the body has come to its end. */
  readonly keepAlive: boolean
}

export type ReadHead =
  | { readonly kind: 'head'; readonly head: ResponseHead; readonly bodyStart: number }
  /** More bytes are needed to tell. */
  | { readonly kind: 'incomplete' }
  /** It may be a valid answer; whoever knows all of HTTP has to read it. */
  | { readonly kind: 'unusual'; readonly why: string }

/** A longer head is unusual; 16 KiB. */
export const maxHeadBytes = 16 * 1024
const maxHeaderLines = 100

const protocol = 'HTTP/1.1 '
const statusLinePattern = /^HTTP\/1\.1 ([2-5]\d\d) [\t -~]*$/
/** A token, a colon, optional white space, and visible text with inner white space (RFC 9110 section 5.5), without obs-text. */
const headerLinePattern = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t ]*([!-~](?:[\t -~]*[!-~])?)?[\t ]*$/
const lengthPattern = /^(?:0|[1-9]\d{0,14})$/

/**
 * Headers that change what the rest of the message is, other than Content-Length; one that `node:http` takes for a
 * Connection; and a name that its object of headers cannot hold.
 */
const framing = new Set(['transfer-encoding', 'upgrade', 'trailer', 'http2-settings', 'proxy-connection', '__proto__'])
/** Of these `node:http` keeps the first where they stand twice, which need not be what another reader does. */
const single = new Set([
  'age',
  'authorization',
  'connection',
  'content-length',
  'content-type',
  'cookie',
  'etag',
  'expires',
  'from',
  'host',
  'if-modified-since',
  'if-unmodified-since',
  'last-modified',
  'location',
  'max-forwards',
  'proxy-authorization',
  'referer',
  'retry-after',
  'server',
  'user-agent',
])

/**
 * Reads the head at the beginning of `bytes` (RFC 9112 sections 4 to 6): one status line of HTTP/1.1, at most 100 header
 * lines of visible ASCII, exactly one canonical Content-Length unless the status has no body, no transfer encoding.
 */
export function readResponseHead(bytes: Buffer): ReadHead {
  const end = bytes.indexOf('\r\n\r\n')
  if (end > maxHeadBytes || (end === -1 && bytes.length > maxHeadBytes)) return unusual('a head of more than 16 KiB')
  if (end === -1) return beginsPlain(bytes.toString('latin1')) ? { kind: 'incomplete' } : unusual('no head of HTTP/1.1')
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
  const status = statusLinePattern.exec(statusLine)?.[1]
  if (status === undefined) return unusual('a status line that is not plain HTTP/1.1 2xx to 5xx')
  if (lines.length > maxHeaderLines) return unusual(`more than ${maxHeaderLines} header lines`)
  const headers = readHeaders(lines)
  if (typeof headers === 'string') return unusual(headers)
  const statusCode = Number(status)
  const { connection } = headers
  if (connection !== undefined && !/^(?:keep-alive|close)$/i.test(connection))
    return unusual('a Connection that names headers')
  const bodyBytes = bodyLength(statusCode, headers['content-length'])
  if (bodyBytes === undefined) return unusual('no Content-Length that is plain')
  const keepAlive = connection?.toLowerCase() !== 'close'
  return { kind: 'head', head: { statusCode, headers, bodyBytes, keepAlive }, bodyStart: end + 4 }
}

/** Whether the beginning of a head may still become a plain one; nobody should wait for the end of what is none. */
function beginsPlain(text: string): boolean {
  if (!protocol.startsWith(text.slice(0, protocol.length))) return false
  const lineEnd = text.indexOf('\r\n')
  return (lineEnd === -1 || statusLinePattern.test(text.slice(0, lineEnd))) && !/(?<!\r)\n/.test(text)
}

/** The headers, or why they are unusual. */
function readHeaders(lines: readonly string[]): IncomingHttpHeaders | string {
  const headers = Object.create(null) as IncomingHttpHeaders
  for (const line of lines) {
    const [, rawName, value = ''] = headerLinePattern.exec(line) ?? []
    if (rawName === undefined) return 'a header line that is not plain'
    const name = rawName.toLowerCase()
    if (framing.has(name)) return `the header ${name}`
    const earlier = headers[name]
    if (name === 'set-cookie') headers[name] = [...(headers['set-cookie'] ?? []), value]
    else if (earlier === undefined) headers[name] = value
    else if (single.has(name)) return `the header ${name} twice`
    else headers[name] = `${String(earlier)}, ${value}`
  }
  return headers
}

function bodyLength(statusCode: number, contentLength: string | undefined): number | undefined {
  if (contentLength !== undefined && !lengthPattern.test(contentLength)) return undefined
  if (statusCode === 204 || statusCode === 304) return 0
  return contentLength === undefined ? undefined : Number(contentLength)
}

function unusual(why: string): ReadHead {
  return { kind: 'unusual', why }
}
