import { randomBytes } from 'node:crypto'
import { normalDn } from '../../config/distinguished-name.ts'
import type { LdapDirectorySettings } from '../../config/ldap-settings.ts'
import type { LdapEvents } from '../../telemetry/ldap-events.ts'
import type { LdapOperation, LdapRefusal } from '../../telemetry/ldap-labels.ts'
import type { Clock } from '../clock.ts'
import type { LdapEntry } from './answer.ts'
import { canonicalName, nameValue } from './canonical-name.ts'
import { openConnection } from './connection.ts'
import type { LdapBindReply, LdapConnection } from './connection.ts'
import { describe } from './fault-sentences.ts'
import { findGroups } from './groups.ts'
import { LdapError } from './ldap-error.ts'
import { createPool } from './pool.ts'
import { readBindReply } from './refusal-reason.ts'
import { ask } from './searching.ts'
import type { Ask } from './searching.ts'
import { createServers } from './servers.ts'
import { findShortNames } from './short-names.ts'
import { checkSameUser, fillTemplate, nobodysName, readUser, rootSearch, searchUser, stampOf } from './user-lookup.ts'

/** Somebody whose password can be checked. */
export type BindTarget = {
  /** What the bind is sent with. */
  readonly bindName: string
  /** The account, however its name was typed: what wrong passwords are counted by. */
  readonly account: string
  /** Changes when the entry does; '' where that is not known. */
  readonly stamp: string
  /** Found by the service account; absent where the user is bound without a search. */
  readonly entry?: LdapEntry
}

export type FoundTarget =
  { readonly kind: 'found'; readonly target: BindTarget } | { readonly kind: 'none' } | { readonly kind: 'ambiguous' }

/** Who somebody is whose password was right. */
export type LdapIdentity = {
  /** Canonical. */
  readonly name: string
  /** DNs of all groups in their normal form, then the short names of those that have one. */
  readonly groups: readonly string[]
}

export type BindOutcome =
  | { readonly kind: 'accepted'; readonly identity: LdapIdentity }
  | {
      readonly kind: 'refused'
      readonly reason: LdapRefusal
      /** Of the entry after the bind, which the directory may have written into it. */
      readonly stamp: string
    }

/** The people of a directory. What it cannot say, whatever the cause, is thrown as an `LdapError`. */
export type Directory = {
  /** Whose name this is; nothing is sent where users are bound without a search. */
  find(username: string): Promise<FoundTarget>
  /**
   * Checks a password, and if it is right says who that is.
   *
   * @param told is called as soon as the directory has said whether the password is right, before anything else is asked
   */
  bind(username: string, target: BindTarget, password: string, told: (isRight: boolean) => void): Promise<BindOutcome>
  /** Does what a wrong password does, for nobody. */
  bindNobody(): Promise<void>
  /** Lets go of all connections; what is under way fails. */
  close(): void
}

export type DirectoryOptions = {
  readonly settings: LdapDirectorySettings
  /** The content of `settings.caFile`. */
  readonly ca?: string
  readonly clock: Clock
  readonly events: LdapEvents
}

export function createDirectory({ settings, ca, clock, events }: DirectoryOptions): Directory {
  const { connectTimeoutMs, service, bindTemplate } = settings
  const connectionOptions = {
    ...(ca === undefined ? {} : { ca }),
    ...(settings.serverName === undefined ? {} : { serverName: settings.serverName }),
    ...{ allowInsecure: settings.allowInsecure, operationTimeoutMs: settings.operationTimeoutMs, clock },
  }
  const servers = createServers({
    ...{ servers: settings.servers, connectTimeoutMs, clock, events },
    open: (server, timeoutMs) => openConnection(server, timeoutMs, connectionOptions),
    probe: async (connection) => {
      // Any answer will do: some directories show their root to nobody.
      await connection.search(rootSearch)
    },
  })
  const pool = createPool({ servers, clock, events, ...(service === undefined ? {} : { service }) })

  async function timed<Result>(operation: LdapOperation, run: () => Promise<Result>): Promise<Result> {
    const startedAtMs = clock.nowMs()
    const told = (outcome: Parameters<typeof events.ldapOperationEnded>[0]['outcome']): void => {
      events.ldapOperationEnded({ operation, outcome, durationMs: clock.nowMs() - startedAtMs })
    }
    try {
      const result = await run()
      told(result === 'refused' ? 'refused' : 'ok')
      return result
    } catch (error) {
      told(error instanceof LdapError ? error.fault : 'protocolFault')
      throw error
    }
  }

  const asService: Ask = (search) => pool.search((connection) => ask(connection, search))

  async function find(username: string): Promise<FoundTarget> {
    if (bindTemplate !== undefined) {
      const bindName = fillTemplate(bindTemplate, username)
      if (bindName === undefined) return { kind: 'none' }
      return { kind: 'found', target: { bindName, account: accountOf(bindName), stamp: '' } }
    }
    const found = await timed('userSearch', () => searchUser(username, settings, asService))
    if (found.kind !== 'found') return found
    const { entry } = found
    return { kind: 'found', target: { bindName: entry.dn, account: accountOf(entry.dn), stamp: stampOf(entry), entry } }
  }

  /** The entry of who is bound on a connection without a search before. */
  async function findSelf(username: string, bindName: string, connection: LdapConnection): Promise<LdapEntry> {
    const asSelf: Ask = (search) => ask(connection, search)
    if (bindTemplate?.kind === 'dn') return readUser(bindName, settings, asSelf)
    const found = await searchUser(username, settings, asSelf)
    if (found.kind !== 'found') {
      const count = found.kind === 'none' ? 'no entry' : 'several entries'
      throw new LdapError('unusableEntry', `${bindName} has bound and has ${count} by authentication.ldap.searchFilter`)
    }
    await checkSameUser(connection, found.entry, bindName)
    return found.entry
  }

  /** '' where it cannot be said; why a password is wrong is known all the same. */
  async function stampNow(entry: LdapEntry | undefined): Promise<string> {
    if (entry === undefined) return ''
    try {
      return stampOf(await readUser(entry.dn, settings, asService))
    } catch {
      return ''
    }
  }

  async function identify(entry: LdapEntry, asking: Ask): Promise<LdapIdentity> {
    const name = canonicalName(entry, settings)
    const member = { entry, name: nameValue(entry, settings.nameAttribute) }
    const found = await findGroups(member, settings.groups, asking)
    const { groups, nameCase } = settings
    const shortNames = await findShortNames(found, { groups, nameCase, asking, events })
    return { name, groups: [...found.keys(), ...shortNames] }
  }

  async function identifySelf(username: string, bindName: string, connection: LdapConnection): Promise<LdapIdentity> {
    const entry = await timed('userSearch', () => findSelf(username, bindName, connection))
    return groupsTimed(() => identify(entry, (search) => ask(connection, search)))
  }

  function groupsTimed(run: () => Promise<LdapIdentity>): Promise<LdapIdentity> {
    return settings.groups.kind === 'none' ? run() : timed('groupSearch', run)
  }

  return {
    find,
    async bind(username, { bindName, entry }, password, told) {
      let reason: LdapRefusal | undefined
      const identity = await pool.bind(async (connection) => {
        const outcome = await timed('userBind', async () => {
          const verdict = verdictOf(await connection.bind(bindName, password), connection)
          reason = verdict === 'accepted' ? undefined : verdict
          return verdict === 'accepted' ? verdict : 'refused'
        })
        told(outcome === 'accepted')
        if (outcome === 'refused' || entry !== undefined) return undefined
        return identifySelf(username, bindName, connection)
      })
      if (reason !== undefined) return { kind: 'refused', reason, stamp: await stampNow(entry) }
      if (identity !== undefined) return { kind: 'accepted', identity }
      if (entry === undefined) throw new LdapError('unusableEntry', `there is no entry of ${bindName}`)
      return { kind: 'accepted', identity: await groupsTimed(() => identify(entry, asService)) }
    },
    async bindNobody() {
      await pool.bind((connection) =>
        timed('userBind', async () => {
          const reply = await connection.bind(nobodysName(settings), randomBytes(12).toString('base64'))
          // A directory at fault says so to nobody as it would to somebody; that it does not know such names is no fault.
          if (reply.code !== invalidName) verdictOf(reply, connection)
          return 'refused'
        }),
      )
    },
    close() {
      servers.close()
      pool.close()
    },
  }
}

/** invalidDNSyntax: the directory has no such attribute, or not in names. */
const invalidName = 34

function accountOf(bindName: string): string {
  return normalDn(bindName) ?? bindName.toLowerCase()
}

/** @throws LdapError when the directory speaks of itself, and not of the user */
function verdictOf(reply: LdapBindReply, { server }: LdapConnection): 'accepted' | LdapRefusal {
  const verdict = readBindReply(reply)
  if (verdict !== undefined) return verdict
  const text = `${server.url} did not check a user's password: ${describe(reply)}`
  throw new LdapError('bindRefused', text, { resultCode: reply.code })
}
