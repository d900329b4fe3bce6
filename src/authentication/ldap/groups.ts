import { ExtensibleFilter, OrFilter, PresenceFilter } from 'ldapts'
import { normalDn } from '../../config/distinguished-name.ts'
import type { LdapGroups } from '../../config/ldap-settings.ts'
import type { LdapEntry } from './answer.ts'
import { textOf, textsOf } from './entry-values.ts'
import { fillFilter } from './filter.ts'
import { LdapError } from './ldap-error.ts'
import { askForAll } from './searching.ts'
import type { Ask } from './searching.ts'

/** A user of whom groups are asked. */
export type GroupMember = {
  readonly entry: LdapEntry
  /** The value of the name attribute as the directory has it. */
  readonly name: string
}

/** Names of groups by their normal form. */
type Found = Map<string, string>

/** More groups than this are nobody's. */
const maxGroups = 20_000
/** Names in one filter. */
const namesAtOnce = 25
const inChain = '1.2.840.113556.1.4.1941'

/**
 * The DNs of all groups of a user, as the directory writes them, by their normal form. All of them: whatever might have
 * left one out is a fault, since a policy may also take something away from a group.
 *
 * @throws LdapError
 */
export async function findGroups(
  member: GroupMember,
  groups: LdapGroups,
  asking: Ask,
): Promise<ReadonlyMap<string, string>> {
  const found: Found = new Map()
  if (groups.kind === 'none') return found
  if (groups.nested === 'matchingRule') {
    const value = member.entry.dn
    const filter = new ExtensibleFilter({ matchType: 'member', rule: inChain, value })
    await searchFor(found, filter, groups, asking)
  }
  if (groups.kind === 'memberOf') add(found, await memberOf(member.entry, asking))
  else if (groups.nested !== 'matchingRule') await searchFor(found, filterFor(member, groups), groups, asking)
  if (groups.nested === 'walk') await walk(found, groups, asking)
  return found
}

async function searchFor(
  found: Found,
  filter: Parameters<typeof askForAll>[1]['filter'],
  { base, scope }: LdapGroups,
  asking: Ask,
): Promise<readonly string[]> {
  const entries = await askForAll(asking, { base: base?.text ?? '', scope, filter, maxEntries: maxGroups })
  return add(
    found,
    entries.map(({ dn }) => dn),
  )
}

function filterFor({ entry, name }: GroupMember, { filter, memberAttribute }: LdapGroups) {
  const dn = memberAttribute === undefined ? entry.dn : textOf(entry, memberAttribute)
  return fillFilter(filter, { dn, username: name })
}

/** Adds groups and returns those that are new. */
function add(found: Found, names: readonly string[]): readonly string[] {
  const added: string[] = []
  for (const name of names) {
    const normal = normalDn(name)
    if (normal === undefined || normal === '')
      throw new LdapError('unusableEntry', `a group has a name that is none: ${JSON.stringify(name.slice(0, 200))}`)
    if (found.has(normal)) continue
    found.set(normal, name)
    added.push(name)
  }
  if (found.size > maxGroups) throw new LdapError('partialAnswer', `a user is in more than ${maxGroups} groups`)
  return added
}

/** Groups of groups, of any depth; a circle ends where it began. */
async function walk(found: Found, groups: LdapGroups, asking: Ask): Promise<void> {
  for (let next: readonly string[] = [...found.values()]; next.length > 0;) {
    const added: string[] = []
    if (groups.kind === 'memberOf') {
      for (const dn of next) added.push(...add(found, await memberOf(await readEntry(dn, asking), asking)))
    } else {
      for (let at = 0; at < next.length; at += namesAtOnce) {
        const filters = next.slice(at, at + namesAtOnce).map((dn) => fillFilter(groups.filter, { dn, username: dn }))
        added.push(...(await searchFor(found, new OrFilter({ filters }), groups, asking)))
      }
    }
    next = added
  }
}

async function readEntry(dn: string, asking: Ask, attribute = 'memberOf'): Promise<LdapEntry> {
  const filter = new PresenceFilter({ attribute: 'objectClass' })
  const reply = await asking({ base: dn, scope: 'base', filter, attributes: [attribute], sizeLimit: 1 })
  const [entry] = reply.entries
  if (entry === undefined)
    throw new LdapError('partialAnswer', `the group ${dn} cannot be read, nor what it is a member of`)
  return entry
}

/** Active Directory gives long lists in parts, each under a name of its own (MS-ADTS section 3.1.1.3.1.3.3). */
async function memberOf(entry: LdapEntry, asking: Ask): Promise<readonly string[]> {
  const names = [...textsOf(entry, 'memberOf')]
  let part = partOf(entry)
  for (
    let end = -1;
    part !== undefined;
    part = partOf(await readEntry(entry.dn, asking, `memberOf;range=${end + 1}-*`))
  ) {
    names.push(...part.names)
    if (part.end === undefined) break
    if (part.end <= end || names.length > maxGroups)
      throw new LdapError('partialAnswer', `memberOf of ${entry.dn} does not come to an end`)
    end = part.end
  }
  return names
}

function partOf(entry: LdapEntry): { readonly names: readonly string[]; readonly end: number | undefined } | undefined {
  for (const attribute of entry.attributes.keys()) {
    const end = /^memberof;range=\d+-(\d+|\*)$/.exec(attribute)?.[1]
    if (end !== undefined) return { names: textsOf(entry, attribute), end: end === '*' ? undefined : Number(end) }
  }
  return undefined
}
