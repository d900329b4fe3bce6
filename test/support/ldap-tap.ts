import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

/** One connection through the tap and what it carried. */
export type TappedConnection = {
  readonly fromClient: Buffer
  readonly fromServer: Buffer
  readonly isClosed: boolean
}

/** Stands between a client and a server of loopback and writes down every byte. */
export interface LdapTap {
  /** `ldap://localhost:PORT`; the same port takes `ldaps` where the server behind it does. */
  readonly url: string
  readonly ldapsUrl: string
  readonly port: number
  readonly connections: readonly TappedConnection[]
  /** Everything that clients sent. */
  readonly fromClients: Buffer
  readonly open: () => number
  /** Carries nothing any more, in connections old and new, and tells nobody: a server that vanished. */
  readonly freeze: () => void
  readonly thaw: () => void
  /** Resets every connection. */
  readonly cut: () => void
  readonly close: () => Promise<void>
}

/** Starts a tap in front of a port. */
export async function startLdapTap(targetPort: number): Promise<LdapTap> {
  const connections: (TappedConnection & { readonly sockets: readonly [Socket, Socket] })[] = []
  let isFrozen = false

  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ port: targetPort, host: '127.0.0.1', noDelay: true })
    const sent = { fromClient: [] as Buffer[], fromServer: [] as Buffer[] }
    carry(client, upstream, sent.fromClient)
    carry(upstream, client, sent.fromServer)
    if (isFrozen) for (const socket of [client, upstream]) socket.pause()
    connections.push({
      sockets: [client, upstream],
      get fromClient() {
        return Buffer.concat(sent.fromClient)
      },
      get fromServer() {
        return Buffer.concat(sent.fromServer)
      },
      get isClosed() {
        return client.destroyed
      },
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const sockets = (): readonly Socket[] => connections.flatMap((connection) => connection.sockets)
  const cut = (): void => {
    for (const socket of sockets()) socket.resetAndDestroy()
  }

  return {
    url: `ldap://localhost:${String(port)}`,
    ldapsUrl: `ldaps://localhost:${String(port)}`,
    port,
    connections,
    get fromClients() {
      return Buffer.concat(connections.map(({ fromClient }) => fromClient))
    },
    open: () => connections.filter(({ isClosed }) => !isClosed).length,
    freeze: () => {
      isFrozen = true
      for (const socket of sockets()) socket.pause()
    },
    thaw: () => {
      isFrozen = false
      for (const socket of sockets()) socket.resume()
    },
    cut,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve()
        })
        cut()
      }),
  }
}

/** Writes down what comes, and carries it on; the end and a reset as well. */
function carry(from: Socket, to: Socket, kept: Buffer[]): void {
  from.on('data', (chunk: Buffer) => {
    kept.push(chunk)
    to.write(chunk)
  })
  from.on('end', () => to.end())
  from.on('error', () => to.resetAndDestroy())
  from.on('close', () => to.destroy())
}
