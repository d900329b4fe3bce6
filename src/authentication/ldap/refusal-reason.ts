import type { LdapRefusal } from '../../telemetry/ldap-labels.ts'
import type { LdapBindReply } from './connection.ts'

/** Behind `data` in the message of a refused bind of Active Directory. */
const subCodes: Readonly<Record<string, LdapRefusal>> = {
  ...{ '525': 'noSuchUser', '52e': 'wrongPassword', '530': 'logonHours', '531': 'workstation' },
  ...{ '532': 'passwordExpired', '533': 'disabled', '534': 'other', '701': 'accountExpired' },
  ...{ '773': 'mustChangePassword', '775': 'locked' },
}

/** Of the password policy control; 2 comes with a bind that succeeds and may then do nothing but change the password. */
const policyErrors: readonly LdapRefusal[] = ['passwordExpired', 'locked', 'mustChangePassword']

/** Codes of a bind by which a directory speaks of the user, and not of itself. */
const codesOfUsers: Readonly<Record<number, LdapRefusal>> = {
  19: 'locked',
  32: 'noSuchUser',
  48: 'noPassword',
  49: 'wrongPassword',
  53: 'disabled',
}

/**
 * What a bind of a user came to: `accepted`, or why the user is refused; nothing when the directory is at fault, by whatever
 * code: then nobody knows whose password it is.
 */
export function readBindReply({ code, message, policyError }: LdapBindReply): 'accepted' | LdapRefusal | undefined {
  const ofPolicy = policyError === undefined ? undefined : policyErrors[policyError]
  if (code === 0) return policyError === 2 ? 'mustChangePassword' : 'accepted'
  const reason = codesOfUsers[code]
  if (reason === undefined) return undefined
  const subCode = /\bdata ([0-9a-f]{3})\b/i.exec(message)?.[1]?.toLowerCase() ?? ''
  const ofDirectory = Object.hasOwn(subCodes, subCode) ? subCodes[subCode] : undefined
  return ofDirectory ?? ofPolicy ?? reason
}
