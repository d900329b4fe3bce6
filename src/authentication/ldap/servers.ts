import type { LdapServer } from '../../config/ldap-settings.ts'
import type { LdapEvents } from '../../telemetry/ldap-events.ts'
import type { Clock } from '../clock.ts'
import type { LdapConnection } from './connection.ts'
import { LdapError } from './ldap-error.ts'

/** The servers of one directory: which of them answers, and which need not be asked. */
export type Servers = {
  /**
   * A new connection, on which nobody is bound: to the server that answered last, else to the others in their order. It
   * takes one and a half times the time to connect at most, whatever number of servers is dead.
   *
   * @throws LdapError, at once while no server is worth a try
   */
  connect(): Promise<LdapConnection>
  /** Tells how an operation on a connection went, where that says something about the server. */
  report(server: LdapServer, error: LdapError | undefined): void
  /** Ends the probes. */
  close(): void
}

export type ServersOptions = {
  readonly servers: readonly LdapServer[]
  readonly connectTimeoutMs: number
  readonly open: (server: LdapServer, timeoutMs: number) => Promise<LdapConnection>
  /** Whether a server that was down does its work again; throws an `LdapError` when it does not. */
  readonly probe: (connection: LdapConnection) => Promise<void>
  readonly clock: Clock
  readonly events: Pick<LdapEvents, 'ldapServerChanged' | 'ldapOperationEnded'>
}

/** After so many failures in a row a server is asked by probes only. */
const failuresUntilOpen = 5
const probeEveryMs = 5_000
/** Of the time to connect: a second server gets at least half of it after the first has taken all. */
const patience = 1.4

type State = {
  readonly server: LdapServer
  isUp: boolean | undefined
  failures: number
  lastError: LdapError | undefined
  cancelProbe: (() => void) | undefined
}

export function createServers(options: ServersOptions): Servers {
  const { connectTimeoutMs, open, probe, clock, events } = options
  const states = options.servers.map((server): State => ({
    server,
    isUp: undefined,
    failures: 0,
    lastError: undefined,
    cancelProbe: undefined,
  }))
  let sticky = states[0]
  let isClosed = false

  function worked(state: State): void {
    state.failures = 0
    state.lastError = undefined
    state.cancelProbe?.()
    state.cancelProbe = undefined
    if (state.isUp !== true) events.ldapServerChanged({ server: state.server.url, isUp: true })
    state.isUp = true
  }

  function failed(state: State, error: LdapError): void {
    state.failures += 1
    state.lastError = error
    if (state.isUp !== false) {
      events.ldapServerChanged({ server: state.server.url, isUp: false, sentence: error.message })
    }
    state.isUp = false
    probeLater(state)
  }

  function probeLater(state: State): void {
    if (isClosed || state.cancelProbe !== undefined) return
    state.cancelProbe = clock.after(probeEveryMs, () => {
      void probeNow(state)
    })
  }

  async function probeNow(state: State): Promise<void> {
    const isLatest = state.cancelProbe
    try {
      const connection = await tryOpen(state, connectTimeoutMs)
      try {
        await probe(connection)
      } finally {
        connection.close()
      }
      worked(state)
    } catch (error) {
      // A login may have found out meanwhile that it works.
      if (state.cancelProbe !== isLatest) return
      state.cancelProbe = undefined
      failed(state, asLdapError(error))
    }
  }

  async function tryOpen(state: State, timeoutMs: number): Promise<LdapConnection> {
    const startedAtMs = clock.nowMs()
    const told = (outcome: 'ok' | LdapError['fault']): void => {
      events.ldapOperationEnded({ operation: 'connect', outcome, durationMs: clock.nowMs() - startedAtMs })
    }
    try {
      const connection = await open(state.server, timeoutMs)
      told('ok')
      return connection
    } catch (error) {
      told(asLdapError(error).fault)
      throw error
    }
  }

  /** Those that are worth a try: the one that answered last, then those not known to be down, then the rest. */
  function candidates(): readonly State[] {
    const worth = states.filter(({ failures }) => failures < failuresUntilOpen)
    const weight = (state: State): number => (state.isUp === false ? 2 : state === sticky ? 0 : 1)
    return worth.toSorted((one, other) => weight(one) - weight(other))
  }

  return {
    async connect() {
      const deadlineMs = clock.nowMs() + connectTimeoutMs * patience
      let last: LdapError | undefined
      for (const state of candidates()) {
        const restMs = Math.min(connectTimeoutMs, deadlineMs - clock.nowMs())
        if (restMs <= 0 || isClosed) break
        try {
          const connection = await tryOpen(state, restMs)
          sticky = state
          // A server that accepts connections and then answers nothing is not up again because it accepts one more.
          if (!isSilent(state.lastError)) worked(state)
          return connection
        } catch (error) {
          last = asLdapError(error)
          failed(state, last)
        }
      }
      throw last ?? downError(states)
    },
    report(server, error) {
      const state = states.find((one) => one.server === server)
      if (state === undefined) return
      if (error === undefined) {
        if (state.failures > 0) worked(state)
      } else failed(state, error)
    },
    close() {
      isClosed = true
      for (const state of states) state.cancelProbe?.()
    },
  }
}

function isSilent(error: LdapError | undefined): boolean {
  return error?.fault === 'operationTimeout' || error?.fault === 'connectionLost'
}

function downError(states: readonly State[]): LdapError {
  const cause = states.find(({ lastError }) => lastError !== undefined)?.lastError
  const text = `no server of the directory answers; each is asked again every ${probeEveryMs / 1_000} s`
  return new LdapError('down', cause === undefined ? text : `${text}; ${cause.message}`, { cause })
}

function asLdapError(error: unknown): LdapError {
  return error instanceof LdapError ? error : new LdapError('connectFailed', String(error), { cause: error })
}
