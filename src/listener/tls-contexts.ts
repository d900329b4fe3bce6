/** The TLS side of the public port: which versions and ciphers, and which certificate for which name. */
import { constants } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import type { SecureContext, SecureContextOptions, TlsOptions } from 'node:tls'
import type { ServedCertificate } from '../telemetry/metrics.ts'
import { commonNameOf, judgeCertificatePair } from './certificate-pair.ts'
import type { CertificatePair, UsableCertificate } from './certificate-pair.ts'

/** One pair or more cannot be used; the message has a sentence for each problem. */
export class TlsCertificateError extends Error {
  readonly code = 'TLS_CERTIFICATES_REFUSED'
  readonly source = 'gateway'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.name = 'TlsCertificateError'
    this.problems = problems
  }
}

/** A certificate that is being served, its host names, and what clients will object to. */
export type LoadedCertificate = ServedCertificate & {
  readonly names: readonly string[]
  readonly warnings: readonly string[]
}

export type TlsContexts = {
  /** Options of `https.createServer`; also those that `Server.setSecureContext` takes. */
  serverOptions(): TlsOptions
  /** The context for the name that a client asks for (SNI): of that name, of a wildcard one label above, or the first. */
  pick(servername: string): SecureContext
  certificates(): readonly LoadedCertificate[]
  /**
   * Serves other certificates from the next handshake on; connections that stand are untouched.
   *
   * @throws TlsCertificateError when one of them cannot be used; everything stays as it was
   */
  replace(pairs: CertificatePairs): void
  /** Makes tickets that were given out so far worthless, which costs their owners one full handshake. */
  readonly rotateTicketKeys: () => void
  /** Calls back after each change, for a server to take the new options. */
  onChange(listener: () => void): void
}

export type CertificatePairs = readonly [CertificatePair, ...CertificatePair[]]

/** ECDHE with an AEAD and nothing else, so that every connection has forward secrecy; AES-128 first, for its speed. */
const ciphers = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')

/** The first one holds against quantum computers too. None of finite fields: they cost the server most, and are weakest. */
const groups = 'X25519MLKEM768:X25519:P-256:P-384'

const floor: SecureContextOptions = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers,
  ecdhCurve: groups,
  honorCipherOrder: true,
  // A client without AES in hardware says so by asking for ChaCha20 first. Renegotiation is dear and of no use here.
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_PRIORITIZE_CHACHA,
}

type Served = { readonly certificate: UsableCertificate; readonly context: SecureContext }

/**
 * Loads certificates; the first is shown to clients that ask for no name or for an unknown one.
 *
 * @throws TlsCertificateError when one of them cannot be used, with every problem of all of them
 */
export function createTlsContexts(pairs: CertificatePairs, { now }: { readonly now: () => Date }): TlsContexts {
  let usable = judgeAll(pairs, now())
  let served = buildContexts(usable)
  const listeners: (() => void)[] = []

  function change(certificates: Certificates): void {
    served = buildContexts(certificates)
    usable = certificates
    for (const listener of listeners) listener()
  }

  const pick = (servername: string): SecureContext => {
    const name = servername.toLowerCase().replace(/\.$/, '')
    return (served.byName.get(name) ?? served.byName.get(name.replace(/^[^.]+/, '*')) ?? served.first).context
  }

  return {
    pick,
    serverOptions: () => ({
      ...contextOptions(served.first.certificate),
      ALPNProtocols: ['http/1.1'],
      SNICallback: (servername, done) => {
        done(null, pick(servername))
      },
    }),
    certificates: () => usable.map(describe),
    replace: (replacements) => {
      change(judgeAll(replacements, now()))
    },
    // Node gives every context keys of its own, at random and for as long as the context lives.
    rotateTicketKeys: () => {
      change(usable)
    },
    onChange: (listener) => {
      listeners.push(listener)
    },
  }
}

type Certificates = readonly [UsableCertificate, ...UsableCertificate[]]

function judgeAll(pairs: CertificatePairs, now: Date): Certificates {
  const problems: string[] = []
  const usable: UsableCertificate[] = []
  for (const pair of pairs) {
    const verdict = judgeCertificatePair(pair, now)
    if (verdict.kind === 'usable') usable.push(verdict.certificate)
    else problems.push(...verdict.problems)
  }
  const [first, ...others] = usable
  if (first === undefined || problems.length > 0) throw new TlsCertificateError(problems)
  return [first, ...others]
}

function buildContexts([first, ...others]: Certificates) {
  const firstServed = buildContext(first)
  const byName = new Map<string, Served>()
  for (const served of [firstServed, ...others.map(buildContext)]) {
    // Of two certificates for one name, the one that is listed first.
    for (const name of served.certificate.names) if (!byName.has(name)) byName.set(name, served)
  }
  return { first: firstServed, byName }
}

function buildContext(certificate: UsableCertificate): Served {
  try {
    return { certificate, context: createSecureContext(contextOptions(certificate)) }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    const { certificateFile } = certificate.pair
    throw new TlsCertificateError([
      `${certificateFile} is refused by OpenSSL (${code}): have it issued with SHA-256 and a key of today's strength`,
    ])
  }
}

function contextOptions({ chain, key }: UsableCertificate): SecureContextOptions {
  return {
    ...floor,
    cert: chain.map((certificate) => certificate.toString()).join(''),
    key: key.export({ type: 'pkcs8', format: 'pem' }),
  }
}

function describe({ pair, chain: [leaf], names, warnings }: UsableCertificate): LoadedCertificate {
  const subjectCommonName = commonNameOf(leaf)
  const name = names[0] ?? (subjectCommonName === '' ? pair.certificateFile : subjectCommonName)
  return { name, names, file: pair.certificateFile, subjectCommonName, notAfter: leaf.validToDate, warnings }
}
