import { Redis } from 'ioredis'
import type { RedisOptions } from 'ioredis'

/** Who listens to Sentinels; see {@link watchSentinels}. */
export type SentinelWatch = { readonly close: () => void }

/** How to connect to a Sentinel. */
export type SentinelLogin = Pick<RedisOptions, 'username' | 'password' | 'tls' | 'connectTimeout' | 'connectionName'>

/** Sentinels tell it when they agree on another primary: `NAME OLD-ADDRESS OLD-PORT NEW-ADDRESS NEW-PORT`. */
const channel = '+switch-master'
const reconnectAfterMs = 1_000

/**
 * Listens to all Sentinels for a failover. One that is made while the old primary lives does not end its connections,
 * and it takes writes for ten seconds more, which are lost then. (ioredis's own `failoverDetector` writes to the
 * console for each Sentinel that cannot be reached.)
 *
 * @param switched told by each Sentinel, as they learn of it one after the other
 */
export function watchSentinels(
  addresses: readonly { readonly host: string; readonly port: number }[],
  login: SentinelLogin,
  name: string,
  switched: () => void,
): SentinelWatch {
  const sentinels = addresses.map((address) => {
    const sentinel = new Redis({
      ...login,
      ...address,
      retryStrategy: () => reconnectAfterMs,
      enableReadyCheck: false,
      disableClientInfo: true,
      protocol: 2,
    })
    // Without a listener, ioredis writes errors to the console. Who knows the primary is asked by another connection.
    sentinel.on('error', () => undefined)
    sentinel.on('message', (_channel: string, message: string) => {
      if (message.startsWith(`${name} `)) switched()
    })
    // It is renewed with each connection.
    sentinel.subscribe(channel).catch(() => undefined)
    return sentinel
  })
  return {
    close: () => {
      for (const sentinel of sentinels) sentinel.disconnect()
    },
  }
}
