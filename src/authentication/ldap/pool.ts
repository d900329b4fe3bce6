import type { LdapEvents } from '../../telemetry/ldap-events.ts'
import type { LdapFault } from '../../telemetry/ldap-labels.ts'
import type { Clock } from '../clock.ts'
import { createLane } from './connection-lane.ts'
import type { ConnectionLane, KeptConnection } from './connection-lane.ts'
import type { LdapConnection } from './connection.ts'
import { describe } from './fault-sentences.ts'
import { LdapError } from './ldap-error.ts'
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

/** How long a refused service account is not tried again, so that trying does not lock it. */
const firstHoldMs = 5_000
const longestHoldMs = 60_000
const mustChange = 'its password must be changed first'

/** After these the connection is as good as before. */
const harmless: ReadonlySet<LdapFault> = new Set(['baseMissing', 'partialAnswer', 'unusableEntry', 'bindRefused'])
/** These say something about the server, and not about one entry or answer: nobody may bring it down by logging in. */
const ofServer: ReadonlySet<LdapFault> = new Set(['operationTimeout', 'connectionLost'])
/** These may come of a connection that was idle: the server has closed it, or forgotten who was bound. */
const ofAge: ReadonlySet<LdapFault> = new Set(['connectionLost', 'searchRefused'])

export function createPool({ servers, service, clock, events }: PoolOptions): LdapPool {
  let hold: { readonly error: LdapError; readonly untilMs: number; readonly lastsMs: number } | undefined
  let isClosed = false

  async function openForSearch(): Promise<LdapConnection> {
    if (hold !== undefined && clock.nowMs() < hold.untilMs) throw hold.error
    const connection = await servers.connect()
    try {
      if (service !== undefined) await bindService(connection, service)
      return connection
    } catch (error) {
      connection.close()
      report(connection, error)
      throw error
    }
  }

  const searches = createLane({ open: openForSearch, clock })
  const binds = createLane({ open: () => servers.connect(), clock })

  async function bindService(connection: LdapConnection, { dn, password }: NonNullable<typeof service>): Promise<void> {
    const startedAtMs = clock.nowMs()
    const told = (outcome: 'ok' | LdapFault): void => {
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
    const cure = 'check authentication.ldap.bindDn and bindPasswordFile'
    const sentence = `${server.url} refuses the service account ${dn}: ${why}; ${cure}`
    const error = new LdapError('serviceRefused', sentence)
    if (hold === undefined || nowMs >= hold.untilMs) {
      const lastsMs = Math.min(longestHoldMs, hold === undefined ? firstHoldMs : hold.lastsMs * 2)
      hold = { error, untilMs: nowMs + lastsMs, lastsMs }
      events.ldapServiceRefused({ server: server.url, sentence })
    }
    throw error
  }

  function report({ server }: LdapConnection, error: unknown): void {
    if (isClosed) return
    if (error === undefined) servers.report(server, undefined)
    else if (error instanceof LdapError && ofServer.has(error.fault)) servers.report(server, error)
  }

  async function run<Result>(
    lane: ConnectionLane,
    one: KeptConnection,
    use: (connection: LdapConnection) => Promise<Result>,
  ): Promise<Result> {
    try {
      const result = await use(one.connection)
      report(one.connection, undefined)
      lane.giveBack(one)
      return result
    } catch (error) {
      if (error instanceof LdapError && harmless.has(error.fault)) lane.giveBack(one)
      else {
        lane.drop(one)
        report(one.connection, error)
      }
      throw error
    }
  }

  return {
    async search(use) {
      const one = await searches.take()
      const isUsed = one.openedAtMs !== one.idleSinceMs
      try {
        return await run(searches, one, use)
      } catch (error) {
        // Asking twice is free.
        if (!isUsed || !(error instanceof LdapError) || !ofAge.has(error.fault)) throw error
      }
      return run(searches, await searches.open(), use)
    },
    // Never twice: a bind that was lost may have been counted by the directory, where it was a wrong password.
    bind: async (use) => run(binds, await binds.take(), use),
    close() {
      isClosed = true
      searches.close()
      binds.close()
    },
  }
}
