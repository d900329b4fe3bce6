import { randomBytes } from 'node:crypto'
import { PresenceFilter } from 'ldapts'
import { escapeDnValue, normalDn, parseDn } from '../../config/distinguished-name.ts'
import type { DistinguishedName } from '../../config/distinguished-name.ts'
import type { LdapDirectorySettings } from '../../config/ldap-settings.ts'
import { usernameVariable } from '../../config/ldap-values.ts'
import type { BindTemplate } from '../../config/ldap-values.ts'
import type { LdapEntry } from './answer.ts'
import type { LdapConnection, LdapSearch } from './connection.ts'
import { textsOf } from './entry-values.ts'
import { fillFilter } from './filter.ts'
import { LdapError } from './ldap-error.ts'
import { noAttributes } from './searching.ts'
import type { Ask } from './searching.ts'

/** What a name that was typed led to. */
export type FoundUser =
  { readonly kind: 'found'; readonly entry: LdapEntry } | { readonly kind: 'none' } | { readonly kind: 'ambiguous' }

/** By what an entry shows that it was changed: a password that was wrong before may be right after. */
const stampAttributes = ['pwdLastSet', 'pwdChangedTime', 'modifyTimestamp', 'entryCSN']

/** What is asked of a user's entry, and nothing else: a photograph must not cross the network with every login. */
export function userAttributes({ nameAttribute, groups, bindTemplate }: LdapDirectorySettings): readonly string[] {
  return [
    ...[nameAttribute, ...stampAttributes],
    ...(groups.kind === 'memberOf' ? ['memberOf'] : []),
    ...(groups.memberAttribute === undefined ? [] : [groups.memberAttribute]),
    ...(bindTemplate?.kind === 'upn' ? ['userPrincipalName', 'sAMAccountName'] : []),
  ]
}

/** When the entry was last changed, as the directory tells it; '' where it does not. Only fit to be compared. */
export function stampOf({ attributes }: LdapEntry): string {
  return stampAttributes
    .flatMap((name) => (attributes.get(name.toLowerCase()) ?? []).map((value) => `${name} ${value.toString('hex')}`))
    .join(';')
}

/** Looks below every base: whoever is there twice is nobody, and the first of them must not be the one. @throws LdapError */
export async function searchUser(username: string, settings: LdapDirectorySettings, asking: Ask): Promise<FoundUser> {
  const { bases, scope } = settings.users
  const filter = fillFilter(settings.users.filter, { username })
  const found = new Map<string, LdapEntry>()
  for (const base of bases) {
    const reply = await asking({ base, scope, filter, attributes: userAttributes(settings), sizeLimit: 2 })
    for (const entry of reply.entries) found.set(normalDn(entry.dn) ?? entry.dn, entry)
    if (found.size > 1) return { kind: 'ambiguous' }
    if (reply.code !== 0)
      throw new LdapError(
        'partialAnswer',
        `the search for a user below ${base} was cut off after ${reply.entries.length} entries`,
      )
  }
  const [entry] = found.values()
  return entry === undefined ? { kind: 'none' } : { kind: 'found', entry }
}

/** Reads the entry of a DN. @throws LdapError `unusableEntry` when it is not exactly that one */
export async function readUser(dn: string, settings: LdapDirectorySettings, asking: Ask): Promise<LdapEntry> {
  const filter = new PresenceFilter({ attribute: 'objectClass' })
  const attributes = userAttributes(settings)
  const { entries } = await asking({ base: dn, scope: 'base', filter, attributes, sizeLimit: 1 })
  const [entry] = entries
  if (entry !== undefined && normalDn(entry.dn) === normalDn(dn)) return entry
  throw new LdapError('unusableEntry', `the user who bound as ${dn} cannot read this entry; let users read their own`)
}

/** The name to bind with; nothing for what could not be a name in that form. */
export function fillTemplate(template: BindTemplate, username: string): string | undefined {
  if (template.kind === 'dn') return dnWith(template.name, username)
  // A name that says for itself to which domain it belongs would be another's.
  return /[@\\/"\s]/.test(username) ? undefined : `${template.before}${username}${template.after}`
}

function dnWith(name: DistinguishedName, username: string): string {
  return name
    .map((attributes) =>
      attributes
        .map(({ type, value, isEncoded }) =>
          isEncoded ? `${type}=${value}` : `${type}=${escapeDnValue(value.split(usernameVariable).join(username))}`,
        )
        .join('+'),
    )
    .join(',')
}

/**
 * Makes sure that the entry found for a user principal name is of whoever bound with it: a name may be one account's
 * userPrincipalName and another's sAMAccountName.
 *
 * @throws LdapError `unusableEntry`
 */
export async function checkSameUser(connection: LdapConnection, entry: LdapEntry, bindName: string): Promise<void> {
  const lower = (texts: readonly string[]): readonly string[] => texts.map((text) => text.toLowerCase())
  if (lower(textsOf(entry, 'userPrincipalName')).includes(bindName.toLowerCase())) return
  const { code, identity } = await connection.whoAmI()
  const [, kind = '', text = ''] = /^(dn|u):(.*)$/s.exec(identity) ?? []
  const isSame =
    kind === 'dn'
      ? text !== '' && normalDn(text) === normalDn(entry.dn)
      : kind === 'u' &&
        lower(textsOf(entry, 'sAMAccountName')).includes(text.slice(text.lastIndexOf('\\') + 1).toLowerCase())
  if (code === 0 && isSame) return
  throw new LdapError('unusableEntry', `the entry ${entry.dn} is not known to be the one that ${bindName} is bound to`)
}

/** The name of an entry that is not there, where users would be: for a bind that costs what a wrong password costs. */
export function nobodysName(settings: LdapDirectorySettings): string {
  const name = `nobody-${randomBytes(8).toString('hex')}`
  const { bindTemplate } = settings
  if (bindTemplate !== undefined) return fillTemplate(bindTemplate, name) ?? name
  const [base = ''] = settings.users.bases
  const type = parseDn(`${settings.nameAttribute}=x`) === undefined ? 'cn' : settings.nameAttribute
  return `${type}=${name}${base === '' ? '' : `,${base}`}`
}

/** A search that finds nothing and costs little, on a server that works: its root entry (RFC 4512 section 5.1). */
export const rootSearch: LdapSearch = {
  ...{ base: '', scope: 'base', filter: new PresenceFilter({ attribute: 'objectClass' }) },
  ...{ attributes: [noAttributes], sizeLimit: 1 },
}
