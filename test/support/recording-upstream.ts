import net from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

/** What one connection to the upstream carried, byte for byte. */
export type RecordedConnection = { readonly socket: Socket; received: Buffer; closed: boolean }

/**
 * Decides what the upstream sends: called with everything a connection has received so far, each time more arrives.
 * `heads` counts the complete request heads in it.
 */
export type Responder = (connection: RecordedConnection, heads: readonly string[]) => void

export type RecordingUpstream = {
  readonly url: string
  readonly port: number
  readonly connections: readonly RecordedConnection[]
  /** Everything received, over all connections; latin1 keeps the bytes. */
  received(): string
  /** The request lines received, whatever stands around them. */
  requestLines(): readonly string[]
  respondWith(responder: Responder): void
  reset(): void
  close(): Promise<void>
}

/** Answers each complete head with 200 and a short JSON body, whatever it asks. */
export const answerOk: Responder = (connection, heads) => {
  answerEach(connection, heads, 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}')
}

const answered = new WeakMap<RecordedConnection, number>()

/** Writes `response` once for every head that has none yet. */
export function answerEach(connection: RecordedConnection, heads: readonly string[], response: string | Buffer): void {
  for (let count = answered.get(connection) ?? 0; count < heads.length; count += 1) {
    connection.socket.write(response)
    answered.set(connection, count + 1)
  }
}

/** A registry made of raw bytes: it keeps all it receives and sends what the test says, well-formed or not. */
export async function startRecordingUpstream(): Promise<RecordingUpstream> {
  let connections: RecordedConnection[] = []
  let responder: Responder = answerOk
  const server = net.createServer((socket) => {
    const connection: RecordedConnection = { socket, received: Buffer.alloc(0), closed: false }
    const append = createAppender()
    let heads: readonly string[] = []
    connections.push(connection)
    socket.on('error', () => undefined)
    socket.on('close', () => {
      connection.closed = true
    })
    socket.on('data', (chunk: Buffer) => {
      const known = Math.max(0, connection.received.length - 3)
      connection.received = append(chunk)
      if (connection.received.includes('\r\n\r\n', known)) heads = headsOf(connection.received.toString('latin1'))
      responder(connection, heads)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const received = (): string => connections.map((connection) => connection.received.toString('latin1')).join('')
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    get connections() {
      return connections
    },
    received,
    requestLines: () => received().match(/^[A-Z-]+ \S+ HTTP\/1\.[01](?=\r$)/gm) ?? [],
    respondWith: (next) => {
      responder = next
    },
    reset: () => {
      for (const { socket } of connections) socket.destroy()
      connections = []
      responder = answerOk
    },
    close: () =>
      new Promise((resolve) => {
        for (const { socket } of connections) socket.destroy()
        server.close(() => {
          resolve()
        })
      }),
  }
}

/** Joins chunks in storage that doubles when it is full, so that a body of megabytes costs its own size and not its square. */
function createAppender(): (chunk: Buffer) => Buffer {
  let storage = Buffer.alloc(4096)
  let length = 0
  return (chunk) => {
    if (length + chunk.length > storage.length) {
      const larger = Buffer.alloc(2 * (length + chunk.length))
      storage.copy(larger, 0, 0, length)
      storage = larger
    }
    chunk.copy(storage, length)
    length += chunk.length
    return storage.subarray(0, length)
  }
}

/** The complete request heads in what a connection has received. */
export function headsOf(text: string): readonly string[] {
  return text.match(/(?:GET|HEAD|POST|PUT|PATCH|DELETE) [^\r\n]* HTTP\/1\.1\r\n(?:[^\r\n]+\r\n)*\r\n/g) ?? []
}
