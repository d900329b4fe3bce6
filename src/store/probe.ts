import type { Lua, SendScript } from './script-sender.ts'

/** A write, since a replica or a Redis out of memory answers everything else. */
const probeScript: Lua = {
  name: 'probe',
  lua: `
-- KEYS[1] a key of the probe's own
-- reply: 1
redis.call('SET', KEYS[1], '1', 'PX', 1000)
return 1
`,
}

/** So many slots of a cluster are tried that a server of a small one is hardly left out. */
const shardsTried = 8

/**
 * Tries whether Redis takes what requests will send.
 *
 * @throws StoreError when it does not, or when one server of a cluster does not
 */
export async function probeRedis(send: SendScript, isSharded: boolean): Promise<void> {
  const keys = isSharded ? Array.from({ length: shardsTried }, (_, shard) => `probe:{${shard}}`) : ['probe']
  await Promise.all(keys.map((key) => send(probeScript, [key], [])))
}
