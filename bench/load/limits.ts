/** Decisions of limits, without a gateway around them. */
import { createRateLimit } from '../../src/rate-limit/rate-limit.ts'
import type { AskedRequest } from '../../src/rate-limit/rate-limit.ts'
import type { BucketSettings } from '../../src/config/limits-settings.ts'
import { parseRegistryRequest } from '../../src/registry/route.ts'
import { monotonicClock } from '../../src/store/clock.ts'
import { createMemoryStore } from '../../src/store/memory-store.ts'
import { createRedisStore } from '../../src/store/redis-store.ts'
import type { Store, StoreScript } from '../../src/store/store.ts'
import type { LimitMetricName, LimitsJob } from './job.ts'

/** One of each scope that a request of a user can meet; nobody ever reaches their quotas. */
function bucketsFor(asked: 'pull' | 'api'): readonly BucketSettings[] {
  return [
    bucketOf({ name: 'asked-per-user', scope: 'user', class: asked }),
    bucketOf({ name: 'asked-per-team', scope: 'group', class: asked, groups: ['team'] }),
    bucketOf({ name: 'requests-per-address', scope: 'address', class: 'requests' }),
    bucketOf({ name: 'requests', scope: 'global', class: 'requests' }),
  ]
}

function bucketOf(
  settings: Pick<BucketSettings, 'name' | 'scope' | 'class'> & Partial<BucketSettings>,
): BucketSettings {
  const forAll = { users: [], groups: [], anonymous: true, exemptUsers: [], exemptGroups: [], exemptAddresses: [] }
  const quota = { unit: 'requests', quota: 36_000_000, windowSeconds: 3_600, burst: 36_000_000 } as const
  return { ...forAll, ...settings, ...quota }
}

/** So many decisions are under way at one time, as with so many connections. */
const atOnce = 16
/** The clock is not what is measured. */
const callsBetweenLooks = 16

/** A listing is decided on and nothing else; a pull is marked for its platforms too, and told how it stands. */
const targets = { pull: (index: number) => `team/app${index}/manifests/v1`, api: () => 'team/app/tags/list' } as const

/**
 * Measures requests past four buckets: the processor time of this process for each, in microseconds. What a round trip to
 * Redis costs by itself is measured with a script that does nothing.
 *
 * @throws Error at a decision that is wrong
 */
export async function limits({
  identities,
  windowMs,
  redisPort,
}: LimitsJob): Promise<Readonly<Partial<Record<LimitMetricName, number>>>> {
  const local = createMemoryStore({ clock: monotonicClock, maxKeys: 1_000_000 })
  const cpuMicrosecondsInMemory = await measure(await requestsOn(local, 'api', identities), windowMs)
  const cpuMicrosecondsPullInMemory = await measure(await requestsOn(local, 'pull', identities), windowMs)
  await local.close()
  const inMemory = { cpuMicrosecondsInMemory, cpuMicrosecondsPullInMemory }
  if (redisPort === undefined) return inMemory
  const redis = openRedis(redisPort)
  try {
    const cpuMicrosecondsRoundTrip = await measure(() => redis.run(nothing, ['{bench}'], []), windowMs)
    const pull = await measure(await requestsOn(redis, 'pull', identities), windowMs)
    const cpuMicrosecondsBeyondRoundTrip = pull - cpuMicrosecondsRoundTrip
    return { ...inMemory, cpuMicrosecondsRoundTrip, cpuMicrosecondsBeyondRoundTrip }
  } finally {
    await redis.close()
  }
}

const nothing: StoreScript<void> = {
  name: 'bench-nothing',
  lua: '-- KEYS[1] any  reply: 1\nreturn 1',
  inMemory: () => 1,
  parse: () => undefined,
}

function openRedis(port: number): Store {
  const servers = { kind: 'standalone', host: '127.0.0.1', port } as const
  return createRedisStore(
    { enabled: true, servers, database: 0, keyPrefix: 'wharfgate:', commandTimeoutMs: 1_000, connectTimeoutMs: 5_000 },
    {
      storeStateChanged: () => undefined,
      storeFailed: (fault) => {
        throw new Error(`Redis failed: ${fault}`)
      },
      storeAnswered: () => undefined,
    },
  )
}

/** Each call is a request: another user and address in turn. Every one of them is looked at once, before. */
async function requestsOn(store: Store, kind: 'pull' | 'api', identities: number): Promise<() => Promise<unknown>> {
  const counted = new Set<string>()
  const buckets = bucketsFor(kind)
  const rateLimit = createRateLimit({
    buckets,
    store,
    local: store,
    onStoreError: 'deny',
    refusalWaitMs: 0,
    groupsOf: () => ['team'],
    networksOf: () => () => false,
    clock: monotonicClock,
    processId: 'bench',
    observe: { limitDecided: (bucket) => counted.add(bucket), limitsUncounted: ignore },
  })
  const asked = Array.from({ length: identities }, (_value, index) => askedBy(kind, index))
  for (const each of asked) {
    counted.clear()
    await rateLimit.admit(each, ignore)
    if (counted.size !== buckets.length) throw new Error(`a wrong decision: by ${counted.size} of ${buckets.length}`)
  }
  let turn = 0
  return () => {
    turn = (turn + 1) % asked.length
    return rateLimit.admit(asked[turn] ?? askedBy(kind, turn), ignore)
  }
}

function askedBy(kind: 'pull' | 'api', index: number): AskedRequest {
  return {
    principal: { kind: 'user', name: `user${index}`, groups: [], method: 'htpasswd' },
    request: parseRegistryRequest('GET', `/v2/${targets[kind](index)}`),
    address: `10.0.${index >> 8}.${index & 255}`,
    transfer: { charge: ignore, end: ignore },
    client: { destroyed: false, once: ignore, off: ignore },
  }
}

/** The processor time of each call once the code is warm. */
async function measure(act: () => Promise<unknown>, windowMs: number): Promise<number> {
  await during(windowMs, act)
  const before = process.cpuUsage()
  const count = await during(windowMs, act)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / count
}

/** @returns how many calls were made */
async function during(windowMs: number, act: () => Promise<unknown>): Promise<number> {
  const endMs = performance.now() + windowMs
  let count = 0
  const work = async (): Promise<void> => {
    while (performance.now() < endMs) {
      for (let call = 0; call < callsBetweenLooks; call += 1) await act()
      count += callsBetweenLooks
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return count
}

function ignore(): void {
  return undefined
}
