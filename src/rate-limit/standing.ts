/** How the buckets of a user stand, and how they are made whole: for the operator. */
import type { Principal } from '../registry/principal.ts'
import type { Store } from '../store/store.ts'
import { adjustArguments, adjustScript } from './adjust-script.ts'
import { bucketState } from './bucket-state.ts'
import type { BucketState } from './bucket-state.ts'
import type { Asker, Bucket } from './bucket.ts'
import type { Charge } from './charges.ts'
import { takeArguments, takeScript } from './take-script.ts'
import type { TakeItem } from './take-script.ts'
import { leaseTtlMs } from './taking.ts'

export type Standing = {
  show(user: string): Promise<readonly BucketState[]>
  reset(user: string, bucket?: string): Promise<readonly string[]>
}

export function createStanding({
  buckets,
  store,
  local,
  askerOf,
}: {
  readonly buckets: readonly Bucket[]
  readonly store: Store
  readonly local: Store
  readonly askerOf: (principal: Principal, address: string) => Asker
}): Standing {
  /** What a user is counted in, wherever it comes from. */
  const chargesOf = (user: string): readonly Charge[] => {
    const asker = askerOf({ kind: 'user', name: user, groups: [], method: 'htpasswd' }, '')
    return buckets
      .filter(({ settings }) => settings.scope !== 'address' && settings.class !== 'login' && !isSlow(settings))
      .flatMap((bucket) =>
        bucket
          .identitiesOf(asker)
          .map((identity) => ({ bucket, identity, item: lookAt(bucket, bucket.keyOf(identity)) })),
      )
  }

  return {
    show: async (user) => {
      const groups = [...Map.groupBy(chargesOf(user), ({ identity }) => identity).values()]
      const states = groups.map(async (charges) => {
        const items = charges.map(({ item }) => item)
        const { keys, args } = takeArguments(undefined, { id: '', ttlMs: leaseTtlMs }, items)
        const { used } = await store.run(takeScript, keys, args)
        return charges.map((charge, index) => bucketState(charge, used[index] ?? 0))
      })
      return (await Promise.all(states)).flat()
    },
    reset: async (user, name) => {
      const meant = chargesOf(user).filter(({ bucket: { settings } }) =>
        name === undefined ? settings.scope === 'user' : settings.name === name,
      )
      for (const { item } of meant) {
        const { keys, args } = adjustArguments([{ kind: 'forget', key: item.key }])
        await store.run(adjustScript, keys, args)
        await local.run(adjustScript, keys, args)
      }
      return [...new Set(meant.map(({ bucket }) => bucket.settings.name))]
    },
  }
}

/** What is slowed is counted nowhere but in the throttle of each gateway. */
function isSlow(settings: Bucket['settings']): boolean {
  return settings.unit === 'bytes' && settings.onExceeded === 'slow'
}

function lookAt({ settings, rate }: Bucket, key: string): TakeItem {
  if (rate === undefined) return { kind: 'count', key, role: 'plain', quota: settings.quota }
  const { limitUs, ceilingUs } = rate
  return { kind: 'rate', key, role: 'plain', costUs: 0, needUs: 0, limitUs, ceilingUs }
}
