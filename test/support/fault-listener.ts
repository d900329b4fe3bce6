import net from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { start } from './processes.ts'
import { until } from './until.ts'

/** An address of loopback with nothing behind it, or nothing that ever accepts. */
export type FaultListener = { readonly url: string; stop(): Promise<void> }

/** A port that nobody listens on: connections are refused. */
export async function refusingPort(): Promise<FaultListener> {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise<void>((resolve) => server.close(() => void resolve()))
  return { url: `http://127.0.0.1:${port}`, stop: () => Promise.resolve() }
}

/**
 * A listener whose queue is full because its process is stopped: the kernel drops every further attempt to connect,
 * as a firewall would that answers nothing.
 */
export async function blackHole(): Promise<FaultListener> {
  const program = `require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 },
    function () { console.log('port ' + this.address().port) })`
  const process_ = start(process.execPath, ['-e', program])
  const port = await until(() => Number(/port (\d+)/.exec(process_.stdout())?.[1]), { what: 'the listener' })
  process_.kill('SIGSTOP')
  const fillers: Socket[] = []
  for (let full = false; !full;) {
    const socket = net.connect({ host: '127.0.0.1', port })
    socket.on('error', () => undefined)
    fillers.push(socket)
    full = await new Promise<boolean>((resolve) => {
      // A connection that stands by then is noticed first, however late the timer was.
      const timer = setTimeout(() => setImmediate(resolve, true), 300)
      socket.once('connect', () => {
        clearTimeout(timer)
        resolve(false)
      })
    })
  }
  return {
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      for (const socket of fillers) socket.destroy()
      process_.kill('SIGKILL')
      await process_.ended
    },
  }
}
