/** The settings of a directory (LDAP, Active Directory) whose people can log in. */
import { parseDn } from './distinguished-name.ts'
import type { DistinguishedName } from './distinguished-name.ts'
import { parseFilter, variablesOf } from './ldap-filter.ts'
import type { FilterTemplate } from './ldap-filter.ts'
import { ldapShape } from './ldap-keys.ts'
import type { LdapDocument } from './ldap-keys.ts'
import type { BindTemplate, LdapAddress } from './ldap-values.ts'
import { feature, isLoopbackHost, key } from './values.ts'
import type { PathSchema } from './values.ts'

/** How a connection is protected; `none` only to this machine, or where the operator allows it. */
export type LdapProtection = 'tls' | 'startTls' | 'none'

export type LdapServer = {
  /** As the operator would write it; names the server in logs and metrics. */
  readonly url: string
  readonly host: string
  readonly port: number
  readonly protection: LdapProtection
}

/** How far below a base a search goes. */
export type LdapScope = 'base' | 'one' | 'sub'

/** How the entry of a user is found. */
export type LdapUserLookup = {
  /** Searched in this order; none where the template of a DN says which entry it is. */
  readonly bases: readonly string[]
  readonly filter: FilterTemplate
  readonly scope: LdapScope
}

/** How groups are found. */
export type LdapGroups = {
  readonly kind: 'none' | 'memberOf' | 'search'
  readonly filter: FilterTemplate
  readonly scope: LdapScope
  readonly nameAttribute: string
  /** The attribute that `{{dn}}` stands for; absent: the name of the entry. */
  readonly memberAttribute?: string
  readonly nested: 'none' | 'matchingRule' | 'walk'
  /** Below it groups have short names. */
  readonly base?: { readonly text: string; readonly name: DistinguishedName }
}

/** A directory to log in with, after every check. */
export type LdapDirectorySettings = {
  readonly enabled: true
  /** At least one. */
  readonly servers: readonly LdapServer[]
  readonly caFile?: string
  /** The name that certificates are checked for, where it is not the host. */
  readonly serverName?: string
  readonly allowInsecure: boolean
  /** Absent: searches are anonymous, or the user's own with a template. */
  readonly service?: { readonly dn: string; readonly password: string }
  /** Present: users are bound without a search before. */
  readonly bindTemplate?: BindTemplate
  readonly users: LdapUserLookup
  readonly nameAttribute: string
  readonly nameCase: 'lower' | 'keep'
  readonly groups: LdapGroups
  readonly connectTimeoutMs: number
  readonly operationTimeoutMs: number
  readonly maxConcurrentLogins: number
  readonly maxQueuedLogins: number
  readonly maxQueueWaitMs: number
  readonly maxFailedBinds: number
  readonly failedBindWindowSeconds: number
  readonly staleSeconds: number
}

/** The section, after every check. */
export type LdapSettings = { readonly enabled: false } | LdapDirectorySettings

type Fault = readonly [path: readonly string[], sentence: string]

/** The keys of passport-ldapauth with a twin of ours. */
const twins = [
  ['bindDn', 'bindDN'],
  ['bindPassword', 'bindCredentials'],
  ['searchBase', 'searchBase'],
  ['searchFilter', 'searchFilter'],
  ['searchScope', 'searchScope'],
  ['groupSearchBase', 'groupSearchBase'],
  ['groupSearchFilter', 'groupSearchFilter'],
  ['groupSearchScope', 'groupSearchScope'],
  ['groupMemberAttribute', 'groupDnProperty'],
  ['startTls', 'starttls'],
  ['operationTimeoutMs', 'timeout'],
  ['connectTimeoutMs', 'connectTimeout'],
] as const

/** The section `ldap` of `authentication`. */
export function ldapSection(path: PathSchema) {
  const sentence = 'Users of a directory: OpenLDAP, 389 Directory Server, Active Directory.'
  return key(
    feature(sentence, false, 'Whether these users can log in.', ldapShape(path))
      .superRefine((document, context) => {
        if (!document.enabled) return
        const merged = merge(document)
        for (const [at, message] of [...faultsOfTwins(document), ...faultsOf(merged)])
          context.addIssue({ code: 'custom', path: [...at], message })
      })
      .transform((document): LdapSettings => (document.enabled ? settingsOf(merge(document)) : { enabled: false })),
    sentence,
  )
}

type Merged = Omit<LdapDocument, 'server' | 'url' | 'urls'> & { readonly addresses: readonly LdapAddress[] }

/** Ours, and where a key is missing that of passport-ldapauth. */
function merge({ server = {}, url, urls, ...ours }: LdapDocument): Merged {
  const { tlsOptions = {} } = server
  const one = url ?? server.url
  return {
    ...ours,
    addresses: urls ?? (one === undefined ? [] : [one]),
    caFile: ours.caFile ?? tlsOptions.ca,
    serverName: ours.serverName ?? tlsOptions.servername,
    bindDn: ours.bindDn ?? server.bindDN,
    bindPassword: ours.bindPassword ?? server.bindCredentials,
    searchBase: ours.searchBase ?? server.searchBase,
    searchFilter: ours.searchFilter ?? server.searchFilter,
    searchScope: ours.searchScope ?? server.searchScope,
    groupSearchBase: ours.groupSearchBase ?? server.groupSearchBase,
    groupSearchFilter: ours.groupSearchFilter ?? server.groupSearchFilter,
    groupSearchScope: ours.groupSearchScope ?? server.groupSearchScope,
    groupMemberAttribute: ours.groupMemberAttribute ?? server.groupDnProperty,
    startTls: ours.startTls ?? server.starttls,
    operationTimeoutMs: ours.operationTimeoutMs ?? server.timeout,
    connectTimeoutMs: ours.connectTimeoutMs ?? server.connectTimeout,
  }
}

function* faultsOfTwins(document: LdapDocument): Generator<Fault> {
  const { server = {}, url, urls } = document
  const beside = (name: string) => `stands beside authentication.ldap.${name}; keep one of the two`
  if (url !== undefined && urls !== undefined) yield [['urls'], beside('url')]
  if (server.url !== undefined && (url ?? urls) !== undefined)
    yield [['server', 'url'], beside(url === undefined ? 'urls' : 'url')]
  for (const [ours, theirs] of twins)
    if (document[ours] !== undefined && server[theirs] !== undefined) yield [['server', theirs], beside(ours)]
  if (document.caFile !== undefined && server.tlsOptions?.ca !== undefined)
    yield [['server', 'tlsOptions', 'ca'], beside('caFile')]
  if (document.serverName !== undefined && server.tlsOptions?.servername !== undefined)
    yield [['server', 'tlsOptions', 'servername'], beside('serverName')]
}

function* faultsOf(merged: Merged): Generator<Fault> {
  yield* faultsOfConnection(merged)
  yield* faultsOfUsers(merged)
  yield* faultsOfGroups(merged)
}

function* faultsOfConnection(merged: Merged): Generator<Fault> {
  const { addresses, startTls, allowInsecure, bindDn, bindPassword } = merged
  if (addresses.length === 0)
    yield [[], 'says nowhere which directory: give authentication.ldap.url, such as ldaps://ldap.example.org']
  if (startTls === true && addresses.some(({ isTls }) => isTls))
    yield [
      ['startTls'],
      'is for ldap:// only; ldaps:// is encrypted from the first byte, so remove it or write ldap://',
    ]
  const clear = addresses.find(({ host, isTls }) => !isTls && startTls !== true && !isLoopbackHost(host))
  if (clear !== undefined && !allowInsecure)
    yield [
      ['url'],
      'would send passwords in clear: write ldaps://, or add startTls: true; allowInsecure: true is for a network that nobody else can read',
    ]
  if (bindDn !== undefined && bindPassword === undefined)
    yield [['bindDn'], 'is given without a password; add authentication.ldap.bindPasswordFile']
  if (bindDn === undefined && bindPassword !== undefined)
    yield [['bindPassword'], 'is given without a name; add authentication.ldap.bindDn']
}

function* faultsOfUsers({ searchBase, searchBases, userDnTemplate, bindDn, searchFilter }: Merged): Generator<Fault> {
  if (searchBase !== undefined && searchBases !== undefined)
    yield [['searchBases'], 'stands beside authentication.ldap.searchBase; keep one of the two']
  const isSearched = searchBase !== undefined || searchBases !== undefined
  if (userDnTemplate?.kind === 'dn' && (isSearched || searchFilter !== undefined))
    yield [
      ['userDnTemplate'],
      'names the entry of a user, so searchBase and searchFilter have no effect; remove either',
    ]
  if (userDnTemplate?.kind !== 'dn' && !isSearched)
    yield [['searchBase'], 'is required: the entry below which users are, such as ou=people,dc=example,dc=org']
  if (userDnTemplate !== undefined && bindDn !== undefined)
    yield [['userDnTemplate'], 'logs users in without a service account; remove it, or bindDn and bindPassword']
}

function* faultsOfGroups({ groups, groupSearchBase, groupSearchFilter, groupMemberAttribute, nestedGroups }: Merged) {
  const kind = groups ?? (groupSearchBase === undefined ? 'none' : 'search')
  const fault = (name: string, sentence: string): Fault => [[name], sentence]
  if (groupSearchBase === undefined && (kind === 'search' || nestedGroups === 'matchingRule'))
    yield fault('groupSearchBase', 'is required to search for groups, such as ou=groups,dc=example,dc=org')
  if (kind !== 'search' && groupSearchFilter !== undefined)
    yield fault('groupSearchFilter', `has no effect with groups: ${kind}; remove it or write groups: search`)
  if (kind === 'none' && nestedGroups !== 'none')
    yield fault('nestedGroups', 'has no effect without groups; write groups: memberOf or groups: search')
  if (nestedGroups === 'matchingRule' && groupSearchFilter !== undefined)
    yield fault(
      'groupSearchFilter',
      'has no effect with nestedGroups: matchingRule, whose filter is its own; remove it',
    )
  if (nestedGroups === 'walk' && groupSearchFilter !== undefined && !variablesOf(groupSearchFilter).has('dn'))
    yield fault('groupSearchFilter', 'must have {{dn}} for nestedGroups: walk, which asks for the groups of groups')
  if (groupMemberAttribute !== undefined && groupMemberAttribute !== 'dn' && nestedGroups !== 'none')
    yield fault('nestedGroups', 'needs groups whose members are DNs; remove groupMemberAttribute or nestedGroups')
}

function settingsOf(merged: Merged): LdapDirectorySettings {
  const { bindDn, bindPassword, caFile, serverName, userDnTemplate, searchBase, searchBases } = merged
  const { maxConcurrentLogins, maxQueuedLogins, maxQueueWaitMs, maxFailedBinds, failedBindWindowSeconds } = merged
  return {
    enabled: true,
    servers: merged.addresses.map((address) => serverOf(address, merged.startTls === true)),
    ...(caFile === undefined ? {} : { caFile }),
    ...(serverName === undefined ? {} : { serverName }),
    allowInsecure: merged.allowInsecure,
    ...(bindDn === undefined ? {} : { service: { dn: bindDn, password: bindPassword ?? '' } }),
    ...(userDnTemplate === undefined ? {} : { bindTemplate: userDnTemplate }),
    users: {
      bases: searchBases ?? (searchBase === undefined ? [] : [searchBase]),
      filter: merged.searchFilter ?? templateOf('(uid={{username}})'),
      scope: merged.searchScope ?? 'sub',
    },
    nameAttribute: merged.nameAttribute,
    nameCase: merged.nameCase,
    groups: groupsOf(merged),
    connectTimeoutMs: merged.connectTimeoutMs ?? 2_000,
    operationTimeoutMs: merged.operationTimeoutMs ?? 5_000,
    ...{ maxConcurrentLogins, maxQueuedLogins, maxQueueWaitMs, maxFailedBinds, failedBindWindowSeconds },
    staleSeconds: merged.staleSeconds,
  }
}

function serverOf({ host, port, isTls }: LdapAddress, startTls: boolean): LdapServer {
  const printed = `${host.includes(':') ? `[${host}]` : host}:${String(port)}`
  return {
    url: `${isTls ? 'ldaps' : 'ldap'}://${printed}`,
    ...{ host, port, protection: isTls ? 'tls' : startTls ? 'startTls' : 'none' },
  }
}

function groupsOf(merged: Merged): LdapGroups {
  const { groups, groupSearchBase, groupMemberAttribute, groupNameAttribute, nestedGroups } = merged
  const memberAttribute = groupMemberAttribute === 'dn' ? undefined : groupMemberAttribute
  return {
    kind: groups ?? (groupSearchBase === undefined ? 'none' : 'search'),
    filter: merged.groupSearchFilter ?? templateOf('(member={{dn}})'),
    scope: merged.groupSearchScope ?? 'sub',
    nameAttribute: groupNameAttribute,
    ...(memberAttribute === undefined ? {} : { memberAttribute }),
    nested: nestedGroups,
    ...(groupSearchBase === undefined ? {} : { base: { text: groupSearchBase, name: parseDn(groupSearchBase) ?? [] } }),
  }
}

/** For the filters that are defaults here. */
function templateOf(text: string): FilterTemplate {
  const reading = parseFilter(text, ['username', 'dn'])
  if (reading.kind === 'fault') throw new Error(reading.sentence)
  return reading.template
}
