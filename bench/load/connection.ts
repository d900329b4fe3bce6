/** How the load generator speaks TLS: one version, one cipher and one group for every front, chosen by the client. */
import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { Agent, request as httpsRequest } from 'node:https'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import type { Target } from './job.ts'

/** Begins a request to the registry or to a front. */
export type Open = (options: {
  readonly method: string
  readonly path: string
  readonly headers?: OutgoingHttpHeaders
}) => ClientRequest

/** The only cipher that is offered. Nearly all processors have AES in hardware, and Go takes it first, too. */
export const cipher = 'TLS_AES_128_GCM_SHA256'

export function tlsOptions({ port, ca }: Pick<Target, 'port' | 'ca'>): ConnectionOptions {
  return {
    host: '127.0.0.1',
    port,
    servername: 'localhost',
    ca,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    ciphers: cipher,
    ecdhCurve: 'X25519',
    ALPNProtocols: ['http/1.1'],
  }
}

/** @throws Error when a front agreed on anything else, which would make its figures those of another contest */
export function assertCipher(socket: TLSSocket): void {
  const { standardName, version } = socket.getCipher()
  if (standardName !== cipher || version !== 'TLSv1.3') {
    throw new Error(`the connection uses ${version} with ${standardName} instead of TLSv1.3 with ${cipher}`)
  }
}

/** A connection that is kept and used by one request after the other. */
export function openConnection(target: Target): { readonly open: Open; readonly close: () => void } {
  const agent = new Agent({ ...tlsOptions(target), keepAlive: true, maxSockets: 1 })
  const authorization = { authorization: target.authorization }
  return {
    open: ({ headers, ...options }) => {
      const all = { ...authorization, ...headers }
      const request = httpsRequest({ ...options, agent, host: '127.0.0.1', port: target.port, headers: all })
      request.once('socket', (socket) => {
        // A socket that is used again has been looked at.
        if (!socket.connecting) return
        socket.once('secureConnect', () => {
          try {
            assertCipher(socket as TLSSocket)
          } catch (error) {
            request.destroy(asError(error))
          }
        })
      })
      return request
    },
    close: () => {
      agent.destroy()
    },
  }
}

/** What was thrown, as streams take it. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}

/** The whole body of a small answer. */
export async function readBody(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}
