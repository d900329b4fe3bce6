/** What the commands need of the lockout: which addresses have to wait, and how to let them go. */
import type { StoreScript } from '../store/store.ts'
import { addressField, fieldsInLua, fieldsOf, integers, readField } from './lockout-script.ts'

/** What is kept of an address, as it is now. */
export type AddressState = {
  /** How long every login from it has to wait, except those that are known there. */
  readonly waitMs: number
  readonly failures: number
  /** Slots that have to wait by themselves. */
  readonly lockedSlots: number
}

/** Of more locked addresses, those are listed whose wrong passwords are forgotten last. */
export const maxListedAddresses = 10_000

/** Puts an address on the list. Arguments: address, time until it is forgotten, longest such time, all in ms. */
export const noteLocked: StoreScript<void> = {
  name: 'lockout-note',
  lua: `-- KEYS: the list, a sorted set of addresses by the time when they are forgotten (ms since the epoch)
-- ARGV: address, time until it is forgotten (ms), time to live (ms)
-- Reply: 1
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, ${-maxListedAddresses - 1})
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
`,
  inMemory: (data, [key = ''], [address = '', restMs, ttlMs], atMs) => {
    const now = Math.floor(atMs)
    const listed = fieldsOf(data, key)
    listed.set(String(address), now + Number(restMs))
    for (const [other, endsAtMs] of listed) if (Number(endsAtMs) <= now) listed.delete(other)
    while (listed.size > maxListedAddresses) listed.delete(soonest(listed))
    if (listed.size > 0) data.set(key, listed, Number(ttlMs))
    else data.delete(key)
    return 1
  },
  parse: () => undefined,
}

/** The address that is forgotten first; of several, the first as text, as in a sorted set. */
function soonest(listed: ReadonlyMap<string, number | string>): string {
  let [found = ''] = listed.keys()
  for (const address of listed.keys()) if (isSooner(listed, address, found)) found = address
  return found
}

function isSooner(listed: ReadonlyMap<string, number | string>, one: string, other: string): boolean {
  const difference = Number(listed.get(one)) - Number(listed.get(other))
  return difference === 0 ? one < other : difference < 0
}

export const listLocked: StoreScript<readonly string[]> = {
  name: 'lockout-list',
  lua: `-- KEYS: the list, as lockout-note writes it
-- Reply: the addresses that are not forgotten yet, those that will be first in front
local time = redis.call('TIME')
return redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), '+inf')
`,
  inMemory: (data, [key = ''], _args, atMs) => {
    const listed = fieldsOf(data, key)
    return [...listed.keys()]
      .filter((address) => Number(listed.get(address)) > Math.floor(atMs))
      .sort((one, other) => (isSooner(listed, one, other) ? -1 : 1))
  },
  parse: (raw) => {
    if (!Array.isArray(raw)) throw new Error('lockout-list: the reply is no list')
    return raw.map(String)
  },
}

/** Arguments: free attempts of a slot and of the address, window and longest delay in ms. */
export const lookAtAddress: StoreScript<AddressState> = {
  name: 'lockout-look',
  lua: `-- KEYS: the hash of an address, as lockout-ask writes it
-- ARGV: free attempts of a slot, free attempts of the address, window (ms), longest delay (ms)
-- Reply: wait of the address (ms), its failures, how many slots have to wait
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local slotFree, addressFree = tonumber(ARGV[1]), tonumber(ARGV[2])
local window, longest = tonumber(ARGV[3]), tonumber(ARGV[4])
${fieldsInLua}
local fields = redis.call('HGETALL', KEYS[1])
local address, locked = read(nil, addressFree), 0
for i = 1, #fields, 2 do
  if fields[i] == '${addressField}' then address = read(fields[i + 1], addressFree)
  elseif read(fields[i + 1], slotFree).wait > 0 then locked = locked + 1 end
end
return { address.wait, address.count, locked }
`,
  inMemory: (data, [key = ''], args, atMs) => {
    const [slotFree = 0, addressFree = 0, window = 0, longest = 0] = args.map(Number)
    const rule = { window, longest, now: Math.floor(atMs) }
    const fields = fieldsOf(data, key)
    const address = readField(fields.get(addressField), { ...rule, free: addressFree })
    const slots = [...fields].filter(([name]) => name !== addressField)
    const locked = slots.filter(([, text]) => readField(text, { ...rule, free: slotFree }).wait > 0)
    return [address.wait, address.count, locked.length]
  },
  parse: (raw) => {
    const [waitMs = 0, failures = 0, lockedSlots = 0] = integers('lockout-look', raw, 3)
    return { waitMs, failures, lockedSlots }
  },
}

/** Forgets all that an address did, or what it did in one slot. Argument: the slot, or nothing. Whether there was any. */
export const clearAddress: StoreScript<boolean> = {
  name: 'lockout-clear',
  lua: `-- KEYS: the hash of an address, as lockout-ask writes it
-- ARGV: a slot, or nothing for all of it
-- Reply: 1 when there was something to forget, 0 otherwise
if ARGV[1] then return redis.call('HDEL', KEYS[1], ARGV[1]) end
return redis.call('DEL', KEYS[1])
`,
  inMemory: (data, [key = ''], [slot]) => {
    const held = data.get(key)
    if (slot === undefined) {
      data.delete(key)
      return held === undefined ? 0 : 1
    }
    if (!(held instanceof Map) || !held.delete(String(slot))) return 0
    if (held.size === 0) data.delete(key)
    return 1
  },
  parse: (raw) => raw === 1,
}

/** Whoever asks first gives the secret that all have. Arguments: a secret to begin with, time to live in ms. */
export const shareSecret: StoreScript<string> = {
  name: 'lockout-secret',
  lua: `-- KEYS: the secret
-- ARGV: a secret for the case that there is none, time to live (ms)
-- Reply: the secret
redis.call('SET', KEYS[1], ARGV[1], 'NX')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('GET', KEYS[1])
`,
  inMemory: (data, [key = ''], [candidate = '', ttlMs]) => {
    const secret = data.get(key) ?? candidate
    data.set(key, secret, Number(ttlMs))
    return secret
  },
  parse: (raw) => {
    if (typeof raw !== 'string' || !/^[0-9a-f]{64}$/.test(raw))
      throw new Error('lockout-secret: the reply is no secret')
    return raw
  },
}
