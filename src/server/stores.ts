import type { Config } from '../config/schema.ts'
import { monotonicClock } from '../store/clock.ts'
import { withLocalFallback } from '../store/local-fallback.ts'
import { createMemoryStore } from '../store/memory-store.ts'
import { createRedisStore } from '../store/redis-store.ts'
import type { Store } from '../store/store.ts'
import type { Events } from '../telemetry/events.ts'

/** Where limits, lockout and locks are kept. */
export type Stores = {
  /** Of all replicas where Redis is configured, and fails when it does; else the memory of this process. */
  readonly shared: Store
  /** The memory of this process. */
  readonly local: Store
  /** The shared one, and the memory of this process while it does not answer. */
  readonly steady: Store
  /** Whether `shared` is that of all replicas. */
  readonly isShared: boolean
  /** Resolves when the first attempt to reach the shared one has ended, well or badly. */
  readonly opened: Promise<void>
  close(): Promise<void>
}

/** Some tens of MiB: addresses, users and pushes of one window. */
const maxKeys = 100_000

/** Opens the stores that the configuration names. It does not wait for Redis, and starts without it. */
export function createStores({ redis }: Pick<Config, 'redis'>, events: Events): Stores {
  const local = createMemoryStore({ clock: monotonicClock, maxKeys })
  if (!redis.enabled) {
    const close = () => local.close()
    return { shared: local, local, steady: local, isShared: false, opened: Promise.resolve(), close }
  }
  const shared = createRedisStore(redis, events)
  const steady = withLocalFallback(shared, local)
  return { shared, local, steady, isShared: true, opened: shared.opened, close: () => steady.close() }
}
