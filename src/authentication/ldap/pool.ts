import type { Clock } from '../clock.ts'
import type { LdapConnection } from './connection.ts'
import { describe } from './fault-sentences.ts'
import { LdapError } from './ldap-error.ts'
import type { LdapEvents } from './ldap-events.ts'
import type { Servers } from './servers.ts'

/** Connections that are kept. How many are in use at one time is bounded by who uses them. */
export type LdapPool = {
  /** With a connection on which the service account is bound. @throws LdapError */
  search<Result>(use: (connection: LdapConnection) => Promise<Result>): Promise<Result>
  /**
   * With a connection for a user's bind. Nothing is ever asked on it before a bind: who was bound before is nobody's
   * business, and a bind that fails leaves nobody bound (RFC 4511 section 4.2.1).
   *
   * @throws LdapError
   */
  bind<Result>(use: (connection: LdapConnection) => Promise<Result>): Promise<Result>
  close(): void
}

export type PoolOptions = {
  readonly servers: Servers
  /** Absent: searches are anonymous. */
  readonly service?: { readonly dn: string; readonly password: string }
  readonly clock: Clock
  readonly events: Pick<LdapEvents, 'ldapServiceRefused' | 'ldapOperationEnded'>
}

/** Connections that nobody needs are closed before firewalls forget them. */
const maxIdleMs = 30_000
/** A service account that was locked or removed must not live on in a connection. */
const maxAgeMs = 300_000
/** How long a refused service account is not tried again, so that trying does not lock it. */
const firstHoldMs = 5_000
const longestHoldMs = 60_000

type Kept = { readonly connection: LdapConnection; readonly openedAtMs: number; idleSinceMs: number }

export function createPool({ servers, service, clock, events }: PoolOptions): LdapPool {
  const kept = { search: new Set<Kept>(), bind: new Set<Kept>() }
  const open = new Set<LdapConnection>()
  let cancelSweep: (() => void) | undefined
  let hold: { readonly error: LdapError; readonly untilMs: number; readonly lastsMs: number } | undefined
  let isClosed = false

  /** The one that was used last, so that those that are not needed grow old. */
  function takeKept(purpose: 'search' | 'bind'): Kept | undefined {
    const idle = [...kept[purpose]].at(-1)
    if (idle === undefined) return undefined
    kept[purpose].delete(idle)
    if (isFresh(idle)) return idle
    drop(idle)
    return takeKept(purpose)
  }

  function isFresh({ connection, openedAtMs, idleSinceMs }: Kept): boolean {
    const nowMs = clock.nowMs()
    return connection.isOpen() && nowMs - idleSinceMs < maxIdleMs && nowMs - openedAtMs < maxAgeMs
  }

  function drop({ connection }: Kept): void {
    open.delete(connection)
    connection.close()
  }

  function keep(purpose: 'search' | 'bind', one: Kept): void {
    if (isClosed || !one.connection.isOpen()) {
      drop(one)
      return
    }
    one.idleSinceMs = clock.nowMs()
    kept[purpose].add(one)
    cancelSweep ??= clock.after(maxIdleMs, sweep)
  }

  function sweep(): void {
    for (const purpose of ['search', 'bind'] as const)
      for (const one of kept[purpose]) {
        if (isFresh(one)) continue
        kept[purpose].delete(one)
        drop(one)
      }
    const isEmpty = kept.search.size + kept.bind.size === 0
    cancelSweep = isEmpty ? undefined : clock.after(maxIdleMs, sweep)
  }

  async function openNew(purpose: 'search' | 'bind'): Promise<Kept> {
    if (purpose === 'search' && hold !== undefined && clock.nowMs() < hold.untilMs) throw hold.error
    const connection = await servers.connect()
    open.add(connection)
    const one = { connection, openedAtMs: clock.nowMs(), idleSinceMs: clock.nowMs() }
    try {
      if (isClosed) throw new LdapError('connectionLost', 'the directory is not used any more')
      if (purpose === 'search' && service !== undefined) await bindService(connection, service)
      return one
    } catch (error) {
      drop(one)
      report(connection, error)
      throw error
    }
  }

  async function bindService(connection: LdapConnection, { dn, password }: NonNullable<typeof service>): Promise<void> {
    const startedAtMs = clock.nowMs()
    const told = (outcome: 'ok' | LdapError['fault']): void => {
      events.ldapOperationEnded({ operation: 'serviceBind', outcome, durationMs: clock.nowMs() - startedAtMs })
    }
    try {
      const reply = await connection.bind(dn, password)
      if (reply.code !== 0 || reply.policyError === 2)
        refuse(connection, dn, reply.code === 0 ? mustChange : describe(reply))
      hold = undefined
      told('ok')
    } catch (error) {
      told(error instanceof LdapError ? error.fault : 'protocolFault')
      throw error
    }
  }

  /** Several connections may be refused at one time; that is one refusal. */
  function refuse({ server }: LdapConnection, dn: string, why: string): never {
    const nowMs = clock.nowMs()
    const sentence = `${server.url} refuses the service account ${dn}: ${why}; check authentication.ldap.bindDn and bindPasswordFile`
    const error = new LdapError('serviceRefused', sentence)
    if (hold === undefined || nowMs >= hold.untilMs) {
      const lastsMs = Math.min(longestHoldMs, hold === undefined ? firstHoldMs : hold.lastsMs * 2)
      hold = { error, untilMs: nowMs + lastsMs, lastsMs }
      events.ldapServiceRefused({ server: server.url, sentence })
    }
    throw error
  }

  /** Faults of one entry or one answer say nothing about the server: nobody may bring it down by logging in. */
  function report({ server }: LdapConnection, error: unknown): void {
    if (isClosed) return
    if (error === undefined) servers.report(server, undefined)
    else if (error instanceof LdapError && (error.fault === 'operationTimeout' || error.fault === 'connectionLost'))
      servers.report(server, error)
  }

  async function run<Result>(
    purpose: 'search' | 'bind',
    one: Kept,
    use: (connection: LdapConnection) => Promise<Result>,
  ): Promise<Result> {
    try {
      const result = await use(one.connection)
      report(one.connection, undefined)
      keep(purpose, one)
      return result
    } catch (error) {
      if (error instanceof LdapError && harmless.has(error.fault)) keep(purpose, one)
      else {
        drop(one)
        report(one.connection, error)
      }
      throw error
    }
  }

  return {
    async search(use) {
      const idle = takeKept('search')
      if (idle !== undefined) {
        try {
          return await run('search', idle, use)
        } catch (error) {
          // The server may have closed it, or may have forgotten who was bound, while it was idle: asking twice is free.
          if (!(error instanceof LdapError) || !mayBeOfAge(error)) throw error
        }
      }
      return run('search', await openNew('search'), use)
    },
    // Never twice: a bind that was lost may have been counted by the directory, where it was a wrong password.
    bind: async (use) => run('bind', takeKept('bind') ?? (await openNew('bind')), use),
    close() {
      isClosed = true
      cancelSweep?.()
      for (const connection of open) connection.close()
      open.clear()
    },
  }
}

const mustChange = 'its password must be changed first'

/** After these the connection is as good as before. */
const harmless: ReadonlySet<LdapError['fault']> = new Set(['baseMissing', 'partialAnswer', 'unusableEntry'])

function mayBeOfAge(error: LdapError): boolean {
  return error.fault === 'connectionLost' || error.fault === 'searchRefused'
}
