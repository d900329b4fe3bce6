/** What is done to the keys of limits beside the decision on a request; it never refuses. */
import type { Argument, MemoryData, StoreScript } from '../store/store.ts'
import { integersOf, numberAt } from './reply.ts'
import { liveLeases, readLua, usedOf } from './take-script.ts'

export type Adjustment = { readonly key: string } & (
  | {
      /** Charges, whatever the bucket holds, down to the deepest debt; with a negative cost it gives back. */
      readonly kind: 'charge'
      readonly costUs: number
      readonly ceilingUs: number
    }
  /** Takes a lease or lets it last longer, whatever the quota, also in a store that has forgotten it. */
  | { readonly kind: 'hold'; readonly id: string; readonly ttlMs: number }
  | { readonly kind: 'release'; readonly id: string }
  /** Makes the pass of a charged pull. */
  | { readonly kind: 'pull-pass'; readonly ttlMs: number }
  /** Makes the pass of a push last from now, and makes it again in a store that has forgotten it. */
  | { readonly kind: 'push-pass'; readonly ttlMs: number; readonly rememberedAgeMs: number }
  | { readonly kind: 'forget' }
)

const stepLength = 3

/** The keys and arguments of {@link adjustScript}. */
export function adjustArguments(adjustments: readonly Adjustment[]): {
  readonly keys: readonly string[]
  readonly args: readonly Argument[]
} {
  return { keys: adjustments.map(({ key }) => key), args: adjustments.flatMap(argumentsOf) }
}

function argumentsOf(adjustment: Adjustment): readonly Argument[] {
  switch (adjustment.kind) {
    case 'charge':
      return ['charge', adjustment.costUs, adjustment.ceilingUs]
    case 'hold':
      return ['hold', adjustment.id, adjustment.ttlMs]
    case 'release':
      return ['release', adjustment.id, 0]
    case 'pull-pass':
      return ['pull-pass', adjustment.ttlMs, 0]
    case 'push-pass':
      return ['push-pass', adjustment.ttlMs, adjustment.rememberedAgeMs]
    case 'forget':
      return ['forget', 0, 0]
  }
}

export const adjustScript: StoreScript<void> = {
  name: 'limit-adjust',
  lua: `-- KEYS: as those of limit-take, in any order
-- ARGV, three for each key: charge, cost (us, may be negative), ceiling (us)
--   | hold, id of a lease, time to live (ms)  | release, id, 0
--   | pull-pass, time to live (ms), 0         | push-pass, time to live (ms), remembered age (ms)
--   | forget, 0, 0
-- Reply: the number of keys
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local nowMs = math.floor(now / 1000)

${readLua}
for i, key in ipairs(KEYS) do
  local kind, first, second = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  if kind == 'charge' then
    local cost, ceiling = tonumber(first), tonumber(second)
    local arrival = tonumber(read('GET', key) or '') or now
    local used = math.max(0, math.min(arrival - now, ceiling))
    local after = math.max(0, math.min(used + cost, ceiling))
    if after == 0 then redis.call('DEL', key)
    else redis.call('SET', key, whole(now + after), 'PX', whole(math.ceil(after / 1000))) end
  elseif kind == 'hold' then
    local ending = whole(nowMs + tonumber(second))
    if not read('ZADD', key, ending, first) then redis.call('ZADD', key, ending, first) end
    redis.call('PEXPIRE', key, second)
  elseif kind == 'release' then
    read('ZREM', key, first)
  elseif kind == 'pull-pass' then
    redis.call('SET', key, '1', 'PX', first)
  elseif kind == 'push-pass' then
    if redis.call('PEXPIRE', key, first) == 0 then
      redis.call('SET', key, whole(nowMs - tonumber(second)), 'PX', first)
    end
  elseif kind == 'forget' then
    redis.call('DEL', key)
  end
end
return { #KEYS }
`,
  inMemory: (data, keys, args, atMs) => {
    for (const [index, key] of keys.entries()) adjust(data, key, args, index * stepLength, atMs)
    return [keys.length]
  },
  parse: (raw) => {
    integersOf('limit-adjust', raw)
  },
}

function adjust(data: MemoryData, key: string, args: readonly Argument[], at: number, atMs: number): void {
  const now = Math.floor(atMs * 1000)
  const nowMs = Math.floor(now / 1000)
  const [first, second] = [numberAt(args, at + 1), numberAt(args, at + 2)]
  switch (String(args[at])) {
    case 'charge': {
      const after = Math.max(0, Math.min(usedOf(data, key, now, second) + first, second))
      if (after === 0) data.delete(key)
      else data.set(key, now + after, Math.ceil(after / 1000))
      return
    }
    case 'hold': {
      const live = liveLeases(data, key, nowMs, second)
      data.set(key, live.set(String(args[at + 1]), nowMs + second), second)
      return
    }
    case 'release': {
      const held = data.get(key)
      if (!(held instanceof Map)) return
      held.delete(String(args[at + 1]))
      if (held.size === 0) data.delete(key)
      return
    }
    case 'pull-pass':
      data.set(key, 1, first)
      return
    case 'push-pass': {
      const charged = data.get(key)
      data.set(key, typeof charged === 'number' ? charged : nowMs - second, first)
      return
    }
    case 'forget':
      data.delete(key)
  }
}
