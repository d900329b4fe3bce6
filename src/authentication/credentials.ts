/** A name and a password, decoded; neither has been checked against anything. */
export type BasicCredentials = {
  /** Without control characters; may be empty. */
  readonly username: string
  /** May be empty, and may contain colons. */
  readonly password: string
}

/** What an `Authorization` header says. The sentences are fixed text: nothing of the header is repeated. */
export type AuthorizationHeader =
  | { readonly kind: 'none' }
  | ({ readonly kind: 'basic' } & BasicCredentials)
  | { readonly kind: 'bearer'; readonly token: string }
  | { readonly kind: 'malformed'; readonly sentence: string }
  | { readonly kind: 'tooLong' }

const maxHeaderLength = 8 * 1024

/** RFC 9110 section 11.4: `auth-scheme 1*SP ( token68 / auth-param list )`. */
const schemeAndRest = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?: +([^ ].*))?$/
const token68 = /^[A-Za-z0-9\-._~+/]+=*$/
const controlCharacter = /\p{Cc}/u

/**
 * Parses the `Authorization` header of a request: Basic as RFC 7617 has it, Bearer as RFC 6750 section 2.1.
 *
 * An absent or empty header and `Basic Og==` (no name and no password, which podman sends when it has none) are `none`.
 * Base64 is strict: the standard alphabet, padded, canonical, nothing around it; UTF-8 is strict too, because two byte
 * sequences must never become one name. Never throws.
 */
export function parseAuthorization(header: string | undefined): AuthorizationHeader {
  if (header === undefined || header === '') return { kind: 'none' }
  if (header.length > maxHeaderLength) return { kind: 'tooLong' }
  const [, scheme = '', rest = ''] = schemeAndRest.exec(header) ?? []
  switch (scheme.toLowerCase()) {
    case 'basic':
      return parseBasic(rest)
    case 'bearer':
      return token68.test(rest) ? { kind: 'bearer', token: rest } : malformed('the bearer token is not well-formed')
    default:
      return malformed('the Authorization header does not begin with a scheme that is known here, such as Basic')
  }
}

function parseBasic(encoded: string): AuthorizationHeader {
  const bytes = Buffer.from(encoded, 'base64')
  // The decoder of Node skips what it does not know; only what comes back the same was Base64 all through.
  if (bytes.toString('base64') !== encoded)
    return malformed('the Basic credentials are not Base64 (RFC 4648 section 4)')
  const text = decodeUtf8(bytes)
  if (text === undefined) return malformed('the Basic credentials are not UTF-8')
  const colon = text.indexOf(':')
  if (colon < 0) return malformed('the Basic credentials have no colon between user name and password')
  const username = text.slice(0, colon)
  const password = text.slice(colon + 1)
  if (controlCharacter.test(username)) return malformed('the user name contains a control character')
  if (username === '' && password === '') return { kind: 'none' }
  return { kind: 'basic', username, password }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

function malformed(sentence: string): AuthorizationHeader {
  return { kind: 'malformed', sentence }
}
