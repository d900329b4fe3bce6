import { isIP } from 'node:net'
import type { Network } from '../config/values.ts'

/** An address as the 32-bit numbers that it consists of: one for IPv4, four for IPv6. */
export type AddressWords = readonly number[]

export type AddressRange = { readonly words: AddressWords; readonly prefixLength: number }

/** RFC 4291 section 2.5.5.2: an IPv4 address in the clothes of IPv6; it is that IPv4 address. */
const mappedPrefixLength = 96

export function addressRange({ address, prefixLength }: Network): AddressRange {
  const words = addressWords(address) ?? []
  const isMapped = words.length === 1 && isIP(address) === 6
  // A range that is wider than the mapped addresses is one of IPv6, in which no IPv4 address lies.
  if (isMapped && prefixLength < mappedPrefixLength) return { words: ipv6Words(address), prefixLength }
  return { words, prefixLength: isMapped ? prefixLength - mappedPrefixLength : prefixLength }
}

/** The numbers of an address; nothing for text that is no address. */
export function addressWords(address: string): AddressWords | undefined {
  const version = isIP(address)
  if (version === 0) return undefined
  if (version === 4) return [ipv4Word(address)]
  const words = ipv6Words(address)
  const isMapped = words[0] === 0 && words[1] === 0 && words[2] === 0xffff
  return isMapped ? words.slice(3) : words
}

export function isInRange(words: AddressWords, range: AddressRange): boolean {
  if (words.length !== range.words.length) return false
  return words.every((word, index) => {
    const bits = Math.min(32, range.prefixLength - 32 * index)
    // A shift by 32 would be a shift by nothing.
    return bits <= 0 || (word ^ (range.words[index] ?? 0)) >>> (32 - bits) === 0
  })
}

function ipv4Word(address: string): number {
  return address.split('.').reduce((word, byte) => ((word << 8) | Number(byte)) >>> 0, 0)
}

function ipv6Words(address: string): AddressWords {
  const [plain = ''] = address.split('%')
  const [head = '', tail] = plain.split('::')
  const front = hextets(head)
  const back = tail === undefined ? [] : hextets(tail)
  const all = [...front, ...Array.from({ length: 8 - front.length - back.length }, () => 0), ...back]
  return [0, 2, 4, 6].map((index) => (((all[index] ?? 0) << 16) | (all[index + 1] ?? 0)) >>> 0)
}

function hextets(text: string): readonly number[] {
  if (text === '') return []
  return text.split(':').flatMap((part) => {
    if (!part.includes('.')) return [Number.parseInt(part, 16)]
    const word = ipv4Word(part)
    return [word >>> 16, word & 0xffff]
  })
}
