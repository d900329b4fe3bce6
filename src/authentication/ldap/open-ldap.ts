import { randomBytes } from 'node:crypto'
import type { LdapDirectorySettings } from '../../config/ldap-settings.ts'
import type { Store } from '../../store/store.ts'
import type { LdapEvents } from '../../telemetry/ldap-events.ts'
import type { UserPrincipal } from '../authenticator.ts'
import type { Clock } from '../clock.ts'
import type { VerifiedCredentials } from '../verified-credentials.ts'
import { createLdap } from './authenticator.ts'
import type { LdapAuthenticator } from './authenticator.ts'
import { createBindBudget } from './bind-budget.ts'
import { createDirectory } from './directory.ts'
import { createStaleLogins } from './stale-logins.ts'
import { createTurns } from './turns.ts'
import { createWrongPasswords } from './wrong-passwords.ts'

export type OpenLdapOptions = {
  readonly settings: LdapDirectorySettings
  /** The content of `settings.caFile`. */
  readonly ca?: string
  /** Made with `negativeTtlMs: 0`: what was wrong is remembered here, together with the state of the entry. */
  readonly verified: VerifiedCredentials<UserPrincipal>
  /** How long `verified` remembers; {@link LdapDirectorySettings.staleSeconds} comes on top. */
  readonly credentialTtlMs: number
  /** Shared by all gateways; must answer, from memory where Redis does not. */
  readonly store: Store
  /** Whether another backend has a user of that name. */
  readonly isTaken: (name: string) => boolean
  readonly clock: Clock
  readonly events: LdapEvents
}

/** Logins of which something is remembered here, of each kind. */
const capacity = 10_000

/** Puts together the backend of a directory. It connects with the first login, not before. */
export function openLdap(options: OpenLdapOptions): LdapAuthenticator {
  const { settings, ca, verified, store, isTaken, clock, events } = options
  const windowMs = settings.failedBindWindowSeconds * 1_000
  const staleMs = settings.staleSeconds * 1_000
  return createLdap({
    directory: createDirectory({ settings, clock, events, ...(ca === undefined ? {} : { ca }) }),
    ...{ verified, isTaken, clock, events },
    wrong: createWrongPasswords({ secret: randomBytes(32), ttlMs: windowMs, capacity, clock }),
    stale: createStaleLogins({ maxAgeMs: staleMs === 0 ? 0 : options.credentialTtlMs + staleMs, capacity, clock }),
    turns: createTurns({
      maxConcurrent: settings.maxConcurrentLogins,
      maxQueued: settings.maxQueuedLogins,
      maxWaitMs: settings.maxQueueWaitMs,
      ...{ clock, events },
    }),
    budget: createBindBudget({ maxFailedBinds: settings.maxFailedBinds, windowMs, store }),
  })
}
