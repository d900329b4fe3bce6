/** Runs the scripts of the lockout twice, on a real Redis and in memory, at the time that the test says. */
import { Redis } from 'ioredis'
import type { Argument, MemoryData, MemoryValue, StoreScript } from '../../../src/store/store.ts'
import { startRedis } from '../../support/redis-servers.ts'

export type Ran = { readonly onRedis: unknown; readonly inMemory: unknown }

export type LockoutOnRedis = {
  readonly redis: Redis
  run(script: StoreScript<unknown>, key: string, args: readonly Argument[], nowMs: number): Promise<Ran>
  /** What both hold for a key, as text, and how long it has to live. */
  held(key: string): Promise<Ran>
  flush(): Promise<void>
  stop(): Promise<void>
}

const clock = "redis.call('TIME')"

export async function startLockoutOnRedis(): Promise<LockoutOnRedis> {
  const server = await startRedis()
  const redis = new Redis({ port: server.port })
  const memory = new Map<string, { readonly value: MemoryValue; readonly ttlMs: number }>()
  const data: MemoryData = {
    get: (key) => memory.get(key)?.value,
    set: (key, value, ttlMs) => memory.set(key, { value, ttlMs }),
    delete: (key) => memory.delete(key),
  }
  return {
    redis,
    run: async (script, key, args, nowMs) => {
      // Appended arguments would be taken for those of a script that does not read the clock.
      const readsClock = script.lua.includes(clock)
      const time = readsClock ? [Math.floor(nowMs / 1_000), (nowMs % 1_000) * 1_000] : []
      const lua = script.lua.replace(clock, '{ tonumber(ARGV[#ARGV - 1]), tonumber(ARGV[#ARGV]) }')
      const onRedis = script.parse(await redis.eval(lua, 1, key, ...args, ...time))
      return { onRedis, inMemory: script.parse(script.inMemory(data, [key], args, nowMs)) }
    },
    held: async (key) => {
      const isList = (await redis.type(key)) === 'zset'
      const listed = isList ? await redis.zrange(key, '0', '-1', 'WITHSCORES') : []
      const texts = isList ? listed : fieldsOf(await redis.hgetall(key))
      const pairs = Array.from({ length: texts.length / 2 }, (_, at) => `${texts[2 * at]} ${texts[2 * at + 1]}`)
      const { value, ttlMs } = memory.get(key) ?? { value: new Map(), ttlMs: -2 }
      const kept = value instanceof Map ? [...value].map(([name, text]) => `${name} ${text}`) : [String(value)]
      return {
        onRedis: { kept: pairs.sort(), ttlMs: rounded(await redis.pttl(key)) },
        inMemory: { kept: kept.sort(), ttlMs: rounded(ttlMs) },
      }
    },
    flush: async () => {
      memory.clear()
      await redis.flushall()
    },
    stop: async () => {
      redis.disconnect()
      await server.stop()
    },
  }
}

function fieldsOf(hash: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(hash).flat()
}

/** The real time that a test takes is little against ten minutes. */
function rounded(ttlMs: number): number {
  return ttlMs < 0 ? ttlMs : Math.ceil(ttlMs / 600_000)
}
