import http from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'

/** One connection that the gateway made, as the upstream sees it. */
export type UpstreamConnection = {
  readonly socket: Socket
  /** Requests that came over it. */
  requests: number
  closed: boolean
  /** Whether it ended with an error, such as a reset. */
  failed: boolean
}

/** One request as the upstream got it; a request body is not read unless the script does so. */
export type UpstreamRequest = {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly connection: UpstreamConnection
  /** Writes bytes past the response object: an answer as broken as the test wants it. */
  readonly raw: (bytes: string | Buffer) => void
}

export type Script = (request: UpstreamRequest) => void

export type FaultUpstream = {
  readonly url: string
  readonly port: number
  /** All connections over which something else than a health probe was asked. */
  readonly connections: readonly UpstreamConnection[]
  /** Method and target of every request, health probes left out. */
  readonly requests: readonly string[]
  /** How many of the connections are open. */
  open(): number
  /** What it does with the next requests; health probes are always answered well. */
  play(script: Script): void
  /** Cuts every connection and forgets them all. */
  reset(): void
  close(): Promise<void>
}

/** A registry that fails in the way a test says: the request is read by HTTP's rules, the answer need not obey them. */
export async function startFaultUpstream(tls?: {
  readonly cert: string
  readonly key: string
}): Promise<FaultUpstream> {
  const sockets = new Map<Socket, UpstreamConnection>()
  let requests: string[] = []
  let script: Script = answerJson(200, '{}')

  function onRequest(req: IncomingMessage, res: ServerResponse): void {
    const connection = sockets.get(req.socket)
    if (connection === undefined || req.url === '/v2/') {
      answerJson(200, '{}')({ res })
      return
    }
    connection.requests += 1
    requests.push(`${req.method ?? ''} ${req.url ?? ''}`)
    req.on('error', () => undefined)
    const raw = (bytes: string | Buffer): void => void req.socket.write(bytes)
    script({ req, res, connection, raw })
  }
  const server = tls === undefined ? http.createServer() : https.createServer(tls)
  server.requestTimeout = 0
  server.keepAliveTimeout = 0
  server.on('request', onRequest)
  server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
    const connection = { socket, requests: 0, closed: false, failed: false }
    sockets.set(socket, connection)
    socket.on('error', () => {
      connection.failed = true
    })
    socket.on('close', () => {
      connection.closed = true
    })
  })
  server.on('clientError', (_error, socket) => socket.destroy())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const used = (): readonly UpstreamConnection[] =>
    [...sockets.values()].filter((connection) => connection.requests > 0)
  return {
    url: `${tls === undefined ? 'http' : 'https'}://localhost:${port}`,
    port,
    get connections() {
      return used()
    },
    get requests() {
      return requests
    },
    open: () => used().filter((connection) => !connection.closed).length,
    play: (next) => {
      script = next
    },
    reset: () => {
      for (const socket of sockets.keys()) socket.destroy()
      sockets.clear()
      requests = []
      script = answerJson(200, '{}')
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve()
        })
        server.closeAllConnections()
      }),
  }
}

/** A whole and proper answer. */
export function answerJson(status: number, body: string, headers: Readonly<Record<string, string>> = {}) {
  return ({ res }: Pick<UpstreamRequest, 'res'>): void => {
    res.writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      ...headers,
    })
    res.end(body)
  }
}

/** Takes the request and its body, and never answers. */
export const neverAnswer: Script = ({ req }) => {
  req.resume()
}
