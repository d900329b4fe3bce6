import { afterAll, describe, expect, test } from '@jest/globals'
import { judgeCertificatePair } from '../../../src/listener/certificate-pair.ts'
import type { CertificatePair } from '../../../src/listener/certificate-pair.ts'
import { TlsCertificateError, createTlsContexts } from '../../../src/listener/tls-contexts.ts'
import type { CertificatePairs } from '../../../src/listener/tls-contexts.ts'
import { createTlsMaterial } from './tls-material.ts'

const material = createTlsMaterial()
afterAll(() => {
  material.remove()
})

const root = material.make({ name: 'root', isAuthority: true })
const intermediate = material.make({ name: 'intermediate', isAuthority: true, issuer: root })
const leaf = material.make({ name: 'leaf', names: 'DNS:registry.example.org', issuer: intermediate })
const other = material.make({ name: 'other', names: 'DNS:other.example.org' })
const rsa = material.make({ name: 'rsa', names: 'DNS:registry.example.org', key: 'rsa' })

/** A minute on, since some certificates are made later than this line runs. */
const now = new Date(Date.now() + 60_000)
const dayMs = 86_400_000
const judge = (pair: CertificatePair, at = now) => judgeCertificatePair(pair, at)
const chainOf = (...parts: readonly CertificatePair[]) => parts.map(({ certificatePem }) => certificatePem).join('\n')
const problemsOf = (pair: CertificatePair): readonly string[] => {
  const verdict = judge(pair)
  return verdict.kind === 'unusable' ? verdict.problems : []
}
const warningsOf = (pair: CertificatePair, at = now): readonly string[] => {
  const verdict = judge(pair, at)
  return verdict.kind === 'usable' ? verdict.certificate.warnings : ['it is unusable']
}
const contexts = (...pairs: CertificatePairs) => createTlsContexts(pairs, { now: () => now })

describe('a certificate and its key', () => {
  test.each([
    ['EC', leaf],
    ['RSA', rsa],
    ['self-signed', other],
    ['with its chain', { ...leaf, certificatePem: chainOf(leaf, intermediate) }],
    ['with its chain and the root', { ...leaf, certificatePem: chainOf(leaf, intermediate, root) }],
    [
      'with text around',
      { ...leaf, certificatePem: `subject=leaf\r\n${leaf.certificatePem.replaceAll('\n', '\r\n')}` },
    ],
    ['with the key in the same file', { ...leaf, certificatePem: `${leaf.keyPem}${leaf.certificatePem}` }],
  ])('%s is usable without a word', (_title, pair) => {
    expect(judge(pair)).toMatchObject({ kind: 'usable', certificate: { warnings: [] } })
  })
  test('a key in the older forms is usable', () => {
    const sec1 = material.openssl('ec', '-in', leaf.keyFile)
    expect(sec1).toContain('BEGIN EC PRIVATE KEY')
    expect(
      judge({
        ...leaf,
        keyPem: `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${sec1}`,
      }).kind,
    ).toBe('usable')
    const pkcs1 = material.openssl('rsa', '-in', rsa.keyFile, '-traditional')
    expect(pkcs1).toContain('BEGIN RSA PRIVATE KEY')
    expect(judge({ ...rsa, keyPem: pkcs1 }).kind).toBe('usable')
  })

  const weak = material.make({ name: 'weak', names: 'DNS:x', key: 'rsa-1024' })
  const edwards = material.make({ name: 'edwards', names: 'DNS:x', key: 'ed25519' })
  const encrypted = material.openssl('pkey', '-in', leaf.keyFile, '-aes256', '-passout', 'pass:x')
  const publicKey = material.openssl('pkey', '-in', leaf.keyFile, '-pubout')
  const damaged = leaf.certificatePem.replace(/\n(.{10})/, '\nAAAAAAAAAA')
  test.each<readonly [string, CertificatePair, RegExp]>([
    [
      'an empty certificate file',
      { ...leaf, certificatePem: '' },
      /leaf\.crt has no certificate in PEM: .*openssl x509/,
    ],
    ['DER', { ...leaf, certificatePem: '0\u0082\u0001' }, /leaf\.crt has no certificate in PEM: .*-inform der/],
    ['the files swapped', { ...leaf, certificatePem: leaf.keyPem }, /leaf\.crt .* it holds a private key/],
    ['a damaged certificate', { ...leaf, certificatePem: damaged }, /leaf\.crt: certificate 1 of 1 is damaged; copy/],
    ['no key', { ...leaf, keyPem: '' }, /leaf\.key has no private key in PEM: /],
    ['a certificate for a key', { ...leaf, keyPem: leaf.certificatePem }, /leaf\.key has .* a block of "certificate"/],
    ['a public key', { ...leaf, keyPem: publicKey }, /leaf\.key has .* a block of "public key"/],
    ['an encrypted key', { ...leaf, keyPem: encrypted }, /leaf\.key is protected by a passphrase; .*openssl pkey/],
    [
      'a damaged key',
      { ...leaf, keyPem: leaf.keyPem.replace(/\n.{20}/, '\n') },
      /leaf\.key: the private key is damaged/,
    ],
    [
      'the key of another',
      { ...leaf, keyPem: other.keyPem },
      /leaf\.key is not the key of .*leaf\.crt \("leaf"\): give/,
    ],
    ['a short RSA key', weak, /weak\.key is a key of rsa with 1024 bits; clients need RSA with at least 2048/],
    ['an Ed25519 key', edwards, /edwards\.key is a key of ed25519; clients need/],
    [
      'the chain upside down',
      { ...leaf, certificatePem: chainOf(intermediate, leaf) },
      /the key in .*leaf\.key belongs to certificate 2 of the file; put that one first/,
    ],
  ])('%s is told with its file and the cure', (_title, pair, expected) => {
    expect(problemsOf(pair)).toEqual([expect.stringMatching(expected)])
  })
  test('no message repeats a line of a key', () => {
    const pairs = [leaf.keyPem.replace(/\n.{20}/, '\n'), encrypted, leaf.keyPem.replace('BEGIN', 'BEGUN')]
    const said = pairs.flatMap((keyPem) => problemsOf({ ...leaf, keyPem })).join()
    const lines = leaf.keyPem.split('\n').filter((line) => line.length > 10 && !line.startsWith('-'))
    expect(said).not.toBe('')
    for (const line of lines) expect(said).not.toContain(line)
  })
  test('both files are judged at once', () => {
    expect(problemsOf({ ...leaf, certificatePem: '', keyPem: '' })).toHaveLength(2)
  })

  test('one that ended is served with a warning', () => {
    const later = new Date(now.getTime() + 31 * dayMs)
    const warnings = warningsOf({ ...leaf, certificatePem: chainOf(leaf, intermediate) }, later)
    expect(warnings).toEqual([
      expect.stringMatching(
        /leaf\.crt: certificate 1 \("leaf"\) ended on \d{4}-\d\d-\d\d and clients refuse it; replace/,
      ),
      expect.stringMatching(/leaf\.crt: certificate 2 \("intermediate"\) ended on/),
    ])
  })
  test('one that has not begun is served with a warning', () => {
    expect(warningsOf(leaf, new Date(now.getTime() - dayMs))).toEqual([expect.stringMatching(/begins on .* the clock/)])
  })
  test.each([
    ['a gap', chainOf(leaf, root)],
    ['disorder', chainOf(leaf, root, intermediate)],
    ['a stranger', chainOf(leaf, other, intermediate)],
  ])('one with %s in its chain is served with a warning', (_title, certificatePem) => {
    const sentence = /leaf\.crt: certificate 2 \("(?:root|other)"\) did not issue certificate 1 \("leaf"\); put/
    expect(warningsOf({ ...leaf, certificatePem })).toEqual([expect.stringMatching(sentence)])
  })
  test('one without subjectAltName is served with a warning', () => {
    const nameless = material.make({ name: 'nameless' })
    expect(warningsOf(nameless)).toEqual([expect.stringMatching(/nameless\.crt has no subjectAltName: docker/)])
  })
  test('one that is not for servers is served with a warning', () => {
    const client = material.make({ name: 'client', names: 'DNS:x', usage: 'clientAuth' })
    const server = material.make({ name: 'server', names: 'DNS:x', usage: 'clientAuth,serverAuth' })
    expect(warningsOf(client)).toEqual([expect.stringMatching(/client\.crt is not for servers: .*serverAuth/)])
    expect(warningsOf(server)).toEqual([])
  })
})

describe('the contexts of several certificates', () => {
  const wild = material.make({
    name: 'wild',
    names: 'DNS:*.Example.org,DNS:Exact.example.net,IP:192.0.2.1,DNS:a.b.example.org',
  })
  const second = material.make({ name: 'second', names: 'DNS:exact.example.net,DNS:one.example.org' })
  const all = contexts(other, wild, second)
  const onlyOther = all.pick('unknown.test')

  test('they tell what is served', () => {
    expect(all.certificates()).toEqual([
      expect.objectContaining({ name: 'other.example.org', subjectCommonName: 'other', file: other.certificateFile }),
      expect.objectContaining({ names: ['*.example.org', 'exact.example.net', 'a.b.example.org'] }),
      expect.objectContaining({ names: ['exact.example.net', 'one.example.org'], warnings: [] }),
    ])
    const daysLeft = all.certificates().map(({ notAfter }) => (notAfter.getTime() - now.getTime()) / dayMs)
    for (const days of daysLeft) expect(days).toBeCloseTo(30, 1)
  })
  test.each([
    ['one.example.org', 'second'],
    ['two.example.org', 'wild'],
    ['TWO.EXAMPLE.ORG', 'wild'],
    ['two.example.org.', 'wild'],
    ['exact.example.net', 'wild'],
    ['EXACT.example.NET', 'wild'],
    ['a.b.example.org', 'wild'],
  ])('%s gets its certificate, the first that is listed', (name, expected) => {
    expect(all.pick(name)).not.toBe(onlyOther)
    expect(all.pick(name)).toBe(all.pick(expected === 'wild' ? 'any.example.org' : 'one.example.org'))
  })
  test.each([
    '',
    '.',
    'example.org',
    'c.d.example.org',
    '*.b.example.org',
    '192.0.2.1',
    'constructor',
    '\0',
    'é.example.com',
  ])('%j gets the first certificate', (name) => {
    expect(all.pick(name)).toBe(onlyOther)
  })
  test('a wildcard is not chosen for a name with an empty label', () => {
    expect(all.pick('.example.org')).toBe(onlyOther)
  })

  test('every problem of every pair is told at once', () => {
    const broken = { ...leaf, keyPem: other.keyPem }
    expect(() => contexts(other, broken, { ...rsa, certificatePem: '' })).toThrow(TlsCertificateError)
    expect(() => contexts(other, broken, { ...rsa, certificatePem: '' })).toThrow(
      /leaf\.key is not .*\n.*rsa\.crt has no/,
    )
  })
  test('a broken replacement changes nothing', () => {
    const kept = contexts(other, wild)
    const [before, shown] = [kept.pick('x.example.org'), kept.certificates()]
    let changes = 0
    kept.onChange(() => (changes += 1))
    expect(() => {
      kept.replace([{ ...leaf, keyPem: other.keyPem }])
    }).toThrow(TlsCertificateError)
    expect([kept.pick('x.example.org'), kept.certificates(), changes]).toEqual([before, shown, 0])
    expect(kept.pick('x.example.org')).toBe(before)
  })
})
