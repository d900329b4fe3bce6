import { BerFault, expectTag, readElements, readNumber, readText } from './ber.ts'
import type { BerElement } from './ber.ts'

/** An entry that a search found. */
export type LdapEntry = {
  readonly dn: string
  /** By the lower-case names of the attributes, options included: `memberof;range=0-1499`. */
  readonly attributes: ReadonlyMap<string, readonly Buffer[]>
}

/** How an operation ended (RFC 4511 section 4.1.9). */
export type LdapResult = {
  readonly code: number
  /** What the server says besides; for operators. */
  readonly message: string
}

export type LdapAnswer =
  | { readonly kind: 'entry'; readonly id: number; readonly entry: LdapEntry }
  /** Some of what was asked for is on another server, where nobody goes. */
  | { readonly kind: 'reference'; readonly id: number }
  | {
      readonly kind: 'done'
      readonly id: number
      readonly operation: 'bind' | 'search' | 'extended'
      readonly result: LdapResult
      /** By their object identifiers. */
      readonly controls: ReadonlyMap<string, Buffer>
      /** Of an extended operation. */
      readonly value?: Buffer
    }

const tags = { integer: 0x02, octets: 0x04, boolean: 0x01, enumerated: 0x0a, sequence: 0x30, set: 0x31 } as const
const controlsTag = 0xa0
const valueTag = 0x8b
const operations = new Map<number, 'bind' | 'search' | 'extended'>([
  [0x61, 'bind'],
  [0x65, 'search'],
  [0x78, 'extended'],
])

/** Reads the content of one message. @throws BerFault when it is not an answer of LDAP */
export function readAnswer(content: Buffer): LdapAnswer {
  const [idElement, operation, ...more] = readElements(content)
  const id = readNumber(expectTag(idElement, tags.integer))
  if (operation === undefined) throw new BerFault('a message without an operation')
  if (operation.tag === 0x64) return { kind: 'entry', id, entry: readEntry(operation) }
  if (operation.tag === 0x73) return { kind: 'reference', id }
  const name = operations.get(operation.tag)
  if (name === undefined) throw new BerFault(`an operation 0x${operation.tag.toString(16)} that nobody asks for`)
  const [code, matched, message, ...rest] = readElements(operation.content)
  expectTag(matched, tags.octets)
  const result = {
    code: readNumber(expectTag(code, tags.enumerated)),
    message: expectTag(message, tags.octets).content.toString('utf8').replaceAll('\0', ''),
  }
  const value = rest.find(({ tag }) => tag === valueTag)?.content
  const controls = readControls(more.find(({ tag }) => tag === controlsTag))
  return { kind: 'done', id, operation: name, result, controls, ...(value === undefined ? {} : { value }) }
}

function readEntry({ content }: BerElement): LdapEntry {
  const [name, list] = readElements(content)
  const attributes = new Map<string, readonly Buffer[]>()
  for (const attribute of readElements(expectTag(list, tags.sequence).content)) {
    const [type, set] = readElements(expectTag(attribute, tags.sequence).content)
    const values = readElements(expectTag(set, tags.set).content).map((value) => expectTag(value, tags.octets).content)
    const key = readText(expectTag(type, tags.octets).content).toLowerCase()
    attributes.set(key, [...(attributes.get(key) ?? []), ...values])
  }
  return { dn: readText(expectTag(name, tags.octets).content), attributes }
}

function readControls(list: BerElement | undefined): ReadonlyMap<string, Buffer> {
  const controls = new Map<string, Buffer>()
  for (const control of list === undefined ? [] : readElements(list.content)) {
    const [type, ...rest] = readElements(expectTag(control, tags.sequence).content)
    const value = rest.find(({ tag }) => tag === tags.octets)?.content ?? Buffer.alloc(0)
    controls.set(readText(expectTag(type, tags.octets).content), value)
  }
  return controls
}

/** Where the next page begins (RFC 2696), empty after the last; nothing where the server does not page. */
export function readCookie(value: Buffer | undefined): Buffer | undefined {
  if (value === undefined) return undefined
  const [sequence] = readElements(value)
  const [, cookie] = readElements(expectTag(sequence, tags.sequence).content)
  return expectTag(cookie, tags.octets).content
}

/** The error of a password policy (draft-behera-ldap-password-policy-10), where it tells one. */
export function readPolicyError(value: Buffer | undefined): number | undefined {
  if (value === undefined) return undefined
  const [sequence] = readElements(value)
  const error = sequence === undefined ? undefined : readElements(sequence.content).find(({ tag }) => tag === 0x81)
  return error === undefined ? undefined : readNumber(error)
}
