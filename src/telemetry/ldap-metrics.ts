import type { Registry } from 'prom-client'
import { ldapRefusals } from './ldap-labels.ts'
import type { LdapOperation, LdapOutcome, LdapRefusal, LdapTurnRefusal, LdapWithholding } from './ldap-labels.ts'
import { counter, counterBy, gauge, histogram, remembered } from './metric-children.ts'
import { definitions } from './metric-definitions.ts'

/** What is counted of a directory. */
export type LdapMetrics = {
  /** @param server its address in the configuration */
  readonly ldapServer: (server: string, up: boolean) => void
  readonly ldapOperation: (operation: LdapOperation, outcome: LdapOutcome, seconds: number) => void
  readonly ldapServiceRefused: () => void
  readonly ldapUserRefused: (reason: LdapRefusal) => void
  readonly ldapTurnedAway: (reason: LdapTurnRefusal) => void
  readonly ldapBindWithheld: (reason: LdapWithholding) => void
  readonly ldapServedStale: () => void
}

export function ldapMetrics(registry: Registry): LdapMetrics {
  const up = gauge(registry, definitions.ldapUp)
  const operationCounter = counter(registry, definitions.ldapOperations)
  const operations = remembered((operation: LdapOperation) =>
    remembered((outcome: LdapOutcome) => operationCounter.labels({ operation, outcome })),
  )
  const durations = histogram(registry, definitions.ldapDuration)
  const serviceRefusals = counter(registry, definitions.ldapServiceRefused)
  const userRefusals = counterBy(registry, definitions.ldapUserRefused, 'reason', ldapRefusals)
  const turnedAway = counterBy(registry, definitions.ldapTurnedAway, 'reason', ['queueFull', 'queueWait'])
  const withheld = counterBy(registry, definitions.ldapBindsWithheld, 'reason', ['budget', 'repeated'])
  const stale = counter(registry, definitions.ldapStale)
  return {
    ldapServer: (server, isUp) => {
      up.set({ server }, isUp ? 1 : 0)
    },
    ldapOperation: (operation, outcome, seconds) => {
      operations(operation)(outcome).inc()
      durations.observe({ operation }, seconds)
    },
    ldapServiceRefused: () => {
      serviceRefusals.inc()
    },
    ldapUserRefused: (reason) => {
      userRefusals(reason).inc()
    },
    ldapTurnedAway: (reason) => {
      turnedAway(reason).inc()
    },
    ldapBindWithheld: (reason) => {
      withheld(reason).inc()
    },
    ldapServedStale: () => {
      stale.inc()
    },
  }
}
