/** `wharfgate check`: everything that is wrong with a configuration and the files it names, before anything starts. */
import { readFile } from 'node:fs/promises'
import { styleText } from 'node:util'
import { Command } from 'commander'
import { inspectHtpasswd } from '../authentication/htpasswd.ts'
import { printPath } from '../config/keys.ts'
import type { PathStep } from '../config/keys.ts'
import { printPlace, readConfig } from '../config/load.ts'
import type { ConfigSources, Origin } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { readTextFile } from '../config/text-file.ts'
import { isLoopbackHost } from '../config/values.ts'
import { checkAuthorities, checkCertificatePair, uncoveredHosts } from './check-certificates.ts'
import type { FileFinding, Inspection } from './check-certificates.ts'
import { checkLdap } from './check-ldap.ts'
import { checkPolicies } from './policy-check.ts'

/** What a line of a password file is reported as. */
export type LineFault = {
  /** From 1. */
  readonly line: number
  readonly severity: 'error' | 'warning'
  readonly sentence: string
}

export type CheckOptions = ConfigSources & {
  readonly now: Date
  readonly inspectHtpasswd: (text: string) => readonly LineFault[]
  /** Everything that is wrong with the policy of a path, its cases included; `now` is milliseconds since the epoch. */
  readonly inspectPolicies: (path: string, now: number) => Promise<readonly CheckFinding[]>
}

/** One line of the report. */
export type CheckFinding = {
  readonly severity: 'error' | 'warning'
  /** `FILE:LINE:COLUMN`, or `environment NAME`. */
  readonly place: string
  readonly key?: string
  readonly sentence: string
}

/** The report: `ok` where there are no errors, whatever the warnings. */
export type CheckReport = { readonly ok: boolean; readonly findings: readonly CheckFinding[] }

/** Checks the configuration and, where that can be read, the files it names. Never throws. */
export async function check(options: CheckOptions): Promise<CheckReport> {
  const reading = await readConfig(options)
  if (reading.kind === 'faults') {
    const findings = reading.problems.map(({ origin, ...told }) => ({
      severity: 'error' as const,
      place: printPlace(origin),
      ...told,
    }))
    return { ok: false, findings }
  }
  const findings = [
    ...(await checkFiles(reading.config, options)).map((finding) => atKey(finding, reading.originOf)),
    ...(await checkHtpasswd(reading.config, options, reading.originOf)),
    ...(await checkAuthorization(reading.config, options)),
  ]
  return { ok: findings.every(({ severity }) => severity === 'warning'), findings }
}

function atKey({ path, ...told }: FileFinding, originOf: (path: readonly PathStep[]) => Origin): CheckFinding {
  return { ...told, place: printPlace(originOf(path)), key: printPath(path) }
}

async function checkFiles(config: Config, inspection: Inspection): Promise<readonly FileFinding[]> {
  const { upstream } = config
  const authorities =
    upstream.caFile === undefined ? [] : await checkAuthorities(['upstream', 'caFile'], upstream.caFile, inspection)
  const redis = await checkRedisFiles(config, inspection)
  const ldap = await checkLdap(config.authentication.ldap, inspection)
  return [...(await checkCertificates(config, inspection)), ...authorities, ...redis, ...ldap, ...doubts(config)]
}

async function checkRedisFiles({ redis }: Config, inspection: Inspection): Promise<readonly FileFinding[]> {
  if (!redis.enabled || redis.tls === undefined) return []
  const section = ['redis', 'tls']
  const { caFile, certificateFile, keyFile } = redis.tls
  const authorities = caFile === undefined ? [] : await checkAuthorities([...section, 'caFile'], caFile, inspection)
  if (certificateFile === undefined || keyFile === undefined) return authorities
  const { findings } = await checkCertificatePair({ section, certificateFile, keyFile }, inspection)
  return [...authorities, ...findings]
}

async function checkCertificates(
  { tls, publicUrls, trustedProxies }: Config,
  inspection: Inspection,
): Promise<readonly FileFinding[]> {
  if (!tls.enabled) return []
  const further = tls.certificates.map((files, index) => ({ section: ['tls', 'certificates', index], ...files }))
  const pairs = await Promise.all(
    [{ section: ['tls'], ...tls }, ...further].map((files) => checkCertificatePair(files, inspection)),
  )
  const findings = pairs.flatMap(({ findings }) => findings)
  const leaves = pairs.flatMap(({ leaf }) => leaf ?? [])
  // Where a certificate could not be read, it may be the one that covers the host.
  if (leaves.length < pairs.length) return findings
  const hosts = publicUrls.map((url) => new URL(url).hostname)
  const uncovered = uncoveredHosts(leaves, hosts).map((host): FileFinding => ({
    path: ['tls', 'certificateFile'],
    // Behind a proxy that ends TLS and begins it anew, clients never see this certificate.
    severity: trustedProxies.length > 0 ? 'warning' : 'error',
    sentence: `no certificate covers ${host} of publicUrls by its subjectAltName`,
  }))
  return [...findings, ...uncovered]
}

/** What can be used but is probably not meant. */
function doubts({ upstream, trustedProxies, redis, lockout }: Config): readonly FileFinding[] {
  const url = new URL(upstream.url)
  const doubt = (path: readonly PathStep[], sentence: string): FileFinding => ({ path, severity: 'warning', sentence })
  const isPlain = url.protocol === 'http:'
  return [
    ...(isPlain && upstream.caFile !== undefined
      ? [doubt(['upstream', 'caFile'], 'has no effect, because upstream.url begins with http://')]
      : []),
    ...(isPlain && upstream.credential !== undefined && !isLoopbackHost(url.hostname)
      ? [doubt(['upstream', 'credential'], 'is sent unencrypted, because upstream.url begins with http://')]
      : []),
    ...trustedProxies.flatMap(({ prefixLength }, index) =>
      prefixLength === 0 ? [doubt(['trustedProxies', index], 'believes the X-Forwarded-For of everyone')] : [],
    ),
    ...(redis.enabled && isPasswordInClear(redis)
      ? [doubt(['redis'], 'its password is sent unencrypted to another machine; use rediss:// or redis.tls')]
      : []),
    ...(lockout.enabled ? lockout.exemptAddresses : []).flatMap(({ prefixLength }, index) =>
      prefixLength === 0 ? [doubt(['lockout', 'exemptAddresses', index], 'lets everyone guess without a wait')] : [],
    ),
  ]
}

function isPasswordInClear({ servers, login, tls }: Extract<Config['redis'], { enabled: true }>): boolean {
  if (login === undefined || tls !== undefined) return false
  const addresses = servers.kind === 'standalone' ? [servers] : servers.addresses
  return !addresses.every(({ host }) => isLoopbackHost(host))
}

const maxHtpasswdBytes = 16_777_216

async function checkHtpasswd(
  { authentication: { htpasswd } }: Config,
  { readFile, inspectHtpasswd }: CheckOptions,
  originOf: (path: readonly PathStep[]) => Origin,
): Promise<readonly CheckFinding[]> {
  if (!htpasswd.enabled) return []
  const path = ['authentication', 'htpasswd', 'file']
  const content = await readTextFile(readFile, htpasswd.file, maxHtpasswdBytes)
  if (content.kind === 'fault') {
    return [atKey({ path, severity: 'error', sentence: `the file ${htpasswd.file} ${content.sentence}` }, originOf)]
  }
  return inspectHtpasswd(content.text).map(({ line, ...told }) => ({
    ...told,
    place: `${htpasswd.file}:${line}:1`,
    key: printPath(path),
  }))
}

/** The shadow policy is not enforced, but one that is at fault keeps the gateway from starting too. */
async function checkAuthorization(
  { authorization: { policies, shadow } }: Config,
  { inspectPolicies, now }: CheckOptions,
): Promise<readonly CheckFinding[]> {
  const paths = shadow === undefined || shadow === policies ? [policies] : [policies, shadow]
  return (await Promise.all(paths.map((path) => inspectPolicies(path, now.getTime())))).flat()
}

/** Prints a finding as `FILE:LINE:COLUMN key: sentence`; a warning says so in front of its sentence. */
export function printFinding({ severity, place, key, sentence }: CheckFinding): string {
  return `${place}${key === undefined ? '' : ` ${key}`}: ${severity === 'warning' ? 'warning: ' : ''}${sentence}`
}

/** Where the command speaks to, and what it reads; `process` is one. */
export type CheckProcess = {
  readonly stdout: NodeJS.WritableStream
  readonly stderr: NodeJS.WritableStream
  readonly env: ConfigSources['environment']
  exitCode?: number | string | null | undefined
}

/** `wharfgate check --config FILE`: exit status 0 and one line on standard output, or 1 and all problems on standard error. */
export function checkCommand(terminal: CheckProcess = process): Command {
  return new Command('check')
    .description('tell everything that is wrong with a configuration and the files it names')
    .option('--config <file>', 'the configuration file; without it, the environment alone')
    .action(async ({ config: file }: { readonly config?: string }) => {
      const report = await check({
        file,
        environment: terminal.env,
        readFile,
        now: new Date(),
        inspectHtpasswd,
        inspectPolicies: checkPolicies,
      })
      for (const finding of report.findings) {
        const style = finding.severity === 'error' ? 'red' : 'yellow'
        // styleText leaves the text plain unless the stream is a terminal and NO_COLOR is not set.
        terminal.stderr.write(`${styleText(style, printFinding(finding), { stream: terminal.stderr })}\n`)
      }
      if (report.ok) terminal.stdout.write(`${file ?? 'environment'}: ok\n`)
      else terminal.exitCode = 1
    })
}
