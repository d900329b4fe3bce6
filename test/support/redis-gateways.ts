import { Agent, request as httpsRequest } from 'node:https'
import { startGatewayProcess } from './fault-gateway.ts'
import type { GatewayProcess } from './fault-gateway.ts'
import { basicOf } from './personas.ts'
import type { Persona } from './personas.ts'
import type { RedisServer } from './redis-servers.ts'

/** A gateway in a process of its own that counts in Redis, and many connections to it. */
export type LimitedGateway = GatewayProcess & {
  /** Asks over a connection that is kept, and tells the status; 0 when the connection broke. */
  statusOf(path: string, persona?: Persona): Promise<number>
}

export type LimitedGatewayOptions = {
  readonly redis: Pick<RedisServer, 'port'>
  readonly upstreamUrl: string
  readonly buckets: readonly Readonly<Record<string, unknown>>[]
  /** Sections of the configuration besides. */
  readonly settings?: Readonly<Record<string, unknown>>
}

/**
 * Starts one. It refuses at once, and waits for Redis far longer than by default: who counts requests exactly must not
 * lose one to a machine that was busy for 50 ms.
 */
export async function startLimitedGateway(options: LimitedGatewayOptions): Promise<LimitedGateway> {
  const { redis, upstreamUrl, buckets, settings = {} } = options
  const gateway = await startGatewayProcess({
    upstreamUrl,
    settings: {
      redis: { enabled: true, url: `redis://127.0.0.1:${redis.port}`, commandTimeoutMs: 5_000 },
      rateLimit: { enabled: true, refusalWaitMs: 0, buckets },
      ...settings,
    },
  })
  const { port, ca } = gateway.target
  const agent = new Agent({ keepAlive: true, ca, host: '127.0.0.1', port, servername: 'localhost' })
  return {
    ...gateway,
    statusOf: (path, persona = 'alice') => {
      const { promise, resolve } = Promise.withResolvers<number>()
      const headers = { authorization: basicOf(persona) }
      const request = httpsRequest({ agent, host: '127.0.0.1', port, path, headers }, (response) => {
        response
          .resume()
          .once('end', () => {
            resolve(response.statusCode ?? 0)
          })
          .once('error', () => {
            resolve(0)
          })
      })
      request.once('error', () => {
        resolve(0)
      })
      request.end()
      return promise
    },
    stop: async () => {
      agent.destroy()
      await gateway.stop()
    },
  }
}
