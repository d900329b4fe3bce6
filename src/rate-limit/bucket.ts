/** A bucket of the configuration, ready to be asked. */
import type { BucketSettings } from '../config/limits-settings.ts'
import type { Network } from '../config/values.ts'
import type { Principal } from '../registry/principal.ts'
import { bucketKey, everybody } from './identity.ts'
import type { Identities, Identity } from './identity.ts'
import { recalled } from './recalled.ts'

/** Who asks, as buckets look at it. */
export type Asker = {
  readonly principal: Principal
  /** The user, or the address of who has not logged in. */
  readonly own: Identity
  /** All groups of the principal; looked up when a bucket wants to know. */
  readonly groups: () => readonly string[]
  /** The client's address, in the one form of its family. */
  readonly address: string
}

/** Makes of a list of networks what tells whether an address lies in one of them. */
export type NetworksOf = (networks: readonly Network[]) => (address: string) => boolean

export type Bucket = {
  readonly settings: BucketSettings
  /** The rate in the microseconds that it takes to come back; nothing for transfers at one time. */
  readonly rate: Rate | undefined
  /** Whom the request counts for in this bucket: nobody, or one; several for the groups of a user. */
  readonly identitiesOf: (asker: Asker) => readonly Identity[]
  /** The key in the store that counts an identity. */
  readonly keyOf: (identity: Identity) => string
}

export type Rate = {
  /** How long one request or byte takes to come back. Whole microseconds for requests, so that quotas are exact. */
  readonly intervalUs: number
  /** All that can be used at one time: the burst. */
  readonly limitUs: number
  /** The deepest debt: one window beyond the burst. */
  readonly ceilingUs: number
}

export function compileBucket(settings: BucketSettings, identities: Identities, networksOf: NetworksOf): Bucket {
  return {
    settings,
    rate: rateOf(settings),
    identitiesOf: identitiesOf(settings, identities, networksOf),
    keyOf: recalled((identity) => bucketKey(identity, settings.unit, settings.name)),
  }
}

/** What `count` requests or bytes cost, in whole microseconds; at least one, so that nothing is for free. */
export function costUs({ intervalUs }: Rate, count: number): number {
  return Math.max(1, Math.round(intervalUs * count))
}

function rateOf(settings: BucketSettings): Rate | undefined {
  if (settings.unit === 'concurrent') return undefined
  const { quota, burst, windowSeconds } = settings
  const windowUs = windowSeconds * 1_000_000
  const intervalUs = settings.unit === 'requests' ? Math.floor(windowUs / quota) : windowUs / quota
  const limitUs = Math.max(1, Math.floor(intervalUs * burst))
  return { intervalUs, limitUs, ceilingUs: limitUs + windowUs }
}

function identitiesOf(
  settings: BucketSettings,
  identities: Identities,
  networksOf: NetworksOf,
): Bucket['identitiesOf'] {
  const { scope, exemptAddresses, anonymous } = settings
  const isExempt = exemptAddresses.length === 0 ? undefined : networksOf(exemptAddresses)
  const isForUser = userFilter(settings)
  const groups = new Set(settings.groups)
  return (asker) => {
    const { principal, address, own } = asker
    if (isExempt?.(address) === true) return []
    if (principal.kind === 'anonymous' ? anonymous === false : !isForUser(principal.name, asker.groups)) return []
    switch (scope) {
      case 'user':
        return [own]
      case 'address':
        return [identities.address(address)]
      case 'global':
        return [everybody]
      case 'group':
        return [...new Set(asker.groups())].filter((group) => groups.has(group)).map(identities.group)
    }
  }
}

/** Whether a bucket counts a user. */
function userFilter(settings: BucketSettings): (name: string, groups: () => readonly string[]) => boolean {
  const [users, groups] = [new Set(settings.users), new Set(settings.groups)]
  const [exemptUsers, exemptGroups] = [new Set(settings.exemptUsers), new Set(settings.exemptGroups)]
  const isForAll = users.size === 0 && groups.size === 0
  if (settings.anonymous === 'only') return () => false
  return (name, groupsOfUser) => {
    if (exemptUsers.has(name)) return false
    if (exemptGroups.size > 0 && groupsOfUser().some((group) => exemptGroups.has(group))) return false
    if (isForAll || users.has(name)) return true
    return groups.size > 0 && groupsOfUser().some((group) => groups.has(group))
  }
}
