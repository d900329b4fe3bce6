/**
 * What is kept of the wrong passwords of an address: one key for each, a hash with a field for the address and one for
 * each slot that names fall into. A field is text, `COUNT:LAST:SEEN`: how many different wrong passwords, when the last
 * of them was asked about (ms since the epoch), and three hexadecimal digits for each of the latest 64.
 */
import type { Argument, MemoryData, StoreScript } from '../store/store.ts'

/** When wrong passwords make somebody wait, and how long. */
export type LockoutPolicy = {
  readonly freeAttempts: number
  readonly freeAttemptsPerAddress: number
  readonly windowMs: number
  readonly maxDelayMs: number
}

/** A guess as it is kept: neither the name nor the password can be read from it. */
export type Guess = {
  /** What the name falls into: 0 to 255. */
  readonly slot: number
  /** Three hexadecimal digits that stand for name and password. */
  readonly fingerprint: string
}

/** What was said of a login that wants to be checked; times are those of the store's clock, in milliseconds. */
export type LockoutReply = {
  /** More than 0 when it must not be checked. */
  readonly waitMs: number
  /** Whether it was counted, as wrong until something else is known. */
  readonly isCounted: boolean
  /** Wrong passwords of the address before it. */
  readonly failures: number
  readonly atMs: number
  /** When the slot and the address were last counted before; 0 for never. */
  readonly slotLastMs: number
  readonly addressLastMs: number
  /** How long others have to wait from now on, if this one stays counted. */
  readonly delayMs: number
}

/** The name of the address's own field; no number, as those of the slots are. */
export const addressField = 'all'
const fingerprintLength = 3
/** Of each slot; a client that comes back to an older one is counted again. */
const keptFingerprints = 64
/** Doubled more often than this, any delay is longer than the longest. */
const maxDoublings = 30

/** The functions in Lua that read a field; `free`, `window` and `longest` as the policy has them, `now` in ms. */
export const fieldsInLua = `local function delay(count, free)
  if count < free then return 0 end
  return math.min(longest, 1000 * 2 ^ math.min(count - free, ${maxDoublings}))
end
local function read(text, free)
  local count, last, seen = string.match(text or '', '^(%d+):(%d+):(%x*)$')
  local field = { count = tonumber(count or 0), last = math.min(tonumber(last or 0), now), seen = seen or '' }
  local open = field.last + delay(field.count, free)
  if open + window <= now then return { count = 0, last = 0, seen = '', wait = 0 } end
  field.wait = math.max(0, open - now)
  return field
end`

const placeInLua = `local function place(seen, fingerprint)
  for at = 1, #seen, ${fingerprintLength} do
    if string.sub(seen, at, at + ${fingerprintLength - 1}) == fingerprint then return at end
  end
end`

const textInLua = `local function text(field)
  return string.format('%.0f:%.0f:%s', field.count, field.last, field.seen)
end`

/** Asks whether a login may be checked, and counts it in advance, so that many at one time cannot slip through. */
export const askLockout: StoreScript<LockoutReply> = {
  name: 'lockout-ask',
  lua: `-- KEYS: the hash of an address
-- ARGV: slot, fingerprint, free attempts of a slot, free attempts of the address, window (ms), longest delay (ms)
-- Reply: wait (ms), 1 when it was counted, failures of the address before, now (ms), last of the slot before (ms),
--   last of the address before (ms), delay that is in force from now on (ms)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local slotFree, addressFree = tonumber(ARGV[3]), tonumber(ARGV[4])
local window, longest = tonumber(ARGV[5]), tonumber(ARGV[6])
${fieldsInLua}
${placeInLua}
${textInLua}
local texts = redis.call('HMGET', KEYS[1], ARGV[1], '${addressField}')
local slot, address = read(texts[1], slotFree), read(texts[2], addressFree)
local wait = math.max(slot.wait, address.wait)
if wait > 0 or place(slot.seen, ARGV[2]) then
  return { wait, 0, address.count, now, slot.last, address.last, 0 }
end
local seen = string.sub(slot.seen .. ARGV[2], -${keptFingerprints * fingerprintLength})
redis.call('HSET', KEYS[1], ARGV[1], text({ count = slot.count + 1, last = now, seen = seen }),
  '${addressField}', text({ count = address.count + 1, last = now, seen = '' }))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', window + longest))
local later = math.max(delay(slot.count + 1, slotFree), delay(address.count + 1, addressFree))
return { 0, 1, address.count, now, slot.last, address.last, later }
`,
  inMemory: (data, [key = ''], args, atMs) => {
    const [slotName, fingerprint] = [String(args[0]), String(args[1])]
    const [slotFree, addressFree] = [Number(args[2]), Number(args[3])]
    const [window, longest] = [Number(args[4]), Number(args[5])]
    const now = Math.floor(atMs)
    const fields = fieldsOf(data, key)
    const slot = readField(fields.get(slotName), { free: slotFree, window, longest, now })
    const address = readField(fields.get(addressField), { free: addressFree, window, longest, now })
    const wait = Math.max(slot.wait, address.wait)
    if (wait > 0 || placeOf(slot.seen, fingerprint) !== undefined) {
      return [wait, 0, address.count, now, slot.last, address.last, 0]
    }
    const seen = (slot.seen + fingerprint).slice(-keptFingerprints * fingerprintLength)
    fields.set(slotName, textOf({ count: slot.count + 1, last: now, seen }))
    fields.set(addressField, textOf({ count: address.count + 1, last: now, seen: '' }))
    data.set(key, fields, window + longest)
    const later = Math.max(delayOf(slot.count + 1, slotFree, longest), delayOf(address.count + 1, addressFree, longest))
    return [0, 1, address.count, now, slot.last, address.last, later]
  },
  parse: (raw) => {
    const [waitMs, counted, failures, atMs, slotLastMs, addressLastMs, delayMs] = integers('lockout-ask', raw, 7)
    return {
      ...{ waitMs: waitMs ?? 0, isCounted: counted === 1, failures: failures ?? 0, atMs: atMs ?? 0 },
      ...{ slotLastMs: slotLastMs ?? 0, addressLastMs: addressLastMs ?? 0, delayMs: delayMs ?? 0 },
    }
  },
}

export function askArguments({ slot, fingerprint }: Guess, policy: LockoutPolicy): readonly Argument[] {
  const { freeAttempts, freeAttemptsPerAddress, windowMs, maxDelayMs } = policy
  return [slot, fingerprint, freeAttempts, freeAttemptsPerAddress, windowMs, maxDelayMs]
}

/**
 * Takes back what {@link askLockout} counted, for a login that was right or that was not checked after all. A right one
 * clears its slot. The address keeps what others have done; otherwise whoever has one account could guess on without end.
 */
export const takeBackLockout: StoreScript<void> = {
  name: 'lockout-take-back',
  lua: `-- KEYS: the hash of an address
-- ARGV: slot, fingerprint, succeeded | undecided, 1 when it was counted, when it was (ms), last of the slot before (ms),
--   last of the address before (ms), time to live (ms)
-- Reply: 1
local counted, mine, before = ARGV[4] == '1', tonumber(ARGV[5]), { tonumber(ARGV[6]), tonumber(ARGV[7]) }
${placeInLua}
${textInLua}
local function take(name, field, last)
  field.count = field.count - 1
  if field.last == mine and last > 0 then field.last = last end
  if field.count > 0 then redis.call('HSET', KEYS[1], name, text(field)) else redis.call('HDEL', KEYS[1], name) end
end
local fields = {}
for i, name in ipairs({ ARGV[1], '${addressField}' }) do
  local count, last, seen = string.match(redis.call('HGET', KEYS[1], name) or '', '^(%d+):(%d+):(%x*)$')
  if count then fields[i] = { count = tonumber(count), last = tonumber(last), seen = seen } end
end
local slot, address = fields[1], fields[2]
if ARGV[3] == 'succeeded' then
  redis.call('HDEL', KEYS[1], ARGV[1])
elseif counted and slot and place(slot.seen, ARGV[2]) then
  local at = place(slot.seen, ARGV[2])
  slot.seen = string.sub(slot.seen, 1, at - 1) .. string.sub(slot.seen, at + ${fingerprintLength})
  take(ARGV[1], slot, before[1])
end
if counted and address then take('${addressField}', address, before[2]) end
redis.call('PEXPIRE', KEYS[1], ARGV[8])
return 1
`,
  inMemory: (data, [key = ''], args) => {
    const [slotName = '', fingerprint = '', outcome, counted] = args.map(String)
    const [mine = 0, slotBefore = 0, addressBefore = 0, ttlMs = 0] = args.slice(4).map(Number)
    const fields = fieldsOf(data, key)
    const take = (name: string, field: Field, last: number): void => {
      const left = { ...field, count: field.count - 1, last: field.last === mine && last > 0 ? last : field.last }
      if (left.count > 0) fields.set(name, textOf(left))
      else fields.delete(name)
    }
    const slot = parseField(fields.get(slotName))
    const address = parseField(fields.get(addressField))
    const at = slot === undefined ? undefined : placeOf(slot.seen, fingerprint)
    if (outcome === 'succeeded') fields.delete(slotName)
    else if (counted === '1' && slot !== undefined && at !== undefined) {
      const seen = slot.seen.slice(0, at) + slot.seen.slice(at + fingerprintLength)
      take(slotName, { ...slot, seen }, slotBefore)
    }
    if (counted === '1' && address !== undefined) take(addressField, address, addressBefore)
    if (fields.size > 0) data.set(key, fields, ttlMs)
    else data.delete(key)
    return 1
  },
  parse: () => undefined,
}

export function takeBackArguments(
  { slot, fingerprint }: Guess,
  outcome: 'succeeded' | 'undecided',
  reply: LockoutReply,
  { windowMs, maxDelayMs }: LockoutPolicy,
): readonly Argument[] {
  const { isCounted, atMs, slotLastMs, addressLastMs } = reply
  return [
    ...[slot, fingerprint, outcome, isCounted ? 1 : 0],
    ...[atMs, slotLastMs, addressLastMs, windowMs + maxDelayMs],
  ]
}

export type Field = { readonly count: number; readonly last: number; readonly seen: string }

type Rule = { readonly free: number; readonly window: number; readonly longest: number; readonly now: number }

/** The twin of `read` in Lua. */
export function readField(text: string | number | undefined, rule: Rule): Field & { readonly wait: number } {
  const written = parseField(text) ?? { count: 0, last: 0, seen: '' }
  // A clock that was set back must not make anybody wait longer than the delay.
  const last = Math.min(written.last, rule.now)
  const open = last + delayOf(written.count, rule.free, rule.longest)
  if (open + rule.window <= rule.now) return { count: 0, last: 0, seen: '', wait: 0 }
  return { ...written, last, wait: Math.max(0, open - rule.now) }
}

function parseField(text: string | number | undefined = ''): Field | undefined {
  const [, count, last, seen = ''] = /^(\d+):(\d+):([0-9A-Fa-f]*)$/.exec(String(text)) ?? []
  return count === undefined ? undefined : { count: Number(count), last: Number(last), seen }
}

function delayOf(count: number, free: number, longest: number): number {
  return count < free ? 0 : Math.min(longest, 1_000 * 2 ** Math.min(count - free, maxDoublings))
}

function placeOf(seen: string, fingerprint: string): number | undefined {
  for (let at = 0; at < seen.length; at += fingerprintLength) {
    if (seen.slice(at, at + fingerprintLength) === fingerprint) return at
  }
  return undefined
}

function textOf({ count, last, seen }: Field): string {
  return `${count}:${last}:${seen}`
}

/** What a key holds; whoever changes it calls `set` or `delete`. */
export function fieldsOf(data: MemoryData, key: string): Map<string, number | string> {
  const held = data.get(key)
  return held instanceof Map ? held : new Map<string, number | string>()
}

/** Reads a list of so many whole numbers. @throws Error when the reply is none */
export function integers(script: string, raw: unknown, length: number): readonly number[] {
  if (!Array.isArray(raw) || raw.length !== length || !raw.every((part) => Number.isSafeInteger(part))) {
    throw new Error(`${script}: the reply is not ${length} whole numbers`)
  }
  return raw.map(Number)
}
