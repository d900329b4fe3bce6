import type { LdapFault } from '../../telemetry/ldap-labels.ts'

/**
 * The directory, or what we know of it, is at fault, and nobody's password. The message is for operators: it names the
 * server or the setting and the cure, and never a password.
 */
export class LdapError extends Error {
  readonly fault: LdapFault
  /** The result code of the answer (RFC 4511 section 4.1.9), where there was one. */
  readonly resultCode: number | undefined

  constructor(fault: LdapFault, message: string, options: ErrorOptions & { readonly resultCode?: number } = {}) {
    super(message, options)
    this.name = 'LdapError'
    this.fault = fault
    this.resultCode = options.resultCode
  }
}
