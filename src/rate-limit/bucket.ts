/** A bucket of the configuration, ready to be asked. */
import type { BucketSettings } from '../config/limits-settings.ts'
import type { Network } from '../config/values.ts'
import type { Principal } from '../registry/principal.ts'
import { addressIdentity, bucketKey, everybody, groupIdentity, userIdentity } from './identity.ts'
import type { Identity } from './identity.ts'

/** Who asks, as buckets look at it. */
export type Asker = {
  readonly principal: Principal
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
}

export type Rate = {
  /** How long one request or byte takes to come back. Whole microseconds for requests, so that quotas are exact. */
  readonly intervalUs: number
  /** All that can be used at one time: the burst. */
  readonly limitUs: number
  /** The deepest debt: one window beyond the burst. */
  readonly ceilingUs: number
}

export function compileBucket(settings: BucketSettings, networksOf: NetworksOf): Bucket {
  return { settings, rate: rateOf(settings), identitiesOf: identitiesOf(settings, networksOf) }
}

/** What `count` requests or bytes cost, in whole microseconds; at least one, so that nothing is for free. */
export function costUs({ intervalUs }: Rate, count: number): number {
  return Math.max(1, Math.round(intervalUs * count))
}

/** The key of a bucket for one identity. */
export function keyOf({ settings }: Bucket, identity: Identity): string {
  return bucketKey(identity, settings.unit, settings.name)
}

function rateOf(settings: BucketSettings): Rate | undefined {
  if (settings.unit === 'concurrent') return undefined
  const { quota, burst, windowSeconds } = settings
  const windowUs = windowSeconds * 1_000_000
  const intervalUs = settings.unit === 'requests' ? Math.floor(windowUs / quota) : windowUs / quota
  const limitUs = Math.max(1, Math.floor(intervalUs * burst))
  return { intervalUs, limitUs, ceilingUs: limitUs + windowUs }
}

function identitiesOf(settings: BucketSettings, networksOf: NetworksOf): Bucket['identitiesOf'] {
  const { scope, exemptAddresses, anonymous } = settings
  const isExempt = exemptAddresses.length === 0 ? undefined : networksOf(exemptAddresses)
  const isForUser = userFilter(settings)
  const groups = new Set(settings.groups)
  return (asker) => {
    const { principal, address } = asker
    if (isExempt?.(address) === true) return []
    if (principal.kind === 'anonymous' ? anonymous === false : !isForUser(principal.name, asker.groups)) return []
    switch (scope) {
      case 'user':
        return [principal.kind === 'user' ? userIdentity(principal.name) : addressIdentity(address)]
      case 'address':
        return [addressIdentity(address)]
      case 'global':
        return [everybody]
      case 'group':
        return [...new Set(asker.groups())].filter((group) => groups.has(group)).map(groupIdentity)
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
