import type { Clock } from '../clock.ts'
import type { LdapConnection } from './connection.ts'
import { LdapError } from './ldap-error.ts'

/** A connection and how old it is. */
export type KeptConnection = {
  readonly connection: LdapConnection
  readonly openedAtMs: number
  idleSinceMs: number
}

/** Connections of one kind: those that nobody uses, and those who wait for one. */
export type ConnectionLane = {
  /** One that is idle, else the first that becomes free or stands. @throws LdapError */
  take(): Promise<KeptConnection>
  /** One of its own, opened now. @throws LdapError */
  open(): Promise<KeptConnection>
  /** Takes one back that is as good as before. */
  giveBack(one: KeptConnection): void
  /** Closes one. */
  drop(one: KeptConnection): void
  /** Closes all; who waits fails. */
  close(): void
}

export type LaneOptions = {
  /** Opens a connection that is ready for its kind of work. */
  readonly open: () => Promise<LdapConnection>
  readonly clock: Clock
}

/** Connections that nobody needs are closed before firewalls forget them. */
const maxIdleMs = 30_000
/** A service account that was locked or removed must not live on in a connection. */
const maxAgeMs = 300_000
/**
 * Opened at one time. A handshake of TLS costs more than ten operations, so in a crowd it is sooner one's turn on a
 * connection that others have finished with than on a new one.
 */
const maxOpening = 4

type Waiting = { readonly resolve: (one: KeptConnection) => void; readonly reject: (error: unknown) => void }

export function createLane({ open, clock }: LaneOptions): ConnectionLane {
  const idle = new Set<KeptConnection>()
  const waiting = new Set<Waiting>()
  const all = new Set<KeptConnection>()
  let opening = 0
  let cancelSweep: (() => void) | undefined
  let isClosed = false

  function isFresh({ connection, openedAtMs, idleSinceMs }: KeptConnection): boolean {
    const nowMs = clock.nowMs()
    return connection.isOpen() && nowMs - idleSinceMs < maxIdleMs && nowMs - openedAtMs < maxAgeMs
  }

  /** The one that was used last, so that those that are not needed grow old. */
  function takeIdle(): KeptConnection | undefined {
    for (const one of [...idle].toReversed()) {
      idle.delete(one)
      if (isFresh(one)) return one
      drop(one)
    }
    return undefined
  }

  function drop(one: KeptConnection): void {
    all.delete(one)
    one.connection.close()
  }

  async function openOne(): Promise<KeptConnection> {
    const connection = await open()
    const nowMs = clock.nowMs()
    const one = { connection, openedAtMs: nowMs, idleSinceMs: nowMs }
    if (isClosed) {
      connection.close()
      throw closedError()
    }
    all.add(one)
    return one
  }

  /** While somebody waits, at least one is being opened. */
  function openMore(): void {
    while (opening < Math.min(maxOpening, waiting.size)) {
      opening += 1
      void openOne()
        .finally(() => {
          opening -= 1
        })
        .then(giveBack, rejectAll)
    }
  }

  /** Where no connection can be opened, waiting for one that others use only delays the bad news. */
  function rejectAll(error: unknown): void {
    for (const one of waiting) one.reject(error)
    waiting.clear()
  }

  function giveBack(one: KeptConnection): void {
    if (isClosed || !one.connection.isOpen()) {
      drop(one)
      openMore()
      return
    }
    const [next] = waiting
    if (next !== undefined) {
      waiting.delete(next)
      next.resolve(one)
      openMore()
      return
    }
    one.idleSinceMs = clock.nowMs()
    idle.add(one)
    cancelSweep ??= clock.after(maxIdleMs, sweep)
  }

  function sweep(): void {
    for (const one of idle) {
      if (isFresh(one)) continue
      idle.delete(one)
      drop(one)
    }
    cancelSweep = idle.size === 0 ? undefined : clock.after(maxIdleMs, sweep)
  }

  return {
    take() {
      const one = isClosed ? undefined : takeIdle()
      if (one !== undefined) return Promise.resolve(one)
      if (isClosed) return Promise.reject(closedError())
      return new Promise((resolve, reject) => {
        waiting.add({ resolve, reject })
        openMore()
      })
    },
    open: openOne,
    giveBack,
    drop(one) {
      drop(one)
      openMore()
    },
    close() {
      isClosed = true
      cancelSweep?.()
      rejectAll(closedError())
      for (const one of all) one.connection.close()
      all.clear()
      idle.clear()
    },
  }
}

function closedError(): LdapError {
  return new LdapError('connectionLost', 'the directory is not used any more')
}
