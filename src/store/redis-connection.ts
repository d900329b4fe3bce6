import type { StoreFailure } from './breaker.ts'
import type { Clock } from './clock.ts'
import { socketsOf } from './redis-client.ts'
import type { RedisClient } from './redis-client.ts'
import { reasonOf, storeFaultOf } from './store-fault.ts'

/** Whether there is a connection, as the client tells by its events. */
export type RedisConnectionWatch = {
  readonly isReady: () => boolean
  /** Why there is none, as far as the client told. */
  readonly failure: () => StoreFailure
  /** Ends the connection now, and for good. */
  readonly close: () => void
}

const reconnectAfterMs = 500
const notConnected: StoreFailure = { fault: 'down', reason: 'there is no connection to Redis' }

/**
 * Watches a client from its beginning.
 *
 * @param told.ready a connection stands, for the first time or again
 * @param told.failed an attempt to connect has ended without one. A connection that breaks is not told of: Redis may be
 *   set to end those that are idle, and the next one then stands in no time
 */
export function watchConnection(
  client: RedisClient,
  clock: Clock,
  told: { readonly ready: () => void; readonly failed: (failure: StoreFailure) => void },
): RedisConnectionWatch {
  let failure = notConnected
  let stood = false
  let isClosed = false
  // Without a listener, ioredis writes errors to the console.
  client.on('error', (error: unknown) => {
    failure = { fault: storeFaultOf(error), reason: reasonOf(error) }
  })
  client.on('ready', () => {
    stood = true
    failure = notConnected
    told.ready()
  })
  client.on('close', () => {
    if (!stood) told.failed(failure)
    stood = false
  })
  // ioredis has given up, as it does when no Sentinel knows the primary.
  client.on('end', () => {
    if (isClosed) return
    told.failed(failure)
    clock.after(reconnectAfterMs, () => {
      if (!isClosed) client.connect().catch(() => undefined)
    })
  })
  return {
    isReady: () => client.status === 'ready',
    failure: () => failure,
    close: () => {
      isClosed = true
      client.disconnect()
      // What is under way would be waited for.
      for (const socket of socketsOf(client)) socket.destroy()
    },
  }
}
