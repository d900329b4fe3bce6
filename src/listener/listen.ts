/** Everything between the accepting of a connection and Node's HTTP parser. */
import http from 'node:http'
import https from 'node:https'
import type { Server, ServerOptions } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Network } from '../config/values.ts'
import type { ConnectionRefusal, HandshakeFailure } from '../telemetry/labels.ts'
import { guardConnections } from './admission.ts'
import type { AdmissionSettings } from './admission.ts'
import { contains, networkList, parseAddress } from './client-address.ts'
import { createOpenConnections } from './open-connections.ts'
import type { TlsContexts } from './tls-contexts.ts'

/** Is told what becomes of connections, none of which needs to know more than that it happened. */
export type ListenerObserver = {
  readonly connectionOpened: () => void
  readonly connectionClosed: () => void
  readonly connectionRefused: (reason: ConnectionRefusal) => void
  readonly tlsHandshakeFailed: (reason: HandshakeFailure) => void
}

export type ListenerDeadlines = {
  /** From accepting a connection until its TLS handshake is done, a PROXY header included. */
  readonly handshakeMs: number
  /** Until the head of a request has arrived. */
  readonly requestHeadersMs: number
  /** For the next request on an idle connection. */
  readonly keepAliveMs: number
}

export type ListenerOptions = {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  readonly maxConnections: number
  readonly deadlines: ListenerDeadlines
  /** Without it the listener speaks plain HTTP. */
  readonly tls: TlsContexts | undefined
  /** Peers that must begin each connection with a PROXY header; all others must not. */
  readonly proxyProtocolFrom: readonly Network[]
  readonly observer: ListenerObserver
  /** The whole HTTP/1.1 answer, head and body, for plain HTTP on a TLS port; the connection closes after it. */
  readonly answerPlainHttp: () => string
}

export type Listener = {
  /** For `request`, `checkContinue`, `clientError` and the like, to be attached before `listen`. */
  readonly server: Server
  /** @throws ListenError when the address cannot be had */
  listen(): Promise<AddressInfo>
  /** Connections that are open in whatever state. */
  readonly connections: () => number
  /** The address at the other end of a connection: what its PROXY header says, else the peer's. Without a zone. */
  readonly peerAddress: (socket: Socket) => string
  /**
   * Accepts no more; closes what waits for a request or for its handshake, and everything else when its answer has gone
   * out. Resolves when all are gone, at the latest after `timeoutMs`, with the number of those that were cut off then.
   */
  drain(timeoutMs: number): Promise<number>
}

/** The address to listen on cannot be had. */
export class ListenError extends Error {
  readonly code: string
  readonly source = 'gateway'

  constructor(host: string, port: number, cause: NodeJS.ErrnoException) {
    const code = cause.code ?? 'unknown error'
    super(`cannot listen on ${host} port ${port}: ${cures[code] ?? 'the system refuses it'} (${code})`, { cause })
    this.name = 'ListenError'
    this.code = code
  }
}

const cures: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there; end it or choose another port',
  EACCES: 'ports below 1024 need a privilege; choose a higher one or allow it with CAP_NET_BIND_SERVICE',
  EADDRNOTAVAIL: 'this machine has no such address; 0.0.0.0 is all of them',
  ENOTFOUND: 'this name has no address; 0.0.0.0 is all addresses of this machine',
}

/** TCP probes on idle connections, so that those whose peer is gone without a word do not stay. */
const keepAliveProbeMs = 60_000
/** After this at the latest the tickets of TLS sessions are worthless, so a stolen key opens no older connection. */
const ticketKeyLifeMs = 12 * 3_600_000

/** RFC 9110 section 5.4 leaves the size of a head to the server. */
const maxHeadBytes = 16 * 1024
const maxCheckIntervalMs = 2_000

/** Creates the listener; nothing is bound until `listen`. */
export function createListener(options: ListenerOptions): Listener {
  const { host, port, tls, observer } = options
  const server = createServer(options)
  const balancers = networkList(options.proxyProtocolFrom)
  const sources = new WeakMap<Socket, string>()

  const settings: AdmissionSettings = {
    tls: tls !== undefined,
    handshakeMs: options.deadlines.handshakeMs,
    sendsProxyHeader: (address) => options.proxyProtocolFrom.length > 0 && contains(balancers, address),
    answerPlainHttp: options.answerPlainHttp,
  }
  guardConnections(server, settings, {
    connectionRefused: observer.connectionRefused,
    tlsHandshakeFailed: observer.tlsHandshakeFailed,
    admitted: ({ accepted, socket, source }) => {
      if (source !== undefined) sources.set(socket, source)
      connections.admit(accepted, socket)
    },
  })
  const connections = createOpenConnections(server, observer)
  server.on('drop', () => {
    observer.connectionRefused('too_many')
  })
  let rotation: NodeJS.Timeout | undefined

  return {
    server,
    connections: connections.count,
    peerAddress: (socket) => sources.get(socket) ?? parseAddress(socket.remoteAddress ?? '') ?? '',
    listen: async () => {
      connections.watchRequests()
      const address = await bind(server, host, port)
      if (tls !== undefined) rotation = setInterval(tls.rotateTicketKeys, ticketKeyLifeMs).unref()
      return address
    },
    drain: (timeoutMs) => {
      clearInterval(rotation)
      return connections.drain(timeoutMs)
    },
  }
}

/** What every public server of ours is: strict, without a limit on how long a transfer takes. */
function createServer({ tls, deadlines, maxConnections }: ListenerOptions): Server {
  const shared: ServerOptions = {
    requestTimeout: 0,
    headersTimeout: deadlines.requestHeadersMs,
    // How late the deadline above may strike; Node's own choice is 30 s.
    connectionsCheckingInterval: Math.min(maxCheckIntervalMs, Math.ceil(deadlines.requestHeadersMs / 5)),
    keepAliveTimeout: deadlines.keepAliveMs,
    maxHeaderSize: maxHeadBytes,
    insecureHTTPParser: false,
    joinDuplicateHeaders: false,
    // Node would answer a missing Host with a bare 400; the gateway's own check tells what is wrong.
    requireHostHeader: false,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: keepAliveProbeMs,
  }
  const server =
    tls === undefined
      ? http.createServer(shared)
      : createTlsServer(tls, { ...shared, handshakeTimeout: deadlines.handshakeMs })
  // Node drops the headers beyond its count without a word; the gateway counts them and refuses.
  server.maxHeadersCount = 0
  server.maxConnections = maxConnections
  return server
}

function createTlsServer(tls: TlsContexts, options: https.ServerOptions): Server {
  const server = https.createServer({ ...options, ...tls.serverOptions() })
  tls.onChange(() => {
    server.setSecureContext(tls.serverOptions())
  })
  return server
}

function bind(server: Server, host: string, port: number): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    const onError = (cause: NodeJS.ErrnoException): void => {
      reject(new ListenError(host, port, cause))
    }
    server.once('error', onError)
    server.listen(port, host, () => {
      server.off('error', onError)
      const address = server.address()
      if (address !== null && typeof address === 'object') resolve(address)
    })
  })
}
