/**
 * The closed sets that metric labels come from. Whatever a client sends falls into one of them, so that nobody can
 * make new time series by inventing methods, paths, users or repositories.
 */
import { STATUS_CODES } from 'node:http'
import { errorTable } from '../registry/error.ts'
import type { ErrorId } from '../registry/error.ts'
import type { AuthenticationMethod } from '../registry/principal.ts'
import type { RegistryRequest, RequestKind } from '../registry/route.ts'

/** What a request was for; `other` is every target that did not parse. */
export type RouteLabel = RequestKind | 'other'

export type MethodLabel = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS' | 'OTHER'

/** The routes with the methods that each has; the series that exist from the start are made of these. */
export const routeMethods: Readonly<Record<RouteLabel, readonly MethodLabel[]>> = {
  base: ['GET', 'HEAD'],
  catalog: ['GET', 'HEAD'],
  tags: ['GET', 'HEAD'],
  manifest: ['GET', 'HEAD', 'PUT', 'DELETE'],
  blob: ['GET', 'HEAD', 'DELETE'],
  referrers: ['GET', 'HEAD'],
  'upload-start': ['POST'],
  'upload-session': ['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE'],
  other: ['GET', 'OTHER'],
}

const methods: ReadonlyMap<string, MethodLabel> = new Map(
  (['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const).map((method) => [method, method]),
)

/** Statuses that the registry API and this gateway are known to send; series for them exist from the start. */
export const expectedStatuses: Readonly<Record<RouteLabel, readonly number[]>> = {
  base: [200, 401, 429, 503],
  catalog: [200, 401, 429, 503],
  tags: [200, 401, 403, 404, 429, 503],
  manifest: [200, 401, 403, 404, 429, 502, 503],
  blob: [200, 401, 403, 404, 429, 502, 503],
  referrers: [200, 401, 403, 429, 503],
  'upload-start': [202, 401, 403, 429, 502, 503],
  'upload-session': [401, 403, 429, 502, 503],
  other: [200, 400, 404, 405, 503],
}

export function routeLabel(request: RegistryRequest | undefined): RouteLabel {
  return request === undefined ? 'other' : request.kind
}

export function methodLabel(method: string): MethodLabel {
  return methods.get(method) ?? 'OTHER'
}

/** A status that IANA knows, `other` for one it does not, `none` when the connection broke before a response began. */
export function codeLabel(status: number | undefined): string {
  if (status === undefined) return 'none'
  return STATUS_CODES[status] === undefined ? 'other' : String(status)
}

/** Who checked a login; `none` when no backend was asked or knew the name. */
export type BackendLabel = AuthenticationMethod | 'none'

/**
 * How a login ended. `unknown`: no backend knows the name. `malformed`: the header could not be read as a login.
 * `overloaded`: it was not checked, because too many were being checked already. `locked`: nor was it, because of wrong
 * passwords before it. `limited`: nor was it, because a rate limit was reached.
 */
export type LoginOutcome =
  'authenticated' | 'refused' | 'unknown' | 'malformed' | 'unavailable' | 'overloaded' | 'locked' | 'limited'

/** What the cache of verified logins knew; `joined` waited for a check of the same credential that was under way. */
export type CredentialCacheResult = 'hit' | 'miss' | 'negative-hit' | 'joined'

/** Why a password was not hashed: no room in the queue, or no turn in time. */
export type HashRefusal = 'queueFull' | 'queueWait'

/** Why a connection was closed before it spoke TLS or HTTP. */
export type ConnectionRefusal = 'too_many' | 'proxy_header'

/** Whether a request would have changed the registry. */
export type AccessLabel = 'read' | 'write'

/** What was done with a request while the audit could not be written. */
export type AuditVerdict = 'admitted' | 'refused'

export type AbortSide = 'client' | 'upstream' | 'gateway'

/** Why a TLS handshake failed, as far as its error tells. */
export type HandshakeFailure =
  | 'plain_http'
  | 'not_tls'
  | 'protocol_version'
  | 'no_shared_cipher'
  | 'certificate_not_trusted'
  | 'timeout'
  | 'closed'
  | 'other'

/** How the shadow policy's decision compares with the one that was enforced. */
export type ShadowComparison = 'same' | 'would_grant' | 'would_refuse'

/** How a walk of the upstream's catalog ended. */
export type WalkResult = 'success' | 'error'

/** Which way a blob was asked for: the blob lane, or `node:http` for what the lane does not understand. */
export type BlobWay = 'lane' | 'ordinary'

/**
 * Why Redis did not answer. `open`: the breaker is, so it was not asked; `memory`: it is out of it; `login`: it refuses
 * the gateway.
 */
export type StoreFault = 'timeout' | 'down' | 'open' | 'readonly' | 'loading' | 'memory' | 'login' | 'cluster' | 'other'

/** What a bucket said of a request; `forced` is counted and let through, as everything in a push that was admitted. */
export type LimitVerdict = 'admitted' | 'refused' | 'forced'

/** What was done with a request while its limits could not be counted in Redis. */
export type StoreErrorVerdict = 'local' | 'allow' | 'deny'

/** Whether a login was checked or refused for the wrong passwords before it. */
export type LockoutVerdict = 'open' | 'locked'

/** Why a push to a protected tag was locked in one gateway alone: Redis did not answer, or forgot the lock. */
export type UnsharedLock = 'store' | 'lost'

/** Every value of every label whose set is fixed, for the documentation and for the series that exist from the start. */
export const labelValues = {
  route: Object.keys(routeMethods) as readonly RouteLabel[],
  method: [...methods.values(), 'OTHER'] as readonly MethodLabel[],
  id: Object.keys(errorTable) as readonly ErrorId[],
  backend: ['htpasswd', 'ldap', 'none'] as const satisfies readonly BackendLabel[],
  outcome: [
    'authenticated',
    'refused',
    'unknown',
    'malformed',
    'unavailable',
    'overloaded',
    'locked',
    'limited',
  ] as const satisfies readonly LoginOutcome[],
  result: ['hit', 'miss', 'negative-hit', 'joined'] as const satisfies readonly CredentialCacheResult[],
  hashing: ['queueFull', 'queueWait'] as const satisfies readonly HashRefusal[],
  decision: ['granted', 'refused'] as const,
  access: ['read', 'write'] as const satisfies readonly AccessLabel[],
  verdict: ['admitted', 'refused'] as const satisfies readonly AuditVerdict[],
  side: ['client', 'upstream', 'gateway'] as const satisfies readonly AbortSide[],
  handshake: [
    'plain_http',
    'not_tls',
    'protocol_version',
    'no_shared_cipher',
    'certificate_not_trusted',
    'timeout',
    'closed',
    'other',
  ] as const satisfies readonly HandshakeFailure[],
  refusal: ['too_many', 'proxy_header'] as const satisfies readonly ConnectionRefusal[],
  comparison: ['same', 'would_grant', 'would_refuse'] as const satisfies readonly ShadowComparison[],
  walk: ['success', 'error'] as const satisfies readonly WalkResult[],
  way: ['lane', 'ordinary'] as const satisfies readonly BlobWay[],
  fault: [
    'timeout',
    'down',
    'open',
    'readonly',
    'loading',
    'memory',
    'login',
    'cluster',
    'other',
  ] as const satisfies readonly StoreFault[],
  limit: ['admitted', 'refused', 'forced'] as const satisfies readonly LimitVerdict[],
  onStoreError: ['local', 'allow', 'deny'] as const satisfies readonly StoreErrorVerdict[],
  unshared: ['store', 'lost'] as const satisfies readonly UnsharedLock[],
  lockout: ['open', 'locked'] as const satisfies readonly LockoutVerdict[],
}

/** What can be reloaded while the gateway runs. */
export type ReloadPart = 'configuration' | 'certificates' | 'users' | 'policies'

export const reloadParts: readonly ReloadPart[] = ['configuration', 'certificates', 'users', 'policies']
