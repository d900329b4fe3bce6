import type { Socket } from 'node:net'
import { Cluster, Redis } from 'ioredis'
import type { ClusterOptions, RedisOptions } from 'ioredis'
import type { RedisConnection } from '../config/redis-settings.ts'
import { redisTlsOptions } from './redis-tls.ts'
import { watchSentinels } from './sentinel-watch.ts'
import { isOfReplica } from './store-fault.ts'

/** A client of ioredis. Both kinds speak alike; what differs is how connections come and go. */
export type RedisClient = Redis | Cluster

/** A connection that sends nothing back for this long, though something was asked on it, is cut and made anew. */
const stalledAfterMs = 1_000
/** How long the other side may take to take leave, before a connection is cut. */
const leaveWithinMs = 200
const maxRetryDelayMs = 1_000
/** A cluster is asked for its slots this often, each time on a new connection; MOVED tells of most changes before. */
const slotsEveryMs = 30_000
/** A few moves are in order while slots migrate; more are a cluster that does not know itself. */
const maxRedirections = 4
const clusterRetryMs = 500

/**
 * Creates a client that connects at once and again whenever it has to. None of ioredis's defaults that make a request
 * wait are kept: nothing is queued until a connection stands, nothing is sent twice.
 *
 * @throws Error when a file of TLS cannot be used
 */
export function createRedisClient(settings: RedisConnection): RedisClient {
  const { servers, connectTimeoutMs } = settings
  const options = connectionOptions(settings)
  switch (servers.kind) {
    case 'standalone':
      return new Redis({ ...options, ...soloOptions, host: servers.host, port: servers.port })
    case 'sentinel': {
      const client = new Redis({
        ...options,
        ...soloOptions,
        sentinels: [...servers.addresses],
        name: servers.name,
        sentinelUsername: servers.login?.username,
        sentinelPassword: servers.login?.password,
        sentinelTLS: options.tls,
        enableTLSForSentinelMode: options.tls !== undefined,
        sentinelCommandTimeout: connectTimeoutMs,
        // The store connects again itself; ioredis would go on even after it was told to end.
        sentinelRetryStrategy: () => null,
      })
      const toSentinel = {
        ...(servers.login?.username === undefined ? {} : { username: servers.login.username }),
        ...(servers.login === undefined ? {} : { password: servers.login.password }),
        ...(options.tls === undefined ? {} : { tls: options.tls }),
        connectTimeout: connectTimeoutMs,
        connectionName: options.connectionName,
      }
      const watch = watchSentinels(servers.addresses, toSentinel, servers.name, () => {
        client.disconnect(true)
      })
      const disconnect = client.disconnect.bind(client)
      client.disconnect = (reconnect = false) => {
        if (!reconnect) watch.close()
        disconnect(reconnect)
      }
      return client
    }
    case 'cluster': {
      const names = options.tls === undefined ? {} : withNames
      const cluster = new Cluster([...servers.addresses], { ...clusterOptions, ...names, redisOptions: options })
      cluster.on('+node', catchAsking)
      return cluster
    }
  }
}

/**
 * While a slot moves, ioredis sends ASKING to the server that gets it, and nobody waits for that promise: where the
 * connection fails, it would end the process.
 */
function catchAsking(node: Redis): void {
  const ask = node.asking.bind(node)
  node.asking = (...callback) => {
    const asked = ask(...callback)
    asked.catch(() => undefined)
    return asked
  }
}

/** The sockets of a client: one, or one for each server of a cluster that was needed yet. */
export function socketsOf(client: RedisClient): readonly Socket[] {
  const connections = 'nodes' in client ? client.nodes() : [client]
  // ioredis has no stream before the first attempt to connect.
  return connections.flatMap(({ stream }: { readonly stream?: Socket }) => (stream === undefined ? [] : [stream]))
}

/** What both kinds of client have in common for a connection. */
function connectionOptions({ login, tls, database, connectTimeoutMs }: RedisConnection) {
  return {
    ...(login === undefined ? {} : { password: login.password }),
    ...(login?.username === undefined ? {} : { username: login.username }),
    ...(tls === undefined ? {} : { tls: redisTlsOptions(tls) }),
    db: database,
    connectionName: 'wharfgate',
    connectTimeout: connectTimeoutMs,
    socketTimeout: stalledAfterMs,
    disconnectTimeout: leaveWithinMs,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // The store's own probe says whether Redis is ready; this one would need the right to INFO.
    enableReadyCheck: false,
    disableClientInfo: true,
    protocol: 2,
  } as const satisfies RedisOptions
}

const soloOptions = {
  enableOfflineQueue: false,
  retryStrategy: (attempt) => Math.min(maxRetryDelayMs, 25 * 2 ** Math.min(attempt, 10)),
  reconnectOnError: isOfReplica,
} as const satisfies RedisOptions

/**
 * In a cluster, connections are made when they are first needed, and ioredis drops those that break; so each server's
 * own queue must hold what is asked until its connection stands. Deadline and breaker of the store bound it.
 */
const clusterOptions = {
  clusterRetryStrategy: () => clusterRetryMs,
  slotsRefreshInterval: slotsEveryMs,
  slotsRefreshTimeout: stalledAfterMs,
  maxRedirections,
  // What was sent may have been done: it is not sent again when a connection breaks.
  retryDelayOnFailover: 0,
  retryDelayOnClusterDown: 0,
  retryDelayOnTryAgain: 10,
  enableReadyCheck: false,
} as const satisfies ClusterOptions

/** Certificates are for names; without this, ioredis looks them up and connects to their addresses. */
const withNames = {
  dnsLookup: (name, done) => {
    done(null, name)
  },
} as const satisfies ClusterOptions
