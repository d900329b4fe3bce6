import type { RequestKind } from '../registry/route.ts'
import type { Audit } from './audit.ts'
import type { Clock } from './clock.ts'
import { logExchange } from './exchange-log.ts'
import type { ExchangeDecision, ExchangeRecord } from './exchange-record.ts'
import { codeLabel, methodLabel, routeLabel } from './labels.ts'
import type {
  AbortSide,
  BackendLabel,
  BlobWay,
  ConnectionRefusal,
  CredentialCacheResult,
  HandshakeFailure,
  HashRefusal,
  LoginOutcome,
  ReloadPart,
} from './labels.ts'
import { ldapEvents } from './ldap-events.ts'
import type { LdapEvents } from './ldap-events.ts'
import { limitEvents } from './limit-events.ts'
import type { LimitEvents } from './limit-events.ts'
import type { Logger } from './log.ts'
import type { Metrics, ServedCertificate } from './metrics.ts'
import { policyEvents } from './policy-events.ts'
import type { PolicyEvents } from './policy-events.ts'

export type LoginCheck = {
  readonly backend: BackendLabel
  readonly outcome: LoginOutcome
  readonly durationMs: number
}

export type HtpasswdReport = {
  readonly users: number
  readonly unusableLines: number
  /** One sentence for each fault, with its line number and how to mend it; never a hash. */
  readonly faults: readonly string[]
}

/**
 * What happens to the gateway, one function for each business event. Log, metrics and audit are told together here and
 * nowhere else, so that they cannot drift. No function throws, and none waits.
 */
export type Events = LimitEvents &
  LdapEvents &
  PolicyEvents & {
    readonly exchangeStarted: () => void
    readonly exchangeEnded: (record: ExchangeRecord) => void
    /** The head of the upstream's answer came after so many seconds. */
    readonly upstreamResponded: (route: RequestKind, seconds: number) => void
    /** Whether the upstream could be talked to just now; the log hears of changes only. */
    readonly upstreamContact: (up: boolean) => void
    readonly upstreamRefusedGateway: () => void
    readonly upstreamRetried: () => void
    /** Which way a blob was asked for. */
    readonly blobAsked: (way: BlobWay) => void
    readonly loginChecked: (check: LoginCheck) => void
    readonly credentialCacheAsked: (result: CredentialCacheResult) => void
    /** One password was hashed, after it had waited for its turn. */
    readonly passwordHashed: (check: { readonly queuedMs: number; readonly durationMs: number }) => void
    readonly hashTurnedAway: (reason: HashRefusal) => void
    readonly htpasswdLoaded: (report: HtpasswdReport) => void
    readonly tlsHandshakeFailed: (reason: HandshakeFailure) => void
    readonly certificateLoaded: (certificate: ServedCertificate) => void
    /** Warns of a certificate in use that ends within four weeks; loading one does that too. */
    readonly certificateInUse: (certificate: ServedCertificate) => void
    /** A part was reloaded; `needRestart` are keys that changed and take effect at the next start only. */
    readonly reloaded: (part: ReloadPart, needRestart: readonly string[]) => void
    /** A reload was refused for these reasons; the last good part serves on. */
    readonly reloadRefused: (part: ReloadPart, problems: readonly string[]) => void
    /** Read-only operation begins or ends. */
    readonly maintenance: (readOnly: boolean) => void
    /** Something that should not happen did; the gateway drains and ends. */
    readonly faulted: (cause: unknown) => void
    readonly adminSocketUnavailable: (path: string, cause: unknown) => void
    readonly connectionOpened: () => void
    readonly connectionClosed: () => void
    readonly connectionRefused: (reason: ConnectionRefusal) => void
    /** All listeners are up; `addresses` are their URLs. */
    readonly serving: (addresses: readonly string[]) => void
    readonly draining: (timeoutMs: number) => void
    /** Nothing is in flight any more; `cutOff` is how many exchanges were ended by the deadline. */
    readonly stopped: (cutOff: number) => void
  }

export type EventsDependencies = {
  readonly log: Logger
  readonly metrics: Metrics
  readonly audit: Audit
  readonly clock: Clock
}

/** Creates the events of one gateway. */
export function createEvents({ log, metrics, audit, clock }: EventsDependencies): Events {
  const failures = createSummary(clock, (counts) => {
    log.info('connections failed before a request', counts)
  })
  function warnOfItsEnd({ name, file, notAfter }: ServedCertificate): void {
    const days = Math.floor((notAfter.getTime() - clock.now()) / dayMs)
    const fields = { name, file, notAfter: notAfter.toISOString(), days }
    if (notAfter.getTime() <= clock.now()) log.warn('a certificate is being served after its end', fields)
    else if (days < warnDays) log.warn('a certificate ends soon; replace its file', fields)
  }
  return {
    ...exchangeEvents(log, metrics, audit),
    ...upstreamEvents(log, metrics),
    ...policyEvents(log, metrics),
    ...limitEvents(log, metrics),
    ...ldapEvents(log, metrics),
    loginChecked: ({ backend, outcome, durationMs }) => {
      metrics.loginChecked(backend, outcome, durationMs / 1000)
    },
    credentialCacheAsked: metrics.credentialCacheAsked,
    passwordHashed: ({ queuedMs, durationMs }) => {
      metrics.passwordHashed(queuedMs / 1000, durationMs / 1000)
    },
    hashTurnedAway: metrics.hashTurnedAway,
    htpasswdLoaded: ({ users, unusableLines, faults }) => {
      metrics.htpasswdLoaded(users, unusableLines)
      log.info('the htpasswd file is loaded', { users, unusableLines })
      for (const fault of faults.slice(0, maxFaultsLogged))
        log.warn('a line of the htpasswd file is at fault', { fault })
    },
    tlsHandshakeFailed: (reason) => {
      metrics.handshakeFailed(reason)
      failures.add(reason)
    },
    connectionOpened: metrics.connectionOpened,
    connectionClosed: metrics.connectionClosed,
    connectionRefused: (reason) => {
      metrics.connectionRefused(reason)
      failures.add(reason)
    },
    certificateLoaded: (certificate) => {
      metrics.certificateLoaded(certificate)
      const { name, file, subjectCommonName, notAfter } = certificate
      log.info('a certificate is loaded', { name, file, subjectCommonName, notAfter: notAfter.toISOString() })
      for (const warning of certificate.warnings ?? []) log.warn('a certificate will be objected to', { name, warning })
      warnOfItsEnd(certificate)
    },
    certificateInUse: warnOfItsEnd,
    reloaded: (part, needRestart) => {
      metrics.reloaded(part, true)
      log.info('reloaded', { part })
      if (needRestart.length > 0) log.warn('changed settings take effect at the next start only', { keys: needRestart })
    },
    reloadRefused: (part, problems) => {
      metrics.reloaded(part, false)
      log.error('a reload was refused; the last good state serves on', { part, problems })
    },
    maintenance: (readOnly) => {
      metrics.maintenance(readOnly)
      log.info(readOnly ? 'read-only: pushes and deletes are refused' : 'pushes and deletes are taken', { readOnly })
    },
    faulted: (cause) => {
      log.error('an unexpected fault: the gateway finishes what is in flight and ends', {}, cause)
    },
    adminSocketUnavailable: (path, cause) => {
      log.warn('the admin socket cannot be made; commands that need it will not reach this gateway', { path }, cause)
    },
    serving: (addresses) => {
      log.info('serving', { addresses })
    },
    draining: (timeoutMs) => {
      log.info('draining: what is in flight may end, new connections are refused', { timeoutMs })
    },
    stopped: (cutOff) => {
      failures.tell()
      log.info('stopped', { cutOff })
    },
  }
}

const maxFaultsLogged = 20
const dayMs = 86_400_000
/** How long before its end a certificate is warned of. */
const warnDays = 28

function exchangeEvents(
  log: Logger,
  metrics: Metrics,
  audit: Audit,
): Pick<Events, 'exchangeStarted' | 'exchangeEnded'> {
  return {
    exchangeStarted: metrics.exchangeStarted,
    exchangeEnded: (record) => {
      metrics.exchangeEnded({
        route: routeLabel(record.request),
        method: methodLabel(record.method),
        code: codeLabel(record.status),
        durationSeconds: record.durationMs / 1000,
        bytesUp: record.bytesUp,
        bytesDown: record.bytesDown,
        abortedBy: abortSideOf(record),
        errorId: record.error?.id,
      })
      if (record.decision !== undefined) countDecision(metrics, record.decision)
      audit.record(record)
      logExchange(log, record)
    },
  }
}

function countDecision(metrics: Metrics, { kind, mountRemoved, shadowDecision }: ExchangeDecision): void {
  metrics.decided(kind, mountRemoved)
  if (shadowDecision === kind) metrics.shadowCompared('same')
  else if (shadowDecision !== undefined) {
    metrics.shadowCompared(shadowDecision === 'granted' ? 'would_grant' : 'would_refuse')
  }
}

function abortSideOf({ outcome }: ExchangeRecord): AbortSide | undefined {
  switch (outcome) {
    case 'complete':
      return undefined
    case 'aborted-by-client':
      return 'client'
    case 'aborted-by-upstream':
      return 'upstream'
    case 'aborted-by-gateway':
      return 'gateway'
  }
}

function upstreamEvents(
  log: Logger,
  metrics: Metrics,
): Pick<Events, 'upstreamResponded' | 'upstreamContact' | 'upstreamRefusedGateway' | 'upstreamRetried' | 'blobAsked'> {
  let known: boolean | undefined
  return {
    upstreamResponded: metrics.upstreamResponded,
    blobAsked: metrics.blobAsked,
    upstreamContact: (up) => {
      if (up === known) return
      metrics.upstreamUp(up)
      if (!up) log.warn('the upstream registry cannot be reached')
      else if (known === false) log.info('the upstream registry can be reached again')
      known = up
    },
    upstreamRefusedGateway: () => {
      metrics.upstreamRefusedGateway()
      log.error('the upstream registry refuses the gateway itself: check upstream.credential')
    },
    upstreamRetried: () => {
      metrics.upstreamRetried()
      log.debug('a request was asked again, because the upstream registry had closed an idle connection')
    },
  }
}

const summaryMs = 1000

/** Counts what anyone on the network can cause at will, and tells of it once a second at most. */
function createSummary(clock: Clock, onSummary: (counts: Readonly<Record<string, number>>) => void) {
  let counts = new Map<string, number>()
  let cancel: (() => void) | undefined
  function tell(): void {
    cancel?.()
    cancel = undefined
    if (counts.size === 0) return
    onSummary(Object.fromEntries(counts))
    counts = new Map()
  }
  return {
    add(reason: string): void {
      counts.set(reason, (counts.get(reason) ?? 0) + 1)
      cancel ??= clock.after(summaryMs, tell)
    },
    /** Tells at once of what has been counted. */
    tell,
  }
}
