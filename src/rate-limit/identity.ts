/** Who is counted together, and the keys that count them. */
import { clientNetwork } from '../registry/client-network.ts'
import { recalled } from './recalled.ts'

declare const brand: unique symbol
/** Stands for a user, an address, a group or all, as the hash tag of the store's keys: `u=alice`, `a=192.0.2.1`, `all`. */
export type Identity = string & { readonly [brand]: 'Identity' }

export const everybody = 'all' as Identity

export function userIdentity(name: string): Identity {
  return `u=${escaped(name)}` as Identity
}

export function groupIdentity(name: string): Identity {
  return `g=${escaped(name)}` as Identity
}

/** @param address as the exchange has it: IPv6 as RFC 5952 prints it */
export function addressIdentity(address: string): Identity {
  return `a=${escaped(clientNetwork(address))}` as Identity
}

/** The same, remembered: every request asks, and a text that is the same one every time is found faster. */
export type Identities = {
  readonly user: (name: string) => Identity
  readonly group: (name: string) => Identity
  readonly address: (address: string) => Identity
}

export function createIdentities(): Identities {
  return { user: recalled(userIdentity), group: recalled(groupIdentity), address: recalled(addressIdentity) }
}

/** Nothing of a name can end a hash tag, or look like another name. */
function escaped(name: string): string {
  return encodeURIComponent(name.toWellFormed())
}

/** What a key counts, so that a bucket whose unit is changed begins anew. */
const letters = { requests: 'r', bytes: 'b', concurrent: 'c' } as const

export function bucketKey(identity: Identity, unit: keyof typeof letters, bucket: string): string {
  return `limit:{${identity}}:${letters[unit]}:${bucket}`
}

export function passKey(identity: Identity, kind: 'pull' | 'push', repository: string): string {
  return `limit:{${identity}}:${kind}:${repository}`
}
