/** A login at a directory step by step, for the operator who sets it up: what works, and for what does not the cure. */
import { EqualityFilter, PresenceFilter } from 'ldapts'
import { parseDn, printDn } from '../../config/distinguished-name.ts'
import type { LdapDirectorySettings, LdapServer } from '../../config/ldap-settings.ts'
import type { Clock } from '../clock.ts'
import type { LdapEntry } from './answer.ts'
import { canonicalName, isPossibleName, isPossiblePassword, nameValue } from './canonical-name.ts'
import { certificateLines } from './certificate-lines.ts'
import { openConnection } from './connection.ts'
import type { ConnectionOptions, LdapConnection } from './connection.ts'
import { describe } from './fault-sentences.ts'
import { findGroups } from './groups.ts'
import { LdapError } from './ldap-error.ts'
import { readBindReply } from './refusal-reason.ts'
import { ask, noAttributes } from './searching.ts'
import { findShortNames } from './short-names.ts'
import { checkSameUser, fillTemplate, readUser, searchUser } from './user-lookup.ts'
import { curesOf, refusalCures } from './walk-cures.ts'
import type { WalkStep } from './walk-cures.ts'

/** How one step ended. `lines` say more: what was found, or what to change. */
export type WalkResult = {
  readonly step: WalkStep
  /** What the step was about: a server, a name. */
  readonly subject: string
  readonly outcome: 'yes' | 'no' | 'not needed'
  readonly sentence: string
  readonly lines: readonly string[]
}

export type WalkOptions = {
  readonly settings: LdapDirectorySettings
  /** The content of `settings.caFile`. */
  readonly ca?: string
  readonly username: string
  /** Sent to the directory at most once. */
  readonly password: string
  readonly clock: Clock
}

/** Ends the walk at its step. */
class StepFailed extends Error {
  readonly result: WalkResult

  constructor(step: WalkStep, subject: string, sentence: string, lines: readonly string[]) {
    super(sentence)
    this.name = 'StepFailed'
    this.result = { step, subject, outcome: 'no', sentence, lines }
  }
}

/**
 * Walks the steps of a login: each server is connected to, then one of them is asked. It ends with the first `no` behind the
 * servers. Only what the directory or the settings are to blame for is an answer; a fault of ours is thrown.
 */
export async function* walkLdap(options: WalkOptions): AsyncGenerator<WalkResult> {
  const { settings } = options
  let connection: LdapConnection | undefined
  try {
    for (const server of settings.servers) {
      const { results, opened } = await connectTo(server, options)
      yield* results
      if (connection === undefined) connection = opened
      else opened?.close()
    }
    if (connection === undefined) return
    yield* settings.bindTemplate === undefined ? walkSearch(connection, options) : walkDirect(connection, options)
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error
    yield error.result
  } finally {
    connection?.close()
  }
}

function connectionOptions({ settings, ca, clock }: WalkOptions): ConnectionOptions {
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(settings.serverName === undefined ? {} : { serverName: settings.serverName }),
    ...{ allowInsecure: settings.allowInsecure, operationTimeoutMs: settings.operationTimeoutMs, clock },
  }
}

const yes = (step: WalkStep, subject: string, sentence = '', lines: readonly string[] = []): WalkResult => ({
  ...{ step, subject, outcome: 'yes', sentence, lines },
})
const notNeeded = (step: WalkStep, subject: string, sentence: string): WalkResult => ({
  ...{ step, subject, outcome: 'not needed', sentence, lines: [] },
})
const no = (step: WalkStep, subject: string, error: LdapError): WalkResult => ({
  ...{ step, subject, outcome: 'no', sentence: error.message, lines: curesOf(step, error.fault) },
})

type Connected = { readonly results: readonly WalkResult[]; readonly opened?: LdapConnection }

/** A connection stands with TLS or not at all; the fault says which of the two failed. */
async function connectTo(server: LdapServer, options: WalkOptions): Promise<Connected> {
  const { url } = server
  try {
    const opened = await openConnection(server, options.settings.connectTimeoutMs, connectionOptions(options))
    const { tls } = opened
    const encryption =
      tls === undefined
        ? notNeeded('tls', url, 'passwords go over it in clear')
        : yes('tls', url, tls.protocol, certificateLines(tls.certificate))
    return { results: [yes('connect', url), encryption], opened }
  } catch (error) {
    if (!(error instanceof LdapError)) throw error
    const isTcp = error.fault === 'connectFailed' || error.fault === 'connectTimeout'
    return { results: isTcp ? [no('connect', url, error)] : [yes('connect', url), no('tls', url, error)] }
  }
}

/** Runs a step; what the directory says against it ends the walk. */
async function attempt<Result>(step: WalkStep, subject: string, run: () => Promise<Result>): Promise<Result> {
  try {
    return await run()
  } catch (error) {
    if (!(error instanceof LdapError)) throw error
    throw new StepFailed(step, subject, error.message, curesOf(step, error.fault))
  }
}

/** Search, then bind: as the service account, or as nobody. */
async function* walkSearch(connection: LdapConnection, options: WalkOptions): AsyncGenerator<WalkResult> {
  const { settings, username } = options
  const { service } = settings
  if (service === undefined) yield notNeeded('serviceBind', '', 'no bindDn is given: searches are anonymous')
  else {
    await attempt('serviceBind', service.dn, () => bindService(connection, service))
    yield yes('serviceBind', service.dn)
  }
  yield* walkBases(connection, options)
  const entry = await findEntry(connection, options)
  const name = await nameOf(entry, options)
  yield yes('user', username, entry.dn, [`in policies: user:${name}`])
  // On a connection of its own, as in the gateway: the first one stays the service account's.
  const own = await attempt('userBind', entry.dn, () =>
    openConnection(connection.server, settings.connectTimeoutMs, connectionOptions(options)),
  )
  try {
    yield await bindUser(own, entry.dn, options)
  } finally {
    own.close()
  }
  yield await groupsOf(connection, entry, options)
}

/** Bind, then look at oneself. */
async function* walkDirect(connection: LdapConnection, options: WalkOptions): AsyncGenerator<WalkResult> {
  const { settings, username } = options
  const { bindTemplate } = settings
  const bindName =
    bindTemplate === undefined || !isPossibleName(username) ? undefined : fillTemplate(bindTemplate, username)
  yield notNeeded('serviceBind', '', 'users bind as themselves, by userDnTemplate')
  if (bindTemplate === undefined || bindName === undefined)
    throw new StepFailed('user', username, 'this can be nobody’s name', ['type the name without a domain'])
  yield await bindUser(connection, bindName, options)
  yield* walkBases(connection, options)
  const entry =
    bindTemplate.kind === 'dn'
      ? await attempt('user', username, () => readUser(bindName, settings, (search) => ask(connection, search)))
      : await findEntry(connection, options)
  if (bindTemplate.kind === 'upn') await attempt('user', username, () => checkSameUser(connection, entry, bindName))
  yield yes('user', username, entry.dn, [`in policies: user:${await nameOf(entry, options)}`])
  yield await groupsOf(connection, entry, options)
}

async function bindService(
  connection: LdapConnection,
  { dn, password }: NonNullable<LdapDirectorySettings['service']>,
): Promise<void> {
  const reply = await connection.bind(dn, password)
  if (reply.code !== 0) throw new LdapError('serviceRefused', describe(reply), { resultCode: reply.code })
  if (reply.policyError === 2) throw new LdapError('serviceRefused', 'its password must be changed first')
}

async function* walkBases(connection: LdapConnection, { settings }: WalkOptions): AsyncGenerator<WalkResult> {
  const { users, groups } = settings
  const filter = new PresenceFilter({ attribute: 'objectClass' })
  const bases = [...users.bases, ...(groups.base === undefined ? [] : [groups.base.text])]
  for (const base of new Set(bases)) {
    await attempt('base', base, async () => {
      const search = { base, scope: 'base', filter, attributes: [noAttributes], sizeLimit: 1 } as const
      const { entries } = await ask(connection, search)
      if (entries.length === 0) throw new LdapError('baseMissing', 'who searches may not see this entry')
    })
    yield yes('base', base)
  }
}

/** @throws StepFailed with what is found without the filter, and what below a wider base */
async function findEntry(connection: LdapConnection, options: WalkOptions): Promise<LdapEntry> {
  const { settings, username } = options
  if (!isPossibleName(username))
    throw new StepFailed('user', username, 'this can be nobody’s name: it never reaches the directory', [])
  const found = await attempt('user', username, () =>
    searchUser(username, settings, (search) => ask(connection, search)),
  )
  if (found.kind === 'found') return found.entry
  if (found.kind === 'ambiguous')
    throw new StepFailed('user', username, 'several entries match, so that nobody knows which is meant', [
      'narrow searchFilter or searchBase until one entry matches',
    ])
  throw new StepFailed('user', username, `no entry matches searchFilter below searchBase`, [
    await hint(connection, options, settings.users.bases, 'try without the filter'),
    await hint(connection, options, settings.users.bases.flatMap(parentOf), 'try a wider base'),
  ])
}

function parentOf(base: string): readonly string[] {
  const parent = parseDn(base)?.slice(1) ?? []
  return parent.length === 0 ? [] : [printDn(parent)]
}

/** The advice, and what comes of it. */
async function hint(
  connection: LdapConnection,
  { settings, username }: WalkOptions,
  bases: readonly string[],
  advice: string,
): Promise<string> {
  const { nameAttribute } = settings
  const filter = new EqualityFilter({ attribute: nameAttribute, value: username })
  const seen: string[] = []
  for (const base of new Set(bases)) {
    const search = { base, scope: 'sub', filter, attributes: [noAttributes], sizeLimit: 3 } as const
    // Advice that the directory does not let us try is still advice.
    const reply = await ask(connection, search).catch(() => undefined)
    seen.push(...(reply?.entries ?? []).map(({ dn }) => dn))
  }
  const what = `(${nameAttribute}=${username}) below ${bases.length === 0 ? 'another entry' : bases.join(' and ')}`
  return `${advice}: ${what} finds ${seen.length === 0 ? 'nobody either' : seen.join(' and ')}`
}

function nameOf(entry: LdapEntry, { settings, username }: WalkOptions): Promise<string> {
  return attempt('user', username, () => Promise.resolve().then(() => canonicalName(entry, settings)))
}

async function bindUser(connection: LdapConnection, bindName: string, { password }: WalkOptions): Promise<WalkResult> {
  if (!isPossiblePassword(password))
    throw new StepFailed('userBind', bindName, 'an empty, blank or over-long password never reaches the directory', [])
  const reply = await attempt('userBind', bindName, () => connection.bind(bindName, password))
  const verdict = readBindReply(reply)
  if (verdict === 'accepted') return yes('userBind', bindName)
  const cures = verdict === undefined ? curesOf('userBind', 'bindRefused') : [refusalCures[verdict]]
  throw new StepFailed('userBind', bindName, `${verdict ?? 'bindRefused'}, ${describe(reply)}`, cures)
}

async function groupsOf(connection: LdapConnection, entry: LdapEntry, { settings }: WalkOptions): Promise<WalkResult> {
  const { groups, nameAttribute, nameCase } = settings
  if (groups.kind === 'none') return notNeeded('groups', '', 'authentication.ldap.groups is none')
  return attempt('groups', '', async () => {
    const asking = (search: Parameters<typeof ask>[1]) => ask(connection, search)
    const ambiguous: string[] = []
    const events = { ldapGroupAmbiguous: ({ name }: { readonly name: string }) => void ambiguous.push(name) }
    const found = await findGroups({ entry, name: nameValue(entry, nameAttribute) }, groups, asking)
    const short = await findShortNames(found, { groups, nameCase, asking, events })
    return yes('groups', '', String(found.size), [
      ...[...short.toSorted(), ...[...found.keys()].toSorted()].map((name) => `in policies: group:${name}`),
      ...ambiguous.map((name) => `${name} is the short name of several groups, so that none of them has it`),
    ])
  })
}
