import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { link, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals'
import { CertificateError } from '../../../src/cli/certificate-error.ts'
import { initCertificates } from '../../../src/cli/certificate-files.ts'
import type { InitRequest } from '../../../src/cli/certificate-files.ts'

const scratch = mkdtempSync(join(tmpdir(), 'wharfgate-certs-'))
const names = ['ca.crt', 'ca.key', 'tls.crt', 'tls.key'] as const
const dayMs = 86_400_000
const start = new Date('2030-06-01T12:00:00Z')
const later = (days: number): Date => new Date(start.getTime() + days * dayMs)

let directory = ''
let count = 0
beforeEach(() => {
  count += 1
  directory = join(scratch, String(count), 'certs')
})
afterAll(() => {
  rmSync(scratch, { recursive: true })
})

const init = (more: Partial<InitRequest> = {}) =>
  initCertificates({ directory, hosts: ['localhost', '127.0.0.1'], now: start, ...more })
const contents = () => names.map((name) => readFileSync(join(directory, name), 'utf8'))
const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8)
const certificate = (name: string) => new X509Certificate(readFileSync(join(directory, name)))

describe('certificates in a directory', () => {
  test('all four are made, keys for the owner alone, nothing else is left there', async () => {
    const result = await init()
    expect(readdirSync(directory).sort()).toEqual([...names])
    expect(mode(directory)).toBe('700')
    expect(mode(join(directory, 'ca.key'))).toBe('600')
    expect(mode(join(directory, 'tls.key'))).toBe('600')
    expect(result).toMatchObject({
      paths: { certificate: join(directory, 'tls.crt'), authorityCertificate: join(directory, 'ca.crt') },
      authority: { action: 'made', limitedTo: 'localhost, 127.0.0.1' },
      leaf: { action: 'made', summary: { commonName: 'localhost', sha256: certificate('tls.crt').fingerprint256 } },
    })
    expect(result.leaf.summary.notAfter.toISOString()).toBe('2031-07-03T10:59:59.000Z')
    expect(certificate('tls.crt').verify(certificate('ca.crt').publicKey)).toBe(true)
    const key = createPrivateKey(readFileSync(join(directory, 'tls.key')))
    expect(certificate('tls.crt').checkPrivateKey(key)).toBe(true)
  })

  test('tls.crt holds the leaf alone', async () => {
    await init()
    expect(readFileSync(join(directory, 'tls.crt'), 'utf8').match(/BEGIN CERTIFICATE/g)).toHaveLength(1)
  })

  test('a mode that the umask would widen or an existing directory has stays as it is', async () => {
    mkdirSync(directory, { recursive: true })
    chmodSync(directory, 0o755)
    const before = process.umask(0)
    try {
      await init()
    } finally {
      process.umask(before)
    }
    expect(mode(directory)).toBe('755')
    expect(mode(join(directory, 'tls.key'))).toBe('600')
  })

  test('a second run keeps everything', async () => {
    await init()
    const before = contents()
    expect(await init({ now: later(30) })).toMatchObject({ authority: { action: 'kept' }, leaf: { action: 'kept' } })
    expect(await init({ hosts: ['127.0.0.1', 'LOCALHOST'] })).toMatchObject({ leaf: { action: 'kept' } })
    expect(contents()).toEqual(before)
  })

  test.each<[string, Partial<InitRequest>, RegExp]>([
    ['for other hosts', { hosts: ['localhost'] }, /^it was for localhost, 127\.0\.0\.1$/],
    ['of another algorithm', { algorithm: 'rsa' }, /^its key was of another algorithm$/],
    ['near its end', { now: later(397 - 29) }, /^it expires on 2031-07-03$/],
    ['and --force is given', { force: true }, /^--force was given$/],
  ])('a leaf %s is replaced, the CA is kept', async (_, more, reason) => {
    await init()
    const [authority, authorityKey, leaf, leafKey] = contents()
    const result = await init(more)
    expect(result).toMatchObject({ authority: { action: 'kept' }, leaf: { action: 'replaced' } })
    expect(result.leaf.reason).toMatch(reason)
    const after = contents()
    expect(after.slice(0, 2)).toEqual([authority, authorityKey])
    expect(after[2]).not.toBe(leaf)
    expect(after[3]).not.toBe(leafKey)
    expect(mode(join(directory, 'tls.key'))).toBe('600')
    expect(readdirSync(directory)).toHaveLength(4)
  })

  test('a leaf 31 days before its end is kept, and so is a short one in the first two thirds of its life', async () => {
    await init()
    expect(await init({ now: later(397 - 31) })).toMatchObject({ leaf: { action: 'kept' } })
    await init({ days: 9, force: true })
    expect(await init({ now: later(5) })).toMatchObject({ leaf: { action: 'kept' } })
    expect(await init({ now: later(7) })).toMatchObject({ leaf: { action: 'replaced' } })
  })

  test('a pair that a crash tore apart is made again', async () => {
    await init()
    rmSync(join(directory, 'tls.key'))
    expect((await init()).leaf.reason).toBe('tls.key was missing or unreadable')
    const [, , , key] = contents()
    await init({ force: true })
    writeFileSync(join(directory, 'tls.key'), key ?? '')
    expect((await init()).leaf.reason).toBe('tls.key was not the key of tls.crt')
    expect(await init()).toMatchObject({ leaf: { action: 'kept' } })
  })

  test('a file is replaced by another file, never written over', async () => {
    await init()
    const old = readFileSync(join(directory, 'tls.crt'), 'utf8')
    await link(join(directory, 'tls.crt'), join(dirname(directory), 'still-open'))
    await init({ force: true })
    expect(readFileSync(join(dirname(directory), 'still-open'), 'utf8')).toBe(old)
    expect(readFileSync(join(directory, 'tls.crt'), 'utf8')).not.toBe(old)
  })

  test('a CA that appears while another is being made is not replaced', async () => {
    const appearing = (bytes: number) => {
      writeFileSync(join(directory, 'ca.crt'), 'theirs')
      return randomBytes(bytes)
    }
    await expect(init({ randomBytes: appearing })).rejects.toThrow(/EEXIST: a file of that name is there/)
    expect(readdirSync(directory)).toEqual(['ca.crt'])
    expect(readFileSync(join(directory, 'ca.crt'), 'utf8')).toBe('theirs')
  })

  test('two runs at once never leave the parts of two CAs', async () => {
    const results = await Promise.allSettled([init(), init(), init()])
    const refusals = results.flatMap((result) => (result.status === 'rejected' ? [String(result.reason)] : []))
    expect(refusals.filter((text) => !/CertificateError: .*(EEXIST|holds ca\.crt without ca\.key)/.test(text))).toEqual(
      [],
    )
    expect(refusals.length).toBeLessThan(3)
    const key = createPrivateKey(readFileSync(join(directory, 'ca.key')))
    expect(certificate('ca.crt').checkPrivateKey(key)).toBe(true)
    expect(readdirSync(directory).filter((name) => name.startsWith('.tmp'))).toEqual([])
  })
})

describe('what lies in the directory already', () => {
  /** The sentence of a refusal, after which every file must be as it was. */
  async function refusal(more: Partial<InitRequest> = {}): Promise<string> {
    const snapshot = () =>
      existsSync(directory)
        ? readdirSync(directory).map((name) => [name, readFileSync(join(directory, name), 'utf8')])
        : undefined
    const before = snapshot()
    const error: unknown = await init(more).then(
      () => undefined,
      (reason: unknown) => reason,
    )
    expect(error).toBeInstanceOf(CertificateError)
    expect(snapshot()).toEqual(before)
    return error instanceof CertificateError ? error.message : ''
  }

  test('a CA that may not vouch for a host is not used for it', async () => {
    await init()
    expect(await refusal({ hosts: ['localhost', 'registry.example.org'] })).toBe(
      `the CA in ${directory} is limited to localhost, 127.0.0.1 and cannot vouch for registry.example.org; choose another ` +
        '--directory, or move ca.crt and ca.key away to have a new CA made, which clients must then be told to trust',
    )
    expect(await refusal({ hosts: ['registry.example.org'], force: true })).toMatch(/is limited to/)
  })

  test.each(['ca.crt', 'ca.key'] as const)('%s alone is refused', async (lone) => {
    await init()
    const lost = lone === 'ca.crt' ? 'ca.key' : 'ca.crt'
    rmSync(join(directory, lost))
    expect(await refusal({ force: true })).toBe(
      `${directory} holds ${lone} without ${lost}; put ${lost} back, or move ${lone} away to have a new CA made`,
    )
  })

  test.each<[string, (other: string) => void, RegExp]>([
    [
      'the key of another CA',
      (other) => writeFileSync(join(directory, 'ca.key'), other),
      /ca\.key is not the key of ca\.crt/,
    ],
    [
      'a key that is none',
      () => writeFileSync(join(directory, 'ca.key'), 'x'),
      /ca\.key is not an unencrypted private key/,
    ],
    [
      'a certificate that is none',
      () => writeFileSync(join(directory, 'ca.crt'), ''),
      /ca\.crt is not a certificate in PEM/,
    ],
    [
      'a leaf in place of the CA',
      () => {
        writeFileSync(join(directory, 'ca.crt'), readFileSync(join(directory, 'tls.crt')))
        writeFileSync(join(directory, 'ca.key'), readFileSync(join(directory, 'tls.key')))
      },
      /ca\.crt is not the certificate of a CA/,
    ],
  ])('%s is refused', async (_, damage, sentence) => {
    await init()
    const [, other = ''] = contents()
    rmSync(directory, { recursive: true })
    await init()
    damage(other)
    expect(await refusal()).toMatch(sentence)
  })

  test('a CA that has expired is refused', async () => {
    await init()
    expect(await refusal({ now: later(3650) })).toMatch(
      /the CA in .* expired on 2040-05-29; choose another --directory/,
    )
  })

  test("somebody else's certificate is left alone, unless --force is given", async () => {
    await init()
    rmSync(join(directory, 'ca.crt'))
    rmSync(join(directory, 'ca.key'))
    expect(await refusal()).toMatch(/tls\.crt was not issued by a CA in this directory; .*--force/)
    expect(await init({ force: true })).toMatchObject({ authority: { action: 'made' }, leaf: { action: 'replaced' } })
    writeFileSync(join(directory, 'tls.crt'), 'not a certificate')
    expect(await refusal()).toMatch(/tls\.crt was not issued by a CA in this directory/)
    rmSync(join(directory, 'tls.crt'))
    expect(await refusal()).toMatch(/tls\.key is there without its tls\.crt; .*--force/)
  })

  test('a directory that cannot be used is named with the reason', async () => {
    const file = join(scratch, `${String(count)}-file`)
    writeFileSync(file, '')
    expect(await refusal({ directory: file })).toBe(
      `--directory ${JSON.stringify(file)} cannot be used (ENOTDIR: a file stands where a directory should be); name a directory that you may write to`,
    )
    mkdirSync(join(directory, 'tls.crt'), { recursive: true })
    await expect(init()).rejects.toThrow(/EISDIR: one of its files is a directory/)
    const loop = join(scratch, `${String(count)}-loop`)
    await symlink(loop, loop)
    await expect(init({ directory: loop })).rejects.toThrow(/cannot be used \(ELOOP: the system refused\)/)
    await expect(init({ directory: '' })).rejects.toThrow(/--directory "" is empty/)
  })

  const onLinux = process.platform === 'linux' ? test : test.skip
  onLinux('a place where the system makes no directories is refused, not tried forever', async () => {
    await expect(init({ directory: '/proc/wharfgate/certs' })).rejects.toThrow(
      '--directory "/proc/wharfgate/certs" cannot be used (ENOENT: no such directory can be made); name a directory',
    )
  })

  test.each([0, 826, -1, 1.5, Number.NaN])('a life of %d days is refused', async (days) => {
    expect(await refusal({ days })).toMatch(/^--days .* is not a whole number from 1 to 825; .*Apple/)
  })
})
