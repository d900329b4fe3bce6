import net from 'node:net'
import tls from 'node:tls'
import { basicOf } from './personas.ts'
import type { RawTarget } from './raw-http-client.ts'

/** How a client goes away: a reset, or an orderly end of its side that it does not wait to see answered. */
export type Leaving = 'reset' | 'end'

/** A client that does what ordinary ones must not: stops reading, stops sending, leaves in the middle. */
export type FaultClient = {
  /** Resolves when the bytes are on their way, or the connection is gone. */
  send(bytes: string | Buffer): Promise<void>
  /** Everything received so far, as latin1. */
  received(): string
  /** From now on what comes is not kept. */
  discard(): void
  /** Stops and goes on reading. */
  pause(): void
  resume(): void
  leave(how: Leaving): void
  /** Resolves when the gateway has closed the connection. */
  readonly closed: Promise<void>
  isClosed(): boolean
}

export async function connectFaultClient({ port, ca, servername = 'localhost' }: RawTarget): Promise<FaultClient> {
  const tcp = net.connect({ host: '127.0.0.1', port })
  const socket = tls.connect({ socket: tcp, ca, servername, ALPNProtocols: ['http/1.1'] })
  let received = ''
  let isKept = true
  let isClosed = false
  tcp.on('error', () => undefined)
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      isClosed = true
      resolve()
    })
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve).once('error', reject)
  })
  socket.on('error', () => undefined)
  socket.on('data', (chunk: Buffer) => {
    if (isKept) received += chunk.toString('latin1')
  })
  return {
    send: (bytes) =>
      new Promise((resolve) => {
        socket.write(bytes, () => {
          resolve()
        })
      }),
    received: () => received,
    discard: () => {
      isKept = false
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    leave: (how) => {
      if (how === 'reset') tcp.resetAndDestroy()
      else socket.destroy()
    },
    closed,
    isClosed: () => isClosed,
  }
}

/** A request's head as alice, up to and with its empty line. */
export function headAs(
  line: `${string} ${string}`,
  headers: readonly `${string}: ${string}`[] = [],
  authorization = basicOf('alice'),
): string {
  return [`${line} HTTP/1.1`, 'Host: localhost', `Authorization: ${authorization}`, ...headers, '', ''].join('\r\n')
}
