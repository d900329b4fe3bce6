import { parseDn } from '../../config/distinguished-name.ts'
import type { LdapEntry } from './answer.ts'
import { textsOf } from './entry-values.ts'
import { LdapError } from './ldap-error.ts'

export type NameRule = { readonly nameAttribute: string; readonly nameCase: 'lower' | 'keep' }

/** The longest name that is looked for, in bytes of UTF-8, and the longest password that is sent. */
const maxNameBytes = 256
export const maxPasswordBytes = 1_024

/** Whether a name could be anybody's; others never reach the directory. */
export function isPossibleName(name: string): boolean {
  return name.trim() !== '' && Buffer.byteLength(name) <= maxNameBytes && !/[\u0000-\u001f\u007f]/.test(name)
}

/**
 * Whether a password could be right; others never reach the directory. A server that stops at NUL, or drops blanks, would
 * take some of them for an empty one, which is an anonymous bind that succeeds (RFC 4513 section 5.1.2).
 */
export function isPossiblePassword(password: string): boolean {
  return password.trim() !== '' && Buffer.byteLength(password) <= maxPasswordBytes && !password.includes('\0')
}

/**
 * The name by which the gateway knows a user, whatever was typed: the directory's own value, composed (NFC), in lower case
 * unless the directory is told to keep it. Of several values it is the one in the entry's DN.
 *
 * @throws LdapError `unusableEntry` when there is no such value, or none that can be a name
 */
export function canonicalName(entry: LdapEntry, rule: NameRule): string {
  const value = nameValue(entry, rule.nameAttribute)
  const name = inCase(value, rule.nameCase)
  const isUsable = !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}:]/u.test(name) && name === name.trim() && isPossibleName(name)
  if (isUsable && !becomesAscii(value)) return name
  const what = 'is empty, too long, or has a colon, blanks around it, or characters that cannot be seen'
  throw new LdapError('unusableEntry', `${rule.nameAttribute} of ${entry.dn} cannot be a name here: it ${what}`)
}

/** A name of the directory in the form in which policies have it. */
export function inCase(value: string, nameCase: NameRule['nameCase']): string {
  const composed = value.normalize('NFC')
  return nameCase === 'lower' ? composed.toLowerCase().normalize('NFC') : composed
}

/** The value in the entry's DN, as it is written among the values, where there are several. */
export function nameValue(entry: LdapEntry, attribute: string): string {
  const values = textsOf(entry, attribute)
  const [only] = values
  if (only !== undefined && values.length === 1) return only
  const inDn = parseDn(entry.dn)?.[0]?.find(({ type }) => type === attribute.toLowerCase())?.value
  if (inDn !== undefined && values.includes(inDn)) return inDn
  const found = only === undefined ? 'no value' : `${values.length} values, none of them in its DN,`
  throw new LdapError(
    'unusableEntry',
    `${entry.dn} has ${found} of ${attribute}, so nobody knows its name; authentication.ldap.nameAttribute must have one`,
  )
}

/** Whether a character that is not ASCII becomes ASCII in a name (the Kelvin sign, K): it would be somebody else's. */
function becomesAscii(value: string): boolean {
  return [...value].some((character) => {
    const isAscii = (text: string): boolean => /^[\u0000-\u007f]*$/.test(text)
    return !isAscii(character) && isAscii(character.normalize('NFC').toLowerCase())
  })
}
