/** The decision on one request: every bucket that applies to it is asked, and charged if all of them admit it. */
import type { Argument, MemoryData, StoreScript } from '../store/store.ts'
import { integersOf, numberAt } from './reply.ts'

/**
 * What a pass does to an item. `plain`: nothing. `free`: the item is not charged, since the pass has paid for it.
 * `forced`: it is charged and cannot refuse.
 */
export type PassRole = 'plain' | 'free' | 'forced'

/** One key that a request is asked for. Rates are told in microseconds of the time that they take to come back. */
export type TakeItem =
  | {
      readonly kind: 'rate'
      readonly key: string
      readonly role: PassRole
      /** What is charged; 0 looks and charges nothing. */
      readonly costUs: number
      /** What has to be there, or the request is refused; 0 never refuses. */
      readonly needUs: number
      /** All that can be there: the burst. */
      readonly limitUs: number
      /** The deepest debt, seen from a full bucket; at least `limitUs`. */
      readonly ceilingUs: number
    }
  /** `count` looks at the leases and takes none. */
  | { readonly kind: 'lease' | 'count'; readonly key: string; readonly role: PassRole; readonly quota: number }

/**
 * The pass of a request. `pull`: lets what follows a charged pull be free, where `mayBeFree`; made when the request is
 * charged, for `ttlMs`, unless `marks` is false. `push`: lets everything of a push through; made, and made to last
 * `ttlMs` from now, where `marks`; charged again (forced) when it was charged more than `againMs` ago.
 */
export type Pass =
  | {
      readonly kind: 'pull'
      readonly key: string
      readonly mayBeFree: boolean
      readonly marks: boolean
      readonly ttlMs: number
    }
  | {
      readonly kind: 'push'
      readonly key: string
      readonly marks: boolean
      readonly ttlMs: number
      readonly againMs: number
      /** How long ago it was charged as this process remembers it, for a store that has forgotten. */
      readonly rememberedAgeMs: number | undefined
    }

export type Taken = {
  /** Whether the request was admitted, and charged; else nothing was charged. */
  readonly admitted: boolean
  /** How long ago the pass that the request found was charged; nothing when it found none. */
  readonly passAgeMs: number | undefined
  /** For each item what is used of it now: microseconds until a rate is whole again, or transfers under way. */
  readonly used: readonly number[]
}

const roles: Readonly<Record<PassRole, number>> = { plain: 0, free: 1, forced: 2 }
const headLength = 6
const itemLength = 5

/** The keys and arguments of {@link takeScript}. */
export function takeArguments(
  pass: Pass | undefined,
  lease: { readonly id: string; readonly ttlMs: number },
  items: readonly TakeItem[],
): { readonly keys: readonly string[]; readonly args: readonly Argument[] } {
  const keys: string[] = []
  const args: Argument[] = []
  if (pass === undefined) args.push('none', 0, 0, 0)
  else {
    keys.push(pass.key)
    if (pass.kind === 'pull') args.push(pass.marks ? 'pull' : 'pull-look', pass.ttlMs, pass.mayBeFree ? 1 : 0, -1)
    else args.push(pass.marks ? 'push' : 'push-look', pass.ttlMs, pass.againMs, pass.rememberedAgeMs ?? -1)
  }
  args.push(lease.id, lease.ttlMs)
  for (const item of items) {
    keys.push(item.key)
    if (item.kind === 'rate') args.push(roles[item.role], item.costUs, item.needUs, item.limitUs, item.ceilingUs)
    else args.push(roles[item.role], item.kind === 'lease' ? -1 : -2, 0, item.quota, 0)
  }
  return { keys, args }
}

/**
 * For every script of limits. What lies under a key of theirs and is of another type would fail all that is asked with it,
 * for as long as it lies there; so it is taken away, like text that is no number.
 */
export const readLua = `local function whole(number) return string.format('%.0f', number) end

local function read(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if not string.find(reply.err, 'WRONGTYPE', 1, true) then return redis.call(command, key, ...) end
  redis.call('DEL', key)
  return false
end
`

/**
 * The generic cell rate algorithm (ITU-T I.371, virtual scheduling): a key holds the theoretical arrival time, when its
 * bucket is whole again. All or nothing. A clock that is set back can leave times that no request could have made; they
 * are cut to the deepest debt.
 */
export const takeScript: StoreScript<Taken> = {
  name: 'limit-take',
  lua: `-- KEYS: the pass, unless ARGV[1] is none; then a key for each item: a string with the time at which a rate is
--   whole again (microseconds since the epoch), or a sorted set of leases by the time of their end (milliseconds).
-- ARGV[1..4] the pass: none | pull | pull-look | push | push-look, its time to live (ms);
--   pull: whether it may be free (0 or 1), -1; push: age at which it is charged again (ms), remembered age (ms or -1)
-- ARGV[5..6] the lease: id, time to live (ms)
-- then for each item: role (0 plain, 1 free with a pass, 2 forced with one),
--   cost (us; -1 takes a lease, -2 looks at leases), need (us), limit (us, or leases), ceiling (us)
-- Reply: 1 if admitted, else 0; age of the pass that was found (ms) or -1; for each item what is used (us, or leases)
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local nowMs = math.floor(now / 1000)
local passKind, passTtl, passRule = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local leaseId, leaseTtl = ARGV[5], tonumber(ARGV[6])
local offset = passKind == 'none' and 0 or 1

${readLua}
local age = -1
if passKind == 'pull' or passKind == 'pull-look' then
  local ttl = redis.call('PTTL', KEYS[1])
  if ttl == -1 or ttl > passTtl then redis.call('DEL', KEYS[1])
  elseif ttl >= 0 and passRule == 1 then age = 0 end
elseif passKind ~= 'none' then
  local charged = tonumber(read('GET', KEYS[1]) or '')
  if charged and charged == charged then
    age = nowMs - charged
    if age < 0 or age > nowMs then age = passRule + 1 end
    if redis.call('PTTL', KEYS[1]) == -1 then redis.call('PEXPIRE', KEYS[1], whole(passTtl)) end
  else
    age = tonumber(ARGV[4])
  end
end
local isPush = passKind == 'push' or passKind == 'push-look'
local isOld = isPush and age > passRule

local admitted = true
local used, seen, costs = {}, {}, {}
for i = 1, #KEYS - offset do
  local key, at = KEYS[i + offset], 2 + i * 5
  local role, cost, need = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local limit, ceiling = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local isForced = age >= 0 and role > 0
  if cost < 0 then
    read('ZREMRANGEBYSCORE', key, '-inf', whole(nowMs))
    redis.call('ZREMRANGEBYSCORE', key, '(' .. whole(nowMs + 2 * leaseTtl), '+inf')
    used[i] = redis.call('ZCARD', key)
    if cost == -1 and not isForced and used[i] >= limit then admitted = false end
  else
    local value = read('GET', key)
    local arrival = tonumber(value or '')
    seen[i] = value and (arrival and arrival - now or 0)
    used[i] = math.max(0, math.min(seen[i] or 0, ceiling))
    costs[i] = (isForced and role == 1 and not isOld) and 0 or cost
    if not isForced and need > 0 and used[i] + need > limit then admitted = false end
  end
end

local isCharged = false
for i = 1, #KEYS - offset do
  local key, at = KEYS[i + offset], 2 + i * 5
  local ceiling = tonumber(ARGV[at + 4])
  if not costs[i] then
    if admitted and ARGV[at + 1] == '-1' then
      redis.call('ZADD', key, whole(nowMs + leaseTtl), leaseId)
      redis.call('PEXPIRE', key, whole(leaseTtl))
      used[i] = redis.call('ZCARD', key)
    elseif redis.call('PTTL', key) == -1 then
      redis.call('PEXPIRE', key, whole(leaseTtl))
    end
  elseif admitted and costs[i] > 0 then
    used[i] = math.min(used[i] + costs[i], ceiling)
    redis.call('SET', key, whole(now + used[i]), 'PX', whole(math.ceil(used[i] / 1000)))
    if ARGV[at] == '1' then isCharged = true end
  elseif seen[i] then
    if used[i] == 0 then
      redis.call('DEL', key)
    elseif seen[i] > ceiling then
      redis.call('SET', key, whole(now + used[i]), 'PX', whole(math.ceil(used[i] / 1000)))
    elseif redis.call('PTTL', key) == -1 then
      redis.call('PEXPIRE', key, whole(math.ceil(used[i] / 1000)))
    end
  end
end
if admitted and passKind == 'pull' and isCharged then
  redis.call('SET', KEYS[1], '1', 'PX', whole(passTtl))
elseif admitted and passKind == 'push' then
  local charged = (age < 0 or isOld) and nowMs or nowMs - age
  redis.call('SET', KEYS[1], whole(charged), 'PX', whole(passTtl))
end
return { admitted and 1 or 0, age, unpack(used) }
`,
  inMemory: take,
  parse: (raw) => {
    const [admitted, ageMs, ...used] = integersOf('limit-take', raw)
    if (admitted === undefined || ageMs === undefined) throw new Error('limit-take: the reply is too short')
    return { admitted: admitted === 1, passAgeMs: ageMs < 0 ? undefined : ageMs, used }
  },
}

/** The same on the store in memory, whose keys are never without an end. */
function take(data: MemoryData, keys: readonly string[], args: readonly Argument[], atMs: number): readonly number[] {
  const now = Math.floor(atMs * 1000)
  const nowMs = Math.floor(now / 1000)
  const [passKind, , , , leaseId = ''] = args
  const passKey = passKind === 'none' ? undefined : keys[0]
  const [passTtl, againMs, leaseTtl] = [numberAt(args, 1), numberAt(args, 2), numberAt(args, 5)]
  const items = passKey === undefined ? keys : keys.slice(1)
  const age = passKey === undefined ? -1 : ageOfPass(data, passKey, args, nowMs)
  const isOld = (passKind === 'push' || passKind === 'push-look') && age > againMs

  let admitted = true
  const used: number[] = []
  const costs: (number | undefined)[] = []
  const leases: (Map<string, number | string> | undefined)[] = []
  for (const [index, key] of items.entries()) {
    const at = headLength + index * itemLength
    const [role, cost, need] = [numberAt(args, at), numberAt(args, at + 1), numberAt(args, at + 2)]
    const [limit, ceiling] = [numberAt(args, at + 3), numberAt(args, at + 4)]
    const isForced = age >= 0 && role > 0
    if (cost < 0) {
      const live = liveLeases(data, key, nowMs, leaseTtl)
      if (cost === -1) leases[index] = live
      used.push(live.size)
      if (cost === -1 && !isForced && live.size >= limit) admitted = false
      continue
    }
    const taken = usedOf(data, key, now, ceiling)
    used.push(taken)
    costs[index] = isForced && role === 1 && !isOld ? 0 : cost
    if (!isForced && need > 0 && taken + need > limit) admitted = false
  }
  if (!admitted) return [0, age, ...used]

  let isCharged = false
  for (const [index, key] of items.entries()) {
    const at = headLength + index * itemLength
    const live = leases[index]
    const cost = costs[index] ?? 0
    if (live !== undefined) {
      live.set(String(leaseId), nowMs + leaseTtl)
      data.set(key, live, leaseTtl)
      used[index] = live.size
    } else if (cost > 0) {
      const after = Math.min((used[index] ?? 0) + cost, numberAt(args, at + 4))
      used[index] = after
      data.set(key, now + after, Math.ceil(after / 1000))
      if (numberAt(args, at) === 1) isCharged = true
    }
  }
  if (passKey !== undefined && passKind === 'pull' && isCharged) data.set(passKey, 1, passTtl)
  if (passKey !== undefined && passKind === 'push') data.set(passKey, age < 0 || isOld ? nowMs : nowMs - age, passTtl)
  return [1, age, ...used]
}

function ageOfPass(data: MemoryData, key: string, args: readonly Argument[], nowMs: number): number {
  const held = data.get(key)
  const [kind, , rule, remembered] = args
  if (kind === 'pull' || kind === 'pull-look') return held !== undefined && Number(rule) === 1 ? 0 : -1
  if (typeof held !== 'number') return Number(remembered)
  return held > nowMs ? Number(rule) + 1 : nowMs - held
}

/** Microseconds until a bucket in memory is whole again; what lies beyond every debt is cut for good. */
export function usedOf(data: MemoryData, key: string, nowUs: number, ceilingUs: number): number {
  const arrival = data.get(key)
  if (typeof arrival !== 'number') return 0
  if (arrival - nowUs > ceilingUs) data.set(key, nowUs + ceilingUs, Math.ceil(ceilingUs / 1000))
  return Math.max(0, Math.min(arrival - nowUs, ceilingUs))
}

/** The leases of a key in memory that have not ended, each with the time of its end. */
export function liveLeases(data: MemoryData, key: string, nowMs: number, ttlMs: number): Map<string, number | string> {
  const held = data.get(key)
  const live = held instanceof Map ? held : new Map<string, number | string>()
  for (const [id, end] of live) {
    if (Number(end) <= nowMs || Number(end) > nowMs + 2 * ttlMs) live.delete(id)
  }
  return live
}
