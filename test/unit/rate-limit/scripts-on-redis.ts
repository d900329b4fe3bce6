/** Runs the scripts of limits on a real Redis, at the time that the test says or at Redis's own. */
import { Redis } from 'ioredis'
import type { Argument, StoreScript } from '../../../src/store/store.ts'
import { startRedis } from '../../support/redis-servers.ts'

export type ScriptsOnRedis = {
  readonly redis: Redis
  /** @param nowMs what the script takes for the time; Redis's own clock where it is left out */
  run<Reply>(
    script: StoreScript<Reply>,
    asked: { readonly keys: readonly string[]; readonly args: readonly Argument[] },
    nowMs?: number,
  ): Promise<Reply>
  stop(): Promise<void>
}

export async function startScriptsOnRedis(): Promise<ScriptsOnRedis> {
  const server = await startRedis()
  const redis = new Redis({ port: server.port })
  return {
    redis,
    run: async (script, { keys, args }, nowMs) => {
      const time = nowMs === undefined ? [] : [Math.floor(nowMs / 1000), Math.floor((nowMs % 1000) * 1000)]
      const lua = nowMs === undefined ? script.lua : script.lua.replace(clock, '{ ARGV[#ARGV - 1], ARGV[#ARGV] }')
      return script.parse(await redis.eval(lua, keys.length, ...keys, ...args, ...time))
    },
    stop: async () => {
      redis.disconnect()
      await server.stop()
    },
  }
}

const clock = "redis.call('TIME')"
