import type { LdapFault } from './ldap-error.ts'
import type { RefusalReason } from './refusal-reason.ts'

/** What the gateway does at a directory; a closed set, fit for a metric label. */
export type LdapOperation = 'connect' | 'serviceBind' | 'userSearch' | 'userBind' | 'groupSearch'

/** What this backend tells about itself. Labels are closed sets; `server` is one of the configured addresses. */
export type LdapEvents = {
  /** A server begins or ceases to answer; told once for each change, and once at its first connection. */
  ldapServerChanged(change: { readonly server: string; readonly isUp: boolean; readonly sentence?: string }): void
  ldapOperationEnded(operation: {
    readonly operation: LdapOperation
    /** `refused`: a user's bind with another password. */
    readonly outcome: 'ok' | 'refused' | LdapFault
    readonly durationMs: number
  }): void
  /** The directory does not take the service account: an operator has to act. */
  ldapServiceRefused(refusal: { readonly server: string; readonly sentence: string }): void
  /** Why a user was refused, for operators only. `user` is the name of the entry, or the name typed for no single entry. */
  ldapUserRefused(refusal: { readonly user: string; readonly reason: RefusalReason }): void
  /** A login got no turn. */
  ldapTurnedAway(reason: 'queueFull' | 'queueWait'): void
  /** A password was not sent: the account has had its share of wrong ones, or this one was wrong a moment ago. */
  ldapBindWithheld(reason: 'budget' | 'repeated'): void
  /** A login was served from memory because the directory is down. */
  ldapServedStale(login: { readonly ageMs: number }): void
  /** A group has no short name since several of that name are below the base; told with the name. */
  ldapGroupAmbiguous(group: { readonly name: string }): void
}
