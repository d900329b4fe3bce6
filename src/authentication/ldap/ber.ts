/**
 * Reads BER (X.690) as LDAP uses it: definite lengths, tags of one byte (RFC 4511 section 5.1). Everything is checked
 * against what holds it: the reader of ldapts 9.2 goes round for ever, and then out of memory, on a value that says to be
 * longer than its message, so what servers send is read here.
 */

/** One element. */
export type BerElement = { readonly tag: number; readonly content: Buffer }

/** What came is not BER, or not what LDAP says should be there. */
export class BerFault extends Error {}

/** Where an element begins to have content, and where it ends; nothing while its head has not come whole. */
function headAt(bytes: Buffer, at: number): { readonly start: number; readonly end: number } | undefined {
  const first = bytes[at + 1]
  if (first === undefined) return undefined
  if (first < 0x80) return { start: at + 2, end: at + 2 + first }
  const lengthBytes = first & 0x7f
  if (lengthBytes === 0 || lengthBytes > 4) throw new BerFault(`a length of ${lengthBytes} bytes`)
  const start = at + 2 + lengthBytes
  return bytes.length < start ? undefined : { start, end: start + bytes.readUIntBE(at + 2, lengthBytes) }
}

/** Every element of a content, in order. @throws BerFault when the last one is cut off */
export function readElements(content: Buffer): readonly BerElement[] {
  const elements: BerElement[] = []
  for (let at = 0; at < content.length;) {
    const head = headAt(content, at)
    if (head === undefined || head.end > content.length) throw new BerFault('an element is longer than what holds it')
    elements.push({ tag: content.readUInt8(at), content: content.subarray(head.start, head.end) })
    at = head.end
  }
  return elements
}

/** A whole number of at most four bytes. @throws BerFault */
export function readNumber({ content }: BerElement): number {
  if (content.length === 0 || content.length > 4) throw new BerFault(`a number of ${content.length} bytes`)
  return content.readIntBE(0, content.length)
}

/** Text in UTF-8. @throws BerFault when it is not */
export function readText(content: Buffer): string {
  const text = content.toString('utf8')
  if (!Buffer.from(text, 'utf8').equals(content)) throw new BerFault('a text that is not UTF-8')
  return text
}

/** @throws BerFault when the element is not there, or another one */
export function expectTag(element: BerElement | undefined, tag: number): BerElement {
  if (element?.tag !== tag)
    throw new BerFault(`0x${element?.tag.toString(16) ?? '00'} where 0x${tag.toString(16)} belongs`)
  return element
}

const sequenceTag = 0x30

export type MessageReader = {
  /** The contents of the messages that are whole with this chunk, in order. @throws BerFault */
  take(chunk: Buffer): readonly Buffer[]
  /** Bytes of a message that has not come whole. */
  pendingBytes(): number
}

/** Says that a message is longer than allowed; known from its first bytes. */
export class MessageTooLarge extends BerFault {}

/** Cuts what comes into messages of at most `maxBytes`. */
export function createMessageReader(maxBytes: number): MessageReader {
  let chunks: Buffer[] = []
  let size = 0
  /** With fewer bytes there is nothing to do: a long message is put together once, not with every chunk. */
  let needed = 2

  function whole(bytes: Buffer, at: number): { readonly start: number; readonly end: number } | undefined {
    if (at < bytes.length && bytes[at] !== sequenceTag) throw new BerFault('what comes is not LDAP')
    const head = headAt(bytes, at)
    if (head !== undefined && head.end - at > maxBytes)
      throw new MessageTooLarge(`a message of ${head.end - at} bytes; at most ${maxBytes} are read`)
    needed = head === undefined ? bytes.length - at + 1 : head.end - at
    return head === undefined || head.end > bytes.length ? undefined : head
  }

  return {
    take(chunk) {
      chunks.push(chunk)
      size += chunk.length
      if (size < needed) return []
      const bytes = Buffer.concat(chunks)
      const messages: Buffer[] = []
      let at = 0
      for (let head = whole(bytes, at); head !== undefined; head = whole(bytes, at)) {
        messages.push(bytes.subarray(head.start, head.end))
        at = head.end
      }
      chunks = [bytes.subarray(at)]
      size = bytes.length - at
      return messages
    },
    pendingBytes: () => size,
  }
}
