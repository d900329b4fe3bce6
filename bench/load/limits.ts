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

/** One of each scope that a pull of a user can meet; nobody ever reaches their quotas. */
const buckets: readonly BucketSettings[] = [
  bucketOf({ name: 'pulls-per-user', scope: 'user', class: 'pull' }),
  bucketOf({ name: 'pulls-per-team', scope: 'group', class: 'pull', groups: ['team'] }),
  bucketOf({ name: 'requests-per-address', scope: 'address', class: 'requests' }),
  bucketOf({ name: 'requests', scope: 'global', class: 'requests' }),
]

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

/**
 * Measures a manifest that is pulled past four buckets, its headers included: the processor time of this process for each
 * decision, in microseconds. What a round trip to Redis costs by itself is measured with a script that does nothing.
 *
 * @throws Error at a decision that is wrong
 */
export async function limits({
  identities,
  windowMs,
  redisPort,
}: LimitsJob): Promise<Readonly<Partial<Record<LimitMetricName, number>>>> {
  const local = createMemoryStore({ clock: monotonicClock, maxKeys: 1_000_000 })
  const cpuMicrosecondsInMemory = await measure(await decisionsOn(local, identities), windowMs)
  await local.close()
  if (redisPort === undefined) return { cpuMicrosecondsInMemory }
  const redis = openRedis(redisPort)
  try {
    const cpuMicrosecondsRoundTrip = await measure(() => redis.run(nothing, ['{bench}'], []), windowMs)
    const decision = await measure(await decisionsOn(redis, identities), windowMs)
    const cpuMicrosecondsBeyondRoundTrip = decision - cpuMicrosecondsRoundTrip
    return { cpuMicrosecondsInMemory, cpuMicrosecondsRoundTrip, cpuMicrosecondsBeyondRoundTrip }
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

/** Each call is a decision: another user, address and repository in turn. Every one of them is looked at once, before. */
async function decisionsOn(store: Store, identities: number): Promise<() => Promise<unknown>> {
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
    observe: { limitDecided: () => undefined, limitsUncounted: () => undefined },
  })
  const asked = Array.from({ length: identities }, (_value, index) => askedBy(index))
  for (const each of asked) {
    const headers = new Map<string, string>()
    await rateLimit.admit(each, (name, value) => headers.set(name, value))
    const shown = headers.get('RateLimit')?.match(/;r=\d+/g)?.length
    if (shown !== buckets.length) throw new Error(`a wrong decision: ${shown} buckets are shown, not ${buckets.length}`)
  }
  let turn = 0
  return () => {
    turn = (turn + 1) % asked.length
    return rateLimit.admit(asked[turn] ?? askedBy(turn), ignore)
  }
}

function askedBy(index: number): AskedRequest {
  return {
    principal: { kind: 'user', name: `user${index}`, groups: [], method: 'htpasswd' },
    request: parseRegistryRequest('GET', `/v2/team/app${index}/manifests/v1`),
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
