import http from 'node:http'
import type { ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { createBlobLane } from '../../src/proxy/blob-stream.ts'
import type { BlobLane, BlobLaneOptions } from '../../src/proxy/blob-stream.ts'
import { createLaneConnections } from '../../src/proxy/lane-connections.ts'
import type { BlobStreamOptions } from '../../src/proxy/lane-body.ts'
import { RegistryError } from '../../src/registry/error.ts'
import { createWatchedPool } from './watched-pool.ts'
import type { WatchedPool } from './watched-pool.ts'

export type LaneFrontOptions = {
  readonly upstreamUrl: string
  readonly ca?: string | undefined
  readonly keepAliveMs?: number
  readonly timeouts?: BlobLaneOptions['timeouts']
  readonly restMs?: number
  /** What happens between the head of a blob and the streaming of its body; nothing unless told. */
  readonly beforeStream?: () => Promise<void>
}

/** A server in the clear that has nothing but the lane behind it. */
export type LaneFront = {
  readonly port: number
  readonly lane: BlobLane
  readonly pool: WatchedPool
  /** How each download came to its end, in order: of {@link PumpEnd}, or `short`, `left`, or the id of an error. */
  readonly ends: readonly string[]
  readonly retries: number
  /** Replaces the limits of the next downloads. */
  limit(limits: Partial<BlobStreamOptions>): void
  close(): Promise<void>
}

const longMs = 60_000
/** Told to the client of an answer that the lane has left. */
export const leftStatus = 421

export async function startLaneFront(options: LaneFrontOptions): Promise<LaneFront> {
  const { upstreamUrl, ca, keepAliveMs = longMs, timeouts = { connectMs: longMs, headersMs: longMs }, restMs } = options
  const buffers = createWatchedPool()
  let retries = 0
  const lane = createBlobLane({
    connections: createLaneConnections({ upstreamUrl: new URL(upstreamUrl), upstreamCa: ca, keepAliveMs, buffers }),
    buffers,
    timeouts,
    onRetry: () => {
      retries += 1
    },
    ...(restMs !== undefined && { restMs }),
  })
  const unlimited: BlobStreamOptions = { charge: () => undefined, sourceIdleMs: 0, sinkIdleMs: 0 }
  let limits = unlimited
  const ends: string[] = []

  async function serve(target: string, range: string | undefined, res: ServerResponse): Promise<string> {
    const asking = lane.open({
      kind: 'blob',
      target,
      headers: { host: 'localhost', ...(range !== undefined && { range }) },
    })
    const cancel = (): void => {
      asking.cancel()
    }
    res.once('close', cancel)
    const answer = await asking.answer.finally(() => res.off('close', cancel))
    if (answer.kind === 'left') {
      res.writeHead(leftStatus).end(answer.why)
      return 'left'
    }
    if (answer.kind === 'short') {
      const { statusCode = 0, headers } = answer.response
      res.writeHead(statusCode, { 'content-length': headers['content-length'] ?? '0' })
      await pipeline(answer.response, res)
      return 'short'
    }
    if (answer.kind === 'whole') {
      await limits.charge(answer.content.length)
      res.writeHead(answer.head.statusCode, { 'content-length': answer.content.length }).end(answer.content)
      return 'complete'
    }
    const { head, body } = answer
    await options.beforeStream?.()
    res.writeHead(head.statusCode, { 'content-length': head.bodyBytes })
    const end = await body.stream(res, limits)
    if (end.kind === 'complete') res.end()
    else res.destroy()
    return end.kind
  }
  const server = http.createServer((req, res) => {
    serve(req.url ?? '/', req.headers.range, res).then(
      (end) => ends.push(end),
      (error: unknown) => {
        ends.push(error instanceof RegistryError ? error.id : String(error))
        if (error instanceof RegistryError) res.writeHead(error.status)
        res.end()
      },
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    lane,
    pool: buffers,
    ends,
    get retries() {
      return retries
    },
    limit: (next) => {
      limits = { ...unlimited, ...next }
    },
    close: () =>
      new Promise((resolve) => {
        lane.close()
        server.close(() => {
          resolve()
        })
        server.closeAllConnections()
      }),
  }
}
