import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { ldapCommand } from '../../src/cli/ldap.ts'
import { freePort } from '../../tools/free-port.ts'
import { baseDn, groups, groupsDn, people, peopleDn, serviceAccount } from '../support/ldap-entries.ts'
import { countTraffic } from '../support/ldap-log.ts'
import { startLdapServer } from '../support/ldap-server.ts'
import type { LdapServer } from '../support/ldap-server.ts'
import { run } from '../support/processes.ts'
import { describeWith } from '../support/real-parts.ts'

const command = join(import.meta.dirname, '../../bin/wharfgate.js')

describeWith(['slapd', 'ldapsearch'], 'wharfgate ldap test', () => {
  let folder: string
  let directory: LdapServer
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'wharfgate-ldap-test-'))
    directory = await startLdapServer()
  })
  afterAll(async () => {
    await directory.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  const usual = () => ({
    ...{ enabled: true, url: directory.ldapsUrl, caFile: directory.caFile, searchBase: peopleDn },
    ...{ bindDn: serviceAccount.dn, bindPassword: serviceAccount.password },
    ...{ groups: 'memberOf', groupSearchBase: groupsDn },
  })
  type Ldap = Readonly<Record<string, unknown>>

  function configure(ldap: Ldap): string {
    const file = join(folder, 'wharfgate.json')
    const upstream = { url: 'http://127.0.0.1:5000' }
    // What is undefined is left out.
    const document = { publicUrl: 'https://registry.example.org', upstream, authentication: { ldap } }
    writeFileSync(file, JSON.stringify(document))
    return file
  }

  async function walk(user: string, password: string, changed: Ldap = {}) {
    const stdin = Readable.from([Buffer.from(`${password}\n`)])
    const terminal = { stdin, stdout: new PassThrough(), stderr: new PassThrough(), env: {}, exitCode: undefined }
    const config = configure({ ...usual(), ...changed })
    await ldapCommand(terminal).parseAsync(['node', 'ldap', 'test', '--user', user, '--config', config])
    terminal.stdout.end()
    terminal.stderr.end()
    const said = { stdout: await text(terminal.stdout), stderr: await text(terminal.stderr), code: terminal.exitCode }
    if (password !== '') expect(said.stdout + said.stderr).not.toContain(password)
    expect(said.stdout + said.stderr).not.toContain(serviceAccount.password)
    return said
  }

  test('says yes to each step, shows the chain of certificates and the names for policies, and binds once', async () => {
    await directory.forget()
    const config = configure(usual())
    const words = [command, 'ldap', 'test', '--config', config, '--user', 'CAROL']
    const { stdout, stderr, code } = await run(process.execPath, words, { input: `${people.carol.password}\n` })
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
    expect(stdout.split('\n')).toEqual([
      `connection to ${directory.ldapsUrl}: yes`,
      `TLS with ${directory.ldapsUrl}: yes, TLSv1.3`,
      expect.stringMatching(/^ {2}DNS:localhost, IP Address:127\.0\.0\.1, signed by .*, until /),
      expect.stringMatching(/^ {2}.*, signed by .*, until /),
      `login of the service account ${serviceAccount.dn}: yes`,
      `entry ${peopleDn}: yes`,
      `entry ${groupsDn}: yes`,
      `user CAROL: yes, ${people.carol.dn}`,
      '  in policies: user:carol',
      `password of ${people.carol.dn}: yes`,
      'groups: yes, 2',
      ...['admins', 'devs', groups.admins.dn, groups.devs.dn].map((name) => `  in policies: group:${name}`),
      '',
    ])
    expect(countTraffic(await directory.traffic())).toMatchObject({ binds: 2 })
  })

  test.each<[what: string, user: string, password: string, changed: Ldap, no: string, change: string]>([
    ['another password', 'bob', 'not-his', {}, `password of ${people.bob.dn}: no, wrongPassword, `, 'type the right'],
    ['a locked account', 'locked', people.locked.password, {}, `password of ${people.locked.dn}: no, `, ''],
    ['an empty password', 'bob', '', {}, `password of ${people.bob.dn}: no, an empty, blank or over-long`, ''],
    [
      'a filter that leaves the user out',
      ...(['bob', people.bob.password] as const),
      { searchFilter: '(&(objectClass=device)(uid={{username}}))' },
      'user bob: no, no entry matches',
      `try without the filter: (uid=bob) below ${peopleDn} finds ${people.bob.dn}\n`,
    ],
    [
      'a base that is too narrow',
      ...(['dave', people.dave.password] as const),
      {},
      'user dave: no, no entry matches',
      `try a wider base: (uid=dave) below ${baseDn} finds ${people.dave.dn}\n`,
    ],
    ['nobody', 'nobody-has-this', 'not-used', {}, 'user nobody-has-this: no, no entry matches', 'finds nobody either'],
    [
      'a name that is two entries',
      'twin',
      'not-used',
      { searchBase: baseDn },
      'user twin: no, several entries',
      'narrow',
    ],
    ['a missing attribute', 'bob', 'not-used', { nameAttribute: 'employeeNumber' }, 'user bob: no, ', 'nameAttribute'],
    [
      'a base that is not there',
      ...(['bob', 'not-used'] as const),
      { searchBase: `ou=peeple,${baseDn}` },
      `entry ou=peeple,${baseDn}: no, `,
      'spelling of searchBase',
    ],
    [
      'another password of the service account',
      ...(['bob', 'not-used'] as const),
      { bindPassword: 'not-its' },
      `login of the service account ${serviceAccount.dn}: no, code 49`,
      'bindPasswordFile',
    ],
    ['a certificate for another name', 'bob', 'not-used', { serverName: 'ldap.elsewhere.example' }, 'TLS with ', ''],
    ['authorities that do not vouch for it', 'bob', 'not-used', { caFile: undefined }, 'TLS with ', ''],
  ])('ends at %s, with what to change', async (_, user, password, changed, no, change) => {
    const { stdout, stderr, code } = await walk(user, password, changed)
    expect({ stderr, code }).toEqual({ stderr: '', code: 1 })
    const lines = stdout.split('\n').filter((line) => line !== '' && !line.startsWith(' '))
    expect(lines.filter((line) => line.includes(': no, '))).toEqual([lines.at(-1)])
    expect(lines.at(-1)).toMatch(/: no, ./)
    expect(lines.at(-1)?.startsWith(no)).toBe(true)
    expect(stdout).toContain(change)
  })

  test('goes on with the second server when the first is down, and says so', async () => {
    const dead = `ldaps://localhost:${await freePort()}`
    const { stdout, code } = await walk('bob', people.bob.password, {
      url: undefined,
      urls: [dead, directory.ldapsUrl],
    })
    expect(code).toBe(1)
    expect(stdout).toContain(`connection to ${dead}: no, cannot connect to ${dead}: `)
    expect(stdout).toContain('  change: check host and port in url')
    expect(stdout).toContain(`password of ${people.bob.dn}: yes\n`)
  })

  test('says that StartTLS is refused, and binds nobody', async () => {
    await using parts = new AsyncDisposableStack()
    const plain = parts.adopt(await startLdapServer({ certificate: 'none' }), (started) => started.stop())
    const { stdout, code } = await walk('bob', people.bob.password, { url: plain.url, startTls: true })
    expect(code).toBe(1)
    expect(stdout).toMatch(/^TLS with .*: no, .* refuses StartTLS/m)
    expect(countTraffic(await plain.traffic())).toMatchObject({ binds: 0 })
  })

  const direct = (userDnTemplate: string): Ldap => ({
    ...{ url: directory.url, caFile: undefined, bindDn: undefined, bindPassword: undefined },
    ...{ searchBase: undefined, userDnTemplate, nameAttribute: 'cn' },
  })

  test('walks a login without a service account, over a clear connection to this machine', async () => {
    // Of all accounts there, this one may read its own entry.
    const keys = { ...direct(`cn={{username}},ou=services,${baseDn}`), groups: undefined, groupSearchBase: undefined }
    const { stdout, stderr, code } = await walk('wharfgate', serviceAccount.password, keys)
    expect({ stdout: stdout.split('\n'), stderr, code }).toEqual({
      stdout: [
        `connection to ${directory.url}: yes`,
        `TLS with ${directory.url}: not needed, passwords go over it in clear`,
        'login of the service account: not needed, users bind as themselves, by userDnTemplate',
        `password of ${serviceAccount.dn}: yes`,
        `user wharfgate: yes, ${serviceAccount.dn}`,
        '  in policies: user:wharfgate',
        'groups: not needed, authentication.ldap.groups is none',
        '',
      ],
      stderr: '',
      code: 0,
    })
  })

  test('says what users must be able to read who log in without a service account', async () => {
    const keys = { ...direct(`uid={{username}},${peopleDn}`), groups: undefined, groupSearchBase: undefined }
    const { stdout, code } = await walk('bob', people.bob.password, keys)
    expect(code).toBe(1)
    expect(stdout).toMatch(
      /^user bob: no, .*code 32.*\n {2}change: let users read their own entry in the directory\n$/m,
    )
  })

  test.each<[what: string, changed: Ldap, sentence: string]>([
    ['without a directory', { enabled: false }, 'authentication.ldap.enabled'],
    ['without the file of authorities', { caFile: '/nowhere/ca.crt' }, '/nowhere/ca.crt does not exist'],
  ])('%s it does not begin, and says why', async (_, changed, sentence) => {
    const { stdout, stderr, code } = await walk('bob', 'x-y-z', changed)
    expect({ stdout, code }).toEqual({ stdout: '', code: 1 })
    expect(stderr).toContain(sentence)
  })
})
