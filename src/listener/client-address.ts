/** Who the client is, by address: the transport's peer, or what trusted proxies say about whom they speak for. */
import { BlockList, SocketAddress, isIP } from 'node:net'
import type { Network } from '../config/values.ts'

/** Networks by family: a BlockList of both takes IPv4 addresses for members of `::/0`, since they can be mapped. */
export type NetworkList = { readonly ipv4: BlockList; readonly ipv6: BlockList }

/** Entries of X-Forwarded-For that are looked at; a longer chain of trusted proxies is not believed. */
const maxHops = 32

/** RFC 4291 section 2.5.5.2; how a socket that listens on `::` shows an IPv4 peer. */
const mappedPrefix = '::ffff:'
const mappedPrefixLength = 96

/**
 * The client's address: the right-most of X-Forwarded-For that is no trusted proxy, as long as the peer is one. Where all
 * of them are trusted it is the left-most, the one that began the chain. An entry that is no address makes the header
 * worthless, and the peer's address is the answer.
 *
 * @param peer address of whom the connection is with, as `Socket.remoteAddress` or the PROXY header gives it
 * @param forwardedFor the lines of X-Forwarded-For in their order
 */
export function clientAddress(peer: string, forwardedFor: readonly string[], trusted: NetworkList): string {
  const peerAddress = parseAddress(peer) ?? peer
  if (forwardedFor.length === 0 || !contains(trusted, peerAddress)) return peerAddress
  let farthest = peerAddress
  let hops = 0
  for (const entry of fromTheRight(forwardedFor)) {
    const address = hops < maxHops ? parseHop(entry) : undefined
    if (address === undefined) return peerAddress
    if (!contains(trusted, address)) return address
    farthest = address
    hops += 1
  }
  return farthest
}

/** Whether an address lies in one of the networks; what is no address lies in none. */
export function contains(networks: NetworkList, address: string): boolean {
  const plain = parseAddress(address)
  if (plain === undefined) return false
  return isIP(plain) === 4 ? networks.ipv4.check(plain, 'ipv4') : networks.ipv6.check(plain, 'ipv6')
}

/** The networks of the configuration as a list to check addresses against. */
export function networkList(networks: readonly Network[]): NetworkList {
  const list = { ipv4: new BlockList(), ipv6: new BlockList() }
  for (const { family, address, prefixLength } of networks) {
    const plain = parseAddress(address)
    if (family === 'ipv6' && plain !== undefined && isIP(plain) === 4 && prefixLength >= mappedPrefixLength) {
      list.ipv4.addSubnet(plain, prefixLength - mappedPrefixLength, 'ipv4')
    } else {
      list[family].addSubnet(address, prefixLength, family)
    }
  }
  return list
}

/**
 * An address in the one form that policies, limits and logs compare: RFC 5952 for IPv6, without a zone, which means
 * nothing beyond its own link; IPv4 for an IPv4-mapped one. Nothing for text that is no address.
 */
export function parseAddress(text: string): string | undefined {
  // The longest address has 45 characters; a zone is a name of an interface, which has at most 15.
  const version = text.length > 64 ? 0 : isIP(text)
  if (version === 0) return undefined
  if (version === 4) return text
  const { address } = new SocketAddress({ address: text, family: 'ipv6' })
  const mapped = address.startsWith(mappedPrefix) ? address.slice(mappedPrefix.length) : ''
  return isIP(mapped) === 4 ? mapped : address
}

/** Splits lazily: of thousands of entries only the last few are ever needed. */
function* fromTheRight(lines: readonly string[]): Generator<string> {
  for (const line of lines.toReversed()) {
    let end = line.length
    while (end >= 0) {
      const comma = end === 0 ? -1 : line.lastIndexOf(',', end - 1)
      yield line.slice(comma + 1, end)
      end = comma
    }
  }
}

/** One entry: an address, perhaps with a port as some load balancers add it, IPv6 then in brackets. */
function parseHop(entry: string): string | undefined {
  if (entry.length > 128) return undefined
  const text = entry.trim()
  const [, bracketed, plain] = /^(?:\[([^\]]+)\](?::\d{1,5})?|([\d.]+):\d{1,5})$/.exec(text) ?? []
  if (bracketed !== undefined) return isIP(bracketed) === 6 ? parseAddress(bracketed) : undefined
  return parseAddress(plain ?? text)
}
