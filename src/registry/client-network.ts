import { isIPv4, isIPv6 } from 'node:net'

/**
 * The address by which a client is counted: of IPv6 the whole /64, since a client can choose any address in its own,
 * printed as `2001:db8::/64`; an IPv4 address that is written as an IPv6 one (RFC 4291 section 2.5.5.2, RFC 6052 section
 * 2.1) is that IPv4 address. Text that is no address is returned as it is.
 */
export function clientNetwork(address: string): string {
  if (!address.includes(':')) return address
  const [plain = ''] = address.split('%')
  if (!isIPv6(plain)) return address
  const words = hextets(plain)
  const front = words.slice(0, 6).join(':')
  if (front === '0:0:0:0:0:ffff' || front === '64:ff9b:0:0:0:0') return dotted(words.slice(6))
  const network = words.slice(0, 4)
  while (network.at(-1) === '0') network.pop()
  return `${network.join(':')}::/64`
}

/** The eight parts of an IPv6 address, in hexadecimal without leading zeros. */
function hextets(address: string): readonly string[] {
  const [head = '', tail] = address.split('::')
  const front = parts(head)
  const back = tail === undefined ? [] : parts(tail)
  return [...front, ...Array.from({ length: 8 - front.length - back.length }, () => '0'), ...back]
}

function parts(text: string): readonly string[] {
  if (text === '') return []
  return text.split(':').flatMap((part) => {
    if (!isIPv4(part)) return [Number.parseInt(part, 16).toString(16)]
    const [a = 0, b = 0, c = 0, d = 0] = part.split('.').map(Number)
    return [(a * 256 + b).toString(16), (c * 256 + d).toString(16)]
  })
}

function dotted(words: readonly string[]): string {
  return words
    .map((word) => Number.parseInt(word, 16))
    .flatMap((word) => [word >> 8, word & 0xff])
    .join('.')
}
