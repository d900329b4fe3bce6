import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

/** What a server says to a command: a reply as it goes over the wire, or nothing. */
export type Answer = (command: readonly string[], socket: Socket) => string | undefined

/** A server that speaks the protocol of Redis and says what a test wants. */
export type FakeRedis = {
  readonly port: number
  /** Every command that arrived, on whichever connection. */
  readonly commands: readonly (readonly string[])[]
  /** How many connections were made. */
  readonly connections: () => number
  /** How many are open. */
  readonly open: () => number
  readonly stop: () => Promise<void>
}

/** Starts a server on loopback, on a free port unless told. */
export async function startFakeRedis(answer: Answer, port = 0): Promise<FakeRedis> {
  const commands: (readonly string[])[] = []
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer((socket) => {
    connections += 1
    sockets.add(socket)
    let rest = ''
    socket.on('data', (data) => {
      rest += data.toString('latin1')
      for (let read = readCommand(rest); read !== undefined; read = readCommand(rest)) {
        rest = read.rest
        commands.push(read.command)
        const reply = answer(read.command, socket)
        if (reply !== undefined) socket.write(reply)
      }
    })
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => {
    server.listen(port, '127.0.0.1', resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    commands,
    connections: () => connections,
    open: () => sockets.size,
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise<unknown>((resolve) => server.close(resolve))
    },
  }
}

/** The first command of what arrived, an array of bulk strings (RESP2), and what is left; nothing while it is not whole. */
function readCommand(text: string): { readonly command: readonly string[]; readonly rest: string } | undefined {
  const head = /^\*(\d+)\r\n/.exec(text)
  if (head === null) return undefined
  const command: string[] = []
  let at = head[0].length
  for (let left = Number(head[1]); left > 0; left -= 1) {
    const length = /^\$(\d+)\r\n/.exec(text.slice(at))
    if (length === null) return undefined
    const start = at + length[0].length
    at = start + Number(length[1]) + 2
    if (text.length < at) return undefined
    command.push(text.slice(start, at - 2))
  }
  return { command, rest: text.slice(at) }
}
