import type { LdapOperation, LdapOutcome, LdapRefusal, LdapTurnRefusal, LdapWithholding } from './ldap-labels.ts'
import type { LdapMetrics } from './ldap-metrics.ts'
import type { Logger } from './log.ts'
import { printable } from './printable.ts'

/** What happens at a directory. */
export type LdapEvents = {
  /** A server begins or ceases to answer; told once for each change, and once at its first connection. */
  ldapServerChanged(change: { readonly server: string; readonly isUp: boolean; readonly sentence?: string }): void
  ldapOperationEnded(operation: {
    readonly operation: LdapOperation
    readonly outcome: LdapOutcome
    readonly durationMs: number
  }): void
  /** The directory does not take the service account: an operator has to act. */
  ldapServiceRefused(refusal: { readonly server: string; readonly sentence: string }): void
  /** Why a user was refused, for operators only. `user` is the name of the entry, or the name typed for no single entry. */
  ldapUserRefused(refusal: { readonly user: string; readonly reason: LdapRefusal }): void
  /** A login got no turn. */
  ldapTurnedAway(reason: LdapTurnRefusal): void
  ldapBindWithheld(reason: LdapWithholding): void
  /** A login was served from memory because the directory is down. */
  ldapServedStale(login: { readonly ageMs: number }): void
  /** A group has no short name since several of that name are below the base; told with the name. */
  ldapGroupAmbiguous(group: { readonly name: string }): void
}

/** Names of groups that were told of; a directory with more of that kind is told of these. */
const maxGroupsTold = 1_000

export function ldapEvents(log: Logger, metrics: LdapMetrics): LdapEvents {
  const groupsTold = new Set<string>()
  return {
    ldapServerChanged: ({ server, isUp, sentence = '' }) => {
      metrics.ldapServer(server, isUp)
      if (isUp) log.info('the directory answers', { server })
      else log.warn('the directory does not answer', { server, sentence })
    },
    ldapOperationEnded: ({ operation, outcome, durationMs }) => {
      metrics.ldapOperation(operation, outcome, durationMs / 1_000)
    },
    ldapServiceRefused: ({ server, sentence }) => {
      metrics.ldapServiceRefused()
      log.error('the directory refuses the service account: check authentication.ldap.bindDn and bindPassword', {
        server,
        sentence,
      })
    },
    ldapUserRefused: ({ user, reason }) => {
      metrics.ldapUserRefused(reason)
      log.info('the directory refused a user', { user: printable(user), reason })
    },
    ldapTurnedAway: metrics.ldapTurnedAway,
    ldapBindWithheld: metrics.ldapBindWithheld,
    ldapServedStale: ({ ageMs }) => {
      metrics.ldapServedStale()
      log.debug('a login was answered from memory, because the directory does not answer', { ageMs })
    },
    ldapGroupAmbiguous: ({ name }) => {
      if (groupsTold.has(name) || groupsTold.size >= maxGroupsTold) return
      groupsTold.add(name)
      log.warn('several groups of the directory have one short name, so that none of them has it', { name })
    },
  }
}
