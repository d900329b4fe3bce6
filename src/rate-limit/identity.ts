/** Who is counted together, and the keys that count them. */
import { isIPv4 } from 'node:net'

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

/** @param address as the exchange has it, in the one form of its family */
export function addressIdentity(address: string): Identity {
  return `a=${escaped(countedAddress(address))}` as Identity
}

/** Nothing of a name can end a hash tag, or look like another name. */
function escaped(name: string): string {
  return encodeURIComponent(name.toWellFormed())
}

/**
 * The address that is counted: an IPv6 client has its whole /64 to choose from, so that is one, printed as a network
 * (`2001:db8::/64`); an IPv4-mapped address is the IPv4 address.
 */
export function countedAddress(address: string): string {
  if (!address.includes(':')) return address
  const plain = address.toLowerCase()
  const mapped = plain.startsWith('::ffff:') ? plain.slice('::ffff:'.length) : ''
  if (isIPv4(mapped)) return mapped
  const [front = '', back] = plain.split('::')
  const head = front === '' ? [] : front.split(':')
  const tail = back === undefined || back === '' ? [] : back.split(':')
  const tailLength = tail.length + (back?.includes('.') === true ? 1 : 0)
  const zeros = back === undefined ? 0 : Math.max(0, 8 - head.length - tailLength)
  const network = [...head, ...Array.from({ length: zeros }, () => '0'), ...tail].slice(0, 4)
  while (network.at(-1) === '0') network.pop()
  return `${network.join(':')}::/64`
}

/** What a key counts, so that a bucket whose unit is changed begins anew. */
const letters = { requests: 'r', bytes: 'b', concurrent: 'c' } as const

export function bucketKey(identity: Identity, unit: keyof typeof letters, bucket: string): string {
  return `limit:{${identity}}:${letters[unit]}:${bucket}`
}

export function passKey(identity: Identity, kind: 'pull' | 'push', repository: string): string {
  return `limit:{${identity}}:${kind}:${repository}`
}
