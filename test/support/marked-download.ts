import http from 'node:http'
import type { ClientRequest, IncomingMessage } from 'node:http'
import https from 'node:https'
import { setTimeout as delay } from 'node:timers/promises'
import { checkMarks, markedBlobOf } from './marked-bytes.ts'
import { basicOf } from './personas.ts'

export type MarkedDownload = {
  readonly status: number
  readonly bytes: number
  /** Where the body is not what its marks should be. */
  readonly fault: string | undefined
  /** Whether the answer came to its announced end. */
  readonly whole: boolean
}

export type MarkedDownloadOptions = {
  readonly port: number
  /** With it the client speaks TLS and is alice; without, it speaks in the clear. */
  readonly ca?: string | Buffer
  readonly path: string
  /** First and last byte to ask for. */
  readonly range?: readonly [number, number]
  /** How long to stop reading after a piece, in milliseconds; 0 goes on at once. */
  readonly pauseMs?: () => number
}

/** Downloads a marked body on a connection of its own and compares each byte; rejects when there is no answer. */
export function downloadMarked(options: MarkedDownloadOptions): Promise<MarkedDownload> {
  const { path, range, pauseMs = () => 0 } = options
  const checker = checkMarks(markedBlobOf(path)?.id ?? 0, range?.[0])
  return new Promise((resolve, reject) => {
    const request = open(options)
    request.on('error', reject)
    request.on('response', (response: IncomingMessage) => {
      const settle = (): void => {
        const { bytes, fault } = checker
        resolve({ status: response.statusCode ?? 0, bytes, fault, whole: response.complete })
      }
      response.on('error', () => undefined)
      response.on('data', (chunk: Buffer) => {
        checker.take(chunk)
        const ms = pauseMs()
        if (ms === 0) return
        response.pause()
        void delay(ms).then(() => response.resume())
      })
      response.on('close', settle)
    })
    request.end()
  })
}

function open({ port, ca, path, range }: MarkedDownloadOptions): ClientRequest {
  const headers = range === undefined ? {} : { range: `bytes=${range.join('-')}` }
  const common = { host: '127.0.0.1', port, path, agent: false }
  if (ca === undefined) return http.request({ ...common, headers })
  const authorization = basicOf('alice')
  return https.request({ ...common, ca, servername: 'localhost', headers: { ...headers, authorization } })
}
