/** What is to be said about certificates that are there already: whether the CA can issue, whether the leaf will do. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { signingAlgorithms } from './certificate-authority.ts'
import type { CertificateAndKey, KeyAlgorithm } from './certificate-authority.ts'
import { parseCertificateHost } from './certificate-host.ts'
import type { CertificateHost } from './certificate-host.ts'
import { decodeNameConstraints, describeConstraints, nameConstraintsOid, permits } from './name-constraints.ts'
import type { NameConstraints } from './name-constraints.ts'
import { loadX509Library } from './x509-library.ts'

const dayMs = 86_400_000

export type CertificateSummary = {
  readonly commonName: string
  /** Of the DER, in upper-case hex with colons. */
  readonly sha256: string
  readonly notBefore: Date
  readonly notAfter: Date
}

/** The parts of a PEM certificate that people ask for. */
export function summarize(certificatePem: string): CertificateSummary {
  const certificate = new X509Certificate(certificatePem)
  return {
    commonName: /^CN=(.*)$/m.exec(certificate.subject)?.[1] ?? '',
    sha256: certificate.fingerprint256,
    notBefore: certificate.validFromDate,
    notAfter: certificate.validToDate,
  }
}

/** The limits on the names a CA can vouch for; undefined where it has none. */
export async function authorityConstraints(certificatePem: string): Promise<NameConstraints | undefined> {
  const x509 = await loadX509Library()
  const extension = new x509.X509Certificate(certificatePem).getExtension(nameConstraintsOid)
  return extension === null ? undefined : decodeNameConstraints(new Uint8Array(extension.value))
}

/** Why a CA cannot issue for the hosts, as the rest of a sentence that begins with "the CA"; undefined where it can. */
export async function authorityProblem(
  { certificatePem, keyPem }: CertificateAndKey,
  hosts: readonly CertificateHost[],
  now: Date,
): Promise<string | undefined> {
  const certificate = readCertificate(certificatePem)
  if (certificate === undefined) return 'cannot be read: ca.crt is not a certificate in PEM'
  const key = readPrivateKey(keyPem)
  if (key === undefined) return 'cannot be used: ca.key is not an unencrypted private key in PEM'
  if (!certificate.checkPrivateKey(key)) return 'cannot be used: ca.key is not the key of ca.crt'
  if (!certificate.ca) return 'cannot be used: ca.crt is not the certificate of a CA'
  if (certificate.validToDate <= now) return `expired on ${certificate.validToDate.toISOString().slice(0, 10)}`
  if (signingAlgorithms(key) === undefined) return 'cannot be used: ca.key is neither RSA nor EC P-256 or P-384'
  const constraints = await authorityConstraints(certificatePem)
  const outside = constraints === undefined ? undefined : hosts.find((host) => !permits(constraints, host))
  if (constraints === undefined || outside === undefined) return undefined
  return `is limited to ${describeConstraints(constraints)} and cannot vouch for ${outside.text}`
}

export type LeafVerdict =
  | { readonly kind: 'current' }
  /** Of this CA, and due to be replaced. `reason` completes "because". */
  | { readonly kind: 'outdated'; readonly reason: string }
  /** Not of this CA, so that it may be somebody's only copy. */
  | { readonly kind: 'foreign' }

/** Judges the certificate that is there already. */
export async function judgeLeaf(
  leaf: { readonly certificatePem: string; readonly keyPem: string | undefined },
  authorityPem: string,
  wanted: { readonly hosts: readonly CertificateHost[]; readonly algorithm: KeyAlgorithm | undefined },
  now: Date,
): Promise<LeafVerdict> {
  const certificate = readCertificate(leaf.certificatePem)
  if (certificate?.verify(new X509Certificate(authorityPem).publicKey) !== true) return { kind: 'foreign' }
  const key = leaf.keyPem === undefined ? undefined : readPrivateKey(leaf.keyPem)
  if (key === undefined) return { kind: 'outdated', reason: 'tls.key was missing or unreadable' }
  if (!certificate.checkPrivateKey(key)) return { kind: 'outdated', reason: 'tls.key was not the key of tls.crt' }
  const names = await certificateNames(leaf.certificatePem)
  const wantedNames = wanted.hosts.map(({ text }) => text)
  if (names.size !== wantedNames.length || !wantedNames.every((name) => names.has(name))) {
    return { kind: 'outdated', reason: `it was for ${[...names].join(', ')}` }
  }
  if (wanted.algorithm !== undefined && wanted.algorithm !== keyAlgorithmOf(certificate.publicKey)) {
    return { kind: 'outdated', reason: 'its key was of another algorithm' }
  }
  const day = certificate.validToDate.toISOString().slice(0, 10)
  return isNearExpiry(certificate, now) ? { kind: 'outdated', reason: `it expires on ${day}` } : { kind: 'current' }
}

/** Less than 30 days are left, or less than a third of a life that is short itself. */
function isNearExpiry({ validFromDate, validToDate }: X509Certificate, now: Date): boolean {
  const lifeMs = validToDate.getTime() - validFromDate.getTime()
  return validToDate.getTime() - now.getTime() < Math.min(30 * dayMs, lifeMs / 3)
}

function keyAlgorithmOf(key: KeyObject): KeyAlgorithm | undefined {
  if (key.asymmetricKeyType === 'ec') return 'ec'
  if (key.asymmetricKeyType !== 'rsa') return undefined
  return key.asymmetricKeyDetails?.modulusLength === 3072 ? 'rsa-3072' : 'rsa'
}

async function certificateNames(certificatePem: string): Promise<ReadonlySet<string>> {
  const x509 = await loadX509Library()
  const names = new x509.X509Certificate(certificatePem).getExtension(x509.SubjectAlternativeNameExtension)?.names
  return new Set((names?.items ?? []).map(({ value }) => canonicalName(value)))
}

function canonicalName(value: string): string {
  const parsed = parseCertificateHost(value)
  return parsed.kind === 'ok' ? parsed.host.text : value
}

function readCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem)
  } catch {
    return undefined
  }
}

function readPrivateKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem)
  } catch {
    return undefined
  }
}
