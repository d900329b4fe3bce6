import net from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import tls from 'node:tls'
import { markedBlobOf, markedBytes } from './marked-bytes.ts'
import type { UpstreamCertificate } from './upstream-certificate.ts'

/** One connection to an upstream made of bytes, in the clear or inside TLS. */
export type RawUpstreamConnection = {
  /** Carries the bytes; inside TLS where there is TLS. */
  readonly socket: Socket
  /** The heads of the requests that came over it. */
  readonly requests: readonly string[]
  readonly isClosed: boolean
  /** Ends it with a reset; what was written and has not been sent is lost. */
  reset(): void
}

/** Answers the newest request of a connection. */
export type RawScript = (connection: RawUpstreamConnection) => void

export type RawUpstream = {
  readonly url: string
  /** Of those that asked for anything but the health probe. */
  readonly connections: readonly RawUpstreamConnection[]
  /** How many of the connections are open. */
  open(): number
  /** Heads of all requests, in order. */
  readonly requests: readonly string[]
  play(script: RawScript): void
  /** Cuts and forgets all connections. */
  reset(): void
  close(): Promise<void>
}

const json = 'Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}'
/** A whole answer without anything odd. */
export const answerShort: RawScript = ({ socket }) => void socket.write(`HTTP/1.1 200 OK\r\n${json}`)

/** A registry that sends exactly the bytes that a test says, and TLS as well when it has a certificate. */
export async function startRawUpstream(certificate?: UpstreamCertificate): Promise<RawUpstream> {
  const secureContext = certificate && tls.createSecureContext(certificate)
  let connections: RawUpstreamConnection[] = []
  let requests: string[] = []
  let script: RawScript = answerShort
  const sockets = new Set<Socket>()
  const server = net.createServer({ noDelay: true }, (tcp) => {
    sockets.add(tcp)
    tcp.once('close', () => sockets.delete(tcp)).on('error', () => undefined)
    const socket = secureContext === undefined ? tcp : new tls.TLSSocket(tcp, { isServer: true, secureContext })
    const own: string[] = []
    let isClosed = false
    tcp.once('close', () => {
      isClosed = true
    })
    const connection: RawUpstreamConnection = {
      socket,
      requests: own,
      get isClosed() {
        return isClosed
      },
      reset: () => {
        tcp.resetAndDestroy()
      },
    }
    let text = ''
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
        const head = text.slice(0, end)
        text = text.slice(end + 4)
        if (head.startsWith('GET /v2/ ')) {
          answerShort(connection)
          continue
        }
        if (own.length === 0) connections.push(connection)
        own.push(head)
        requests.push(head)
        script(connection)
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    url: `${certificate === undefined ? 'http' : 'https'}://localhost:${port}`,
    get connections() {
      return connections
    },
    open: () => connections.filter(({ isClosed }) => !isClosed).length,
    get requests() {
      return requests
    },
    play: (next) => {
      script = next
    },
    reset: () => {
      cut()
      connections = []
      requests = []
      script = answerShort
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve()
        })
        cut()
      }),
  }
}

/** What a marked body is sent with. */
export type MarkedAnswer = {
  /** Size of the next write, in bytes. */
  readonly pieceBytes: () => number
  /** Lines of the head besides Content-Length. */
  readonly lines?: readonly string[]
}

/** Answers with the marked body that the digest in the target names, and honours a Range of one part. */
export function answerMarked({ pieceBytes, lines = [] }: MarkedAnswer): RawScript {
  return (connection) => {
    void sendMarked(connection, pieceBytes, lines)
  }
}

async function sendMarked(
  { socket, requests }: RawUpstreamConnection,
  pieceBytes: () => number,
  lines: readonly string[],
): Promise<void> {
  const request = requests.at(-1) ?? ''
  const { id, bytes } = markedBlobOf(request) ?? { id: 0, bytes: 0 }
  const [, first, last] = /^range: bytes=(\d+)-(\d+)$/im.exec(request) ?? []
  const from = Number(first ?? 0)
  const end = last === undefined ? bytes : Math.min(bytes, Number(last) + 1)
  const status = first === undefined ? '200 OK' : '206 Partial Content'
  const range = first === undefined ? [] : [`Content-Range: bytes ${from}-${end - 1}/${bytes}`]
  const head = [`HTTP/1.1 ${status}`, `Content-Length: ${end - from}`, ...range, ...lines, '', ''].join('\r\n')
  let at = from
  const next = (): Buffer => {
    const piece = markedBytes(id, at, Math.min(end - at, pieceBytes()))
    at += piece.length
    return piece
  }
  // The head goes with the beginning of the body, as from a real registry.
  let goOn = socket.write(Buffer.concat([Buffer.from(head), next()]))
  while (at < end && !socket.destroyed) {
    if (goOn) goOn = socket.write(next())
    else {
      await drained(socket)
      goOn = true
    }
  }
}

/** Resolves when a socket takes more, or is gone. */
function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      socket.off('drain', settle).off('close', settle)
      resolve()
    }
    socket.on('drain', settle).on('close', settle)
  })
}
