/** As much of BER (X.690) as LDAP needs: tags of one byte, definite lengths (RFC 4511 section 5.1). */

/** One element: its tag, what it holds, and where the next one begins. */
export type BerElement = { readonly tag: number; readonly content: Buffer; readonly end: number }

export const berTag = {
  boolean: 0x01,
  integer: 0x02,
  octetString: 0x04,
  enumerated: 0x0a,
  sequence: 0x30,
  set: 0x31,
} as const

/** Any element from its parts. */
export function ber(tag: number, ...content: readonly (Buffer | string)[]): Buffer {
  const whole = Buffer.concat(content.map((part) => Buffer.from(part)))
  return Buffer.concat([Buffer.from([tag]), berLength(whole.length), whole])
}

export function berInteger(value: number, tag: number = berTag.integer): Buffer {
  const bytes = [value & 0xff]
  for (let rest = value >> 8; rest !== 0; rest >>= 8) bytes.unshift(rest & 0xff)
  if (((bytes[0] ?? 0) & 0x80) !== 0) bytes.unshift(0)
  return ber(tag, Buffer.from(bytes))
}

export function berOctets(value: Buffer | string): Buffer {
  return ber(berTag.octetString, value)
}

/** The length octets; in the long form of four bytes where one will not do. */
export function berLength(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length])
  const long = Buffer.alloc(5)
  long[0] = 0x84
  long.writeUInt32BE(length, 1)
  return long
}

/** Reads the element at `offset`; undefined while it has not come whole. */
export function readBer(buffer: Buffer, offset = 0): BerElement | undefined {
  const tag = buffer[offset]
  const first = buffer[offset + 1]
  if (tag === undefined || first === undefined) return undefined
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f
  const start = offset + 2 + lengthBytes
  if (buffer.length < start) return undefined
  const length = lengthBytes === 0 ? first : buffer.readUIntBE(offset + 2, Math.min(lengthBytes, 6))
  const end = start + length
  return buffer.length < end ? undefined : { tag, content: buffer.subarray(start, end), end }
}

/** Every element in a content, in order; what is cut off at its end is left out. */
export function readBerList(content: Buffer): readonly BerElement[] {
  const elements: BerElement[] = []
  for (let at = 0; ;) {
    const element = readBer(content, at)
    if (element === undefined) return elements
    elements.push(element)
    at = element.end
  }
}

/** A whole number that is not negative. */
export function readBerNumber({ content }: BerElement): number {
  return content.length === 0 ? 0 : content.readUIntBE(0, Math.min(content.length, 6))
}
