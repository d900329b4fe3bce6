import { afterAll, afterEach, describe, expect, test } from '@jest/globals'
import { once } from 'node:events'
import http from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import net from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { ListenError } from '../../../src/listener/listen.ts'
import { soonMs, until } from '../../support/until.ts'
import {
  ask,
  connectPlain,
  contextsOf,
  getRequest,
  handshake,
  patientDeadlines,
  readToEnd,
  startListener,
} from './start-listener.ts'
import type { StartedListener } from './start-listener.ts'
import { createTlsMaterial } from './tls-material.ts'

const material = createTlsMaterial()
const certificate = material.make({ name: 'ec', names: 'DNS:localhost' })
afterAll(() => {
  material.remove()
})

const running: StartedListener[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((started) => started.stop()))
})
async function start(options: Parameters<typeof startListener>[0] = {}): Promise<StartedListener> {
  const started = await startListener(options)
  running.push(started)
  return started
}
const connectBy = {
  tls: (port: number): Promise<Socket> => handshake({ port }),
  'plain HTTP': connectPlain,
}
const transports = ['tls', 'plain HTTP'] as const
const tlsFor = (transport: (typeof transports)[number]) => (transport === 'tls' ? contextsOf(certificate) : undefined)
const keepAlive = 'GET / HTTP/1.1\r\nhost: x\r\n\r\n'
/** Resolves with what has come as soon as it has the wanted text in it. */
async function readUntil(socket: Socket, wanted: string): Promise<string> {
  let text = ''
  for await (const [chunk] of on(socket)) {
    text += chunk
    if (text.includes(wanted)) return text
  }
  return text
}
async function* on(socket: Socket): AsyncGenerator<readonly [string]> {
  for (;;) yield [String((await once(socket, 'data'))[0])]
}

describe.each(transports)('by %s', (transport) => {
  const connect = connectBy[transport]

  test('connections beyond the limit are refused, those before it are unharmed', async () => {
    const started = await start({ tls: tlsFor(transport), maxConnections: 2 })
    const first = await connect(started.port)
    const second = await connect(started.port)
    const third = await connectPlain(started.port)
    expect(await readToEnd(third)).toBe('')
    expect(started.events).toEqual(['opened', 'opened', 'refused too_many'])
    expect(await ask(first)).toContain('200 OK')
    await until(() => started.listener.connections() === 1, { what: 'room for another' })
    const fourth = await connect(started.port)
    expect(await ask(fourth)).toContain('200 OK')
    expect(await ask(second)).toContain('200 OK')
  })
  test('a head that does not arrive is given up', async () => {
    const started = await start({ tls: tlsFor(transport), deadlines: { ...patientDeadlines, requestHeadersMs: 500 } })
    for (const bytes of ['', 'GET / HTTP/1.1\r\nhost: x\r\n']) {
      const began = performance.now()
      const socket = await connect(started.port)
      socket.write(bytes)
      expect(await readToEnd(socket)).toMatch(/^HTTP\/1\.1 408 /)
      expect(performance.now() - began).toBeLessThan(soonMs)
    }
  })
  test('a head that trickles in is given up', async () => {
    const started = await start({ tls: tlsFor(transport), deadlines: { ...patientDeadlines, requestHeadersMs: 500 } })
    const socket = await connect(started.port)
    const began = performance.now()
    socket.write('GET / HTTP/1.1\r\nhost: x\r\n')
    const trickle = setInterval(() => socket.write('x: y\r\n'), 50)
    expect(await readToEnd(socket)).toMatch(/^HTTP\/1\.1 408 /)
    clearInterval(trickle)
    expect(performance.now() - began).toBeLessThan(soonMs)
  })
  test('an idle connection is closed, not before its time', async () => {
    const started = await start({ tls: tlsFor(transport), deadlines: { ...patientDeadlines, keepAliveMs: 300 } })
    const socket = await connect(started.port)
    const ended = readToEnd(socket)
    socket.write(keepAlive)
    const began = performance.now()
    expect(await ended).toContain('200 OK')
    expect(performance.now() - began).toBeGreaterThan(290)
    expect(performance.now() - began).toBeLessThan(soonMs)
  })
  test('a body has no deadline', async () => {
    // No machine stalls for as long as the limits, in which the connection and the head must have come.
    const limitMs = 2_000
    const limits = { ...patientDeadlines, requestHeadersMs: limitMs, handshakeMs: limitMs }
    const onRequest = (req: IncomingMessage, res: ServerResponse): void => {
      req.resume().once('end', () => res.end('whole'))
    }
    const started = await start({ tls: tlsFor(transport), deadlines: limits, onRequest })
    const socket = await connect(started.port)
    const answer = readToEnd(socket)
    socket.write('PUT / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 24\r\n\r\n')
    for (let sent = 0; sent < 24; sent += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100))
      socket.write('x')
    }
    expect(await answer).toMatch(/200 OK[^]*whole/)
  })
  test('a missing Host and more than a hundred headers reach the application whole', async () => {
    const onRequest = (req: IncomingMessage, res: ServerResponse): void => {
      res.end(`${req.rawHeaders.length / 2} headers, host ${req.headers.host}`)
    }
    const started = await start({ tls: tlsFor(transport), onRequest })
    const socket = await connect(started.port)
    const answer = readToEnd(socket)
    socket.write(`GET / HTTP/1.1\r\nconnection: close\r\n${'a: b\r\n'.repeat(1_500)}\r\n`)
    expect(await answer).toContain('1501 headers, host undefined')
  })
  test('a head over 16 KiB does not reach the application', async () => {
    let isReached = false
    const onRequest = (): void => {
      isReached = true
    }
    const started = await start({ tls: tlsFor(transport), onRequest })
    const socket = await connect(started.port)
    const answer = readToEnd(socket)
    socket.write(`GET / HTTP/1.1\r\nhost: x\r\na: ${'b'.repeat(16 * 1024)}\r\n\r\n`)
    expect(await answer).toMatch(/^(?:HTTP\/1\.1 431 |$)/)
    expect(isReached).toBe(false)
  })

  test('draining lets answers go out and closes everything else', async () => {
    const held: ServerResponse[] = []
    const onRequest = (req: IncomingMessage, res: ServerResponse): void => {
      if (req.url === '/begun') res.write('begun ')
      held.push(res)
    }
    const started = await start({ tls: tlsFor(transport), onRequest })
    const neverAsked = await connect(started.port)
    const arriving = await connectPlain(started.port)
    const ended = [neverAsked, arriving].map(readToEnd)
    const idle = await connect(started.port)
    idle.write(keepAlive)
    await until(() => held.length === 1, { what: 'the first request' })
    held[0]?.end('done')
    await readUntil(idle, 'done')
    const [waiting, begun] = [await connect(started.port), await connect(started.port)]
    const answers = [waiting, begun].map(readToEnd)
    waiting.write(keepAlive)
    begun.write('GET /begun HTTP/1.1\r\nhost: x\r\n\r\n')
    await until(() => held.length === 3, { what: 'both requests' })

    const drained = started.listener.drain(soonMs)
    expect(await Promise.all(ended)).toEqual(['', ''])
    await until(() => idle.destroyed, { what: 'the end of the idle connection' })
    await expect(connectPlain(started.port)).rejects.toThrow(/ECONNREFUSED/)
    expect(started.listener.connections()).toBe(2)
    held[1]?.end('late')
    held[2]?.end('late')
    const [first, second] = await Promise.all(answers)
    expect([first, second].filter((answer) => /200 OK[^]*late/.test(answer ?? ''))).toHaveLength(2)
    expect([first, second].filter((answer) => /connection: close/i.test(answer ?? ''))).toHaveLength(1)
    expect(await drained).toBe(0)
    expect(started.listener.connections()).toBe(0)
  })
  test('draining cuts off what is left at its deadline, and tells how many', async () => {
    const asked = Promise.withResolvers<undefined>()
    const onRequest = (): void => {
      asked.resolve(undefined)
    }
    const started = await start({ tls: tlsFor(transport), onRequest })
    const sockets = [await connect(started.port), await connect(started.port)]
    const ended = sockets.map(readToEnd)
    sockets[0]?.write(keepAlive)
    await asked.promise
    expect(await started.listener.drain(200)).toBe(1)
    expect(await Promise.all(ended)).toEqual(['', ''])
  })
  test('what opened is closed in the end, however it ended', async () => {
    const started = await start({ tls: tlsFor(transport) })
    for (let round = 0; round < 50; round += 1) {
      const socket = await connect(started.port)
      if (round % 3 === 0) await ask(socket)
      // Resumed, as a socket that is not read never sees its end, and would hold the process.
      else if (round % 3 === 1) socket.resume().end(getRequest.slice(0, 9))
      else socket.destroy()
    }
    await until(() => started.listener.connections() === 0, { what: 'no connection is left' })
    const count = (event: string): number => started.events.filter((told) => told === event).length
    expect([count('opened'), count('closed')]).toEqual([50, 50])
    const counted = new Promise((resolve) => {
      started.listener.server.getConnections((_error, left) => {
        resolve(left)
      })
    })
    expect(await counted).toBe(0)
  })
})

describe('an address that cannot be had', () => {
  test('is told with the cure', async () => {
    const taken = http.createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as AddressInfo
    const failed = startListener({ port })
    await expect(failed).rejects.toThrow(ListenError)
    await expect(failed).rejects.toThrow(
      `cannot listen on 127.0.0.1 port ${port}: another program listens there; end it or choose another port (EADDRINUSE)`,
    )
    taken.close()
    await expect(startListener({ host: '192.0.2.1' })).rejects.toThrow(/has no such address.*\(EADDRNOTAVAIL\)/)
  })
})

test('a peer of a dual-stack port is known by its IPv4 address', async () => {
  const started = await start({ host: '::' })
  const socket = net.connect({ host: '127.0.0.1', port: started.port })
  expect(await ask(socket)).toContain('peer 127.0.0.1')
})
test('draining knows the requests that waited for 100 as well', async () => {
  const held: ServerResponse[] = []
  const onContinue = (_req: IncomingMessage, res: ServerResponse): void => {
    held.push(res)
  }
  const started = await start({ onContinue })
  const socket = await connectPlain(started.port)
  const answer = readToEnd(socket)
  socket.write('PUT / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n')
  await until(() => held.length === 1, { what: 'the request' })
  const drained = started.listener.drain(soonMs)
  held[0]?.end('late')
  expect(await answer).toMatch(/200 OK[^]*late/)
  expect(await drained).toBe(0)
})
test('a client that waits for 100 is answered as Node does, unless somebody else wants to', async () => {
  const started = await start()
  const socket = await connectPlain(started.port)
  socket.write(getRequest.replace('host: x', 'host: x\r\nexpect: 100-continue\r\ncontent-length: 1'))
  expect(await readUntil(socket, 'Continue')).toContain('100 Continue')
})
