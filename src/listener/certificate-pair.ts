/** A certificate and its key as the configuration names them: read, and judged before a client can be shown them. */
import { X509Certificate, createPrivateKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

/** Two files and their texts, in PEM (RFC 7468). */
export type CertificatePair = {
  readonly certificateFile: string
  readonly certificatePem: string
  readonly keyFile: string
  readonly keyPem: string
}

/** A pair that TLS can use. */
export type UsableCertificate = {
  readonly pair: CertificatePair
  /** The certificate of the server, then each that issued the one before. */
  readonly chain: readonly [X509Certificate, ...X509Certificate[]]
  readonly key: KeyObject
  /** Host names of the subjectAltName in lower case, wildcards as they are; addresses are not among them. */
  readonly names: readonly string[]
  /** What clients will object to, a sentence each. */
  readonly warnings: readonly string[]
}

/** The verdict on a pair; each problem names the file, what is wrong, and how to mend it. */
export type CertificateVerdict =
  | { readonly kind: 'usable'; readonly certificate: UsableCertificate }
  | { readonly kind: 'unusable'; readonly problems: readonly string[] }

type Chain = UsableCertificate['chain']
type Parsed<T> = { readonly kind: 'ok'; readonly value: T } | { readonly kind: 'fault'; readonly sentence: string }

const fault = (sentence: string): Parsed<never> => ({ kind: 'fault', sentence })

const minRsaBits = 2048
/** What every client can verify; OpenSSL's names for P-256, P-384 and P-521. */
const curves = ['prime256v1', 'secp384r1', 'secp521r1']

/**
 * Judges a pair. A certificate whose time is over is usable with a warning: clients refuse it with a message that says
 * so, which tells more than a gateway that does not start.
 */
export function judgeCertificatePair(pair: CertificatePair, now: Date): CertificateVerdict {
  const chain = parseChain(pair)
  const key = parseKey(pair)
  if (chain.kind === 'fault' || key.kind === 'fault') {
    const problems = [chain, key].flatMap((parsed) => (parsed.kind === 'fault' ? [parsed.sentence] : []))
    return { kind: 'unusable', problems }
  }
  const mismatch = keyMismatch(pair, chain.value, key.value)
  if (mismatch !== undefined) return { kind: 'unusable', problems: [mismatch] }
  const names = hostNames(chain.value[0])
  const warnings = [
    ...validityWarnings(pair, chain.value, now),
    ...orderWarnings(pair, chain.value),
    ...leafWarnings(pair, chain.value[0]),
  ]
  return { kind: 'usable', certificate: { pair, chain: chain.value, key: key.value, names, warnings } }
}

function parseChain({ certificateFile, certificatePem }: CertificatePair): Parsed<Chain> {
  const blocks = certificatePem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0) {
    const instead = certificatePem.includes('PRIVATE KEY-----') ? ', it holds a private key' : ''
    return fault(
      `${certificateFile} has no certificate in PEM${instead}: it must begin with -----BEGIN CERTIFICATE-----; ` +
        `from DER, convert it with: openssl x509 -inform der -in FILE -out ${certificateFile}`,
    )
  }
  const certificates: X509Certificate[] = []
  for (const [index, block] of blocks.entries()) {
    try {
      certificates.push(new X509Certificate(block))
    } catch {
      return fault(
        `${certificateFile}: certificate ${index + 1} of ${blocks.length} is damaged; ` +
          'copy the file again from where it was issued',
      )
    }
  }
  const [leaf, ...issuers] = certificates
  return leaf === undefined ? fault(`${certificateFile} has no certificate`) : { kind: 'ok', value: [leaf, ...issuers] }
}

/** Repeats nothing of what it read: the messages of OpenSSL may, and this is a secret. */
function parseKey({ keyFile, keyPem }: CertificatePair): Parsed<KeyObject> {
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED/.test(keyPem)) {
    return fault(
      `${keyFile} is protected by a passphrase; write the key without one: openssl pkey -in ${keyFile} -out FILE`,
    )
  }
  const block = /-----BEGIN (?:EC |RSA )?PRIVATE KEY-----[^-]*-----END (?:EC |RSA )?PRIVATE KEY-----/.exec(keyPem)?.[0]
  if (block === undefined) {
    const kind = /-----BEGIN ([A-Z ]{1,40})-----/.exec(keyPem)?.[1]?.toLowerCase()
    const instead = kind === undefined ? '' : ` but begins with a block of "${kind}"`
    return fault(`${keyFile} has no private key in PEM${instead}: it must begin with -----BEGIN PRIVATE KEY-----`)
  }
  let key: KeyObject
  try {
    key = createPrivateKey(block)
  } catch {
    return fault(`${keyFile}: the private key is damaged; copy the file again from where it was made`)
  }
  return isSupportedKey(key)
    ? { kind: 'ok', value: key }
    : fault(
        `${keyFile} is ${describeKey(key)}; clients need RSA with at least ${minRsaBits} bits or EC P-256, P-384 or P-521`,
      )
}

function isSupportedKey({ asymmetricKeyType, asymmetricKeyDetails = {} }: KeyObject): boolean {
  const { modulusLength = 0, namedCurve = '' } = asymmetricKeyDetails
  if (asymmetricKeyType === 'rsa') return modulusLength >= minRsaBits
  return asymmetricKeyType === 'ec' && curves.includes(namedCurve)
}

function describeKey({ asymmetricKeyType, asymmetricKeyDetails = {} }: KeyObject): string {
  const { modulusLength, namedCurve } = asymmetricKeyDetails
  const kind = `a key of ${asymmetricKeyType ?? 'an unknown kind'}`
  if (modulusLength !== undefined) return `${kind} with ${modulusLength} bits`
  return namedCurve === undefined ? kind : `a key on the curve ${namedCurve}`
}

function keyMismatch(
  { certificateFile, keyFile }: CertificatePair,
  [leaf, ...issuers]: Chain,
  key: KeyObject,
): string | undefined {
  if (leaf.checkPrivateKey(key)) return undefined
  const place = issuers.findIndex((issuer) => issuer.checkPrivateKey(key))
  if (place !== -1) {
    return (
      `${certificateFile}: the key in ${keyFile} belongs to certificate ${place + 2} of the file; ` +
      'put that one first, then each that issued the one before'
    )
  }
  return (
    `${keyFile} is not the key of ${certificateFile} (${describeName(leaf)}): ` +
    'give the two files that were issued together'
  )
}

/** Many clients put a chain in order themselves; those that do not, say only that the issuer is unknown. */
function orderWarnings({ certificateFile }: CertificatePair, chain: Chain): readonly string[] {
  const place = chain.findIndex((certificate, index) => {
    const issuer = chain[index + 1]
    return issuer !== undefined && !(certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey))
  })
  const [certificate, issuer] = chain.slice(place, place + 2)
  if (place === -1 || certificate === undefined || issuer === undefined) return []
  return [
    `${certificateFile}: certificate ${place + 2} (${describeName(issuer)}) did not issue certificate ${place + 1} ` +
      `(${describeName(certificate)}); put the server's own first, then each that issued the one before`,
  ]
}

function validityWarnings({ certificateFile }: CertificatePair, chain: Chain, now: Date): readonly string[] {
  return chain.flatMap((certificate, index) => {
    const subject = `${certificateFile}: certificate ${index + 1} (${describeName(certificate)})`
    const { validFromDate, validToDate } = certificate
    if (validToDate <= now) {
      return [`${subject} ended on ${day(validToDate)} and clients refuse it; replace it by a renewed one`]
    }
    if (validFromDate > now) {
      return [
        `${subject} begins on ${day(validFromDate)} and clients refuse it until then; is the clock of this machine right?`,
      ]
    }
    return []
  })
}

/** Extended key usage (RFC 5280 section 4.2.1.12): servers, and anything. */
const serverUsages = ['1.3.6.1.5.5.7.3.1', '2.5.29.37.0']

function leafWarnings({ certificateFile }: CertificatePair, leaf: X509Certificate): readonly string[] {
  const warnings: string[] = []
  if (leaf.subjectAltName === undefined) {
    warnings.push(
      `${certificateFile} has no subjectAltName: docker, podman and containerd refuse it whatever its common name is; ` +
        'have it issued with the host name as a DNS name',
    )
  }
  // Undefined, whatever its type says, where the certificate names no usage, which allows every one.
  const usages = new Set(leaf.keyUsage)
  if (usages.size > 0 && !serverUsages.some((usage) => usages.has(usage))) {
    warnings.push(`${certificateFile} is not for servers: have it issued with the extended key usage serverAuth`)
  }
  return warnings
}

/** The host names of the subjectAltName, as Node prints it: parts between `, `, those with odd characters in quotes. */
function hostNames({ subjectAltName = '' }: X509Certificate): readonly string[] {
  const parts = subjectAltName.match(/(?:[^,"]|"(?:[^"\\]|\\.)*")+/g) ?? []
  return parts.flatMap((part) => {
    const name = /^ ?DNS:((?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.?$/i.exec(part)?.[1]
    return name === undefined ? [] : [name.toLowerCase()]
  })
}

/** The common name of the subject; empty where it has none. */
export function commonNameOf({ subject }: X509Certificate): string {
  return /^CN=(.*)$/m.exec(subject)?.[1] ?? ''
}

function describeName(certificate: X509Certificate): string {
  const name = commonNameOf(certificate) || hostNames(certificate)[0]
  return name === undefined ? 'without a name' : JSON.stringify(name.slice(0, 80))
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10)
}
