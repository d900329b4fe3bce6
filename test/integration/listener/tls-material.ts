/** Certificates for tests, made by the command line of OpenSSL in a folder of their own. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CertificatePair } from '../../../src/listener/certificate-pair.ts'

export type MadeCertificate = CertificatePair & { readonly name: string }

export type CertificateRequest = {
  readonly name: string
  /** The subjectAltName as OpenSSL writes it, `DNS:a,DNS:b`; none where it is left out. */
  readonly names?: string
  readonly key?: 'ec' | 'rsa' | 'rsa-1024' | 'ed25519'
  readonly usage?: string
  readonly isAuthority?: boolean
  /** Self-signed where it is left out. */
  readonly issuer?: MadeCertificate
}

export type TlsMaterial = {
  make(request: CertificateRequest): MadeCertificate
  /** Runs `openssl` and gives its standard output. */
  openssl(...args: readonly string[]): string
  remove(): void
}

const keyOptions = {
  ec: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  rsa: ['rsa:2048'],
  'rsa-1024': ['rsa:1024'],
  ed25519: ['ed25519'],
} as const

export function createTlsMaterial(): TlsMaterial {
  const directory = mkdtempSync(join(tmpdir(), 'wharfgate-listener-'))
  const config = join(directory, 'openssl.cnf')
  writeFileSync(config, '[req]\ndistinguished_name = dn\n[dn]\n')
  const openssl = (...args: readonly string[]): string =>
    execFileSync('openssl', args, { cwd: directory, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

  return {
    openssl,
    remove: () => {
      rmSync(directory, { recursive: true, force: true })
    },
    make: ({ name, names, key = 'ec', usage, isAuthority = false, issuer }) => {
      const certificateFile = join(directory, `${name}.crt`)
      const keyFile = join(directory, `${name}.key`)
      const extensions = [`basicConstraints=critical,CA:${isAuthority ? 'TRUE' : 'FALSE'}`]
      if (names !== undefined) extensions.push(`subjectAltName=${names}`)
      if (usage !== undefined) extensions.push(`extendedKeyUsage=${usage}`)
      const signer = issuer === undefined ? [] : ['-CA', issuer.certificateFile, '-CAkey', issuer.keyFile]
      openssl(
        ...['req', '-x509', '-new', '-config', config, '-nodes', '-days', '30', '-subj', `/CN=${name}`],
        ...['-newkey', ...keyOptions[key], '-keyout', keyFile, '-out', certificateFile, ...signer],
        ...extensions.flatMap((extension) => ['-addext', extension]),
      )
      return {
        name,
        certificateFile,
        keyFile,
        certificatePem: readFileSync(certificateFile, 'utf8'),
        keyPem: readFileSync(keyFile, 'utf8'),
      }
    },
  }
}
