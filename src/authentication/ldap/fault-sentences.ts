import type { LdapServer } from '../../config/ldap-settings.ts'
import type { LdapResult } from './answer.ts'
import { LdapError } from './ldap-error.ts'

/** RFC 4511 appendix A, of what directories answer. */
const resultNames: Readonly<Record<number, string>> = {
  ...{ 1: 'operationsError', 2: 'protocolError', 3: 'timeLimitExceeded', 4: 'sizeLimitExceeded' },
  ...{ 7: 'authMethodNotSupported', 8: 'strongerAuthRequired', 10: 'referral', 11: 'adminLimitExceeded' },
  ...{ 13: 'confidentialityRequired', 19: 'constraintViolation', 32: 'noSuchObject', 34: 'invalidDNSyntax' },
  ...{ 48: 'inappropriateAuthentication', 49: 'invalidCredentials', 50: 'insufficientAccessRights', 51: 'busy' },
  ...{ 52: 'unavailable', 53: 'unwillingToPerform', 80: 'other' },
}

/** `code 49 (invalidCredentials): text of the server`. */
export function describe({ code, message }: LdapResult): string {
  const name = resultNames[code]
  return `code ${code}${name === undefined ? '' : ` (${name})`}${message === '' ? '' : `: ${message}`}`
}

const tlsCodes = /^(CERT_|DEPTH_|SELF_|UNABLE_TO_|ERR_SSL_|ERR_TLS_|EPROTO|HOSTNAME_|CRL_|INVALID_)/

/** What a failed attempt to connect is in an operator's words. */
export function connectFault(server: LdapServer, error: unknown): LdapError {
  if (error instanceof LdapError) return error
  const code = textOf(error, 'code')
  const message = textOf(error, 'message') || code
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const cure = 'set authentication.ldap.serverName to one of the names in its certificate'
    return new LdapError('tlsFailed', `no TLS with ${server.url}: ${message} ${cure}`, { cause: error })
  }
  if (tlsCodes.test(code)) {
    const cure = code === 'CERT_HAS_EXPIRED' ? 'renew it' : 'name its authority in authentication.ldap.caFile'
    return new LdapError('tlsFailed', `no TLS with ${server.url}: ${message} (${code}); ${cure}`, { cause: error })
  }
  return new LdapError('connectFailed', `cannot connect to ${server.url}: ${message}`, { cause: error })
}

/** Errors of Node may come from another realm, where `instanceof Error` does not hold. */
function textOf(error: unknown, key: 'code' | 'message'): string {
  if (typeof error !== 'object' || error === null || !(key in error)) return ''
  return String(Reflect.get(error, key))
}
