/** A listener on loopback that answers every request with what it knows about the connection. */
import type { RequestListener } from 'node:http'
import net from 'node:net'
import type { Socket } from 'node:net'
import tls from 'node:tls'
import type { TLSSocket } from 'node:tls'
import { createListener } from '../../../src/listener/listen.ts'
import type { Listener, ListenerOptions } from '../../../src/listener/listen.ts'
import { createTlsContexts } from '../../../src/listener/tls-contexts.ts'
import type { CertificatePairs, TlsContexts } from '../../../src/listener/tls-contexts.ts'

export type StartedListener = {
  readonly listener: Listener
  readonly port: number
  /** What the observer was told, in order: `opened`, `closed`, `refused REASON`, `handshake REASON`. */
  readonly events: readonly string[]
  stop(): Promise<void>
}

/** Beyond `soonMs`: none of them ends what is said to end at once, or in time by another. */
export const patientDeadlines = { handshakeMs: 60_000, requestHeadersMs: 60_000, keepAliveMs: 60_000 }

export const plainHttpAnswer = 'HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 10\r\n\r\nhttps only'

export function contextsOf(...pairs: CertificatePairs): TlsContexts {
  return createTlsContexts(pairs, { now: () => new Date() })
}

/** `onRequest` stands in for the answer; `onContinue` for what Node does with `Expect: 100-continue`. */
export async function startListener({
  onRequest,
  onContinue,
  ...options
}: Partial<ListenerOptions> & {
  readonly onRequest?: RequestListener
  readonly onContinue?: RequestListener
}): Promise<StartedListener> {
  const events: string[] = []
  const listener = createListener({
    host: '127.0.0.1',
    port: 0,
    maxConnections: 1000,
    deadlines: patientDeadlines,
    tls: undefined,
    proxyProtocolFrom: [],
    answerPlainHttp: () => plainHttpAnswer,
    observer: {
      connectionOpened: () => events.push('opened'),
      connectionClosed: () => events.push('closed'),
      connectionRefused: (reason) => events.push(`refused ${reason}`),
      tlsHandshakeFailed: (reason) => events.push(`handshake ${reason}`),
    },
    ...options,
  })
  const tellPeer: RequestListener = (req, res) => {
    res.end(`peer ${listener.peerAddress(req.socket)}`)
  }
  listener.server.on('request', onRequest ?? tellPeer)
  if (onContinue !== undefined) listener.server.on('checkContinue', onContinue)
  const { port } = await listener.listen()
  return {
    listener,
    port,
    events,
    stop: async () => {
      await listener.drain(0)
    },
  }
}

/** Everything that comes until the other end closes, however it does. */
export function readToEnd(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
    })
    socket.on('error', () => undefined)
    socket.once('close', () => {
      resolve(text)
    })
  })
}

export function connectPlain(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: '127.0.0.1', port, noDelay: true }, () => {
      socket.off('error', reject)
      resolve(socket)
    })
    socket.once('error', reject)
  })
}

/** A finished handshake, over a connection that may have been used already; rejects with the error of the handshake. */
export function handshake(options: tls.ConnectionOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', rejectUnauthorized: false, ...options }, () => {
      socket.off('error', reject).on('error', () => undefined)
      resolve(socket)
    })
    socket.once('error', reject)
    socket.once('close', () => {
      reject(new Error('closed before the handshake was done'))
    })
  })
}

export const getRequest = 'GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'

/** Asks once over an open connection and gives the whole answer. */
export function ask(socket: Socket): Promise<string> {
  const answer = readToEnd(socket)
  socket.write(getRequest)
  return answer
}
