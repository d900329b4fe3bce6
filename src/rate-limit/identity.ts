/** Who is counted together, and the keys that count them. */
import { isIPv4 } from 'node:net'
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
  return `a=${escaped(countedAddress(address))}` as Identity
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

/**
 * The address that is counted: an IPv6 client has its whole /64 to choose from, so that is one, printed as a network
 * (`2001:db8::/64`); an IPv4-mapped address is the IPv4 address.
 *
 * @param address as RFC 5952 prints it
 */
export function countedAddress(address: string): string {
  if (!address.includes(':')) return address
  const mapped = address.startsWith(mappedPrefix) ? address.slice(mappedPrefix.length) : ''
  if (isIPv4(mapped)) return mapped
  const gap = address.indexOf('::')
  const head = hextets(gap === -1 ? address : address.slice(0, gap))
  const tail = gap === -1 ? [] : hextets(address.slice(gap + '::'.length))
  // Behind a gap of zeros the last four are no part of the network; only a longer tail reaches into it.
  const zeros = Array.from({ length: tail.length > 4 ? 8 - head.length - tail.length : 0 }, () => '0')
  const network = tail.length > 4 ? [...head, ...zeros, ...tail].slice(0, 4) : head.slice(0, 4)
  while (network.at(-1) === '0') network.pop()
  return `${network.join(':')}::/64`
}

function hextets(text: string): readonly string[] {
  return text === '' ? [] : text.split(':')
}

/** RFC 4291 section 2.5.5.2 */
const mappedPrefix = '::ffff:'

/** What a key counts, so that a bucket whose unit is changed begins anew. */
const letters = { requests: 'r', bytes: 'b', concurrent: 'c' } as const

export function bucketKey(identity: Identity, unit: keyof typeof letters, bucket: string): string {
  return `limit:{${identity}}:${letters[unit]}:${bucket}`
}

export function passKey(identity: Identity, kind: 'pull' | 'push', repository: string): string {
  return `limit:{${identity}}:${kind}:${repository}`
}
