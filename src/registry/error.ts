/**
 * The one table of everything the gateway answers with an error, and the error that carries a row of it.
 * Responses, metrics, audit and the generated documentation read the same row, so they cannot disagree.
 */

/** Who has to act: the client, the operator of the upstream registry, or the operator of the gateway. */
export type ErrorSource = 'client' | 'upstream' | 'gateway'

type ErrorRow = {
  /** Code of the envelope: OCI distribution-spec 1.1 "Error Codes", or Docker's `errcode` where the specification has none. */
  readonly code: string
  /** HTTP status. */
  readonly status: number
  readonly source: ErrorSource
  /** What the person at the client reads; one sentence, never a client's input. */
  readonly sentence: string
  /** HTTP/1.1 reason phrase (RFC 9112 section 4): at most 80 visible ASCII characters, the reason in brackets. */
  readonly reason: string
  /** Seconds for `Retry-After`, where trying again can help. */
  readonly retryAfterSeconds?: number
}

const rows = {
  targetInvalid: {
    code: 'NAME_INVALID',
    status: 400,
    source: 'client',
    sentence: 'the request target is not a plain path of the registry API',
    reason: 'Bad Request (target is not a plain registry path)',
  },
  nameInvalid: {
    code: 'NAME_INVALID',
    status: 400,
    source: 'client',
    sentence:
      'the repository name is not valid: lower-case letters and digits, separated by . _ __ - or /, at most 255',
    reason: 'Bad Request (invalid repository name)',
  },
  referenceInvalid: {
    code: 'TAG_INVALID',
    status: 400,
    source: 'client',
    sentence: 'the reference is neither a valid tag nor a valid digest',
    reason: 'Bad Request (invalid tag or digest)',
  },
  digestInvalid: {
    code: 'DIGEST_INVALID',
    status: 400,
    source: 'client',
    sentence: 'the digest is not valid: algorithm:encoded, with 64 lower-case hexadecimal digits for sha256',
    reason: 'Bad Request (invalid digest)',
  },
  queryInvalid: {
    code: 'UNSUPPORTED',
    status: 400,
    source: 'client',
    sentence: 'the query is malformed or names the same parameter twice',
    reason: 'Bad Request (malformed query)',
  },
  paginationInvalid: {
    code: 'PAGINATION_NUMBER_INVALID',
    status: 400,
    source: 'client',
    sentence: 'the page size n must be a plain decimal number',
    reason: 'Bad Request (invalid page size)',
  },
  uploadUnknown: {
    code: 'BLOB_UPLOAD_UNKNOWN',
    status: 404,
    source: 'client',
    sentence: 'the address names no upload of this repository',
    reason: 'Not Found (unknown upload)',
  },
  routeUnknown: {
    code: 'UNSUPPORTED',
    status: 404,
    source: 'client',
    sentence: 'the path is not part of the registry API, which begins with /v2/',
    reason: 'Not Found (not a registry path)',
  },
  methodNotAllowed: {
    code: 'UNSUPPORTED',
    status: 405,
    source: 'client',
    sentence: 'the method is not supported on this path',
    reason: 'Method Not Allowed',
  },
  contentTypeRefused: {
    code: 'UNSUPPORTED',
    status: 415,
    source: 'client',
    sentence: 'form bodies are not part of the registry API; send the content itself as application/octet-stream',
    reason: 'Unsupported Media Type (form body)',
  },
  bodyRefused: {
    code: 'UNSUPPORTED',
    status: 400,
    source: 'client',
    sentence: 'this method must not carry a body',
    reason: 'Bad Request (body not allowed)',
  },
  requestMalformed: {
    code: 'UNSUPPORTED',
    status: 400,
    source: 'client',
    sentence: 'the request is not well-formed HTTP/1.1',
    reason: 'Bad Request (malformed HTTP)',
  },
  plainHttpRefused: {
    code: 'UNSUPPORTED',
    status: 400,
    source: 'client',
    sentence: 'this port speaks https only',
    reason: 'Bad Request (https only)',
  },
  targetTooLong: {
    code: 'UNSUPPORTED',
    status: 414,
    source: 'client',
    sentence: 'the request target is longer than 8 KiB',
    reason: 'URI Too Long',
  },
  headersTooLarge: {
    code: 'UNSUPPORTED',
    status: 431,
    source: 'client',
    sentence: 'the request has more than 100 header lines or 16 KiB of them',
    reason: 'Request Header Fields Too Large',
  },
  requestTimeout: {
    code: 'UNSUPPORTED',
    status: 408,
    source: 'client',
    sentence: 'the request did not arrive in time',
    reason: 'Request Timeout',
  },
  expectationFailed: {
    code: 'UNSUPPORTED',
    status: 417,
    source: 'client',
    sentence: 'the only expectation that can be met is 100-continue',
    reason: 'Expectation Failed',
  },
  manifestTooLarge: {
    code: 'MANIFEST_INVALID',
    status: 413,
    source: 'client',
    sentence: 'the manifest is larger than 4 MiB',
    reason: 'Content Too Large (manifest over 4 MiB)',
  },
  credentialsMissing: {
    code: 'UNAUTHORIZED',
    status: 401,
    source: 'client',
    sentence: 'a login is required: run docker login (or podman, skopeo, helm registry login) for this host first',
    reason: 'Unauthorized (login required)',
  },
  credentialsInvalid: {
    code: 'UNAUTHORIZED',
    status: 401,
    source: 'client',
    sentence: 'the user name or the password is wrong',
    reason: 'Unauthorized (wrong user name or password)',
  },
  accessDenied: {
    code: 'DENIED',
    status: 403,
    source: 'client',
    sentence: 'the user may not do this here',
    reason: 'Forbidden (policy)',
  },
  tagProtected: {
    code: 'DENIED',
    status: 403,
    source: 'client',
    sentence: 'the tag is protected and already names another manifest',
    reason: 'Forbidden (protected tag)',
  },
  rateLimited: {
    code: 'TOOMANYREQUESTS',
    status: 429,
    source: 'client',
    sentence: 'a limit has been reached; try again later',
    reason: 'Too Many Requests (limit reached)',
    retryAfterSeconds: 1,
  },
  loginLocked: {
    code: 'TOOMANYREQUESTS',
    status: 429,
    source: 'client',
    sentence: 'too many wrong passwords came from this address; this login is not checked before the wait is over',
    reason: 'Too Many Requests (too many wrong passwords)',
    retryAfterSeconds: 1,
  },
  originRefused: {
    code: 'DENIED',
    status: 403,
    source: 'client',
    sentence: 'pages of this origin may not use the registry; its operator lists those that may in cors.origins',
    reason: 'Forbidden (origin not listed)',
  },
  loginsOverloaded: {
    code: 'UNAVAILABLE',
    status: 503,
    source: 'gateway',
    sentence: 'too many logins are being checked at this moment; try again in a few seconds',
    reason: 'Service Unavailable (too many logins)',
    retryAfterSeconds: 2,
  },
  authenticationUnavailable: {
    code: 'UNAVAILABLE',
    status: 503,
    source: 'gateway',
    sentence: 'the login cannot be checked at this moment; the password may well be right',
    reason: 'Service Unavailable (login cannot be checked)',
    retryAfterSeconds: 5,
  },
  limitsUnavailable: {
    code: 'UNAVAILABLE',
    status: 503,
    source: 'gateway',
    sentence:
      'the limits cannot be counted at this moment, and the gateway does not go on without; no limit was reached',
    reason: 'Service Unavailable (limits cannot be counted)',
    retryAfterSeconds: 5,
  },
  auditUnavailable: {
    code: 'UNAVAILABLE',
    status: 503,
    source: 'gateway',
    sentence: 'the gateway cannot write its audit at this moment, and does not do this without; nothing was changed',
    reason: 'Service Unavailable (audit cannot be written)',
    retryAfterSeconds: 5,
  },
  tagBusy: {
    code: 'UNAVAILABLE',
    status: 503,
    source: 'gateway',
    sentence: 'too many pushes to protected tags are under way at this moment; try again in a few seconds',
    reason: 'Service Unavailable (too many pushes to protected tags)',
    retryAfterSeconds: 2,
  },
  upstreamUnreachable: {
    code: 'UNAVAILABLE',
    status: 503,
    source: 'upstream',
    sentence: 'the registry behind this gateway cannot be reached',
    reason: 'Service Unavailable (registry unreachable)',
    retryAfterSeconds: 1,
  },
  upstreamTimeout: {
    code: 'UNAVAILABLE',
    status: 504,
    source: 'upstream',
    sentence: 'the registry behind this gateway did not answer in time',
    reason: 'Gateway Timeout (registry did not answer)',
    retryAfterSeconds: 5,
  },
  upstreamInvalid: {
    code: 'UNAVAILABLE',
    status: 502,
    source: 'upstream',
    sentence: 'the registry behind this gateway sent an answer that cannot be passed on',
    reason: 'Bad Gateway (unusable answer of the registry)',
  },
  upstreamTlsFailed: {
    code: 'UNAVAILABLE',
    status: 502,
    source: 'upstream',
    sentence: 'the certificate of the registry behind this gateway is not trusted',
    reason: 'Bad Gateway (registry certificate not trusted)',
  },
  upstreamRefusedGateway: {
    code: 'UNAVAILABLE',
    status: 502,
    source: 'upstream',
    sentence:
      'the registry behind this gateway refuses the gateway itself; its operator has to mend the upstream credential',
    reason: 'Bad Gateway (registry refuses the gateway)',
  },
  upstreamDenied: {
    code: 'DENIED',
    status: 403,
    source: 'upstream',
    sentence: 'the registry behind this gateway denies this',
    reason: 'Forbidden (by the registry)',
  },
  upstreamRedirectRefused: {
    code: 'UNAVAILABLE',
    status: 502,
    source: 'upstream',
    sentence: 'the registry behind this gateway redirects to an address that is not allowed',
    reason: 'Bad Gateway (redirect not allowed)',
  },
  catalogCold: {
    code: 'UNAVAILABLE',
    status: 503,
    source: 'upstream',
    sentence: 'the list of repositories is still being read from the registry; ask again in a few seconds',
    reason: 'Service Unavailable (list of repositories not read yet)',
    retryAfterSeconds: 5,
  },
  tagCheckFailed: {
    code: 'UNAVAILABLE',
    status: 503,
    source: 'upstream',
    sentence: 'the registry behind this gateway did not say what the protected tag names; nothing was pushed',
    reason: 'Service Unavailable (protected tag cannot be checked)',
    retryAfterSeconds: 5,
  },
  readOnly: {
    code: 'UNAVAILABLE',
    status: 503,
    source: 'gateway',
    sentence: 'the registry is read-only for maintenance; try again later',
    reason: 'Service Unavailable (read-only for maintenance)',
    retryAfterSeconds: 300,
  },
  gatewayFault: {
    code: 'UNKNOWN',
    status: 500,
    source: 'gateway',
    sentence: 'the gateway failed on this request; its operator finds the cause in the log by the request id',
    reason: 'Internal Server Error',
  },
} as const satisfies Record<string, ErrorRow>

/** Names a row of the table. */
export type ErrorId = keyof typeof rows

/** The table, for the documentation generator, metrics and tests. */
export const errorTable: Readonly<Record<ErrorId, ErrorRow>> = rows

/** Everything a {@link RegistryError} may add to its row. */
export type RegistryErrorOptions = {
  /** Replaces the row's sentence; fixed or validated text only, never raw client input and never a secret. */
  readonly sentence?: string
  /** Whether the sentence stands in the reason phrase too, for the clients that show nothing else. */
  readonly sentenceInReason?: boolean
  /** One clause for the envelope's `detail`, which the request id follows; same rule as `sentence`. */
  readonly detail?: string
  /** Replaces the row's `Retry-After`, whole seconds, at least 1. */
  readonly retryAfterSeconds?: number
  /** Value of `WWW-Authenticate` on a 401, already printed. */
  readonly challenge?: string
  /** Value of `Allow` on a 405. */
  readonly allow?: readonly string[]
  /** A user that exists and whose login failed; for the audit, never for the client. */
  readonly attemptedUser?: string
  /** The bucket that was full, by its name in the configuration; for the audit. */
  readonly bucket?: string
  /** What went wrong underneath; for the log, never for the client. */
  readonly cause?: unknown
}

/** A refusal or fault that ends an exchange with the envelope of the distribution specification ("Error Codes"). */
export class RegistryError extends Error {
  readonly id: ErrorId
  readonly code: string
  readonly status: number
  readonly source: ErrorSource
  readonly reason: string
  readonly detail: string | undefined
  readonly retryAfterSeconds: number | undefined
  readonly challenge: string | undefined
  readonly allow: readonly string[] | undefined
  readonly attemptedUser: string | undefined
  readonly bucket: string | undefined

  constructor(id: ErrorId, options: RegistryErrorOptions = {}) {
    const row: ErrorRow = rows[id]
    super(options.sentence ?? row.sentence, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'RegistryError'
    this.id = id
    this.code = row.code
    this.status = row.status
    this.source = row.source
    this.reason = options.sentenceInReason === true ? reasonWith(row.reason, this.message) : row.reason
    this.detail = options.detail
    this.retryAfterSeconds = options.retryAfterSeconds ?? row.retryAfterSeconds
    this.challenge = options.challenge
    this.allow = options.allow
    this.attemptedUser = options.attemptedUser
    this.bucket = options.bucket
  }
}

/** A proxy on the way may bound the status line, and a client shows it on one line of a terminal. */
const maxReasonLength = 160

/** A row's reason phrase with another text in its brackets, as visible ASCII on one line, cut where it is too long. */
function reasonWith(reason: string, text: string): string {
  const standard = reason.replace(/ \(.*$/, '')
  const room = maxReasonLength - standard.length - ' ()'.length
  const printable = text.replace(/[^ -~]/gu, '?')
  return `${standard} (${printable.length > room ? `${printable.slice(0, room - 3)}...` : printable})`
}

/**
 * Prints the error envelope: `{"errors":[{code,message,detail}]}`. `detail` is one string, because several clients
 * print an object as a Go map, and it ends with the request id, which finds the exchange in log and audit.
 */
export function errorEnvelope(code: string, message: string, detail: string | undefined, requestId: string): string {
  const ending = `request id ${requestId}`
  return JSON.stringify({ errors: [{ code, message, detail: detail === undefined ? ending : `${detail}; ${ending}` }] })
}
