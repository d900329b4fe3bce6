import { createHash } from 'node:crypto'
import https from 'node:https'
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { RawTarget } from './raw-http-client.ts'

export type ClientRequest = {
  readonly method?: string
  readonly path: string
  readonly headers?: OutgoingHttpHeaders
  /** A stream is sent chunked unless the headers give its length. */
  readonly body?: string | Buffer | Readable
}

export type ClientResponse = {
  readonly status: number
  readonly reason: string
  readonly headers: IncomingHttpHeaders
  /** Empty when the answer was only hashed. */
  readonly body: string
  readonly bytes: number
  /** `sha256:...` of the body. */
  readonly digest: string
}

/** Asks over TLS on a connection of its own. Rejects when the connection breaks before the answer is whole. */
export function requestOver(
  { port, ca, servername = 'localhost' }: RawTarget,
  request: ClientRequest,
): Promise<ClientResponse> {
  const { method = 'GET', path, headers = {}, body } = request
  return new Promise((resolve, reject) => {
    const req = https.request(
      { host: '127.0.0.1', port, ca, servername, method, path, headers, agent: false },
      (res) => {
        const hash = createHash('sha256')
        const kept: Buffer[] = []
        let bytes = 0
        res.on('data', (chunk: Buffer) => {
          bytes += chunk.length
          hash.update(chunk)
          if (bytes <= 1_048_576) kept.push(chunk)
        })
        res.on('error', reject)
        res.on('end', () => {
          resolve({
            status: res.statusCode ?? 0,
            reason: res.statusMessage ?? '',
            headers: res.headers,
            body: Buffer.concat(kept).toString('utf8'),
            bytes,
            digest: `sha256:${hash.digest('hex')}`,
          })
        })
      },
    )
    req.on('error', reject)
    if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) req.end(body)
    else {
      body.on('error', reject)
      body.pipe(req)
    }
  })
}
