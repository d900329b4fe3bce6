/**
 * Distinguished names (RFC 4514): read, compared, and put together from what strangers type. It stands here, and not beside
 * the directory, since settings and policies name entries too.
 */

/** One name and value of an entry. */
export type DnAttribute = {
  /** Lower case, without `OID.`; the dotted form of a usual attribute is its short name. */
  readonly type: string
  /** Without escapes. A value in the form `#04...` (section 2.4) is kept so, in lower case. */
  readonly value: string
  /** Whether the value is in that form. */
  readonly isEncoded: boolean
}

/** The parts of one level, of which there is nearly always one; in the order of {@link printDn}. */
export type RelativeDn = readonly DnAttribute[]

/** From the entry itself up to the root. The empty one is the root. */
export type DistinguishedName = readonly RelativeDn[]

/** Longer ones are refused: 8 KiB of UTF-16. */
const maxLength = 8_192

/** The other names of what RFC 4514 section 3 and RFC 4519 call by a short one. */
const shortNames: Readonly<Record<string, string>> = {
  ...{ '2.5.4.3': 'cn', commonname: 'cn', '2.5.4.4': 'sn', surname: 'sn', '2.5.4.6': 'c', countryname: 'c' },
  ...{ '2.5.4.7': 'l', localityname: 'l', '2.5.4.8': 'st', stateorprovincename: 'st', '2.5.4.9': 'street' },
  ...{ streetaddress: 'street', '2.5.4.10': 'o', organizationname: 'o', '2.5.4.11': 'ou' },
  ...{ organizationalunitname: 'ou', '0.9.2342.19200300.100.1.25': 'dc', domaincomponent: 'dc' },
  ...{ '0.9.2342.19200300.100.1.1': 'uid', userid: 'uid' },
}

const blanks = / +/y
const attributeType = /(?:oid\.)?([a-z][a-z0-9-]*|\d+(?:\.\d+)+) *= */iy
const encodedValue = /#((?:[0-9a-f]{2})+)/iy
/** `\` and what it protects, or a character that needs no protection; blanks at the ends are looked at later. */
const valuePart = /\\([ "#+,;<=>\\])|((?:\\[0-9a-f]{2})+)|([^\0"+,;<>\\]+)/iy

/** Reads a name; nothing when it is none. Blanks around `,`, `+` and `=` are allowed, quotes and `;` (LDAPv2) are not. */
export function parseDn(text: string): DistinguishedName | undefined {
  if (text.length > maxLength) return undefined
  if (text.trim() === '') return []
  const names: RelativeDn[] = []
  let attributes: DnAttribute[] = []
  for (let at = 0; ;) {
    const read = readAttribute(text, at)
    if (read === undefined) return undefined
    attributes.push(read.attribute)
    const separator = text[read.end]
    if (separator !== '+') {
      names.push(sorted(attributes))
      attributes = []
    }
    if (separator === undefined) return names
    if (separator !== ',' && separator !== '+') return undefined
    at = read.end + 1
  }
}

function readAttribute(
  text: string,
  start: number,
): { readonly attribute: DnAttribute; readonly end: number } | undefined {
  const at = match(blanks, text, start)?.end ?? start
  const named = match(attributeType, text, at)
  if (named === undefined) return undefined
  const written = named.groups[0]?.toLowerCase() ?? ''
  const type = (Object.hasOwn(shortNames, written) ? shortNames[written] : undefined) ?? written
  const encoded = match(encodedValue, text, named.end)
  if (encoded !== undefined) {
    const end = match(blanks, text, encoded.end)?.end ?? encoded.end
    return { attribute: { type, value: `#${encoded.groups[0]?.toLowerCase() ?? ''}`, isEncoded: true }, end }
  }
  const read = readValue(text, named.end)
  return read === undefined ? undefined : { attribute: { type, value: read.value, isEncoded: false }, end: read.end }
}

function readValue(text: string, start: number): { readonly value: string; readonly end: number } | undefined {
  if (text[start] === '#') return undefined
  let value = ''
  /** How much of the value must not be taken for blanks at its end. */
  let kept = 0
  let at = start
  for (let part = match(valuePart, text, at); part !== undefined; part = match(valuePart, text, at)) {
    const [special, hex, plain] = part.groups
    const bytes = hex === undefined ? undefined : utf8(Buffer.from(hex.replaceAll('\\', ''), 'hex'))
    if (hex !== undefined && bytes === undefined) return undefined
    value += special ?? bytes ?? plain ?? ''
    if (plain === undefined) kept = value.length
    at = part.end
  }
  return { value: value.slice(0, kept) + value.slice(kept).replace(/ +$/, ''), end: at }
}

function match(
  expression: RegExp,
  text: string,
  start: number,
): { readonly groups: readonly (string | undefined)[]; readonly end: number } | undefined {
  expression.lastIndex = start
  const found = expression.exec(text)
  return found === null || found[0] === '' ? undefined : { groups: found.slice(1), end: start + found[0].length }
}

function utf8(bytes: Buffer): string | undefined {
  const text = bytes.toString('utf8')
  return Buffer.from(text, 'utf8').equals(bytes) ? text : undefined
}

function sorted(attributes: readonly DnAttribute[]): RelativeDn {
  return attributes.toSorted((one, other) => (printAttribute(one) < printAttribute(other) ? -1 : 1))
}

/**
 * The one text for all ways to write a name: two names are of the same entry if, and nearly only if, these are the same.
 * Capitals and the number of blanks do not count, as for nearly all attributes that name entries; characters that merely
 * look alike (full-width letters) do, since a name that matches too little only refuses.
 */
export function printDn(name: DistinguishedName): string {
  return name.map((attributes) => attributes.map(printAttribute).join('+')).join(',')
}

function printAttribute({ type, value, isEncoded }: DnAttribute): string {
  return `${type}=${isEncoded ? value : escapeDnValue(comparable(value))}`
}

/** A value in the form in which it is compared. */
export function comparable(value: string): string {
  return value.normalize('NFC').toLowerCase().normalize('NFC').replaceAll(/ +/g, ' ').replaceAll(/^ | $/g, '')
}

/** The text of {@link printDn} for a name as it is written; nothing when it is none. */
export function normalDn(text: string): string | undefined {
  const name = parseDn(text)
  return name === undefined ? undefined : printDn(name)
}

/** A text as a value in a name (RFC 4514 section 2.4), so that it stays one value whatever is in it. */
export function escapeDnValue(text: string): string {
  return text.replaceAll(/^[ #]| $|["+,;<=>\\]/g, String.raw`\$&`).replaceAll('\0', String.raw`\00`)
}

/** Whether an entry lies below another, at any depth; no entry lies below itself. */
export function isBelow(name: DistinguishedName, base: DistinguishedName): boolean {
  return name.length > base.length && printDn(name.slice(name.length - base.length)) === printDn(base)
}
