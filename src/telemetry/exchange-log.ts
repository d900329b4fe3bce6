import { subjectOf } from './audit-line.ts'
import type { ExchangeRecord } from './exchange-record.ts'
import { routeLabel } from './labels.ts'
import type { LogFields, Logger } from './log.ts'
import { printable, printablePath } from './printable.ts'

type Entry = { readonly level: 'debug' | 'info' | 'warn' | 'error'; readonly message: string }

/**
 * What the operator should see of an exchange: granted ones at debug, refusals at info, what the upstream did wrong at
 * warn, what the gateway did wrong at error. A request without credentials is debug too, because that is how every
 * client begins.
 */
function entryFor({ error, outcome }: ExchangeRecord): Entry {
  if (error !== undefined) {
    if (error.id === 'credentialsMissing') return { level: 'debug', message: 'a login was asked for' }
    if (error.id === 'gatewayFault') return { level: 'error', message: 'the gateway failed on a request' }
    // Read-only is what the operator asked for, not a fault.
    if (error.source === 'client' || error.id === 'readOnly') return { level: 'info', message: 'a request was refused' }
    return { level: 'warn', message: 'a request could not be served' }
  }
  switch (outcome) {
    case 'complete':
      return { level: 'debug', message: 'a request was served' }
    case 'aborted-by-client':
      return { level: 'info', message: 'the client broke off' }
    case 'aborted-by-upstream':
      return { level: 'warn', message: 'the upstream registry broke off' }
    case 'aborted-by-gateway':
      return { level: 'warn', message: 'the gateway broke off: a deadline passed or it is stopping' }
  }
}

/** Logs the end of an exchange. */
export function logExchange(log: Logger, record: ExchangeRecord): void {
  const { level, message } = entryFor(record)
  if (log.isEnabled(level)) log[level](message, fieldsOf(record), record.error)
}

function fieldsOf(record: ExchangeRecord): LogFields {
  const { request, principal, error } = record
  const { repository, reference, digest } = subjectOf(request)
  return {
    requestId: record.requestId,
    clientAddress: record.clientAddress,
    user: principal?.kind === 'user' ? principal.name : undefined,
    method: printable(record.method),
    route: routeLabel(request),
    path: request === undefined ? printablePath(record.path) : undefined,
    repository: repository ?? undefined,
    reference: reference ?? digest ?? undefined,
    status: record.status,
    errorId: error?.id,
    durationMs: Math.round(record.durationMs),
    outcome: record.outcome,
  }
}
