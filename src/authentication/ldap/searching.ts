import type { Filter } from 'ldapts'
import type { LdapScope } from '../../config/ldap-settings.ts'
import type { LdapEntry } from './answer.ts'
import type { LdapConnection, LdapSearch, LdapSearchReply } from './connection.ts'
import { describe } from './fault-sentences.ts'
import { LdapError } from './ldap-error.ts'

/** Asks the directory, as whoever may: the service account, or the user. @throws LdapError */
export type Ask = (search: LdapSearch) => Promise<LdapSearchReply>

/** Entries for one page: what Active Directory gives at most is 1,000. */
const pageSize = 500
/** A server that never comes to an end of its pages is at fault. */
const maxPages = 1_000

/**
 * Searches on a connection. Only success and, for who expects it, sizeLimitExceeded (4) are answers.
 *
 * @throws LdapError
 */
export async function ask(connection: LdapConnection, search: LdapSearch): Promise<LdapSearchReply> {
  const reply = await connection.search(search)
  if (reply.code === 0 || reply.code === 4) return reply
  const { base } = search
  const at = `${connection.server.url}: the search below ${base} ended with ${describe(reply)}`
  const options = { resultCode: reply.code }
  if (reply.code === 32)
    throw new LdapError('baseMissing', `${at}; there is no such entry, or the service account may not see it`, options)
  if (reply.code === 3 || reply.code === 11)
    throw new LdapError('partialAnswer', `${at}; the answer is not whole`, options)
  throw new LdapError('searchRefused', at, options)
}

/** All entries below a base, page by page. @throws LdapError `partialAnswer` where some might be missing */
export async function askForAll(
  asking: Ask,
  what: { readonly base: string; readonly scope: LdapScope; readonly filter: Filter; readonly maxEntries: number },
): Promise<readonly LdapEntry[]> {
  const { base, scope, filter, maxEntries } = what
  const entries: LdapEntry[] = []
  let cookie: Buffer | undefined
  for (let page = 0; page < maxPages; page += 1) {
    const search = { base, scope, filter, attributes: [noAttributes], sizeLimit: pageSize }
    const reply = await asking({ ...search, page: cookie === undefined ? {} : { cookie } })
    entries.push(...reply.entries)
    if (reply.code !== 0 || entries.length > maxEntries) break
    if (reply.cookie === undefined) return entries
    cookie = reply.cookie
  }
  throw new LdapError(
    'partialAnswer',
    `the search below ${base} gave ${entries.length} entries and not all; let the service account read more, or narrow the search`,
  )
}

/** Asks for names of entries only (RFC 4511 section 4.5.1.8). */
export const noAttributes = '1.1'
