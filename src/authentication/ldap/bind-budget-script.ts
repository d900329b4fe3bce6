/**
 * What is kept of an account's binds: one hash with three texts. `failed` and `reserved`: when binds were counted (ms),
 * with commas between. `known`: `NETWORK:WHEN` for networks where the account's password was right, with blanks between.
 */
import type { MemoryData, StoreScript } from '../../store/store.ts'

export type BindBudgetPolicy = {
  /** Wrong passwords that may reach the directory within the window; as many again by the reserved way. */
  readonly maxFailedBinds: number
  readonly windowMs: number
  /** How often an account may be bound, beyond the budget, from where it was right lately. */
  readonly reservedEveryMs: number
  /** How long "lately" is. */
  readonly knownMs: number
}

export type BindBudgetReply = {
  /** `withheld`: it must not be sent. */
  readonly verdict: 'withheld' | 'counted' | 'reserved'
  /** How long until another may be sent; 0 unless withheld. */
  readonly waitMs: number
  /** The store's clock, in milliseconds; names what was counted. */
  readonly atMs: number
}

const verdicts = ['withheld', 'counted', 'reserved'] as const
/** Networks of an account; those where it was right longest ago are forgotten first. */
const keptNetworks = 16

const fieldsInLua = `local function times(text)
  local list = {}
  for time in string.gmatch(text or '', '%d+') do
    local at = math.min(tonumber(time), now)
    if at + window > now then list[#list + 1] = string.format('%.0f', at) end
  end
  return list
end
local function networks(text)
  local list = {}
  for name, time in string.gmatch(text or '', '(%x+):(%d+)') do
    if math.min(tonumber(time), now) + known > now then list[#list + 1] = { name = name, time = time } end
  end
  return list
end
local function printed(list)
  local texts = {}
  for i, one in ipairs(list) do texts[i] = one.name .. ':' .. one.time end
  return table.concat(texts, ' ')
end
local function write(failed, reserved, places)
  redis.call('HSET', KEYS[1], 'failed', table.concat(failed, ','), 'reserved', table.concat(reserved, ','),
    'known', printed(places))
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', #places > 0 and math.max(known, window) or window))
end`

/** Asks whether a bind may be sent, and counts it as a wrong one in advance, so that many at one time cannot slip through. */
export const askBind: StoreScript<BindBudgetReply> = {
  name: 'ldap-bind-ask',
  lua: `-- KEYS: the hash of an account
-- ARGV: network, binds within the window, window (ms), time between reserved binds (ms), how long a network is known (ms)
-- Reply: 0 withheld, 1 counted, 2 reserved; wait (ms); now (ms)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local most, window, every, known = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
${fieldsInLua}
local texts = redis.call('HMGET', KEYS[1], 'failed', 'reserved', 'known')
local failed, reserved, places = times(texts[1]), times(texts[2]), networks(texts[3])
local stamp = string.format('%.0f', now)
if #failed < most then
  failed[#failed + 1] = stamp
  write(failed, reserved, places)
  return { 1, 0, now }
end
local wait = failed[1] + window - now
for _, place in ipairs(places) do
  if place.name == ARGV[1] then
    local open = #reserved == 0 and now or reserved[#reserved] + every
    if #reserved >= most then open = math.max(open, reserved[1] + window) end
    if open <= now then
      reserved[#reserved + 1] = stamp
      write(failed, reserved, places)
      return { 2, 0, now }
    end
    wait = math.min(wait, open - now)
  end
end
return { 0, wait, now }
`,
  inMemory: (data, [key = ''], args, atMs) => {
    const [network = ''] = args.map(String)
    const [most = 0, windowMs = 0, every = 0, knownMs = 0] = args.slice(1).map(Number)
    const now = Math.floor(atMs)
    const { failed, reserved, places } = read(data, key, { now, windowMs, knownMs })
    const write = (): void => {
      save(data, key, { failed, reserved, places }, windowMs, knownMs)
    }
    if (failed.length < most) {
      failed.push(now)
      write()
      return [1, 0, now]
    }
    let wait = (failed[0] ?? now) + windowMs - now
    if (places.some(({ name }) => name === network)) {
      const last = reserved.at(-1)
      let open = last === undefined ? now : last + every
      if (reserved.length >= most) open = Math.max(open, (reserved[0] ?? now) + windowMs)
      if (open <= now) {
        reserved.push(now)
        write()
        return [2, 0, now]
      }
      wait = Math.min(wait, open - now)
    }
    return [0, wait, now]
  },
  parse: (raw) => {
    const [verdict, waitMs, atMs] = threeNumbers('ldap-bind-ask', raw)
    return { verdict: verdicts[verdict] ?? 'withheld', waitMs, atMs }
  },
}

/** Takes back what was counted, for a password that was right, whose network is then known, or for a bind not decided. */
export const settleBind: StoreScript<void> = {
  name: 'ldap-bind-settle',
  lua: `-- KEYS: the hash of an account
-- ARGV: network, window (ms), how long a network is known (ms), counted | reserved, when it was (ms), right | undecided
-- Reply: 1
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local window, known = tonumber(ARGV[2]), tonumber(ARGV[3])
${fieldsInLua}
local texts = redis.call('HMGET', KEYS[1], 'failed', 'reserved', 'known')
local failed, reserved, places = times(texts[1]), times(texts[2]), networks(texts[3])
local list = ARGV[4] == 'reserved' and reserved or failed
for i, at in ipairs(list) do
  if at == ARGV[5] then
    table.remove(list, i)
    break
  end
end
if ARGV[6] == 'right' then
  for i, place in ipairs(places) do
    if place.name == ARGV[1] then
      table.remove(places, i)
      break
    end
  end
  places[#places + 1] = { name = ARGV[1], time = string.format('%.0f', now) }
  if #places > ${keptNetworks} then table.remove(places, 1) end
end
if #failed + #reserved + #places == 0 then redis.call('DEL', KEYS[1]) else write(failed, reserved, places) end
return 1
`,
  inMemory: (data, [key = ''], args, atMs) => {
    const [network = '', , , verdict, at, outcome] = args.map(String)
    const [windowMs = 0, knownMs = 0] = args.slice(1).map(Number)
    const now = Math.floor(atMs)
    const { failed, reserved, places } = read(data, key, { now, windowMs, knownMs })
    const list = verdict === 'reserved' ? reserved : failed
    const counted = list.indexOf(Number(at))
    if (counted !== -1) list.splice(counted, 1)
    const others = outcome === 'right' ? places.filter(({ name }) => name !== network) : places
    const known = outcome === 'right' ? [...others, { name: network, time: now }].slice(-keptNetworks) : others
    if (failed.length + reserved.length + known.length === 0) data.delete(key)
    else save(data, key, { failed, reserved, places: known }, windowMs, knownMs)
    return 1
  },
  parse: () => undefined,
}

type Place = { readonly name: string; readonly time: number }
type Fields = { readonly failed: number[]; readonly reserved: number[]; readonly places: readonly Place[] }

function read(
  data: MemoryData,
  key: string,
  { now, windowMs, knownMs }: { readonly now: number; readonly windowMs: number; readonly knownMs: number },
): Fields {
  const held = data.get(key)
  const text = (name: string): string => String(held instanceof Map ? (held.get(name) ?? '') : '')
  const times = (name: string): number[] =>
    [...text(name).matchAll(/\d+/g)].map(([time]) => Math.min(Number(time), now)).filter((at) => at + windowMs > now)
  const places = [...text('known').matchAll(/([0-9a-f]+):(\d+)/gi)]
    .map(([, name = '', time]) => ({ name, time: Number(time) }))
    .filter(({ time }) => Math.min(time, now) + knownMs > now)
  return { failed: times('failed'), reserved: times('reserved'), places }
}

function save(
  data: MemoryData,
  key: string,
  { failed, reserved, places }: Fields,
  windowMs: number,
  knownMs: number,
): void {
  const known = places.map(({ name, time }) => `${name}:${time}`).join(' ')
  const fields = new Map([
    ['failed', failed.join(',')],
    ['reserved', reserved.join(',')],
    ['known', known],
  ])
  data.set(key, fields, places.length > 0 ? Math.max(knownMs, windowMs) : windowMs)
}

function threeNumbers(script: string, raw: unknown): readonly [number, number, number] {
  const [one, two, three] = Array.isArray(raw) ? raw.map(Number) : []
  if (one === undefined || two === undefined || three === undefined || ![one, two, three].every(Number.isSafeInteger))
    throw new Error(`${script}: the reply is not three whole numbers`)
  return [one, two, three]
}
