import type { RedisConnection, RedisServers } from '../../src/config/redis-settings.ts'
import { createRedisStore } from '../../src/store/redis-store.ts'
import { StoreError } from '../../src/store/store.ts'
import type { MemoryData, Store, StoreScript } from '../../src/store/store.ts'
import type { StoreFault } from '../../src/telemetry/labels.ts'
import type { RedisServer } from './redis-servers.ts'

/** A store on a real Redis, with what it told of itself. */
export type WatchedStore = {
  readonly store: Store
  /** `up`, or why it is not: each change that it told, in order. */
  readonly states: readonly (StoreFault | 'up')[]
  /** Why calls failed, as often as they did. */
  readonly faults: readonly StoreFault[]
  /** Everything that it told of its state, as it was told. */
  readonly told: readonly unknown[]
}

export function standalone({ port }: Pick<RedisServer, 'port'>): RedisServers {
  return { kind: 'standalone', host: '127.0.0.1', port }
}

/** Opens a store with the settings of a gateway that says nothing but where Redis is. */
export function openRedisStore(servers: RedisServers, settings: Partial<RedisConnection> = {}): WatchedStore {
  const states: (StoreFault | 'up')[] = []
  const faults: StoreFault[] = []
  const told: unknown[] = []
  const store = createRedisStore(
    {
      enabled: true,
      servers,
      database: 0,
      keyPrefix: 'wharfgate:',
      commandTimeoutMs: 50,
      connectTimeoutMs: 2_000,
      ...settings,
    },
    {
      storeStateChanged: (state) => {
        states.push(state.up ? 'up' : state.fault)
        told.push(state)
      },
      storeFailed: (fault) => faults.push(fault),
      storeAnswered: () => undefined,
    },
  )
  return { store, states, faults, told }
}

/** Adds to a counter that lives on for some time after each addition, and tells what it then is. */
export const addScript: StoreScript<number> = {
  name: 'test-add',
  lua: `
-- KEYS[1] counter  ARGV[1] what to add  ARGV[2] time to live in ms  reply: the sum
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return sum
`,
  inMemory: (data: MemoryData, [key = ''], [amount, ttlMs]) => {
    const sum = Number(data.get(key) ?? 0) + Number(amount)
    data.set(key, sum, Number(ttlMs))
    return sum
  },
  parse: numberOf,
}

/** Tells what a counter is, and changes nothing. */
export const readScript: StoreScript<number> = {
  name: 'test-read',
  lua: `
-- KEYS[1] counter  reply: what it is, 0 where there is none
return tonumber(redis.call('GET', KEYS[1]) or 0)
`,
  inMemory: (data: MemoryData, [key = '']) => Number(data.get(key) ?? 0),
  parse: numberOf,
}

function numberOf(raw: unknown): number {
  if (typeof raw !== 'number') throw new TypeError(`not a number: ${String(raw)}`)
  return raw
}

/** How a call ended: with an answer, or why not, and after how long. */
export type Outcome = { readonly end: 'answered' | StoreFault; readonly afterMs: number; readonly value?: number }

/** Adds 1 to a counter. Anything but an answer or a StoreError is a fault of the store, and thrown. */
export async function addTo(store: Store, key = '{test}'): Promise<Outcome> {
  const startedMs = performance.now()
  try {
    const value = await store.run(addScript, [key], [1, 600_000])
    return { end: 'answered', value, afterMs: performance.now() - startedMs }
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    return { end: error.fault, afterMs: performance.now() - startedMs }
  }
}

/**
 * The states without those that a busy machine adds: a command that took longer than 50 ms there is no fault of Redis, and
 * enough of them are told as one.
 */
export function withoutStalls(states: readonly string[]): readonly string[] {
  return states.filter((state, index) => state !== 'timeout' && !(state === 'up' && states[index - 1] === 'timeout'))
}
