import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { writePolicy } from '../../support/policies.ts'
import { inspectHtpasswd } from '../../../src/authentication/htpasswd.ts'
import { issueLeaf, makeAuthority } from '../../../src/cli/certificate-authority.ts'
import type { CertificateAndKey } from '../../../src/cli/certificate-authority.ts'
import { parseCertificateHosts } from '../../../src/cli/certificate-host.ts'
import { check, checkCommand, printFinding } from '../../../src/cli/check.ts'

const now = new Date('2026-06-01T12:00:00Z')
const dayMs = 86_400_000
const hosts = ['registry.example.org', '192.0.2.7']

/** A bcrypt hash of cost 10, in form; no password is known for it. */
const goodLine = `alice:$2y$10$${'a'.repeat(21)}e${'b'.repeat(30)}u`

type Files = Readonly<Record<string, string>>

let authority: CertificateAndKey
let files: Files

async function leafOf(names: readonly string[], issued: Date = now, days = 90): Promise<CertificateAndKey> {
  const circumstances = { now: issued, randomBytes: (count: number) => randomBytes(count) }
  return issueLeaf(authority, { hosts: parseCertificateHosts(names), algorithm: 'ec', days }, circumstances)
}

beforeAll(async () => {
  const circumstances = {
    now: new Date(now.getTime() - 400 * dayMs),
    randomBytes: (count: number) => randomBytes(count),
  }
  authority = await makeAuthority(parseCertificateHosts([...hosts, 'other.example.org']), circumstances)
  const leaf = await leafOf(hosts)
  const other = await leafOf(['other.example.org'])
  const before = (days: number): Date => new Date(now.getTime() - days * dayMs)
  files = {
    '/w/certs/tls.crt': leaf.certificatePem,
    '/w/certs/tls.key': leaf.keyPem,
    '/w/htpasswd': `${goodLine}\n`,
    '/w/other.crt': other.certificatePem,
    '/w/other.key': other.keyPem,
    '/w/ca.crt': authority.certificatePem,
    '/w/chain.crt': leaf.certificatePem + authority.certificatePem,
    '/w/jumbled.crt': leaf.certificatePem + other.certificatePem,
    '/w/broken.crt': leaf.certificatePem.replace(/\n.{20}/, '\nAAAAAAAAAAAAAAAAAAAA'),
    '/w/locked.key': '-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2\n-----END ENCRYPTED PRIVATE KEY-----\n',
    '/w/nonsense': 'hunter2\n',
    '/w/empty': '',
  }
  for (const [name, issued, days] of [
    ['ended', before(91), 90],
    ['ending', before(70), 90],
    ['last-day', before(89.5), 90],
    ['coming', new Date(now.getTime() + 2 * dayMs), 90],
  ] as const) {
    const { certificatePem, keyPem } = await leafOf(hosts, issued, days)
    files = { ...files, [`/w/${name}.crt`]: certificatePem, [`/w/${name}.key`]: keyPem }
  }
})

const least = `publicUrls: [https://registry.example.org:8443, https://192.0.2.7]
upstream: { url: http://127.0.0.1:5000 }
authentication: { htpasswd: { enabled: true } }
`

async function reportOf(config: string, changed: Files = {}) {
  const all: Files = { ...files, ...changed, '/w/c.yaml': config }
  const readFile = (path: string): Promise<Uint8Array> => {
    const content = all[path]
    if (content !== undefined) return Promise.resolve(Buffer.from(content))
    return Promise.reject(Object.assign(new Error('no such file'), { code: 'ENOENT' }))
  }
  const inspectPolicies = (): Promise<readonly []> => Promise.resolve([])
  const report = await check({ file: '/w/c.yaml', environment: {}, readFile, now, inspectHtpasswd, inspectPolicies })
  const lines = report.findings.map(printFinding)
  expect(lines.join('\n')).not.toContain('hunter2')
  return { ok: report.ok, lines }
}

const pair = (certificateFile: string, keyFile: string): string =>
  `${least}tls:\n  certificateFile: ${certificateFile}\n  keyFile: ${keyFile}\n`
const atCertificate = '/w/c.yaml:5:3 tls.certificateFile:'
const atKey = '/w/c.yaml:6:3 tls.keyFile:'

/** The keys of a directory come first, so that their column can be counted. */
const withLdap = (keys: string): string =>
  least.replace(
    'authentication: {',
    `authentication: { ldap: { ${keys}, enabled: true, searchBase: 'ou=people,dc=example,dc=org' },`,
  )

describe('nothing is found', () => {
  test('where all is well', async () => {
    expect(await reportOf(least)).toEqual({ ok: true, lines: [] })
  })
  test.each([
    ['with authorities', 'url: ldaps://ldap.example.org, caFile: ca.crt'],
    ['with StartTLS', 'url: ldap://ldap.example.org, startTls: true, caFile: ca.crt'],
    ['on this machine', 'url: ldap://localhost'],
  ])('about a directory %s', async (_, keys) => {
    expect(await reportOf(withLdap(keys))).toEqual({ ok: true, lines: [] })
  })
  test('about certificates that are not used', async () => {
    const config = `${least}tls: { enabled: false, certificateFile: gone }\ntrustedProxies: [10.0.0.0/8]\n`
    expect(await reportOf(config)).toEqual({ ok: true, lines: [] })
  })
  test('about a certificate with its authority behind it', async () => {
    expect(await reportOf(pair('chain.crt', 'certs/tls.key'))).toEqual({ ok: true, lines: [] })
  })
  test('where a further certificate covers a further host', async () => {
    const config = `${least.replace('https://192.0.2.7', 'https://other.example.org')}tls: { certificates: [{ certificateFile: other.crt, keyFile: other.key }] }\n`
    expect(await reportOf(config)).toEqual({ ok: true, lines: [] })
  })
})

describe('an error is found', () => {
  test.each([
    ['in the configuration', 'upstreem: 1', '/w/c.yaml:1:1 upstreem: unknown key; did you mean upstream?'],
    [
      'in a certificate that is missing',
      pair('gone', 'certs/tls.key'),
      `${atCertificate} the file /w/gone does not exist (ENOENT)`,
    ],
    ['in a key that is missing', pair('certs/tls.crt', 'gone'), `${atKey} the file /w/gone does not exist (ENOENT)`],
    [
      'in swapped files: the certificate',
      pair('certs/tls.key', 'certs/tls.crt'),
      `${atCertificate} the file /w/certs/tls.key holds a private key instead of a certificate`,
    ],
    [
      'in swapped files: the key',
      pair('certs/tls.key', 'certs/tls.crt'),
      `${atKey} the file /w/certs/tls.crt holds a certificate instead of a private key`,
    ],
    [
      'in a certificate without PEM',
      pair('nonsense', 'certs/tls.key'),
      `${atCertificate} the file /w/nonsense has no certificate in PEM form (-----BEGIN CERTIFICATE-----)`,
    ],
    [
      'in a certificate that is broken',
      pair('broken.crt', 'certs/tls.key'),
      `${atCertificate} the file /w/broken.crt has a certificate that cannot be parsed`,
    ],
    [
      'in a key without PEM',
      pair('certs/tls.crt', 'nonsense'),
      `${atKey} the file /w/nonsense has no private key in PEM form (-----BEGIN PRIVATE KEY-----)`,
    ],
    [
      'in a key with a passphrase',
      pair('certs/tls.crt', 'locked.key'),
      `${atKey} the file /w/locked.key is protected by a passphrase; write the key without one`,
    ],
    [
      'in a key of another certificate',
      pair('certs/tls.crt', 'other.key'),
      `${atKey} the key in /w/other.key does not belong to the certificate in /w/certs/tls.crt`,
    ],
    [
      'in a certificate that has ended',
      pair('ended.crt', 'ended.key'),
      `${atCertificate} the certificate in /w/ended.crt ended on 2026-05-31`,
    ],
    [
      'in a certificate that has not begun',
      pair('coming.crt', 'coming.key'),
      `${atCertificate} the certificate in /w/coming.crt begins on 2026-06-03`,
    ],
    [
      'in a certificate for other hosts',
      pair('other.crt', 'other.key'),
      `${atCertificate} no certificate covers registry.example.org of publicUrls by its subjectAltName`,
    ],
    [
      'in a certificate for another address',
      pair('other.crt', 'other.key'),
      `${atCertificate} no certificate covers 192.0.2.7 of publicUrls by its subjectAltName`,
    ],
    [
      'in a further certificate',
      `${least}tls:\n  certificates:\n    - { certificateFile: other.crt, keyFile: certs/tls.key }\n`,
      '/w/c.yaml:6:37 tls.certificates[0].keyFile: the key in /w/certs/tls.key does not belong to the certificate in /w/other.crt',
    ],
    [
      'in the authorities',
      least.replace('{ url: http://127.0.0.1:5000 }', '{ url: https://upstream, caFile: nonsense }'),
      '/w/c.yaml:2:36 upstream.caFile: the file /w/nonsense has no certificate in PEM form (-----BEGIN CERTIFICATE-----)',
    ],
    [
      'in the authorities for Redis',
      `${least}redis: { enabled: true, url: 'rediss://redis:6379', tls: { caFile: nonsense } }\n`,
      '/w/c.yaml:4:60 redis.tls.caFile: the file /w/nonsense has no certificate in PEM form (-----BEGIN CERTIFICATE-----)',
    ],
    [
      'in the authorities for the directory',
      withLdap('url: ldaps://ldap.example.org, caFile: nonsense'),
      '/w/c.yaml:3:58 authentication.ldap.caFile: the file /w/nonsense has no certificate in PEM form (-----BEGIN CERTIFICATE-----)',
    ],
    [
      'in authorities for the directory that are missing, under the name that passport-ldapauth has for them',
      withLdap('server: { url: ldaps://ldap.example.org, tlsOptions: { ca: gone } }'),
      '/w/c.yaml:3:19 authentication.ldap.caFile: the file /w/gone does not exist (ENOENT)',
    ],
    [
      'in the key for Redis',
      `${least}redis: { enabled: true, url: 'rediss://redis:6379', tls: { certificateFile: other.crt, keyFile: certs/tls.key } }\n`,
      '/w/c.yaml:4:88 redis.tls.keyFile: the key in /w/certs/tls.key does not belong to the certificate in /w/other.crt',
    ],
    [
      'in a password file that is missing',
      least.replace('enabled: true', 'enabled: true, file: gone'),
      '/w/c.yaml:3:46 authentication.htpasswd.file: the file /w/gone does not exist (ENOENT)',
    ],
  ])('%s', async (_, config, expected) => {
    const { ok, lines } = await reportOf(config)
    expect(lines).toContain(expected)
    expect(ok).toBe(false)
  })
  test('in a line of the password file, with its place there', async () => {
    const { ok, lines } = await reportOf(least, { '/w/htpasswd': `${goodLine}\nbob:hunter2\n` })
    expect(lines).toEqual([expect.stringMatching(/^\/w\/htpasswd:2:1 authentication\.htpasswd\.file: .*bob/)])
    expect(ok).toBe(false)
  })
  test('in an empty password file', async () => {
    const { ok, lines } = await reportOf(least, { '/w/htpasswd': '' })
    expect(lines).toEqual([expect.stringMatching(/^\/w\/htpasswd:1:1 authentication\.htpasswd\.file: .*nobody/)])
    expect(ok).toBe(false)
  })
  test('in several files at once', async () => {
    const { lines } = await reportOf(pair('gone', 'nonsense'), { '/w/htpasswd': '' })
    expect(lines).toHaveLength(3)
  })
})

describe('a warning is given and all is still well', () => {
  test.each([
    [
      'of a certificate that ends soon',
      pair('ending.crt', 'ending.key'),
      `${atCertificate} warning: the certificate in /w/ending.crt ends on 2026-06-21, in 19 days`,
    ],
    [
      'of a certificate on its last day',
      pair('last-day.crt', 'last-day.key'),
      `${atCertificate} warning: the certificate in /w/last-day.crt ends on 2026-06-01, within a day`,
    ],
    [
      'of a chain in the wrong order',
      pair('jumbled.crt', 'certs/tls.key'),
      `${atCertificate} warning: in /w/jumbled.crt the second certificate did not sign the first; put each before the one that signed it`,
    ],
    [
      'of a host that a proxy in front may cover',
      `${least.replace('https://192.0.2.7', 'https://uncovered.example.org')}trustedProxies: [10.0.0.0/8]\n`,
      '/w/c.yaml:1:1 tls.certificateFile: warning: no certificate covers uncovered.example.org of publicUrls by its subjectAltName',
    ],
    [
      'of authorities without https',
      least.replace('5000 }', '5000, caFile: ca.crt }'),
      '/w/c.yaml:2:41 upstream.caFile: warning: has no effect, because upstream.url begins with http://',
    ],
    [
      'of a password of Redis that travels in clear',
      `${least}redis: { enabled: true, url: 'redis://:hunter2@redis:6379' }\n`,
      '/w/c.yaml:4:1 redis: warning: its password is sent unencrypted to another machine; use rediss:// or redis.tls',
    ],
    [
      'of passwords that travel in clear to the directory',
      withLdap('urls: [ldap://127.0.0.1, ldap://ldap.example.org], allowInsecure: true'),
      '/w/c.yaml:3:78 authentication.ldap.allowInsecure: warning: lets the password of every user be read on the way to ldap://ldap.example.org:389; write ldaps://, or add startTls: true',
    ],
    [
      'of a leave to send passwords in clear that nothing needs',
      withLdap('url: ldap://ldap.example.org, startTls: true, allowInsecure: true'),
      '/w/c.yaml:3:73 authentication.ldap.allowInsecure: warning: has no effect with these addresses, and would let passwords be read if one became ldap://; remove it',
    ],
    [
      'of authorities for a directory without TLS',
      withLdap('url: ldap://127.0.0.1, caFile: ca.crt'),
      '/w/c.yaml:3:50 authentication.ldap.caFile: warning: has no effect, because no server is spoken to by TLS; write ldaps://, or add startTls: true',
    ],
    [
      'of authorities for the directory that ended',
      withLdap('url: ldaps://ldap.example.org, caFile: ended.crt'),
      '/w/c.yaml:3:58 authentication.ldap.caFile: warning: the certificate in /w/ended.crt ended on 2026-05-31',
    ],
    [
      'of a guard that lets everyone guess',
      `${least}lockout: { enabled: true, exemptAddresses: [0.0.0.0/0] }\n`,
      '/w/c.yaml:4:45 lockout.exemptAddresses[0]: warning: lets everyone guess without a wait',
    ],
    [
      'of a credential that travels in clear',
      least.replace(
        '{ url: http://127.0.0.1:5000 }',
        '{ url: http://upstream, credential: { username: gw, password: hunter2 } }',
      ),
      '/w/c.yaml:2:35 upstream.credential: warning: is sent unencrypted, because upstream.url begins with http://',
    ],
    [
      'of trust in everyone',
      `${least}trustedProxies: [10.0.0.0/8, 0.0.0.0/0]\n`,
      '/w/c.yaml:4:30 trustedProxies[1]: warning: believes the X-Forwarded-For of everyone',
    ],
  ])('%s', async (_, config, expected) => {
    expect(await reportOf(config)).toEqual({ ok: true, lines: [expected] })
  })
})

describe('the command', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'wharfgate-check-'))
    const leaf = await leafOf(['registry.example.org'], new Date())
    await writeFile(join(folder, 'tls.crt'), leaf.certificatePem)
    await writeFile(join(folder, 'tls.key'), leaf.keyPem)
    await writeFile(join(folder, 'htpasswd'), `${goodLine}\n`)
    await writeFile(
      join(folder, 'good.yaml'),
      `${least.replace(', https://192.0.2.7', '')}tls: { certificateFile: tls.crt, keyFile: tls.key }\n`,
    )
    writePolicy(folder)
    await writeFile(join(folder, 'bad.yaml'), 'upstreem: {}\npublicUrl: https://registry.example.org\n')
  })
  afterAll(async () => {
    await rm(folder, { recursive: true })
  })

  async function run(words: readonly string[], environment = {}) {
    const terminal = { stdout: new PassThrough(), stderr: new PassThrough(), env: environment, exitCode: 0 }
    await checkCommand(terminal).parseAsync(['node', 'check', ...words])
    terminal.stdout.end()
    terminal.stderr.end()
    return { stdout: await text(terminal.stdout), stderr: await text(terminal.stderr), exitCode: terminal.exitCode }
  }

  test('prints one line and leaves the exit status at 0 where all is well', async () => {
    const file = join(folder, 'good.yaml')
    expect(await run(['--config', file])).toEqual({ stdout: `${file}: ok\n`, stderr: '', exitCode: 0 })
  })
  test('tells what is wrong with the policies and their cases, in place', async () => {
    writePolicy(folder, 'rules:\n  - allow: push\n    to: user:ci\n    on: prod/**\n', 'prod.yaml')
    writePolicy(folder, 'cases:\n  - user: alice\n    mayNot: push\n    on: prod/api\n', 'prod.cases.yaml')
    const file = join(folder, 'good.yaml')
    const failing = await run(['--config', file])
    expect(failing).toMatchObject({ stdout: '', exitCode: 1 })
    expect(failing.stderr).toContain(`${join(folder, 'policies', 'prod.cases.yaml')}:`)
    await rm(join(folder, 'policies', 'prod.cases.yaml'))
    writePolicy(folder, 'rules:\n  - alow: push\n', 'prod.yaml')
    expect((await run(['--config', file])).stderr).toMatch(/prod\.yaml:2:5 rules\[0\]\.alow: .*allow/)
    await rm(join(folder, 'policies', 'prod.yaml'))
  })
  test('prints every problem without colours and sets the exit status to 1', async () => {
    const file = join(folder, 'bad.yaml')
    const { stdout, stderr, exitCode } = await run(['--config', file])
    expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 1 })
    expect(stderr.split('\n')).toEqual([
      `${file}:1:1 upstream.url: is required`,
      `${file}:1:1 upstreem: unknown key; did you mean upstream?`,
      `${file}:1:1 authentication: no way to log in is enabled; set authentication.htpasswd.enabled or authentication.ldap.enabled to true`,
      '',
    ])
  })
  test('names a file that is not there', async () => {
    const file = join(folder, 'gone.yaml')
    const { stderr, exitCode } = await run(['--config', file])
    expect({ stderr, exitCode }).toEqual({ stderr: `${file}:1:1 document: does not exist (ENOENT)\n`, exitCode: 1 })
  })
  test('checks the environment alone where no file is named', async () => {
    const environment = {
      WHARFGATE_PUBLIC_URL: 'https://registry.example.org',
      WHARFGATE_UPSTREAM_URL: 'http://127.0.0.1:5000',
      WHARFGATE_AUTHENTICATION_HTPASSWD: JSON.stringify({ enabled: true, file: join(folder, 'htpasswd') }),
      WHARFGATE_AUTHORIZATION_POLICIES: join(folder, 'policies'),
      WHARFGATE_TLS: JSON.stringify({ certificateFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') }),
    }
    expect(await run([], environment)).toEqual({ stdout: 'environment: ok\n', stderr: '', exitCode: 0 })
    const { stderr, exitCode } = await run([], { ...environment, WHARFGATE_LOG_LEVEL: 'loud' })
    expect(stderr).toBe(
      'environment WHARFGATE_LOG_LEVEL log.level: must be trace, debug, info, warn or error; got loud\n',
    )
    expect(exitCode).toBe(1)
  })
})
