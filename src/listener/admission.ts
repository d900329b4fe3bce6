/** The way of a connection from its accepting to Node's HTTP parser: PROXY header, TLS handshake, one deadline for both. */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { handshakeFailureOf } from '../telemetry/handshake.ts'
import type { ConnectionRefusal, HandshakeFailure } from '../telemetry/labels.ts'
import { parseAddress } from './client-address.ts'
import { readPreamble } from './preamble.ts'
import type { Preamble } from './preamble.ts'

export type AdmissionSettings = {
  readonly tls: boolean
  /** From accepting until the TLS handshake is done, a PROXY header included. */
  readonly handshakeMs: number
  /** Whether a peer must begin with a PROXY header; all others must not. */
  readonly sendsProxyHeader: (address: string) => boolean
  /** The whole HTTP/1.1 answer for plain HTTP on a TLS port. */
  readonly answerPlainHttp: () => string
}

export type AdmissionObserver = {
  readonly connectionRefused: (reason: ConnectionRefusal) => void
  readonly tlsHandshakeFailed: (reason: HandshakeFailure) => void
  /** `socket` speaks HTTP from now on. On a TLS port it is another one than the accepted, which closes with it. */
  admitted(admitted: { readonly accepted: Socket; readonly socket: Socket; readonly source: string | undefined }): void
}

/** Is destroyed with it whose handshake takes too long; the code is one that `handshakeFailureOf` knows. */
class HandshakeTimeoutError extends Error {
  override readonly name = 'HandshakeTimeoutError'
  readonly code = 'ETIMEDOUT'
}

/** How long a client of plain HTTP may take to read why it is refused. */
const plainHttpLingerMs = 500

type Arrival = {
  readonly accepted: Socket
  readonly deadline: NodeJS.Timeout
  readonly source: string | undefined
}

/**
 * Puts itself between the accepting of connections and what the server does with them: its own listener for
 * `connection`, which begins the handshake or the parsing, is called when the preamble has been read. The server must
 * not have other listeners for `connection` yet.
 */
export function guardConnections(server: Server, settings: AdmissionSettings, observer: AdmissionObserver): void {
  const begin = server.listeners('connection')
  server.removeAllListeners('connection')
  const handshakes = new Map<string, Arrival>()

  function onConnection(accepted: Socket): void {
    // A reset is an error first; it is counted when the connection closes.
    accepted.on('error', () => undefined)
    const expected = { proxyHeader: settings.sendsProxyHeader(accepted.remoteAddress ?? ''), tls: settings.tls }
    if (!expected.proxyHeader && !expected.tls) {
      handOver(accepted, undefined)
      return
    }
    let isLate = false
    const deadline = setTimeout(() => {
      isLate = true
      accepted.destroy(new HandshakeTimeoutError('the handshake took too long'))
    }, settings.handshakeMs)
    accepted.once('close', () => {
      clearTimeout(deadline)
    })
    readPreamble(accepted, expected, (preamble) => {
      if (preamble.kind !== 'ready') {
        refuse(accepted, preamble, isLate)
        return
      }
      const source = preamble.source === undefined ? undefined : parseAddress(preamble.source.address)
      if (settings.tls) {
        beginHandshake({ accepted, deadline, source })
        return
      }
      clearTimeout(deadline)
      handOver(accepted, source)
    })
  }

  function handOver(accepted: Socket, source: string | undefined): void {
    observer.admitted({ accepted, socket: accepted, source })
    for (const listener of begin) Reflect.apply(listener, server, [accepted])
  }

  /** Node does not tell to which accepted socket a TLS socket belongs; their addresses do, as long as both are open. */
  function beginHandshake(arrival: Arrival): void {
    const { accepted } = arrival
    const key = connectionKey(accepted)
    handshakes.set(key, arrival)
    accepted.once('close', () => {
      if (handshakes.get(key) === arrival) handshakes.delete(key)
    })
    for (const listener of begin) Reflect.apply(listener, server, [accepted])
  }

  function onSecureConnection(socket: TLSSocket): void {
    const key = connectionKey(socket)
    const arrival = handshakes.get(key)
    if (arrival === undefined) {
      // Reset in the same moment: nobody is there, and nobody's address would be told.
      socket.destroy()
      return
    }
    handshakes.delete(key)
    clearTimeout(arrival.deadline)
    observer.admitted({ accepted: arrival.accepted, socket, source: arrival.source })
  }

  function refuse(accepted: Socket, { kind }: Exclude<Preamble, { kind: 'ready' }>, isLate: boolean): void {
    if (kind === 'proxy_header' || (isLate && !settings.tls)) observer.connectionRefused('proxy_header')
    else if (isLate) observer.tlsHandshakeFailed('timeout')
    else if (kind !== 'silent') observer.tlsHandshakeFailed(kind)
    if (kind !== 'plain_http') {
      accepted.destroy()
      return
    }
    // What the client still sends is read and dropped: closing with unread bytes would reset, and take the answer along.
    accepted.resume().end(settings.answerPlainHttp())
    const linger = setTimeout(() => accepted.destroy(), plainHttpLingerMs)
    accepted.once('close', () => {
      clearTimeout(linger)
    })
  }

  server.on('connection', onConnection)
  server.prependListener('secureConnection', onSecureConnection)
  server.on('tlsClientError', (error: Error) => {
    observer.tlsHandshakeFailed(handshakeFailureOf(error))
  })
}

function connectionKey({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`
}
