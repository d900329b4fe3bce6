import { randomBytes } from 'node:crypto'
import net from 'node:net'
import type { Socket } from 'node:net'
import tls from 'node:tls'
import type { ClientResponse } from './http-client.ts'
import { headAs } from './fault-client.ts'
import type { RawTarget } from './raw-http-client.ts'

/** Connections that are held open until `leave`. */
export type Crowd = {
  /** How many the gateway has not closed. */
  open(): number
  leave(): void
}

const atOnce = 50

/** Does something many times, some dozens at a time, and gives the results in order. */
export async function manyTimes<Value>(count: number, action: (index: number) => Promise<Value>): Promise<Value[]> {
  const results: Value[] = []
  for (let done = 0; done < count; done += atOnce) {
    const size = Math.min(atOnce, count - done)
    results.push(...(await Promise.all(Array.from({ length: size }, (_, index) => action(done + index)))))
  }
  return results
}

/** Clients that stop in the middle of their ClientHello. */
export function stalledHandshakes({ port }: RawTarget, count: number): Promise<Crowd> {
  const begin = Buffer.concat([Buffer.from('16030102000100', 'hex'), randomBytes(40)])
  return gather(count, async () => {
    const socket = await connectPlain(port)
    socket.write(begin)
    return socket
  })
}

/** Clients that have shaken hands and then send the first lines of a request only. */
export function slowHeaders(target: RawTarget, count: number): Promise<Crowd> {
  return gather(count, async () => {
    const socket = await handshake(target)
    socket.write('GET /v2/ HTTP/1.1\r\nHost: localhost\r\nX-Slow: ')
    return socket
  })
}

/** Clients that have asked once and stay, with the answer behind them. */
export function idleConnections(target: RawTarget, count: number): Promise<Crowd> {
  return gather(count, async () => {
    const socket = await handshake(target)
    const answered = new Promise((resolve) => socket.once('data', resolve).once('close', resolve))
    socket.write(headAs('GET /v2/'))
    await answered
    return socket
  })
}

/** Clients that say what no TLS client says; resolves when the gateway has closed them all. */
export async function garbage({ port }: RawTarget, count: number): Promise<void> {
  const sayings = ['SSH-2.0-OpenSSH_9.9\r\n', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', randomBytes(300), '\0'.repeat(100)]
  await manyTimes(count, async (index) => {
    const socket = await connectPlain(port)
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.resume()
    socket.write(sayings[index % sayings.length] ?? '')
    await closed
  })
}

export type Handshake = { readonly serial: string } | { readonly failure: string }

/** One connection, its handshake verified, and its end. */
export async function shakeHands(target: RawTarget): Promise<Handshake> {
  try {
    const socket = await handshake(target)
    const serial = socket.getPeerCertificate().serialNumber
    socket.destroy()
    return { serial }
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) }
  }
}

export type Service = { readonly failed: number; readonly medianMs: number; readonly slowestMs: number }

/** Asks one after the other and measures how it is served; an answer that is not 2xx has failed. */
export async function serviceOf(count: number, ask: () => Promise<ClientResponse>): Promise<Service> {
  const tookMs: number[] = []
  let failed = 0
  for (let index = 0; index < count; index += 1) {
    const startedMs = performance.now()
    const status = await ask().then(
      (answer) => answer.status,
      () => 0,
    )
    if (status < 200 || status > 299) failed += 1
    tookMs.push(performance.now() - startedMs)
  }
  tookMs.sort((left, right) => left - right)
  return { failed, medianMs: tookMs[Math.floor(count / 2)] ?? 0, slowestMs: tookMs.at(-1) ?? 0 }
}

async function gather(count: number, join: () => Promise<Socket>): Promise<Crowd> {
  const sockets = await manyTimes(count, join)
  // The end of a connection is seen by those that read.
  for (const socket of sockets) socket.resume()
  return {
    open: () => sockets.filter((socket) => !socket.destroyed).length,
    leave: () => {
      for (const socket of sockets) socket.destroy()
    },
  }
}

function connectPlain(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: '127.0.0.1', port }, () => {
      socket.off('error', reject).on('error', () => undefined)
      resolve(socket)
    })
    socket.once('error', reject)
  })
}

function handshake({ port, ca, servername = 'localhost' }: RawTarget): Promise<tls.TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port, ca, servername }, () => {
      socket.off('error', reject).on('error', () => undefined)
      resolve(socket)
    })
    socket.once('error', reject)
    socket.once('close', () => {
      reject(new Error('closed in the handshake'))
    })
  })
}
