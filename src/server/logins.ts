import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { createAuthentication } from '../authentication/authentication.ts'
import type { Authentication } from '../authentication/authentication.ts'
import type { UserPrincipal } from '../authentication/authenticator.ts'
import { basicChallenges } from '../authentication/challenge.ts'
import { monotonicClock } from '../authentication/clock.ts'
import { createHtpasswd } from '../authentication/htpasswd-authenticator.ts'
import type { HtpasswdAuthenticator } from '../authentication/htpasswd-authenticator.ts'
import type { LdapAuthenticator } from '../authentication/ldap/authenticator.ts'
import { openLdap } from '../authentication/ldap/open-ldap.ts'
import { createLockout, openGuard } from '../authentication/lockout.ts'
import type { Lockout } from '../authentication/lockout.ts'
import { readHtpasswd } from '../authentication/htpasswd.ts'
import type { HtpasswdTable } from '../authentication/htpasswd.ts'
import { createPasswordHashing, hashingConcurrency, nativeBcrypt } from '../authentication/password-hashing.ts'
import { createVerifiedCredentials } from '../authentication/verified-credentials.ts'
import type { VerifiedCredentials } from '../authentication/verified-credentials.ts'
import type { LdapDirectorySettings } from '../config/ldap-settings.ts'
import type { LockoutSettings } from '../config/lockout-settings.ts'
import type { Config } from '../config/schema.ts'
import { contains, networkList } from '../listener/client-address.ts'
import type { Store } from '../store/store.ts'
import type { Events } from '../telemetry/events.ts'

/** A wrong password that is sent again and again within this time is hashed once. */
const negativeTtlMs = 10_000
const rememberedCredentials = 10_000

/** libuv's own default, where `UV_THREADPOOL_SIZE` does not say otherwise. */
const defaultThreadPoolSize = 4

export type Logins = {
  readonly authentication: Authentication
  /** For who may look into it and let addresses go; nothing where it is off. */
  readonly lockout: Pick<Lockout, 'list' | 'clear'> | undefined
  /**
   * Puts the users of a file in the place of those before.
   *
   * @throws HtpasswdError when it cannot be read or nobody in it could log in; everything stays as it was
   */
  readonly replaceUsers: (file: string) => Promise<void>
  /** Forgets every login that is remembered, right or wrong: the next of each is checked anew. */
  readonly flush: () => void
  /** Lets go of connections and of those who wait. */
  close(): void
}

/** What a login has to pass before its password is checked. */
export type LoginAdmission = {
  readonly lockout: LockoutSettings
  /** Where guesses are counted; must answer, from memory where Redis does not. */
  readonly store: Store
  /** Throws a `RegistryError` for an address that has had its share of logins. */
  readonly admitLogin: (address: string) => Promise<void>
}

/**
 * Builds the authentication stage with the backends that the configuration enables.
 *
 * @throws HtpasswdError when the file of users cannot be read or nobody in it could log in
 */
export async function createLogins(
  settings: Config['authentication'],
  events: Events,
  admission: LoginAdmission,
): Promise<Logins> {
  const { htpasswd, ldap, order } = settings
  const users = htpasswd.enabled ? await createUsers(htpasswd.file, settings, events) : undefined
  const directory = ldap.enabled
    ? await openDirectory(ldap, settings, admission.store, (name) => users?.authenticator.has(name) === true, events)
    : undefined
  const backends = { htpasswd: users?.authenticator, ldap: directory?.authenticator }
  const lockout = createGuard(admission, events)
  const authentication = createAuthentication({
    authenticators: order.flatMap((name) => backends[name] ?? []),
    challenges: basicChallenges,
    failureFloorMs: settings.failureFloorMs,
    anonymousEnabled: settings.anonymous.enabled,
    clock: monotonicClock,
    events,
    guard: lockout ?? openGuard,
    admitLogin: admission.admitLogin,
  })
  return {
    authentication,
    lockout,
    replaceUsers: async (file) => {
      await users?.authenticator.replace(await readUsers(file, events))
    },
    flush: () => {
      users?.verified.clear()
      directory?.verified.clear()
      directory?.authenticator.forget()
    },
    close: () => {
      directory?.authenticator.close()
    },
  }
}

type Remembering<Backend> = {
  readonly authenticator: Backend
  readonly verified: VerifiedCredentials<UserPrincipal>
}

/** @throws Error when the file of authorities cannot be read */
async function openDirectory(
  settings: LdapDirectorySettings,
  { credentialCacheTtlSeconds }: Config['authentication'],
  store: Store,
  isTaken: (name: string) => boolean,
  events: Events,
): Promise<Remembering<LdapAuthenticator>> {
  const credentialTtlMs = credentialCacheTtlSeconds * 1000
  // Nothing of the directory tells that a password was changed: what was wrong may be right now.
  const verified = createMemory(credentialTtlMs, 0, events)
  const ca = settings.caFile === undefined ? {} : { ca: await readFile(settings.caFile, 'utf8') }
  const authenticator = openLdap({
    ...{ settings, verified, credentialTtlMs, store, isTaken, events },
    ...ca,
    clock: monotonicClock,
  })
  return { authenticator, verified }
}

function createMemory(ttlMs: number, negativeMs: number, events: Events): VerifiedCredentials<UserPrincipal> {
  return createVerifiedCredentials<UserPrincipal>({
    secret: randomBytes(32),
    ttlMs,
    negativeTtlMs: negativeMs,
    capacity: rememberedCredentials,
    clock: monotonicClock,
    events,
  })
}

function createGuard(admission: LoginAdmission, observe: Events): Lockout | undefined {
  if (!admission.lockout.enabled) return undefined
  const { lockout: settings, store } = admission
  const exempt = networkList(settings.exemptAddresses)
  return createLockout({
    ...{ settings, store, clock: monotonicClock, observe },
    isExempt: (address) => contains(exempt, address),
  })
}

async function readUsers(file: string, events: Events): Promise<HtpasswdTable> {
  const table = await readHtpasswd(file)
  events.htpasswdLoaded({
    users: table.hashes.size,
    unusableLines: table.faults.filter(({ severity }) => severity === 'error').length,
    faults: table.faults.map(({ line, sentence }) => `line ${line}: ${sentence}`),
  })
  return table
}

async function createUsers(
  file: string,
  settings: Config['authentication'],
  events: Events,
): Promise<Remembering<HtpasswdAuthenticator>> {
  const table = await readUsers(file, events)
  const hashing = createPasswordHashing({
    maxConcurrent: hashingConcurrency({
      setting: settings.maxConcurrentHashes,
      processors: availableParallelism(),
      threadPoolSize: threadPoolSize(),
    }),
    maxQueued: settings.maxQueuedHashes,
    maxQueueWaitMs: settings.maxQueueWaitMs,
    clock: monotonicClock,
    events,
    bcrypt: nativeBcrypt,
  })
  const verified = createMemory(settings.credentialCacheTtlSeconds * 1000, negativeTtlMs, events)
  return { authenticator: await createHtpasswd({ table, hashing, verified, clock: monotonicClock }), verified }
}

/** Threads of libuv's pool; garbage in the variable means libuv's default, as it does to libuv. */
function threadPoolSize(): number {
  const size = Number(process.env['UV_THREADPOOL_SIZE'])
  return Number.isInteger(size) && size > 0 ? size : defaultThreadPoolSize
}
