/** What the tests of LDAP make again and again. */
import { randomBytes } from 'node:crypto'
import type { LoginAttempt, UserPrincipal } from '../../../../src/authentication/authenticator.ts'
import type { Clock } from '../../../../src/authentication/clock.ts'
import { monotonicClock } from '../../../../src/authentication/clock.ts'
import type { LdapAuthenticator } from '../../../../src/authentication/ldap/authenticator.ts'
import type { LdapEvents } from '../../../../src/telemetry/ldap-events.ts'
import { LdapError } from '../../../../src/authentication/ldap/ldap-error.ts'
import { openLdap } from '../../../../src/authentication/ldap/open-ldap.ts'
import { createVerifiedCredentials } from '../../../../src/authentication/verified-credentials.ts'
import type { VerifiedCredentials } from '../../../../src/authentication/verified-credentials.ts'
import { ldapSection } from '../../../../src/config/ldap-settings.ts'
import type { LdapDirectorySettings } from '../../../../src/config/ldap-settings.ts'
import { plainText } from '../../../../src/config/values.ts'
import { RegistryError } from '../../../../src/registry/error.ts'
import { createMemoryStore } from '../../../../src/store/memory-store.ts'
import type { Store } from '../../../../src/store/store.ts'
import { peopleDn, serviceAccount } from '../../../support/ldap-entries.ts'

/** Settings as a configuration file says them, for the service account of the test directory unless told. */
export function ldapSettings(keys: Readonly<Record<string, unknown>>): LdapDirectorySettings {
  const usual = { bindDn: serviceAccount.dn, bindPassword: serviceAccount.password, searchBase: peopleDn }
  const merged: Readonly<Record<string, unknown>> = { ...usual, ...keys }
  const chosen = Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== undefined))
  const settings = ldapSection(plainText).parse({ enabled: true, ...chosen })
  if (!settings.enabled) throw new Error('it is off')
  return settings
}

/** Everything that was told, by the name of the event. */
export type ToldEvents = { readonly events: LdapEvents; readonly told: (name: keyof LdapEvents) => readonly unknown[] }

export function recordEvents(): ToldEvents {
  const all: (readonly [name: string, what: unknown])[] = []
  const tell = (name: keyof LdapEvents) => (what: unknown) => {
    all.push([name, what])
  }
  return {
    events: {
      ldapServerChanged: tell('ldapServerChanged'),
      ldapOperationEnded: tell('ldapOperationEnded'),
      ldapServiceRefused: tell('ldapServiceRefused'),
      ldapUserRefused: tell('ldapUserRefused'),
      ldapTurnedAway: tell('ldapTurnedAway'),
      ldapBindWithheld: tell('ldapBindWithheld'),
      ldapServedStale: tell('ldapServedStale'),
      ldapGroupAmbiguous: tell('ldapGroupAmbiguous'),
    },
    told: (name) => all.filter(([one]) => one === name).map(([, what]) => what),
  }
}

/** A login as the stage opens it, with no lockout in front. */
export function attemptOf(
  username: string,
  password: string,
  { network = '192.0.2.1', rank = 1 }: { readonly network?: string; readonly rank?: number } = {},
): LoginAttempt {
  return {
    username,
    network,
    verify: ({ memory, backend, current, isPossible, check }) => {
      if (!isPossible(password)) return Promise.resolve('wrong')
      const key = memory.keyOf({ backend, username, password, current })
      const remembered = memory.recall(key, network)
      if (remembered !== undefined) return Promise.resolve(remembered)
      return memory.verify(key, network, () => check(password, memory.isKnown(key, network) ? 0 : rank))
    },
  }
}

export type LdapSite = ToldEvents & {
  readonly ldap: LdapAuthenticator
  readonly store: Store
  readonly verified: VerifiedCredentials<UserPrincipal>
  /**
   * How a login ends, in one word or two: the canonical name, `refused`, `notMine`, `unavailable FAULT`, or the id of a
   * `RegistryError`.
   */
  readonly login: (username: string, password: string, network?: string) => Promise<string>
  readonly groupsOf: (username: string, password: string) => Promise<readonly string[]>
  readonly close: () => Promise<void>
}

export type SiteOptions = {
  readonly settings: LdapDirectorySettings
  readonly ca?: string
  readonly clock?: Clock
  readonly credentialTtlMs?: number
  readonly isTaken?: (name: string) => boolean
  readonly store?: Store
}

export function openSite(options: SiteOptions): LdapSite {
  const { settings, ca, clock = monotonicClock, credentialTtlMs = 0, isTaken = () => false } = options
  const recorded = recordEvents()
  const store = options.store ?? createMemoryStore({ clock, maxKeys: 10_000 })
  const verified = createVerifiedCredentials<UserPrincipal>({
    ...{ secret: randomBytes(32), ttlMs: credentialTtlMs, negativeTtlMs: 0, capacity: 10_000, clock },
    events: { credentialCacheAsked: () => undefined },
  })
  const ldap = openLdap({
    ...{ settings, verified, credentialTtlMs, store, isTaken, clock },
    ...(ca === undefined ? {} : { ca }),
    events: recorded.events,
  })

  async function login(username: string, password: string, network = '192.0.2.1'): Promise<string> {
    try {
      const answer = await ldap.check(attemptOf(username, password, { network }))
      if (answer.kind === 'authenticated') return answer.principal.name
      if (answer.kind !== 'unavailable') return answer.kind
      return `unavailable ${answer.cause instanceof LdapError ? answer.cause.fault : String(answer.cause)}`
    } catch (error) {
      if (error instanceof RegistryError) return error.id
      throw error
    }
  }

  return {
    ...recorded,
    ...{ ldap, store, verified, login },
    groupsOf: async (username, password) => {
      const answer = await ldap.check(attemptOf(username, password))
      if (answer.kind === 'authenticated') return answer.principal.groups
      throw new Error(answer.kind, { cause: answer.kind === 'unavailable' ? answer.cause : undefined })
    },
    close: async () => {
      ldap.close()
      await store.close()
    },
  }
}
