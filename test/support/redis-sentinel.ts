import { startRedis, startRedisPair } from './redis-servers.ts'
import type { RedisOptions, RedisServer } from './redis-servers.ts'
import { until } from './until.ts'

/** A primary, its replica, and the sentinels that watch them and agree on who is the primary. */
export type RedisSentinels = {
  /** What the sentinels call the primary. */
  readonly name: string
  readonly sentinels: readonly RedisServer[]
  /** The two servers; which of them is the primary changes. */
  readonly servers: readonly RedisServer[]
  /** The server that the sentinels name as the primary. */
  primary(): Promise<RedisServer>
  stop(): Promise<void>
}

export type RedisSentinelOptions = Pick<RedisOptions, 'password' | 'configuration'> & {
  /** 1 unless told; more than half of them must agree. */
  readonly sentinels?: number
}

const name = 'wharfgate'

/**
 * Starts all of it and waits until every sentinel would fail over. A primary that is gone for half a second is down to
 * them, so that a failover takes two or three seconds.
 */
export async function startRedisSentinels(options: RedisSentinelOptions = {}): Promise<RedisSentinels> {
  const { sentinels: count = 1, ...redis } = options
  const pair = await startRedisPair(redis)
  const configuration = [
    `sentinel monitor ${name} 127.0.0.1 ${pair.primary.port} ${Math.floor(count / 2) + 1}`,
    `sentinel down-after-milliseconds ${name} 500`,
    `sentinel failover-timeout ${name} 2000`,
    ...(redis.password === undefined ? [] : [`sentinel auth-pass ${name} ${redis.password}`]),
  ]
  const starting = Array.from({ length: count }, () => startRedis({ isSentinel: true, configuration }))
  const sentinels = await Promise.all(starting)
  const servers = [pair.primary, pair.replica]
  const stop = async (): Promise<void> => {
    await Promise.all([...sentinels.map((sentinel) => sentinel.stop()), pair.stop()])
  }
  try {
    for (const sentinel of sentinels) {
      const knowsAll = () => isReady(sentinel, count - 1)
      await until(knowsAll, { what: `the sentinel on port ${sentinel.port} knows the others` })
    }
  } catch (error) {
    await stop()
    throw error
  }
  return {
    name,
    sentinels,
    servers,
    primary: async () => {
      const [sentinel] = sentinels
      const address = await sentinel?.command('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name)
      const port = Number(Array.isArray(address) ? address[1] : Number.NaN)
      const found = servers.find((server) => server.port === port)
      if (found === undefined) throw new Error(`no server of ours is the primary: ${String(address)}`)
      return found
    },
    stop,
  }
}

/** Whether it knows the replica, which is in step, and the other sentinels. */
async function isReady(sentinel: RedisServer, others: number): Promise<boolean> {
  const primary = fieldsOf(await sentinel.command('SENTINEL', 'MASTER', name))
  const replicas = await sentinel.command('SENTINEL', 'REPLICAS', name)
  const [replica] = Array.isArray(replicas) ? replicas.map(fieldsOf) : []
  return (
    primary.get('flags') === 'master' &&
    primary.get('num-other-sentinels') === String(others) &&
    replica?.get('flags') === 'slave' &&
    replica.get('master-link-status') === 'ok'
  )
}

/** What Sentinel tells as a list of names and values in turn. */
function fieldsOf(reply: unknown): ReadonlyMap<string, string> {
  const list = Array.isArray(reply) ? reply.map(String) : []
  return new Map(list.flatMap((word, index) => (index % 2 === 0 ? [[word, list[index + 1] ?? ''] as const] : [])))
}
