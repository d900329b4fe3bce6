/** Whether the certificates that the configuration names can be used, told before a client finds out. */
import { X509Certificate, createPrivateKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { isIP } from 'node:net'
import { createSecureContext } from 'node:tls'
import type { PathStep } from '../config/keys.ts'
import { codeOf, readTextFile } from '../config/text-file.ts'
import type { ReadFile } from '../config/text-file.ts'

/** Something about a file, told at the key that names the file. */
export type FileFinding = {
  readonly path: readonly PathStep[]
  readonly severity: 'error' | 'warning'
  readonly sentence: string
}

/** A certificate and its key, and the section of the configuration that names them. */
export type CertificateFiles = {
  readonly section: readonly PathStep[]
  readonly certificateFile: string
  readonly keyFile: string
}

/** What reading a file takes, and the time that certificates are judged at. */
export type Inspection = { readonly readFile: ReadFile; readonly now: Date }

const maxPemBytes = 1_048_576
const dayMs = 86_400_000
/** Certificates that end sooner are told of. */
const warningDays = 28

/** Checks one pair: readable, well-formed, belonging together, in its time. The leaf is for {@link uncoveredHosts}. */
export async function checkCertificatePair(
  { section, certificateFile, keyFile }: CertificateFiles,
  { readFile, now }: Inspection,
): Promise<{ readonly leaf: X509Certificate | undefined; readonly findings: readonly FileFinding[] }> {
  const certificatePath = [...section, 'certificateFile']
  const keyPath = [...section, 'keyFile']
  const chain = await readCertificates(certificateFile, readFile)
  const key = await readPrivateKey(keyFile, readFile)
  const findings: FileFinding[] = []
  if (chain.kind === 'fault') findings.push(error(certificatePath, chain.sentence))
  if (key.kind === 'fault') findings.push(error(keyPath, key.sentence))
  if (chain.kind === 'fault') return { leaf: undefined, findings }

  const [leaf, issuer] = chain.certificates
  findings.push(
    ...validity(chain.certificates, certificateFile, now).map((told) => ({ path: certificatePath, ...told })),
  )
  if (issuer !== undefined && !leaf.checkIssued(issuer)) {
    const sentence = `in ${certificateFile} the second certificate did not sign the first; put each before the one that signed it`
    findings.push({ path: certificatePath, severity: 'warning', sentence })
  }
  if (key.kind === 'ok') {
    const unusable = pairFault(leaf, key.key, { certificateFile, keyFile })
    if (unusable !== undefined) findings.push(error(keyPath, unusable))
  }
  return { leaf, findings }
}

/** The hosts that no certificate is made for. Only the subjectAltName counts, as for every client written in Go. */
export function uncoveredHosts(leaves: readonly X509Certificate[], hosts: readonly string[]): readonly string[] {
  return hosts.filter((host) => !leaves.some((leaf) => covers(leaf, host.replace(/^\[(.*)\]$/, '$1'))))
}

function covers(leaf: X509Certificate, host: string): boolean {
  const covered = isIP(host) === 0 ? leaf.checkHost(host, { subject: 'never' }) : leaf.checkIP(host)
  return covered !== undefined
}

/** Checks a file of authorities. */
export async function checkAuthorities(
  path: readonly PathStep[],
  file: string,
  { readFile, now }: Inspection,
): Promise<readonly FileFinding[]> {
  const authorities = await readCertificates(file, readFile)
  if (authorities.kind === 'fault') return [error(path, authorities.sentence)]
  return validity(authorities.certificates, file, now).map(({ sentence }) => ({ path, severity: 'warning', sentence }))
}

function error(path: readonly PathStep[], sentence: string): FileFinding {
  return { path, severity: 'error', sentence }
}

type Certificates =
  | { readonly kind: 'ok'; readonly certificates: readonly [X509Certificate, ...X509Certificate[]] }
  | { readonly kind: 'fault'; readonly sentence: string }

async function readCertificates(file: string, readFile: ReadFile): Promise<Certificates> {
  const fault = (sentence: string): Certificates => ({ kind: 'fault', sentence: `the file ${file} ${sentence}` })
  const content = await readTextFile(readFile, file, maxPemBytes)
  if (content.kind === 'fault') return fault(content.sentence)
  const blocks = content.text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  try {
    const [first, ...rest] = blocks.map((block) => new X509Certificate(block))
    if (first !== undefined) return { kind: 'ok', certificates: [first, ...rest] }
  } catch {
    return fault('has a certificate that cannot be parsed')
  }
  return fault(
    content.text.includes('PRIVATE KEY-----')
      ? 'holds a private key instead of a certificate'
      : 'has no certificate in PEM form (-----BEGIN CERTIFICATE-----)',
  )
}

async function readPrivateKey(file: string, readFile: ReadFile) {
  const fault = (sentence: string) => ({ kind: 'fault', sentence: `the file ${file} ${sentence}` }) as const
  const content = await readTextFile(readFile, file, maxPemBytes)
  if (content.kind === 'fault') return fault(content.sentence)
  if (content.text.includes('ENCRYPTED')) return fault('is protected by a passphrase; write the key without one')
  try {
    return { kind: 'ok', key: createPrivateKey(content.text) } as const
  } catch {
    // The message of OpenSSL may repeat what it read, so it is not told.
    return fault(
      content.text.includes('BEGIN CERTIFICATE')
        ? 'holds a certificate instead of a private key'
        : 'has no private key in PEM form (-----BEGIN PRIVATE KEY-----)',
    )
  }
}

type Told = Pick<FileFinding, 'severity' | 'sentence'>

function validity(certificates: readonly X509Certificate[], file: string, now: Date): readonly Told[] {
  return certificates.flatMap(({ validFromDate, validToDate }, index): readonly Told[] => {
    const subject = index === 0 ? `the certificate in ${file}` : `certificate ${index + 1} in ${file}`
    const daysLeft = Math.floor((validToDate.getTime() - now.getTime()) / dayMs)
    if (validToDate <= now) return [{ severity: 'error', sentence: `${subject} ended on ${day(validToDate)}` }]
    if (validFromDate > now) return [{ severity: 'error', sentence: `${subject} begins on ${day(validFromDate)}` }]
    if (daysLeft >= warningDays) return []
    const left = daysLeft < 1 ? 'within a day' : `in ${daysLeft} ${daysLeft === 1 ? 'day' : 'days'}`
    return [{ severity: 'warning', sentence: `${subject} ends on ${day(validToDate)}, ${left}` }]
  })
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10)
}

function pairFault(
  leaf: X509Certificate,
  key: KeyObject,
  { certificateFile, keyFile }: Pick<CertificateFiles, 'certificateFile' | 'keyFile'>,
): string | undefined {
  if (!leaf.checkPrivateKey(key)) {
    return `the key in ${keyFile} does not belong to the certificate in ${certificateFile}`
  }
  try {
    createSecureContext({ cert: leaf.toString(), key: key.export({ type: 'pkcs8', format: 'pem' }) })
    return undefined
  } catch (error) {
    return `the key in ${keyFile} is refused by TLS (${codeOf(error)})`
  }
}
