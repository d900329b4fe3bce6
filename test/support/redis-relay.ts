import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

/** One address behind which servers change, like that of a service which always leads to the primary. */
export type RedisRelay = {
  readonly port: number
  /** How many connections are open. */
  open(): number
  /** Where new connections lead; those that stand stay where they are. */
  pointTo(port: number): void
  close(): Promise<void>
}

/** Passes connections on to a port of loopback. */
export async function startRedisRelay(firstPort: number): Promise<RedisRelay> {
  let target = firstPort
  const sockets = new Set<Socket>()
  let opened = 0
  const server = createServer({ noDelay: true }, (client) => {
    opened += 1
    const onward = connect({ port: target, host: '127.0.0.1', noDelay: true })
    client.pipe(onward).pipe(client)
    for (const [socket, other] of [
      [client, onward],
      [onward, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.once('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
    client.once('close', () => {
      opened -= 1
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    open: () => opened,
    pointTo: (port) => {
      target = port
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => {
        server.close(() => {
          resolve()
        })
      })
    },
  }
}
