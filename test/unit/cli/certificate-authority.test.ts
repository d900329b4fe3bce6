import { spawnSync } from 'node:child_process'
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, createServer } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { issueLeaf, makeAuthority } from '../../../src/cli/certificate-authority.ts'
import type { CertificateAndKey, KeyAlgorithm } from '../../../src/cli/certificate-authority.ts'
import { parseCertificateHosts } from '../../../src/cli/certificate-host.ts'
import { run } from '../../support/processes.ts'

const dayMs = 86_400_000
const noon = new Date('2030-06-01T12:00:00.500Z')

type Made = { readonly authority: CertificateAndKey; readonly leaf: CertificateAndKey }
type MakeOptions = { readonly algorithm?: KeyAlgorithm; readonly days?: number; readonly now?: Date }

async function make(hosts: readonly string[], options: MakeOptions = {}): Promise<Made> {
  const authority = await makeAuthority(parseCertificateHosts(hosts), { now: options.now ?? new Date(), randomBytes })
  return { authority, leaf: await issue(authority, hosts, options) }
}

function issue(authority: CertificateAndKey, hosts: readonly string[], options: MakeOptions = {}) {
  const { algorithm = 'ec', days = 397, now = new Date() } = options
  return issueLeaf(authority, { hosts: parseCertificateHosts(hosts), algorithm, days }, { now, randomBytes })
}

const parse = ({ certificatePem }: CertificateAndKey): X509Certificate => new X509Certificate(certificatePem)

/** What Node's TLS client says when it refuses the server of the certificate; undefined where it trusts it. */
async function handshakeError(leaf: CertificateAndKey, ca: string, servername: string): Promise<string | undefined> {
  const server = createServer({ cert: leaf.certificatePem, key: leaf.keyPem }, (socket) => socket.end())
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const socket = connect({ host: '127.0.0.1', port, ca, servername, checkServerIdentity: () => undefined })
  try {
    await once(socket, 'secureConnect')
    return undefined
  } catch (error) {
    return String(error)
  } finally {
    socket.destroy()
    server.close()
  }
}

describe('the CA', () => {
  test('is one that signs leaves only, begins an hour ago and lasts ten years', async () => {
    const { authority } = await make(['localhost'], { now: noon })
    const certificate = parse(authority)
    expect(certificate.subject).toMatch(/^CN=Wharfgate local CA [0-9a-f]{8}$/)
    expect(certificate.issuer).toBe(certificate.subject)
    expect(certificate.ca).toBe(true)
    expect(certificate.verify(certificate.publicKey)).toBe(true)
    expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1')
    expect(certificate.checkPrivateKey(createPrivateKey(authority.keyPem))).toBe(true)
    expect(certificate.validFromDate.toISOString()).toBe('2030-06-01T11:00:00.000Z')
    expect(certificate.validToDate.getTime() + 1000 - certificate.validFromDate.getTime()).toBe(3650 * dayMs)
  })

  test('has a name of its own each time', async () => {
    const hosts = parseCertificateHosts(['localhost'])
    const one = await makeAuthority(hosts, { now: noon, randomBytes: (count) => new Uint8Array(count).fill(1) })
    const other = await makeAuthority(hosts, { now: noon, randomBytes: (count) => new Uint8Array(count).fill(255) })
    expect([parse(one).subject, parse(other).subject]).toEqual([
      'CN=Wharfgate local CA 01010101',
      'CN=Wharfgate local CA ffffffff',
    ])
  })
})

describe('the leaf', () => {
  test.each<[KeyAlgorithm, string, number | undefined]>([
    ['ec', 'ec', undefined],
    ['rsa', 'rsa', 2048],
    ['rsa-3072', 'rsa', 3072],
  ])('%s: is issued by the CA for exactly the hosts', async (algorithm, keyType, modulusLength) => {
    const { authority, leaf } = await make(['registry.example.org', '*.example.org', '192.0.2.10', '2001:db8::10'], {
      algorithm,
    })
    const certificate = parse(leaf)
    const issuer = parse(authority)
    expect(certificate.checkIssued(issuer)).toBe(true)
    expect(certificate.verify(issuer.publicKey)).toBe(true)
    expect(certificate.checkPrivateKey(createPrivateKey(leaf.keyPem))).toBe(true)
    expect(certificate.publicKey.asymmetricKeyType).toBe(keyType)
    expect(certificate.publicKey.asymmetricKeyDetails?.modulusLength).toBe(modulusLength)
    expect(certificate.ca).toBe(false)
    expect(certificate.subject).toBe('CN=registry.example.org')
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1'])
    expect(certificate.subjectAltName).toBe(
      'DNS:registry.example.org, DNS:*.example.org, IP Address:192.0.2.10, IP Address:2001:DB8:0:0:0:0:0:10',
    )
    expect(certificate.checkHost('a.example.org')).toBe('*.example.org')
    expect(certificate.checkIP('2001:db8::10')).toBe('2001:db8::10')
    expect(certificate.checkHost('example.com')).toBeUndefined()
    expect(certificate.checkIP('192.0.2.11')).toBeUndefined()
  })

  test('lives as many days as asked, counted from an hour ago', async () => {
    const { authority } = await make(['localhost'], { now: noon })
    const certificate = parse(await issue(authority, ['localhost'], { now: noon, days: 825 }))
    expect(certificate.validFromDate.toISOString()).toBe('2030-06-01T11:00:00.000Z')
    expect(certificate.validToDate.getTime() + 1000 - certificate.validFromDate.getTime()).toBe(825 * dayMs)
  })

  test('never outlives its CA, nor begins before it', async () => {
    const { authority } = await make(['localhost'], { now: noon })
    const late = new Date(noon.getTime() + 3600 * dayMs)
    expect(parse(await issue(authority, ['localhost'], { now: late })).validToDate).toEqual(
      parse(authority).validToDate,
    )
    const early = new Date(noon.getTime() - dayMs)
    expect(parse(await issue(authority, ['localhost'], { now: early })).validFromDate).toEqual(
      parse(authority).validFromDate,
    )
  })

  test.each([
    [0x00, '40'],
    [0xff, '7F'],
    [0x80, '40'],
  ])('serial numbers are positive and 16 bytes long, even from chance %i', async (byte, first) => {
    const authority = await makeAuthority(parseCertificateHosts(['localhost']), { now: noon, randomBytes })
    const leaf = await issueLeaf(
      authority,
      { hosts: parseCertificateHosts(['localhost']), algorithm: 'ec', days: 1 },
      { now: noon, randomBytes: (count) => new Uint8Array(count).fill(byte) },
    )
    expect(parse(leaf).serialNumber).toBe(first + byte.toString(16).padStart(2, '0').toUpperCase().repeat(15))
  })

  test('has a common name even where no host can be one', async () => {
    const long = `${'a'.repeat(60)}.example.org`
    expect(parse((await make(['192.0.2.10'])).leaf).subject).toBe('CN=Wharfgate')
    expect(parse((await make([long])).leaf).subject).toBe('CN=Wharfgate')
    expect(parse((await make(['192.0.2.10', long, 'localhost'])).leaf).subject).toBe('CN=localhost')
  })
})

/** Host lists whose constraints differ in kind, each with one that its CA has no business to vouch for. */
const cases: readonly (readonly [name: string, hosts: readonly string[], outside: string])[] = [
  ['names', ['registry.example.org', 'localhost'], '127.0.0.1'],
  ['wildcard', ['*.example.org'], 'example.com'],
  ['ipv4', ['127.0.0.1'], 'localhost'],
  ['ipv6', ['::1'], '127.0.0.1'],
  ['mixed', ['127.0.0.1', 'localhost', '::1'], 'example.com'],
]
const directory = mkdtempSync(join(tmpdir(), 'wharfgate-authority-'))
const made = new Map<string, Made & { readonly forged: CertificateAndKey }>()

beforeAll(async () => {
  for (const [name, hosts, outside] of cases) {
    const pair = await make(hosts, { algorithm: name === 'mixed' ? 'rsa' : 'ec' })
    const forged = await issue(pair.authority, [...hosts, outside])
    made.set(name, { ...pair, forged })
    writeFileSync(join(directory, `${name}-ca.crt`), pair.authority.certificatePem)
    writeFileSync(join(directory, `${name}-tls.crt`), pair.leaf.certificatePem)
    writeFileSync(join(directory, `${name}-forged.crt`), forged.certificatePem)
  }
})
afterAll(() => {
  rmSync(directory, { recursive: true })
})

/** Runs where the tool is on the PATH. Without it the title says so, and where nothing may be missing the test fails. */
function testWith(tool: string, probe: string, title: string, body: () => Promise<void>, timeoutMs = 120_000): void {
  if (spawnSync(tool, [probe]).status === 0) test(title, body, timeoutMs)
  else if (process.env['CI'] !== 'true') test.skip(`${title} (skipped: no ${tool} on the PATH)`, body)
  else {
    test(title, () => {
      throw new Error(`no ${tool} on the PATH`)
    })
  }
}

describe('those who verify', () => {
  test.each(cases)('Node trusts the leaf and refuses what is outside the limits of the CA: %s', async (name, hosts) => {
    const pair = made.get(name)
    if (pair === undefined) throw new Error('not made')
    const [servername = ''] = hosts.filter((host) => /^[a-z]/.test(host))
    const ca = pair.authority.certificatePem
    expect(await handshakeError(pair.leaf, ca, servername)).toBeUndefined()
    expect(await handshakeError(pair.forged, ca, servername)).toMatch(/(permitted|excluded) subtree violation/)
  })

  test('Node without the CA refuses the leaf', async () => {
    const pair = made.get('names')
    const other = made.get('mixed')
    if (pair === undefined || other === undefined) throw new Error('not made')
    expect(await handshakeError(pair.leaf, other.authority.certificatePem, 'localhost')).toMatch(
      /unable to verify the first certificate/,
    )
  })

  testWith('openssl', 'version', 'openssl, strict, agrees', async () => {
    const verify = (name: string, file: string) =>
      run('openssl', [
        'verify',
        '-x509_strict',
        '-purpose',
        'sslserver',
        '-CAfile',
        join(directory, `${name}-ca.crt`),
        join(directory, `${name}-${file}.crt`),
      ])
    for (const [name] of cases) {
      expect(await verify(name, 'tls')).toMatchObject({ code: 0 })
      expect(await verify(name, 'forged')).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/subtree violation/),
      })
    }
  })

  // The clients of registries are written in Go, whose verifier is stricter than most.
  const goProgram = `package main
import ("crypto/x509"; "encoding/pem"; "fmt"; "os")
func load(path string) *x509.Certificate {
  text, _ := os.ReadFile(path)
  block, _ := pem.Decode(text)
  certificate, err := x509.ParseCertificate(block.Bytes)
  if err != nil { panic(err) }
  return certificate
}
func main() {
  roots := x509.NewCertPool()
  roots.AddCert(load(os.Args[1]))
  _, err := load(os.Args[2]).Verify(x509.VerifyOptions{Roots: roots, DNSName: os.Args[3]})
  fmt.Print(err)
}`
  testWith(
    'go',
    'version',
    'Go agrees',
    async () => {
      writeFileSync(join(directory, 'verify.go'), goProgram)
      const program = join(directory, 'verify')
      const env = { ...process.env, GOTOOLCHAIN: 'local', GOPROXY: 'off', GO111MODULE: 'off' }
      const build = ['build', '-o', program, join(directory, 'verify.go')]
      expect(await run('go', build, { env, timeoutMs: 300_000 })).toMatchObject({ code: 0 })
      for (const [name, hosts] of cases) {
        for (const host of hosts.map((text) => text.replace('*', 'a'))) {
          const verify = (file: string) =>
            run(program, [join(directory, `${name}-ca.crt`), join(directory, `${name}-${file}.crt`), host])
          expect(await verify('tls')).toMatchObject({ stdout: '<nil>' })
          expect(await verify('forged')).toMatchObject({ stdout: expect.stringMatching(/not authorized to sign/) })
        }
      }
    },
    600_000,
  )
})
