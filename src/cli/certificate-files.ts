/** The four files of `wharfgate certs init`: found, judged, made where they are missing, and never seen half-written. */
import { randomBytes } from 'node:crypto'
import { link, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, basename, join, resolve } from 'node:path'
import { issueLeaf, makeAuthority, maxLeafDays } from './certificate-authority.ts'
import type { CertificateAndKey, Circumstances, KeyAlgorithm } from './certificate-authority.ts'
import { CertificateError } from './certificate-error.ts'
import { parseCertificateHosts } from './certificate-host.ts'
import type { CertificateHost } from './certificate-host.ts'
import { authorityConstraints, authorityProblem, judgeLeaf, summarize } from './certificate-verdict.ts'
import type { CertificateSummary } from './certificate-verdict.ts'
import { describeConstraints } from './name-constraints.ts'

/** A little over a year: under Apple's limits for private CAs (825 days) and for public ones (398 days) alike. */
export const defaultLeafDays = 397

export type InitRequest = {
  /** Made with mode 0700 where it is missing. */
  readonly directory: string
  /** As `--host` takes them: names, wildcards, IPv4 and IPv6 addresses. */
  readonly hosts: readonly string[]
  /** Of a new leaf; without it a new leaf is `ec` and an existing one is kept whatever it is. */
  readonly algorithm?: KeyAlgorithm | undefined
  /** Life of a new leaf, 1 to 825; 397 without it. */
  readonly days?: number | undefined
  /** Replaces the leaf even where it will do, or is somebody else's; never the CA. */
  readonly force?: boolean | undefined
  readonly now?: Date
  readonly randomBytes?: (count: number) => Uint8Array
}

/** Absolute paths. */
export type CertificatePaths = {
  readonly authorityCertificate: string
  readonly authorityKey: string
  readonly certificate: string
  readonly key: string
}

export type InitResult = {
  readonly paths: CertificatePaths
  readonly hosts: readonly CertificateHost[]
  readonly authority: {
    readonly action: 'made' | 'kept'
    /** The names and addresses it can vouch for; undefined where it is not limited. */
    readonly limitedTo: string | undefined
    readonly summary: CertificateSummary
  }
  readonly leaf: {
    readonly action: 'made' | 'kept' | 'replaced'
    /** Completes "because", where the leaf was replaced. */
    readonly reason: string | undefined
    readonly summary: CertificateSummary
  }
}

/**
 * Makes a local CA and a certificate for the gateway. Everything is judged before anything is written; a CA that is
 * there is used again, so that clients go on trusting it.
 *
 * @throws CertificateError in one sentence, where a value or what lies in the directory does not allow it
 */
export async function initCertificates(request: InitRequest): Promise<InitResult> {
  const hosts = parseCertificateHosts(request.hosts)
  const days = leafDays(request.days ?? defaultLeafDays)
  if (request.directory === '') throw new CertificateError('--directory "" is empty; name a directory such as certs')
  const paths = certificatePaths(request.directory)
  const circumstances = { now: request.now ?? new Date(), randomBytes: request.randomBytes ?? randomBytes }
  return explainingFileErrors(request.directory, async () => {
    const found = await readFiles(paths)
    const kept = await usableAuthority(found, paths, hosts, circumstances.now)
    const plan = await planLeaf(found, kept, paths, hosts, request, circumstances.now)
    await makeDirectory(dirname(paths.certificate))
    const authority = kept ?? (await writeAuthority(paths, hosts, circumstances))
    const leaf =
      plan.action === 'kept'
        ? plan.certificatePem
        : await writeLeaf(paths, authority, { hosts, days, algorithm: request.algorithm ?? 'ec' }, circumstances)
    const constraints = await authorityConstraints(authority.certificatePem)
    return {
      paths,
      hosts,
      authority: {
        action: kept === undefined ? 'made' : 'kept',
        limitedTo: constraints === undefined ? undefined : describeConstraints(constraints),
        summary: summarize(authority.certificatePem),
      },
      leaf: {
        action: plan.action,
        reason: plan.action === 'replaced' ? plan.reason : undefined,
        summary: summarize(leaf),
      },
    }
  })
}

/** Reads `--days`. */
export function leafDays(value: number | string): number {
  return wholeNumber('--days', value, maxLeafDays, "Apple's clients accept no longer life under a private CA")
}

/** Reads a count from 1 to `max`; `why` says where the limit comes from. */
export function wholeNumber(option: string, value: number | string, max: number, why: string): number {
  const count = /^\d+$/.test(String(value)) ? Number(value) : Number.NaN
  if (count >= 1 && count <= max) return count
  throw new CertificateError(
    `${option} ${JSON.stringify(value)} is not a whole number from 1 to ${String(max)}; give one of these, because ${why}`,
  )
}

function certificatePaths(directory: string): CertificatePaths {
  const at = (name: string): string => resolve(directory, name)
  return {
    authorityCertificate: at('ca.crt'),
    authorityKey: at('ca.key'),
    certificate: at('tls.crt'),
    key: at('tls.key'),
  }
}

type FoundFiles = { readonly [Name in keyof CertificatePaths]: string | undefined }

async function readFiles(paths: CertificatePaths): Promise<FoundFiles> {
  return {
    authorityCertificate: await readIfPresent(paths.authorityCertificate),
    authorityKey: await readIfPresent(paths.authorityKey),
    certificate: await readIfPresent(paths.certificate),
    key: await readIfPresent(paths.key),
  }
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** The CA that is there, or undefined where one is to be made. */
async function usableAuthority(
  found: FoundFiles,
  paths: CertificatePaths,
  hosts: readonly CertificateHost[],
  now: Date,
): Promise<CertificateAndKey | undefined> {
  const { authorityCertificate, authorityKey } = found
  if (authorityCertificate === undefined && authorityKey === undefined) return undefined
  if (authorityCertificate === undefined || authorityKey === undefined) {
    const [lone, lost] = authorityKey === undefined ? ['ca.crt', 'ca.key'] : ['ca.key', 'ca.crt']
    throw new CertificateError(
      `${dirname(paths.certificate)} holds ${lone} without ${lost}; put ${lost} back, or move ${lone} away to have a new CA made`,
    )
  }
  const authority = { certificatePem: authorityCertificate, keyPem: authorityKey }
  const problem = await authorityProblem(authority, hosts, now)
  if (problem === undefined) return authority
  throw new CertificateError(
    `the CA in ${dirname(paths.certificate)} ${problem}; choose another --directory, or move ca.crt and ca.key away ` +
      'to have a new CA made, which clients must then be told to trust',
  )
}

/** Makes a directory and those above it. The `recursive` of Node never comes back where the system makes none, as in /proc. */
async function makeDirectory(path: string): Promise<void> {
  const make = () => mkdir(path, { mode: 0o700 })
  try {
    await make()
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT' && dirname(path) !== path) {
      await makeDirectory(dirname(path))
      await make()
    } else if (code !== 'EEXIST' || !(await stat(path)).isDirectory()) throw error
  }
}

type LeafPlan =
  | { readonly action: 'made' }
  | { readonly action: 'replaced'; readonly reason: string }
  | { readonly action: 'kept'; readonly certificatePem: string }

async function planLeaf(
  found: FoundFiles,
  authority: CertificateAndKey | undefined,
  paths: CertificatePaths,
  hosts: readonly CertificateHost[],
  request: InitRequest,
  now: Date,
): Promise<LeafPlan> {
  const { certificate, key } = found
  if (certificate === undefined && key === undefined) return { action: 'made' }
  if (request.force === true) return { action: 'replaced', reason: '--force was given' }
  if (certificate === undefined || authority === undefined) throw foreignLeaf(paths, certificate === undefined)
  const leaf = { certificatePem: certificate, keyPem: key }
  const verdict = await judgeLeaf(leaf, authority.certificatePem, { hosts, algorithm: request.algorithm }, now)
  switch (verdict.kind) {
    case 'current':
      return { action: 'kept', certificatePem: certificate }
    case 'outdated':
      return { action: 'replaced', reason: verdict.reason }
    case 'foreign':
      throw foreignLeaf(paths, false)
  }
}

/** What no CA of this directory issued may be somebody's only copy, such as a key that waits for its certificate. */
function foreignLeaf(paths: CertificatePaths, loneKey: boolean): CertificateError {
  const what = loneKey
    ? `${paths.key} is there without its tls.crt`
    : `${paths.certificate} was not issued by a CA in this directory`
  return new CertificateError(`${what}; choose another --directory, move it away, or have it replaced with --force`)
}

async function writeAuthority(
  paths: CertificatePaths,
  hosts: readonly CertificateHost[],
  circumstances: Circumstances,
): Promise<CertificateAndKey> {
  const authority = await makeAuthority(hosts, circumstances)
  await writeWhole(paths.authorityCertificate, authority.certificatePem, 0o644, 'never replace')
  await writeWhole(paths.authorityKey, authority.keyPem, 0o600, 'never replace')
  return authority
}

async function writeLeaf(
  paths: CertificatePaths,
  authority: CertificateAndKey,
  request: Parameters<typeof issueLeaf>[1],
  circumstances: Circumstances,
): Promise<string> {
  const leaf = await issueLeaf(authority, request, circumstances)
  // The certificate first: if this ends in between, the next run sees a leaf of its own without a key, and makes both.
  await writeWhole(paths.certificate, leaf.certificatePem, 0o644, 'replace')
  await writeWhole(paths.key, leaf.keyPem, 0o600, 'replace')
  return leaf.certificatePem
}

/** Writes beside the path and puts the whole file there at once. The ending stays, so that git ignores the rest of a crash. */
async function writeWhole(path: string, text: string, mode: number, existing: 'replace' | 'never replace') {
  const temporary = join(dirname(path), `.tmp-${randomBytes(6).toString('hex')}-${basename(path)}`)
  try {
    const file = await open(temporary, 'wx', mode)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    // A link fails where the path has appeared meanwhile, and rename would overwrite it: two runs at once make one CA.
    await (existing === 'replace' ? rename(temporary, path) : link(temporary, path))
  } finally {
    await rm(temporary, { force: true })
  }
}

async function explainingFileErrors<T>(directory: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const code = systemCode(error)
    if (code === undefined) throw error
    throw new CertificateError(
      `--directory ${JSON.stringify(directory)} cannot be used (${code}: ${systemReason(code)}); ` +
        'name a directory that you may write to',
      { cause: error },
    )
  }
}

function systemCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('syscall' in error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

function systemReason(code: string): string {
  const reasons: Readonly<Record<string, string>> = {
    EACCES: 'permission denied',
    EEXIST: 'a file of that name is there',
    EISDIR: 'one of its files is a directory',
    ENOENT: 'no such directory can be made',
    ENOSPC: 'the disk is full',
    ENOTDIR: 'a file stands where a directory should be',
    EPERM: 'not permitted',
    EROFS: 'the file system is read-only',
  }
  return reasons[code] ?? 'the system refused'
}
