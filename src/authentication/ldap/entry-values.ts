import type { LdapEntry } from './answer.ts'
import { BerFault, readText } from './ber.ts'
import { LdapError } from './ldap-error.ts'

/** The values of an attribute as text. @throws LdapError `unusableEntry` when one is no text */
export function textsOf({ dn, attributes }: LdapEntry, attribute: string): readonly string[] {
  try {
    return (attributes.get(attribute.toLowerCase()) ?? []).map(readText)
  } catch (error) {
    if (!(error instanceof BerFault)) throw error
    throw new LdapError('unusableEntry', `${attribute} of ${dn} is not text`, { cause: error })
  }
}

/** The one value of an attribute. @throws LdapError `unusableEntry` when there are none, or several */
export function textOf(entry: LdapEntry, attribute: string): string {
  const [value, ...more] = textsOf(entry, attribute)
  if (value !== undefined && more.length === 0) return value
  const found = value === undefined ? 'no value' : `${more.length + 1} values`
  throw new LdapError('unusableEntry', `${entry.dn} has ${found} of ${attribute}, and one is needed`)
}
