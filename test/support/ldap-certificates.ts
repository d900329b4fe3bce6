import { randomBytes, webcrypto, KeyObject } from 'node:crypto'
import { issueLeaf, makeAuthority } from '../../src/cli/certificate-authority.ts'
import type { CertificateAndKey } from '../../src/cli/certificate-authority.ts'
import { parseCertificateHosts } from '../../src/cli/certificate-host.ts'
import { loadX509Library } from '../../src/cli/x509-library.ts'

/** What may be wrong with a server's certificate. All but `wrong-name` are for `localhost` and `127.0.0.1`. */
export type LdapCertificateKind = 'expired' | 'good' | 'other-authority' | 'self-signed' | 'wrong-name'

/** The name in the certificate of kind `wrong-name`. */
export const wrongName = 'ldap.elsewhere.example'

/** One authority and what it issues. */
export type LdapCertificates = {
  /** PEM of the authority that clients are told to trust. */
  readonly ca: string
  readonly issue: (kind: LdapCertificateKind) => Promise<CertificateAndKey>
}

const dayMs = 86_400_000
const names = ['localhost', '127.0.0.1']

/** Makes an authority; every certificate is made when it is asked for. */
export async function makeLdapCertificates(): Promise<LdapCertificates> {
  const monthAgo = { now: new Date(Date.now() - 30 * dayMs), randomBytes }
  const now = { now: new Date(), randomBytes }
  const authority = await makeAuthority(parseCertificateHosts([...names, wrongName]), monthAgo)
  const leaf = { hosts: parseCertificateHosts(names), algorithm: 'ec', days: 1 } as const

  async function issue(kind: LdapCertificateKind): Promise<CertificateAndKey> {
    switch (kind) {
      case 'good':
        return issueLeaf(authority, leaf, now)
      case 'expired':
        return issueLeaf(authority, leaf, monthAgo)
      case 'wrong-name':
        return issueLeaf(authority, { ...leaf, hosts: parseCertificateHosts([wrongName]) }, now)
      case 'other-authority':
        return issueLeaf(await makeAuthority(leaf.hosts, now), leaf, now)
      case 'self-signed':
        return selfSigned(now.now)
    }
  }
  return { ca: authority.certificatePem, issue }
}

async function selfSigned(now: Date): Promise<CertificateAndKey> {
  const x509 = await loadX509Library()
  const keys = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify'])
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '4711',
    name: [{ CN: ['localhost'] }],
    notBefore: new Date(now.getTime() - dayMs),
    notAfter: new Date(now.getTime() + dayMs),
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new x509.SubjectAlternativeNameExtension([
        { type: 'dns', value: 'localhost' },
        { type: 'ip', value: '127.0.0.1' },
      ]),
    ],
  })
  return {
    certificatePem: certificate.toString(),
    keyPem: KeyObject.from(keys.privateKey).export({ format: 'pem', type: 'pkcs8' }).toString(),
  }
}
