import tls from 'node:tls'
import type { TLSSocket } from 'node:tls'
import { soonMs } from './until.ts'

export type RawAnswer = {
  readonly statusLine: string
  readonly status: number
  /** Header lines in order, names in lower case. */
  readonly headers: readonly (readonly [string, string])[]
  readonly body: string
}

export type RawExchange = {
  /** Everything the server sent, as latin1. */
  readonly text: string
  /** The answers in it, read by Content-Length; what does not read as an answer is left in `rest`. */
  readonly answers: readonly RawAnswer[]
  readonly rest: string
  /** Whether the server closed the connection. */
  readonly closed: boolean
}

export type RawTarget = { readonly port: number; readonly ca: string | Buffer; readonly servername?: string }

const pieceBytes = 64 * 1024

/** Opens a TLS connection to the gateway on loopback. */
export function connectRaw({ port, ca, servername = 'localhost' }: RawTarget): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port, ca, servername, ALPNProtocols: ['http/1.1'] }, () => {
      socket.off('error', reject).on('error', () => undefined)
      resolve(socket)
    })
    socket.once('error', reject)
  })
}

/**
 * Sends bytes as they are and reads until the server closes, or `until` answers have come, or `idleMs` (`soonMs`
 * unless told) passes without a byte in either direction. A tolerant HTTP client would hide what a proxy does wrong.
 */
export async function sendRaw(
  target: RawTarget,
  bytes: string | Buffer | readonly (string | Buffer)[],
  { until, idleMs = soonMs }: { readonly until?: number; readonly idleMs?: number } = {},
): Promise<RawExchange> {
  const socket = await connectRaw(target)
  for (const part of typeof bytes === 'string' || Buffer.isBuffer(bytes) ? [bytes] : bytes) {
    const buffer = typeof part === 'string' ? Buffer.from(part, 'latin1') : part
    // In pieces, so that the length still to write tells of progress.
    for (let at = 0; at < buffer.length; at += pieceBytes) socket.write(buffer.subarray(at, at + pieceBytes))
  }
  return collect(socket, until, idleMs)
}

/** Reads answers from an open connection; destroys it at the end unless the count in `until` was reached. */
export function collect(socket: TLSSocket, until: number | undefined, idleMs: number): Promise<RawExchange> {
  return new Promise((resolve) => {
    let text = ''
    let closed = false
    const finish = (): void => {
      clearTimeout(timer)
      socket.off('data', onData).off('close', onClose)
      if (!closed) socket.destroy()
      resolve({ text, closed, ...readAnswers(text) })
    }
    let unsent = socket.writableLength
    const onIdle = (): void => {
      if (socket.writableLength === unsent) {
        finish()
        return
      }
      unsent = socket.writableLength
      timer = setTimeout(onIdle, idleMs)
    }
    let timer = setTimeout(onIdle, idleMs)
    const onData = (chunk: Buffer): void => {
      text += chunk.toString('latin1')
      clearTimeout(timer)
      timer = setTimeout(onIdle, idleMs)
      if (until !== undefined && readAnswers(text).answers.length >= until) finish()
    }
    const onClose = (): void => {
      closed = true
      finish()
    }
    socket.on('data', onData).once('close', onClose)
  })
}

/** Reads the answers in a byte stream by Content-Length, strictly; informational answers count as answers. */
export function readAnswers(text: string): Pick<RawExchange, 'answers' | 'rest'> {
  const answers: RawAnswer[] = []
  let rest = text
  for (;;) {
    const end = rest.indexOf('\r\n\r\n')
    if (end === -1 || !rest.startsWith('HTTP/1.1 ')) return { answers, rest }
    const [statusLine = '', ...lines] = rest.slice(0, end).split('\r\n')
    const headers = lines.map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
    })
    const length = Number(headers.find(([name]) => name === 'content-length')?.[1] ?? '0')
    const bodyStart = end + 4
    if (rest.length < bodyStart + length) return { answers, rest }
    const status = Number(statusLine.split(' ')[1])
    answers.push({ statusLine, status, headers, body: rest.slice(bodyStart, bodyStart + length) })
    rest = rest.slice(bodyStart + length)
  }
}

export function headerOf(answer: RawAnswer | undefined, name: string): string | undefined {
  return answer?.headers.find(([candidate]) => candidate === name)?.[1]
}
