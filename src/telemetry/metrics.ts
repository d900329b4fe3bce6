import { basename } from 'node:path'
import { collectDefaultMetrics, Registry } from 'prom-client'
import type { ErrorId } from '../registry/error.ts'
import type { RequestKind } from '../registry/route.ts'
import { auditMetrics } from './audit-metrics.ts'
import type { AuditMetrics } from './audit-metrics.ts'
import { expectedStatuses, labelValues, reloadParts, routeMethods } from './labels.ts'
import type {
  AbortSide,
  BlobWay,
  BackendLabel,
  ConnectionRefusal,
  CredentialCacheResult,
  HandshakeFailure,
  HashRefusal,
  LoginOutcome,
  MethodLabel,
  ReloadPart,
  RouteLabel,
} from './labels.ts'
import { ldapMetrics } from './ldap-metrics.ts'
import type { LdapMetrics } from './ldap-metrics.ts'
import { limitMetrics } from './limit-metrics.ts'
import type { LimitMetrics } from './limit-metrics.ts'
import { counter, counterBy, gauge, histogram, remembered } from './metric-children.ts'
import { definitions } from './metric-definitions.ts'
import { policyMetrics } from './policy-metrics.ts'
import type { PolicyMetrics } from './policy-metrics.ts'

export type BuildInfo = { readonly version: string; readonly revision: string; readonly nodejsVersion: string }

/** A certificate that is being served; `name` and `file` come from the configuration, never from a client. */
export type ServedCertificate = {
  readonly name: string
  readonly file: string
  readonly subjectCommonName: string
  readonly notAfter: Date
  /** What clients will object to. */
  readonly warnings?: readonly string[]
}

/** One exchange in the terms of the labels. */
export type ExchangeSample = {
  readonly route: RouteLabel
  readonly method: MethodLabel
  /** What {@link codeLabel} makes of the status. */
  readonly code: string
  readonly durationSeconds: number
  readonly bytesUp: number
  readonly bytesDown: number
  readonly abortedBy: AbortSide | undefined
  readonly errorId: ErrorId | undefined
}

/** The counters of one gateway. Every argument that becomes a label is of a closed set. */
export type Metrics = AuditMetrics &
  LimitMetrics &
  LdapMetrics &
  PolicyMetrics & {
    readonly exchangeStarted: () => void
    readonly exchangeEnded: (sample: ExchangeSample) => void
    readonly upstreamResponded: (route: RequestKind, seconds: number) => void
    readonly upstreamUp: (up: boolean) => void
    readonly upstreamRefusedGateway: () => void
    readonly upstreamRetried: () => void
    readonly blobAsked: (way: BlobWay) => void
    readonly loginChecked: (backend: BackendLabel, outcome: LoginOutcome, seconds: number) => void
    readonly credentialCacheAsked: (result: CredentialCacheResult) => void
    readonly passwordHashed: (waitSeconds: number, seconds: number) => void
    readonly hashTurnedAway: (reason: HashRefusal) => void
    readonly htpasswdLoaded: (users: number, unusableLines: number) => void
    readonly handshakeFailed: (reason: HandshakeFailure) => void
    /** Replaces what was known of the certificate of that name. */
    readonly certificateLoaded: (certificate: ServedCertificate) => void
    readonly connectionOpened: () => void
    readonly connectionClosed: () => void
    readonly connectionRefused: (reason: ConnectionRefusal) => void
    /** A part was reloaded, or the reload was refused and the part stays as it was. */
    readonly reloaded: (part: ReloadPart, taken: boolean) => void
    /** Whether nothing may be written at this moment. */
    readonly maintenance: (readOnly: boolean) => void
    /** Everything in the text format of Prometheus. */
    readonly exposition: () => Promise<{ readonly contentType: string; readonly text: string }>
  }

/** Node's own metrics that break Prometheus' naming rules (`promtool check metrics` refuses them) and tell little. */
export const removedNodeMetrics = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
  'nodejs_eventloop_utilization_histogram',
  'nodejs_eventloop_utilization_summary',
]

/** The sampler behind the two removed utilization metrics has no switch; this is the longest interval Node has. */
const neverMs = 2 ** 31 - 1

/**
 * Creates the metrics of one gateway, with a registry of their own: nothing is global.
 *
 * @param nodeMetrics whether Node's own (`process_`, `nodejs_`) are there too
 */
export function createMetrics(build: BuildInfo, nodeMetrics = true): Metrics {
  const registry = new Registry()
  if (nodeMetrics) {
    collectDefaultMetrics({ register: registry, eventLoopUtilizationTimeout: neverMs })
    for (const name of removedNodeMetrics) registry.removeSingleMetric(name)
  }
  gauge(registry, definitions.build)
    .labels({ version: build.version, revision: build.revision, nodejs_version: build.nodejsVersion })
    .set(1)
  return {
    ...exchangeMetrics(registry),
    ...upstreamMetrics(registry),
    ...loginMetrics(registry),
    ...accessMetrics(registry),
    ...connectionMetrics(registry),
    ...reloadMetrics(registry),
    ...auditMetrics(registry),
    ...policyMetrics(registry),
    ...limitMetrics(registry),
    ...ldapMetrics(registry),
    exposition: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  }
}

function exchangeMetrics(registry: Registry): Pick<Metrics, 'exchangeStarted' | 'exchangeEnded'> {
  const requestCounter = counter(registry, definitions.requests)
  const requests = remembered((route: RouteLabel) =>
    remembered((method: MethodLabel) => remembered((code: string) => requestCounter.labels({ route, method, code }))),
  )
  const durationHistogram = histogram(registry, definitions.requestDuration)
  const durations = remembered((route: RouteLabel) =>
    remembered((method: MethodLabel) => durationHistogram.labels({ route, method })),
  )
  for (const route of labelValues.route) {
    for (const method of routeMethods[route]) {
      durationHistogram.zero({ route, method })
      for (const status of expectedStatuses[route]) requests(route)(method)(String(status)).inc(0)
    }
  }
  const inFlight = gauge(registry, definitions.requestsInFlight)
  const bytesUp = counterBy(registry, definitions.requestBytes, 'route', labelValues.route)
  const bytesDown = counterBy(registry, definitions.responseBytes, 'route', labelValues.route)
  const aborted = counterBy(registry, definitions.aborted, 'side', labelValues.side)
  const errors = counterBy(registry, definitions.errors, 'id', labelValues.id)
  return {
    exchangeStarted: () => {
      inFlight.inc()
    },
    exchangeEnded: (sample) => {
      const { route, method } = sample
      inFlight.dec()
      requests(route)(method)(sample.code).inc()
      durations(route)(method).observe(sample.durationSeconds)
      if (sample.bytesUp > 0) bytesUp(route).inc(sample.bytesUp)
      if (sample.bytesDown > 0) bytesDown(route).inc(sample.bytesDown)
      if (sample.abortedBy !== undefined) aborted(sample.abortedBy).inc()
      if (sample.errorId !== undefined) errors(sample.errorId).inc()
    },
  }
}

function upstreamMetrics(
  registry: Registry,
): Pick<Metrics, 'upstreamResponded' | 'upstreamUp' | 'upstreamRefusedGateway' | 'upstreamRetried' | 'blobAsked'> {
  const responseHistogram = histogram(registry, definitions.upstreamResponse)
  const responses = remembered((route: RouteLabel) => responseHistogram.labels({ route }))
  for (const route of labelValues.route) if (route !== 'other') responseHistogram.zero({ route })
  const up = gauge(registry, definitions.upstreamUp)
  const refused = counter(registry, definitions.upstreamRefusedGateway)
  const retries = counter(registry, definitions.upstreamRetries)
  const blobs = counterBy(registry, definitions.blobsAsked, 'way', labelValues.way)
  return {
    upstreamResponded: (route, seconds) => {
      responses(route).observe(seconds)
    },
    upstreamUp: (isUp) => {
      up.set(isUp ? 1 : 0)
    },
    upstreamRefusedGateway: () => {
      refused.inc()
    },
    upstreamRetried: () => {
      retries.inc()
    },
    blobAsked: (way) => {
      blobs(way).inc()
    },
  }
}

function loginMetrics(
  registry: Registry,
): Pick<Metrics, 'loginChecked' | 'credentialCacheAsked' | 'passwordHashed' | 'hashTurnedAway'> {
  const loginCounter = counter(registry, definitions.logins)
  const logins = remembered((backend: BackendLabel) =>
    remembered((outcome: LoginOutcome) => loginCounter.labels({ backend, outcome })),
  )
  const durationHistogram = histogram(registry, definitions.loginDuration)
  const durations = remembered((backend: BackendLabel) => durationHistogram.labels({ backend }))
  for (const backend of labelValues.backend) {
    durationHistogram.zero({ backend })
    for (const outcome of labelValues.outcome) logins(backend)(outcome).inc(0)
  }
  const cache = counterBy(registry, definitions.credentialCache, 'result', labelValues.result)
  const hashDuration = histogram(registry, definitions.hashDuration)
  const hashWait = histogram(registry, definitions.hashWait)
  const refusals = counterBy(registry, definitions.hashesRefused, 'reason', labelValues.hashing)
  return {
    loginChecked: (backend, outcome, seconds) => {
      logins(backend)(outcome).inc()
      durations(backend).observe(seconds)
    },
    credentialCacheAsked: (result) => {
      cache(result).inc()
    },
    passwordHashed: (waitSeconds, seconds) => {
      hashWait.observe(waitSeconds)
      hashDuration.observe(seconds)
    },
    hashTurnedAway: (reason) => {
      refusals(reason).inc()
    },
  }
}

function accessMetrics(registry: Registry): Pick<Metrics, 'htpasswdLoaded'> {
  const users = gauge(registry, definitions.htpasswdUsers)
  const unusable = gauge(registry, definitions.htpasswdUnusableLines)
  return {
    htpasswdLoaded: (usable, unusableLines) => {
      users.set(usable)
      unusable.set(unusableLines)
    },
  }
}

function connectionMetrics(
  registry: Registry,
): Pick<
  Metrics,
  'handshakeFailed' | 'certificateLoaded' | 'connectionOpened' | 'connectionClosed' | 'connectionRefused'
> {
  const handshakes = counterBy(registry, definitions.handshakeErrors, 'reason', labelValues.handshake)
  const notAfter = gauge(registry, definitions.certificateNotAfter)
  const x509NotAfter = gauge(registry, definitions.x509NotAfter)
  const known = new Map<string, { readonly subject_CN: string; readonly filename: string }>()
  const connections = gauge(registry, definitions.connections)
  const refusals = counterBy(registry, definitions.connectionsRefused, 'reason', labelValues.refusal)
  return {
    handshakeFailed: (reason) => {
      handshakes(reason).inc()
    },
    certificateLoaded: (certificate) => {
      const seconds = Math.floor(certificate.notAfter.getTime() / 1000)
      // The exporter whose name this is gives the last part of the path too.
      const labels = { subject_CN: certificate.subjectCommonName, filename: basename(certificate.file) }
      const earlier = known.get(certificate.name)
      if (earlier !== undefined) x509NotAfter.remove(earlier)
      known.set(certificate.name, labels)
      notAfter.set({ name: certificate.name }, seconds)
      x509NotAfter.set(labels, seconds)
    },
    connectionOpened: () => {
      connections.inc()
    },
    connectionClosed: () => {
      connections.dec()
    },
    connectionRefused: (reason) => {
      refusals(reason).inc()
    },
  }
}

function reloadMetrics(registry: Registry): Pick<Metrics, 'reloaded' | 'maintenance'> {
  const reloads = counter(registry, definitions.reloads)
  const successful = gauge(registry, definitions.reloadSuccessful)
  const timestamp = gauge(registry, definitions.reloadTimestamp)
  const maintenance = gauge(registry, definitions.maintenance)
  for (const part of reloadParts) {
    for (const result of ['success', 'error']) reloads.labels({ part, result }).inc(0)
    successful.labels({ part }).set(1)
    timestamp.labels({ part }).setToCurrentTime()
  }
  return {
    maintenance: (readOnly) => {
      maintenance.set(readOnly ? 1 : 0)
    },
    reloaded: (part, taken) => {
      reloads.labels({ part, result: taken ? 'success' : 'error' }).inc()
      successful.labels({ part }).set(taken ? 1 : 0)
      if (taken) timestamp.labels({ part }).setToCurrentTime()
    },
  }
}
