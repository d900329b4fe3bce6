import { describe, expect, test } from '@jest/globals'
import { z } from 'zod'
import { explain } from '../../../src/config/explain.ts'
import { knownKeys, printPath } from '../../../src/config/keys.ts'
import { ldapSection } from '../../../src/config/ldap-settings.ts'
import type { LdapDirectorySettings } from '../../../src/config/ldap-settings.ts'
import { plainText } from '../../../src/config/values.ts'

const schema = z.strictObject({ ldap: ldapSection(plainText.transform((path) => `/etc/w/${path}`)) })

type Ldap = Readonly<Record<string, unknown>>

function settings(ldap: Ldap): LdapDirectorySettings {
  const read = schema.parse({ ldap: { enabled: true, ...ldap } }).ldap
  if (!read.enabled) throw new Error('it is off')
  return read
}

function faults(ldap: Ldap): readonly string[] {
  const { error } = schema.safeParse({ ldap: { enabled: true, ...ldap } }, { reportInput: true })
  return explain(error?.issues ?? [], knownKeys(schema)).map(({ path, sentence }) => `${printPath(path)} ${sentence}`)
}

const url = 'ldaps://ldap.example.org'
const searchBase = 'ou=people,dc=example,dc=org'
const groupSearchBase = 'ou=groups,dc=example,dc=org'
const usual = { url, searchBase }
const service = { bindDn: 'cn=gate,dc=example,dc=org', bindPassword: 'canary-secret' }
const uid = { kind: 'equal', attribute: 'uid', value: [{ variable: 'username' }] }

describe('the directory', () => {
  test('is not there unless it is switched on', () => {
    expect(schema.parse({})).toEqual({ ldap: { enabled: false } })
    expect(schema.parse({ ldap: { enabled: false, url, bindDn: 'cn=x' } })).toEqual({ ldap: { enabled: false } })
  })

  test('needs an address and a base, and has a default for the rest', () => {
    expect(settings(usual)).toEqual({
      enabled: true,
      servers: [{ url: 'ldaps://ldap.example.org:636', host: 'ldap.example.org', port: 636, protection: 'tls' }],
      allowInsecure: false,
      users: { bases: [searchBase], filter: uid, scope: 'sub' },
      nameAttribute: 'uid',
      nameCase: 'lower',
      groups: {
        ...{ kind: 'none', scope: 'sub', nameAttribute: 'cn', nested: 'none' },
        filter: { kind: 'equal', attribute: 'member', value: [{ variable: 'dn' }] },
      },
      connectTimeoutMs: 2_000,
      operationTimeoutMs: 5_000,
      maxConcurrentLogins: 32,
      maxQueuedLogins: 1_024,
      maxQueueWaitMs: 2_000,
      maxFailedBinds: 3,
      failedBindWindowSeconds: 900,
      staleSeconds: 0,
    })
  })

  test.each([
    ['ldaps://Ldap.Example.org', false, { host: 'ldap.example.org', port: 636, protection: 'tls' }],
    ['ldaps://ldap.example.org:3636/', false, { host: 'ldap.example.org', port: 3_636, protection: 'tls' }],
    ['ldap://ldap.example.org', true, { host: 'ldap.example.org', port: 389, protection: 'startTls' }],
    ['ldap://[fd00::1]:3389', true, { url: 'ldap://[fd00::1]:3389', host: 'fd00::1', port: 3_389 }],
    ['ldap://localhost:3389', false, { host: 'localhost', port: 3_389, protection: 'none' }],
    ['ldap://127.0.0.1', false, { host: '127.0.0.1', port: 389, protection: 'none' }],
    ['ldap://[::1]', false, { host: '::1', port: 389, protection: 'none' }],
  ])('is at %s, StartTLS %s', (address, startTls, expected) => {
    expect(settings({ url: address, searchBase, startTls }).servers).toEqual([expect.objectContaining(expected)])
  })

  test('is read in clear only where that is allowed', () => {
    expect(settings({ url: 'ldap://ldap.example.org', searchBase, allowInsecure: true }).servers).toMatchObject([
      { protection: 'none' },
    ])
  })

  test('may be on several servers, with several bases', () => {
    const urls = [url, 'ldaps://two.example.org']
    const searchBases = [searchBase, 'ou=robots,dc=example,dc=org']
    const read = settings({ urls, searchBases, caFile: 'ca.pem', serverName: 'ldap', ...service })
    expect(read.servers.map(({ host }) => host)).toEqual(['ldap.example.org', 'two.example.org'])
    expect(read).toMatchObject({
      users: { bases: searchBases },
      caFile: '/etc/w/ca.pem',
      serverName: 'ldap',
      service: { dn: service.bindDn, password: service.bindPassword },
    })
  })

  test.each([
    [{ groupSearchBase }, { kind: 'search', base: { text: groupSearchBase } }],
    [{ groups: 'memberOf' }, { kind: 'memberOf' }],
    [
      { groups: 'memberOf', groupSearchBase },
      { kind: 'memberOf', base: { text: groupSearchBase } },
    ],
    [{ groups: 'memberOf', nestedGroups: 'walk' }, { nested: 'walk' }],
    [{ groupSearchBase, groupMemberAttribute: 'uid' }, { memberAttribute: 'uid' }],
    [{ groupSearchBase, nestedGroups: 'matchingRule' }, { nested: 'matchingRule' }],
  ])('has groups by %j', (given, expected) => {
    expect(settings({ ...usual, ...given }).groups).toMatchObject(expected)
  })

  test.each([
    [{ userDnTemplate: 'uid={{username}},ou=people,dc=org' }, { kind: 'dn' }],
    [
      { userDnTemplate: '{{username}}@corp.example.org', searchBase },
      { kind: 'upn', before: '', after: '@corp.example.org' },
    ],
  ])('is bound by %j without a search', (given, expected) => {
    expect(settings({ url, ...given }).bindTemplate).toMatchObject(expected)
  })

  test('is described in the words of passport-ldapauth', () => {
    const server = {
      url: 'ldap://ldap.example.org',
      bindDN: service.bindDn,
      bindCredentials: service.bindPassword,
      bindProperty: 'dn',
      searchBase,
      searchFilter: '(mail={{username}})',
      searchScope: 'one',
      searchAttributes: ['displayName'],
      groupSearchBase,
      groupSearchFilter: '(uniqueMember={{dn}})',
      groupSearchScope: 'one',
      groupDnProperty: 'dn',
      starttls: true,
      timeout: 3_000,
      connectTimeout: 1_000,
      tlsOptions: { ca: 'ca.pem', servername: 'ldap.internal', rejectUnauthorized: true },
    }
    const ours = {
      url: server.url,
      ...service,
      ...{ searchBase, searchFilter: '(mail={{username}})', searchScope: 'one', groupSearchBase },
      ...{ groupSearchFilter: '(uniqueMember={{dn}})', groupSearchScope: 'one', startTls: true },
      ...{ operationTimeoutMs: 3_000, connectTimeoutMs: 1_000, caFile: 'ca.pem', serverName: 'ldap.internal' },
    }
    expect(settings({ server })).toEqual(settings(ours))
  })

  test.each<[Ldap, string]>([
    [{ searchBase }, 'ldap says nowhere which directory: give authentication.ldap.url'],
    [{ url }, 'ldap.searchBase is required: the entry below which users are'],
    [{ ...usual, urls: [url] }, 'ldap.urls stands beside authentication.ldap.url; keep one of the two'],
    [{ ...usual, server: { url } }, 'ldap.server.url stands beside authentication.ldap.url'],
    [{ ...usual, server: { searchBase } }, 'ldap.server.searchBase stands beside authentication.ldap.searchBase'],
    [{ ...usual, caFile: 'a', server: { tlsOptions: { ca: 'b' } } }, 'ldap.server.tlsOptions.ca stands beside'],
    [{ ...usual, startTls: true }, 'ldap.startTls is for ldap:// only'],
    [{ url: 'ldap://ldap.example.org', searchBase }, 'ldap.url would send passwords in clear: write ldaps://'],
    [{ url: 'ldap://127.0.0.1.example.org', searchBase }, 'ldap.url would send passwords in clear'],
    [
      { ...usual, bindDn: service.bindDn },
      'ldap.bindDn is given without a password; add authentication.ldap.bindPasswordFile',
    ],
    [{ ...usual, bindPassword: 'x' }, 'ldap.bindPassword is given without a name'],
    [{ ...usual, bindDn: 'gate', bindPassword: 'x' }, 'ldap.bindDn must be the name of an entry'],
    [{ url: 'http://ldap.example.org', searchBase }, 'ldap.url must be an address such as ldaps://'],
    [{ url: 'ldaps://ldap.example.org/dc=org', searchBase }, 'must end after the host and the port'],
    [{ url: 'ldaps://a:b@ldap.example.org', searchBase }, 'must not carry a user name or a password'],
    [{ url: 'ldaps://ldap.example.org?uid', searchBase }, 'ldap.url must not have a query'],
    [{ ...usual, searchFilter: '(uid=alice)' }, 'ldap.searchFilter must have {{username}}'],
    [{ ...usual, searchFilter: '(uid={{username}}' }, 'ldap.searchFilter has no parenthesis )'],
    [{ ...usual, searchBase: 'people' }, 'ldap.searchBase must be the name of an entry'],
    [{ ...usual, groups: 'search' }, 'ldap.groupSearchBase is required to search for groups'],
    [{ ...usual, groupSearchFilter: '(member={{dn}})' }, 'ldap.groupSearchFilter has no effect with groups: none'],
    [{ ...usual, nestedGroups: 'walk' }, 'ldap.nestedGroups has no effect without groups'],
    [
      { ...usual, groupSearchBase, groupMemberAttribute: 'uid', nestedGroups: 'walk' },
      'needs groups whose members are DNs',
    ],
    [
      { ...usual, groupSearchBase, nestedGroups: 'walk', groupSearchFilter: '(memberUid={{username}})' },
      'ldap.groupSearchFilter must have {{dn}}',
    ],
    [{ ...usual, userDnTemplate: 'uid={{username}},dc=org' }, 'searchBase and searchFilter have no effect'],
    [{ url, userDnTemplate: '{{username}}@corp.org' }, 'ldap.searchBase is required'],
    [{ url, ...service, userDnTemplate: 'uid={{username}},dc=org' }, 'logs users in without a service account'],
    [{ url, userDnTemplate: 'uid=alice,dc=org' }, 'must have {{username}} once'],
    [{ url, userDnTemplate: '{{username}}=alice,dc=org' }, 'in which {{username}} is a value'],
    [{ ...usual, nameAttribute: '(uid)' }, 'ldap.nameAttribute must be the name of an attribute'],
    [{ server: { url, searchBase, bindProperty: 'mail' } }, 'ldap.server.bindProperty can only be dn'],
    [
      { server: { url, searchBase, tlsOptions: { rejectUnauthorized: false } } },
      'cannot be false; name the authority of the server in caFile instead',
    ],
    [{ ...usual, searchBse: 'x' }, 'searchBase'],
  ])('%j is refused with its cure', (given, expected) => {
    expect(faults(given).join('\n')).toContain(expected)
  })

  test('never repeats a password', () => {
    expect(faults({ url, ...service, server: { bindCredentials: 'canary-secret' } }).join('\n')).not.toContain('canary')
  })

  test('reads its passwords from files too', () => {
    const paths = knownKeys(schema).map(({ path }) => path.join('.'))
    expect(paths).toEqual(expect.arrayContaining(['ldap.bindPasswordFile', 'ldap.server.bindCredentialsFile']))
  })
})
