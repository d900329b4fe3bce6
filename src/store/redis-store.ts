import type { RedisConnection } from '../config/redis-settings.ts'
import type { StoreFault } from '../telemetry/labels.ts'
import { createBreaker } from './breaker.ts'
import type { StoreFailure, StoreState } from './breaker.ts'
import { monotonicClock } from './clock.ts'
import type { Clock } from './clock.ts'
import { probeRedis } from './probe.ts'
import { createRedisClient } from './redis-client.ts'
import { watchConnection } from './redis-connection.ts'
import { createScriptSender } from './script-sender.ts'
import { reasonOf } from './store-fault.ts'
import { StoreError } from './store.ts'
import type { Store } from './store.ts'

/** What is told of a Redis while it is used. */
export type StoreObserver = {
  /** Redis begins to fail or answers again; told once for each change, and not of one that answers from the start. */
  readonly storeStateChanged: (state: StoreState) => void
  readonly storeFailed: (fault: StoreFault) => void
  readonly storeAnswered: (seconds: number) => void
}

/** A store whose first connection is on its way. */
export type RedisStore = Store & {
  /** Resolves when the first attempt to connect has ended, well or badly; calls before that wait for it. */
  readonly opened: Promise<void>
}

const closed: StoreFailure = { fault: 'down', reason: 'the store is closed' }
const notOpened: StoreFailure = { fault: 'down', reason: 'the first connection to Redis does not stand yet' }
const kept: StoreFailure = { fault: 'open', reason: 'Redis does not answer, and is tried every second' }

/** What Redis says of itself and not of one command: the next one would hear the same. */
const certain: ReadonlySet<StoreFault> = new Set(['readonly', 'loading', 'login'])

/**
 * Opens the store that all gateways share. It never fails because Redis does: calls are then rejected, at once where
 * Redis is known to be down, else after `commandTimeoutMs`; and Redis is found again without being asked for.
 *
 * @throws Error when a file of TLS cannot be read or used
 */
export function createRedisStore(
  settings: RedisConnection,
  observe: StoreObserver,
  clock: Clock = monotonicClock,
): RedisStore {
  const { keyPrefix, commandTimeoutMs: timeoutMs, connectTimeoutMs } = settings
  const client = createRedisClient(settings)
  const send = createScriptSender({ client, clock, keyPrefix, timeoutMs })
  // Its faults are counted like those of requests: while the breaker is open, they alone tell how Redis fails.
  const probe = () => probeRedis(send, client.isCluster).catch((error: unknown) => fail(failureOf(error)))
  const breaker = createBreaker({ clock, probe, stateChanged: observe.storeStateChanged })
  const opening = createOpening(clock, connectTimeoutMs)
  const connection = watchConnection(client, clock, {
    ready: () => {
      if (opening.isOver()) breaker.probeNow()
      else void probe().then(opening.end, (error: unknown) => stayDown(failureOf(error)))
    },
    failed: (failure) => {
      stayDown(failure)
    },
  })
  const stayDown = (failure: StoreFailure): void => {
    breaker.trip(failure)
    opening.end()
  }
  const fail = (failure: StoreFailure): never => {
    observe.storeFailed(failure.fault)
    throw new StoreError(failure.fault, failure.reason)
  }
  const failAndCount = (failure: StoreFailure): never => {
    if (certain.has(failure.fault)) breaker.trip(failure)
    // An answer that makes no sense is a fault of a script or of a key, and Redis is well.
    else if (failure.fault !== 'other') breaker.failed(failure)
    return fail(failure)
  }
  let isClosed = false

  return {
    isSharded: client.isCluster,
    opened: opening.ended,
    async run(script, keys, args) {
      if (!opening.isOver() && !(await opening.endsWithin(timeoutMs))) return fail(notOpened)
      if (isClosed) return fail(closed)
      if (breaker.isOpen()) return fail(kept)
      if (!connection.isReady()) return failAndCount(connection.failure())
      const startedMs = clock.nowMs()
      try {
        const reply = script.parse(await send(script, keys, args))
        breaker.succeeded()
        observe.storeAnswered((clock.nowMs() - startedMs) / 1_000)
        return reply
      } catch (error) {
        return failAndCount(failureOf(error))
      }
    },
    close: () => {
      isClosed = true
      opening.end()
      breaker.stop()
      connection.close()
      return Promise.resolve()
    },
  }
}

/** The reason of a call that failed, or of a reply that cannot be read. */
function failureOf(error: unknown): StoreFailure {
  return { fault: error instanceof StoreError ? error.fault : 'other', reason: reasonOf(error) }
}

/** The time until the first attempt to connect has ended. */
function createOpening(clock: Clock, maxMs: number) {
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  let isOver = false
  const end = (): void => {
    isOver = true
    cancel()
    resolve()
  }
  const cancel = clock.after(maxMs, end)
  return {
    ended,
    end,
    isOver: () => isOver,
    /** Waits for the end; tells whether it came in time. */
    endsWithin: async (timeoutMs: number): Promise<boolean> => {
      const { promise: tooLate, resolve: giveUp } = Promise.withResolvers<void>()
      const stopWaiting = clock.after(timeoutMs, giveUp)
      await Promise.race([ended, tooLate])
      stopWaiting()
      return isOver
    },
  }
}
