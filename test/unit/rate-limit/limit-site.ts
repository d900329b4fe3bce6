import { rateLimit } from '../../../src/config/limits-settings.ts'
import type { BucketSettings } from '../../../src/config/limits-settings.ts'
import { contains, networkList } from '../../../src/listener/client-address.ts'
import { createRateLimit } from '../../../src/rate-limit/rate-limit.ts'
import type { RateLimit, RateLimitOptions } from '../../../src/rate-limit/rate-limit.ts'
import { RegistryError } from '../../../src/registry/error.ts'
import { anonymous } from '../../../src/registry/principal.ts'
import type { Principal } from '../../../src/registry/principal.ts'
import { parseRegistryRequest } from '../../../src/registry/route.ts'
import type { Transfer } from '../../../src/registry/transfer.ts'
import { createMemoryStore } from '../../../src/store/memory-store.ts'
import { StoreError } from '../../../src/store/store.ts'
import type { Store } from '../../../src/store/store.ts'
import { createFakeClock } from '../authentication/fake-clock.ts'
import type { FakeClock } from '../authentication/fake-clock.ts'

export const digest = `sha256:${'a'.repeat(64)}`

export function user(name: string, ...groups: readonly string[]): Principal {
  return { kind: 'user', name, groups, method: 'htpasswd' }
}

export const alice = user('alice', 'developers')
export const bob = user('bob', 'readers')
export const ci = user('ci', 'robots')
export const mallory = user('mallory')
export { anonymous }

/** Buckets as the configuration makes them. */
export function bucketsOf(buckets: readonly Readonly<Record<string, unknown>>[]): readonly BucketSettings[] {
  const settings = rateLimit.parse({ enabled: true, buckets })
  return settings.enabled ? settings.buckets : []
}

/** Pulls of a user; `changes` make another bucket of it. */
export function bucket(name: string, changes: Readonly<Record<string, unknown>> = {}) {
  return { name, scope: 'user', class: 'pull', quota: 2, windowSeconds: 3_600, ...changes }
}

/** A store that can be made to forget or to fail, and counts its calls. */
export function createTestStore(clock: FakeClock, isSharded = false) {
  const create = (): Store => createMemoryStore({ clock, maxKeys: 100_000 })
  let memory = create()
  let isDown = false
  let failing: string | undefined
  const calls: string[] = []
  const store: Store = {
    isSharded,
    run: (script, keys, args) => {
      calls.push(script.name)
      const tags = new Set(keys.map((key) => /\{(.*?)\}/.exec(key)?.[1]))
      if (isSharded && tags.size > 1) return Promise.reject(new Error(`CROSSSLOT ${keys.join(' ')}`))
      if (isDown || (failing !== undefined && keys.some((key) => key.includes(failing ?? ''))))
        return Promise.reject(new StoreError('down', 'it is down'))
      return memory.run(script, keys, args)
    },
    close: () => memory.close(),
  }
  return {
    store,
    calls,
    forget: () => {
      memory = create()
    },
    fail: (down: boolean) => {
      isDown = down
    },
    /** Fails for what has this in a key. */
    failFor: (text: string | undefined) => {
      failing = text
    },
  }
}

export type Asking = {
  readonly method?: string
  readonly path: string
  readonly as?: Principal
  readonly from?: string
  readonly client?: ReturnType<typeof createClient>
}

/** A response as limits see it: it can close. */
export function createClient() {
  const listeners = new Set<() => void>()
  const client = {
    destroyed: false,
    listeners,
    once: (_: 'close', listener: () => void) => listeners.add(listener),
    off: (_: 'close', listener: () => void) => listeners.delete(listener),
    leave: () => {
      client.destroyed = true
      for (const listener of [...listeners]) listener()
    },
  }
  return client
}

export type Answer = {
  /** Whether it was admitted, or the error that refused it. */
  readonly error: RegistryError | undefined
  readonly transfer: Transfer | undefined
  readonly headers: Readonly<Record<string, string>>
}

/** The transfer that counts for the exchange. */
export const innerTransfer: Transfer = { charge: () => undefined, end: () => undefined }

export type LimitSite = ReturnType<typeof createLimitSite>

/** What several gateways have in common. */
export type SharedByGateways = { readonly clock: FakeClock; readonly shared: ReturnType<typeof createTestStore> }

/** Limits before a store in memory, with a clock that the test moves. */
export function createLimitSite(
  buckets: readonly Readonly<Record<string, unknown>>[],
  options: Partial<RateLimitOptions> & {
    readonly shared?: SharedByGateways
    readonly isSharded?: boolean
  } = {},
) {
  const { shared: other, isSharded = false, ...changes } = options
  const clock = other?.clock ?? createFakeClock()
  const shared = other?.shared ?? createTestStore(clock, isSharded)
  const verdicts: string[] = []
  const limits: RateLimit = createRateLimit({
    buckets: bucketsOf(buckets),
    store: shared.store,
    local: createMemoryStore({ clock, maxKeys: 100_000 }),
    onStoreError: 'local',
    refusalWaitMs: 0,
    groupsOf: (principal) => (principal.kind === 'user' ? principal.groups : []),
    networksOf: (networks) => {
      const list = networkList(networks)
      return (address) => contains(list, address)
    },
    clock,
    processId: 'process',
    observe: {
      limitDecided: (name, verdict) => verdicts.push(`${name} ${verdict}`),
      limitsUncounted: (verdict) => verdicts.push(`uncounted ${verdict}`),
    },
    ...changes,
  })
  async function ask({ method = 'GET', path, as = alice, from = '192.0.2.1', client }: Asking): Promise<Answer> {
    const headers: Record<string, string> = {}
    try {
      const transfer = await limits.admit(
        {
          principal: as,
          request: parseRegistryRequest(method, `/v2/${path}`),
          address: from,
          transfer: innerTransfer,
          client: client ?? createClient(),
        },
        (name, value) => {
          headers[name] = value
        },
      )
      return { error: undefined, transfer, headers }
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error
      return { error, transfer: undefined, headers }
    }
  }
  return {
    clock,
    shared,
    limits,
    /** What was told of decisions, and is told no more. */
    verdicts: () => verdicts.splice(0),
    ask,
    pull: (path = 'team/app/manifests/latest', more: Partial<Asking> = {}) => ask({ path, ...more }),
    /** How many of so many requests, one after the other, are admitted. Each ends at once. */
    admitted: async (times: number, asking: Asking): Promise<number> => {
      let count = 0
      for (let turn = 0; turn < times; turn += 1) {
        const { error, transfer } = await ask(asking)
        transfer?.end('complete')
        if (error === undefined) count += 1
      }
      return count
    },
  }
}
