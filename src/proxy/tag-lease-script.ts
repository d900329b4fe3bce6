/** Leases of tags, which the replicas of the gateway share: a key for each tag, which holds the token of its holder. */
import type { StoreScript } from '../store/store.ts'

/** Whether the leases were taken, all of them; else none was. Arguments: token, time to live in milliseconds. */
export const takeTagLeases: StoreScript<boolean> = {
  name: 'tag-lease-take',
  lua: `-- KEYS: a key for each tag: a string, the token of its holder
-- ARGV[1]: the token of who asks; ARGV[2]: the time to live (ms)
-- Reply: 1 when all were taken, 0 when one is another's and none was taken
for _, key in ipairs(KEYS) do
  local holder = redis.call('GET', key)
  if holder and holder ~= ARGV[1] then
    -- No end, or, where the clock of Redis was set back, one that no lease could have.
    local ttl = redis.call('PTTL', key)
    if ttl == -1 or ttl > tonumber(ARGV[2]) then redis.call('PEXPIRE', key, ARGV[2]) end
    return 0
  end
end
for _, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
end
return 1
`,
  inMemory: (data, keys, [token = '', ttlMs]) => {
    const isAnothers = (holder: unknown): boolean => holder !== undefined && holder !== token
    if (keys.some((key) => isAnothers(data.get(key)))) return 0
    for (const key of keys) data.set(key, token, Number(ttlMs))
    return 1
  },
  parse: (raw) => countOf('tag-lease-take', raw) === 1,
}

/**
 * How many of the leases are another's by now. The others last for the time to live from now; one that has ended
 * meanwhile, and that nobody took, is taken again. Arguments: token, time to live in milliseconds.
 */
export const renewTagLeases: StoreScript<number> = {
  name: 'tag-lease-renew',
  lua: `-- KEYS: a key for each tag: a string, the token of its holder
-- ARGV[1]: the token of who asks; ARGV[2]: the time to live (ms)
-- Reply: how many are another's
local lost = 0
for _, key in ipairs(KEYS) do
  local holder = redis.call('GET', key)
  if holder and holder ~= ARGV[1] then lost = lost + 1
  else redis.call('SET', key, ARGV[1], 'PX', ARGV[2]) end
end
return lost
`,
  inMemory: (data, keys, [token = '', ttlMs]) => {
    let lost = 0
    for (const key of keys) {
      const holder = data.get(key)
      if (holder !== undefined && holder !== token) lost += 1
      else data.set(key, token, Number(ttlMs))
    }
    return lost
  },
  parse: (raw) => countOf('tag-lease-renew', raw),
}

/** How many of the leases were given back; another's stays as it is. Argument: token. */
export const giveBackTagLeases: StoreScript<number> = {
  name: 'tag-lease-give-back',
  lua: `-- KEYS: a key for each tag: a string, the token of its holder
-- ARGV[1]: the token of who gives back
-- Reply: how many were its own and are gone
local given = 0
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then given = given + redis.call('DEL', key) end
end
return given
`,
  inMemory: (data, keys, [token]) => {
    const own = keys.filter((key) => data.get(key) === token)
    for (const key of own) data.delete(key)
    return own.length
  },
  parse: (raw) => countOf('tag-lease-give-back', raw),
}

function countOf(script: string, raw: unknown): number {
  if (typeof raw !== 'number' || !Number.isSafeInteger(raw) || raw < 0) {
    throw new Error(`${script}: the reply is no count`)
  }
  return raw
}
