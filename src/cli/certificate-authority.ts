/** A local certificate authority and the certificate it issues for the gateway, made in memory as PEM. */
import { createPrivateKey, KeyObject, webcrypto } from 'node:crypto'
import type { CertificateHost } from './certificate-host.ts'
import { constraintsFor, encodeNameConstraints, nameConstraintsOid } from './name-constraints.ts'
import { loadX509Library } from './x509-library.ts'

/** Of the leaf's key: `ec` is P-256, `rsa` has 2048 bits. The CA's own key is always P-256. */
export type KeyAlgorithm = 'ec' | 'rsa' | 'rsa-3072'

export type CertificateAndKey = { readonly certificatePem: string; readonly keyPem: string }

/** Where time and chance come from. */
export type Circumstances = { readonly now: Date; readonly randomBytes: (count: number) => Uint8Array }

const dayMs = 86_400_000
/** How far into the past a certificate begins, for clients whose clock is behind. */
const clockSkewMs = 3_600_000
const authorityDays = 3650
/** The longest life of a leaf under a private CA that Apple's clients accept (support.apple.com/HT210176). */
export const maxLeafDays = 825
/** RFC 5280 appendix A.1, ub-common-name. */
const maxCommonNameLength = 64

/** Makes a CA that can vouch for the hosts and for nothing else. */
export async function makeAuthority(
  hosts: readonly CertificateHost[],
  circumstances: Circumstances,
): Promise<CertificateAndKey> {
  const x509 = await loadX509Library()
  const keys = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify'])
  const name = `Wharfgate local CA ${Buffer.from(circumstances.randomBytes(4)).toString('hex')}`
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(circumstances),
    name: [{ CN: [name] }],
    ...validity(circumstances.now, authorityDays),
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      new x509.Extension(nameConstraintsOid, true, encodeNameConstraints(constraintsFor(hosts))),
    ],
  })
  return { certificatePem: pemLines(certificate.toString()), keyPem: privateKeyPem(keys.privateKey) }
}

export type LeafRequest = {
  /** Not empty. */
  readonly hosts: readonly CertificateHost[]
  readonly algorithm: KeyAlgorithm
  /** 1 to {@link maxLeafDays}; fewer are given where the CA itself ends sooner. */
  readonly days: number
}

/** Issues a server certificate. The CA is one that `authorityProblem` has nothing against. */
export async function issueLeaf(
  authority: CertificateAndKey,
  request: LeafRequest,
  circumstances: Circumstances,
): Promise<CertificateAndKey> {
  const x509 = await loadX509Library()
  const issuer = new x509.X509Certificate(authority.certificatePem)
  const issuerKeyId = issuer.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId
  const signer = await importSigningKey(authority.keyPem)
  const keys = await generateLeafKeys(request.algorithm)
  const { digitalSignature, keyEncipherment } = x509.KeyUsageFlags
  const { notBefore, notAfter } = validity(circumstances.now, request.days)
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(circumstances),
    subject: [{ CN: [commonName(request.hosts)] }],
    issuer: issuer.subjectName,
    notBefore: new Date(Math.max(notBefore.getTime(), issuer.notBefore.getTime())),
    notAfter: new Date(Math.min(notAfter.getTime(), issuer.notAfter.getTime())),
    publicKey: keys.publicKey,
    signingKey: signer.key,
    signingAlgorithm: signer.signingAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(
        request.algorithm === 'ec' ? digitalSignature : digitalSignature | keyEncipherment,
        true,
      ),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(request.hosts.map(({ kind, text }) => ({ type: kind, value: text }))),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      // OpenSSL refuses a chain in which this differs from what the CA calls itself, however that was computed.
      issuerKeyId === undefined
        ? await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey)
        : new x509.AuthorityKeyIdentifierExtension(issuerKeyId),
    ],
  })
  return { certificatePem: pemLines(certificate.toString()), keyPem: privateKeyPem(keys.privateKey) }
}

/** RFC 5280 section 4.1.2.5 counts both ends, hence the second that is taken off. */
function validity(now: Date, days: number) {
  const startMs = Math.floor((now.getTime() - clockSkewMs) / 1000) * 1000
  return { notBefore: new Date(startMs), notAfter: new Date(startMs + days * dayMs - 1000) }
}

/** 16 random bytes that begin with the bits 01: positive, without a leading zero to strip (RFC 5280 section 4.1.2.2). */
function serialNumber({ randomBytes }: Circumstances): string {
  const [first = 0, ...rest] = randomBytes(16)
  return Buffer.from([(first & 0x3f) | 0x40, ...rest]).toString('hex')
}

/**
 * The first name that fits, never an address: where a certificate names addresses only, OpenSSL takes a common name
 * that looks like a host name for one and holds it against the CA's constraints.
 */
function commonName(hosts: readonly CertificateHost[]): string {
  return hosts.find(({ kind, text }) => kind === 'dns' && text.length <= maxCommonNameLength)?.text ?? 'Wharfgate'
}

async function generateLeafKeys(algorithm: KeyAlgorithm) {
  if (algorithm === 'ec') {
    return webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify'])
  }
  const modulusLength = algorithm === 'rsa' ? 2048 : 3072
  return webcrypto.subtle.generateKey(
    { name: 'RSASSA-PKCS1-v1_5', modulusLength, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' },
    true,
    ['sign', 'verify'],
  )
}

const curves: Readonly<Record<string, { readonly namedCurve: string; readonly hash: string }>> = {
  prime256v1: { namedCurve: 'P-256', hash: 'SHA-256' },
  secp384r1: { namedCurve: 'P-384', hash: 'SHA-384' },
}

/** What WebCrypto calls the algorithm of a CA's key; undefined where this command cannot sign with it. */
export function signingAlgorithms(key: KeyObject) {
  if (key.asymmetricKeyType === 'rsa') {
    const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
    return { importAlgorithm: algorithm, signingAlgorithm: algorithm }
  }
  const curve = key.asymmetricKeyType === 'ec' ? curves[key.asymmetricKeyDetails?.namedCurve ?? ''] : undefined
  if (curve === undefined) return undefined
  return {
    importAlgorithm: { name: 'ECDSA', namedCurve: curve.namedCurve },
    signingAlgorithm: { name: 'ECDSA', hash: curve.hash },
  }
}

async function importSigningKey(keyPem: string) {
  const key = createPrivateKey(keyPem)
  const algorithms = signingAlgorithms(key)
  if (algorithms === undefined) throw new TypeError('the CA key is neither RSA nor EC P-256 or P-384')
  const { importAlgorithm, signingAlgorithm } = algorithms
  const der = key.export({ format: 'der', type: 'pkcs8' })
  return { signingAlgorithm, key: await webcrypto.subtle.importKey('pkcs8', der, importAlgorithm, false, ['sign']) }
}

function privateKeyPem(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ format: 'pem', type: 'pkcs8' }).toString()
}

function pemLines(pem: string): string {
  return `${pem.replaceAll('\r', '').trimEnd()}\n`
}
