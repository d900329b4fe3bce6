import { EqualityFilter, OrFilter, PresenceFilter } from 'ldapts'
import { comparable, isBelow, parseDn, printDn } from '../../config/distinguished-name.ts'
import type { DistinguishedName } from '../../config/distinguished-name.ts'
import type { LdapGroups } from '../../config/ldap-settings.ts'
import type { LdapEvents } from '../../telemetry/ldap-events.ts'
import { inCase } from './canonical-name.ts'
import type { NameRule } from './canonical-name.ts'
import { askForAll } from './searching.ts'
import type { Ask } from './searching.ts'

export type ShortNameOptions = {
  readonly groups: LdapGroups
  readonly nameCase: NameRule['nameCase']
  readonly asking: Ask
  readonly events: Pick<LdapEvents, 'ldapGroupAmbiguous'>
}

/** Names asked for in one search; for more than a few of those, everything below the base is asked for. */
const namesAtOnce = 50
const namesUntilAll = 100
const maxEntries = 50_000

/**
 * The short names of groups, by which policies may know them: the value in front of their DN. Only of groups below the
 * base, since whoever administers another part of the directory could make an `admins` there; and only where no other
 * entry below the base has the same, whoever is in it, so that a policy never means two groups by one name.
 *
 * @param found DNs by their normal form
 * @throws LdapError
 */
export async function findShortNames(
  found: ReadonlyMap<string, string>,
  options: ShortNameOptions,
): Promise<readonly string[]> {
  const { groups, nameCase, asking, events } = options
  if (groups.base === undefined) return []
  const candidates = new Map<string, Candidate>()
  for (const [normal, text] of found) {
    const value = shortName(parseDn(text) ?? [], groups)
    if (value !== undefined) candidates.set(normal, { value, key: comparable(value) })
  }
  if (candidates.size === 0) return []
  const owners = await findOwners([...candidates.values()], groups, asking)
  const names: string[] = []
  for (const [normal, { value, key }] of candidates) {
    const all = owners.get(key)
    if (all?.has(normal) !== true) continue
    if (all.size === 1) names.push(inCase(value, nameCase))
    else events.ldapGroupAmbiguous({ name: value })
  }
  return names
}

type Candidate = { readonly value: string; readonly key: string }

/** Which entries below the base have a name, by that name in the form in which it is compared. */
async function findOwners(
  candidates: readonly Candidate[],
  groups: LdapGroups,
  asking: Ask,
): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const owners = new Map<string, Set<string>>()
  const search = async (filter: OrFilter | PresenceFilter): Promise<void> => {
    const base = groups.base?.text ?? ''
    for (const { dn } of await askForAll(asking, { base, scope: 'sub', filter, maxEntries })) {
      const name = parseDn(dn) ?? []
      const value = shortName(name, groups)
      if (value === undefined) continue
      const key = comparable(value)
      owners.set(key, (owners.get(key) ?? new Set()).add(printDn(name)))
    }
  }
  const attribute = groups.nameAttribute
  if (candidates.length > namesUntilAll) {
    await search(new PresenceFilter({ attribute }))
    return owners
  }
  for (let at = 0; at < candidates.length; at += namesAtOnce) {
    const values = candidates.slice(at, at + namesAtOnce).map(({ value }) => value)
    await search(new OrFilter({ filters: values.map((value) => new EqualityFilter({ attribute, value })) }))
  }
  return owners
}

/** The value in front of a DN below the base; nothing where it could be taken for a DN, or has no place in a policy. */
function shortName(name: DistinguishedName, { base, nameAttribute }: LdapGroups): string | undefined {
  const [first, ...more] = name[0] ?? []
  if (base === undefined || first === undefined || more.length > 0 || !isBelow(name, base.name)) return undefined
  const { type, value, isEncoded } = first
  if (isEncoded || type !== nameAttribute.toLowerCase()) return undefined
  return value === '' || value !== value.trim() || /[=\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(value) ? undefined : value
}
