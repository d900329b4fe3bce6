/** The connections of a server, so that it can be ended without cutting an answer off. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export type OpenConnections = {
  /** How many there are, in whatever state. */
  readonly count: () => number
  /** An accepted connection speaks HTTP from now on, on a TLS port over another socket than itself. */
  admit(accepted: Socket, socket: Socket): void
  /** Begins to watch the requests; to be called when the listeners of the server are in place. */
  watchRequests(): void
  /**
   * Accepts no more and closes what waits for a handshake or a request; the others are closed when the answers they are
   * owed have gone out. Resolves when all are gone, with the number of those that `timeoutMs` cut off.
   */
  drain(timeoutMs: number): Promise<number>
}

export type ConnectionObserver = {
  readonly connectionOpened: () => void
  readonly connectionClosed: () => void
}

/**
 * Follows the connections from their accepting. Node's own means do not suffice for an end in good order:
 * `closeIdleConnections` keeps a connection that has not sent its first request and closes only what is idle at that
 * moment, and `Server.close` stops the timer that would have ended the others.
 */
export function createOpenConnections(server: Server, observer: ConnectionObserver): OpenConnections {
  const accepted = new Set<Socket>()
  /** Those that do not speak HTTP yet. */
  const arriving = new Set<Socket>()
  /** By the socket that speaks HTTP: the answers that are owed. */
  const owed = new Map<Socket, Set<ServerResponse>>()
  let isDraining = false
  let onEmpty = (): void => undefined

  function onConnection(socket: Socket): void {
    accepted.add(socket)
    arriving.add(socket)
    observer.connectionOpened()
    socket.once('close', () => {
      accepted.delete(socket)
      arriving.delete(socket)
      observer.connectionClosed()
      if (accepted.size === 0) onEmpty()
    })
  }

  function onRequest({ socket }: IncomingMessage, res: ServerResponse): void {
    const answers = owed.get(socket)
    if (answers === undefined) return
    answers.add(res)
    if (isDraining) announceEnd(res)
    res.once('close', () => {
      answers.delete(res)
      if (isDraining && answers.size === 0) socket.destroySoon()
    })
  }

  /** Resolves when all are gone; Node's server takes a connection for gone somewhat before it has closed. */
  function end(): Promise<unknown> {
    isDraining = true
    const closed = new Promise<void>((resolve) => {
      server.close(() => {
        resolve()
      })
    })
    const emptied = new Promise<void>((resolve) => {
      onEmpty = resolve
      if (accepted.size === 0) resolve()
    })
    for (const socket of arriving) socket.destroy()
    for (const [socket, answers] of owed) {
      if (answers.size === 0) socket.destroySoon()
      for (const res of answers) announceEnd(res)
    }
    return Promise.all([closed, emptied])
  }

  server.prependListener('connection', onConnection)
  return {
    count: () => accepted.size,
    admit: (connection, socket) => {
      arriving.delete(connection)
      owed.set(socket, new Set())
      socket.once('close', () => owed.delete(socket))
      if (isDraining) socket.destroy()
    },
    watchRequests: () => {
      server.prependListener('request', onRequest)
      // A listener for these changes what Node does, so one is added only where there is somebody to answer.
      for (const event of ['checkContinue', 'checkExpectation'] as const) {
        if (server.listenerCount(event) > 0) server.prependListener(event, onRequest)
      }
    },
    drain: async (timeoutMs) => {
      const ended = end()
      const deadline = Promise.withResolvers<undefined>()
      const timer = setTimeout(deadline.resolve, timeoutMs, undefined)
      await Promise.race([ended, deadline.promise])
      clearTimeout(timer)
      const cutOff = accepted.size
      for (const socket of accepted) socket.destroy()
      await ended
      return cutOff
    },
  }
}

function announceEnd(res: ServerResponse): void {
  if (!res.headersSent) res.setHeader('connection', 'close')
}
