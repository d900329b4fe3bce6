import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import type { SecureContext } from 'node:tls'
import { berTag, readBer } from './ldap-ber.ts'
import { readRequest } from './ldap-messages.ts'
import type { LdapRequest } from './ldap-messages.ts'

/** One connection, as the fault server sees it. */
export type FaultConnection = {
  /** Counts from 0. */
  readonly number: number
  readonly isEncrypted: boolean
  readonly isClosed: boolean
  /** Every byte that was read from TCP, TLS records included, however the connection ended. */
  readonly wire: Buffer
  /** Inside TLS once that was begun. */
  readonly write: (bytes: Buffer) => void
  /** Resolves when what was written has gone out, or the connection is closed. */
  readonly drained: () => Promise<void>
  /** Takes what comes next for TLS; `onSecure` is called when the handshake is done. */
  readonly startTls: (onSecure?: () => void) => void
  /** Whatever comes from now on is given to nobody but this; `wire` has it all the same. */
  readonly takeOver: (onBytes: (chunk: Buffer) => void) => void
  /** Ends it in order: with a close_notify where there is TLS, and a FIN. */
  readonly end: () => void
  /** Ends it with a RST. */
  readonly reset: () => void
}

/** One request, to be answered by a script. */
export type FaultOperation = {
  readonly request: LdapRequest
  readonly connection: FaultConnection
  /** The messages of the proper answer. */
  readonly proper: readonly Buffer[]
}

/** Answers one operation, or does not (test/support/ldap-fault-answers.ts has them ready). */
export type FaultScript = (operation: FaultOperation) => void

/** Reads messages from a socket, and from TLS on top of it once that is begun. */
export function createFaultConnection(
  tcp: Socket,
  number: number,
  secureContext: SecureContext,
  onRequest: (request: LdapRequest) => void,
): FaultConnection {
  const wire: Buffer[] = []
  let received: Buffer = Buffer.alloc(0)
  let secure: TLSSocket | undefined
  let isEncrypted = false
  let isClosed = false

  function onBytes(chunk: Buffer): void {
    received = Buffer.concat([received, chunk])
    for (let element = readBer(received); element !== undefined; element = readBer(received)) {
      received = received.subarray(element.end)
      // Where TLS was promised and is not begun, its first bytes come here: they ask for nothing.
      if (element.tag === berTag.sequence) onRequest(readRequest(element))
    }
  }

  // TLS is laid over a stream of our own, so that nothing is read that is not written down.
  let feed: (chunk: Buffer) => void = onBytes
  function startTls(onSecure?: () => void): void {
    const transport = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _, done) => {
        tcp.write(chunk, () => {
          done()
        })
      },
      final: (done) => {
        tcp.end()
        done()
      },
    })
    transport.on('error', () => undefined)
    secure = new TLSSocket(transport, { isServer: true, secureContext })
    secure.on('error', () => tcp.destroy()).on('data', onBytes)
    secure.once('secure', () => {
      isEncrypted = true
      onSecure?.()
    })
    tcp.once('end', () => transport.push(null))
    feed = (chunk) => transport.push(chunk)
    const early = received
    received = Buffer.alloc(0)
    if (early.length > 0) feed(early)
  }

  tcp.on('error', () => undefined)
  tcp.on('data', (chunk: Buffer) => {
    wire.push(chunk)
    feed(chunk)
  })
  tcp.once('close', () => {
    isClosed = true
  })
  return {
    number,
    get isEncrypted() {
      return isEncrypted
    },
    get isClosed() {
      return isClosed
    },
    get wire() {
      return Buffer.concat(wire)
    },
    write: (bytes) => void (secure ?? tcp).write(bytes),
    drained: () =>
      new Promise((resolve) => {
        if (isClosed) resolve()
        // An empty write is done when everything before it is.
        tcp.once('close', resolve).write('', () => {
          tcp.off('close', resolve)
          resolve()
        })
      }),
    startTls,
    takeOver: (onBytes) => {
      feed = onBytes
    },
    end: () => void (secure ?? tcp).end(),
    reset: () => void tcp.resetAndDestroy(),
  }
}
