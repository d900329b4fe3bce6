import { createLastGoodLookup } from './last-good-lookup.ts'
import tls from 'node:tls'
import type { BufferPool } from './buffer-pool.ts'
import { openLaneConnection } from './lane-connection.ts'
import type { LaneConnection } from './lane-connection.ts'

/** The connections of the blob lane: those at work belong to their downloads, the idle ones wait here. */
export type LaneConnections = {
  /** The idle connection that was used last, still open as far as is known. */
  takeIdle(): LaneConnection | undefined
  /** @param onReady called once, when it is up */
  open(onReady: () => void): LaneConnection
  /** Takes back a connection whose answer came to its exact end; destroys it where it has no future. */
  keep(connection: LaneConnection, answer: { readonly keepAlive: boolean }): void
  close(): void
}

export type LaneConnectionsOptions = {
  readonly upstreamUrl: URL
  /** PEM of the authorities trusted besides Node's own. */
  readonly upstreamCa: string | undefined
  /** How long after it was opened a connection is still kept, idle time included, in milliseconds. */
  readonly keepAliveMs: number
  readonly buffers: BufferPool
}

/** Each idle connection holds a buffer, as large as the reads of its last download were. */
const maxIdle = 32

/** Creates the pool of connections to one upstream. As many may be at work as there are downloads; few stay idle. */
export function createLaneConnections(options: LaneConnectionsOptions): LaneConnections {
  const { upstreamUrl, upstreamCa, buffers } = options
  const secure = upstreamUrl.protocol === 'https:'
  const target = {
    host: upstreamUrl.hostname.replace(/^\[|\]$/g, ''),
    port: upstreamUrl.port === '' ? (secure ? 443 : 80) : Number(upstreamUrl.port),
    lookup: createLastGoodLookup(),
    tls: secure ? { ca: upstreamCa === undefined ? undefined : [...tls.rootCertificates, upstreamCa] } : undefined,
  }
  // Half of its life a connection may be used, and as long again be idle, as those of the ordinary way.
  const halfLifeMs = Math.ceil(options.keepAliveMs / 2)
  let idle: LaneConnection[] = []
  let closed = false

  return {
    takeIdle: () => {
      idle = idle.filter(({ isOpen }) => isOpen)
      return idle.pop()
    },
    open: (onReady) => openLaneConnection(target, buffers, onReady),
    keep: (connection, { keepAlive }) => {
      const isYoung = performance.now() - connection.openedAtMs < halfLifeMs
      if (closed || !keepAlive || !isYoung || !connection.isOpen || idle.length >= maxIdle) {
        connection.destroy()
        return
      }
      connection.read(undefined)
      connection.expireAfter(halfLifeMs)
      connection.resume()
      idle.push(connection)
    },
    close: () => {
      closed = true
      for (const connection of idle) connection.destroy()
      idle = []
    },
  }
}
