/** `wharfgate certs init`: a local CA and a certificate for the gateway, and what to copy where so that clients trust it. */
import { Command, Option } from 'commander'
import type { KeyAlgorithm } from './certificate-authority.ts'
import { CertificateError } from './certificate-error.ts'
import { defaultLeafDays, initCertificates, leafDays, wholeNumber } from './certificate-files.ts'
import type { InitResult } from './certificate-files.ts'
import type { CertificateSummary } from './certificate-verdict.ts'
import { configurationSection, printSections, trustInstructions } from './trust-instructions.ts'

/** Where a command speaks to; `process` is one. */
export type Terminal = {
  readonly stdout: { write(text: string): unknown }
  readonly stderr: { write(text: string): unknown }
  exitCode?: number | string | null | undefined
}

type InitOptions = {
  readonly directory: string
  readonly host: readonly string[]
  readonly algorithm?: KeyAlgorithm
  readonly days: string
  readonly port: string
  readonly force?: true
}

/** The `certs` subcommand. What cannot be done is one sentence on stderr and exit code 1. */
export function certsCommand(terminal: Terminal = process): Command {
  const certs = new Command('certs').description('certificates for the gateway')
  certs
    .command('init')
    .description('make a local CA and a certificate, and print how clients come to trust it')
    .requiredOption('--directory <dir>', 'where ca.crt, ca.key, tls.crt and tls.key are kept')
    .requiredOption('--host <name...>', 'names and addresses that clients type: registry.example.org, 192.0.2.10, ::1')
    .addOption(new Option('--algorithm <name>', 'key of the certificate (ec)').choices(['ec', 'rsa', 'rsa-3072']))
    .option('--days <count>', 'life of the certificate, at most 825', String(defaultLeafDays))
    .option('--port <number>', 'port in the printed lines', '8443')
    .option('--force', 'replace tls.crt and tls.key even where they will do; the CA is never replaced')
    .action(async (options: InitOptions) => {
      try {
        terminal.stdout.write(await runInit(options))
      } catch (error) {
        if (!(error instanceof CertificateError)) throw error
        terminal.stderr.write(`wharfgate: ${error.message}\n`)
        terminal.exitCode = 1
      }
    })
  return certs
}

const otherMachines =
  '# On another machine: copy ca.crt there first and put its new path into the lines above. Never copy ca.key.\n' +
  '# These files and more clients: docs/how-to/trust-the-certificate.md\n'

async function runInit(options: InitOptions): Promise<string> {
  const port = wholeNumber('--port', options.port, 65_535, 'TCP has no others')
  const { directory, host, algorithm, force } = options
  const days = leafDays(options.days)
  const result = await initCertificates({ directory, hosts: host, algorithm, days, force })
  return `${describeInit(result)}${printSections(instructionSections(result, port))}\n${otherMachines}`
}

function instructionSections(result: InitResult, port: number) {
  const { paths, hosts, authority } = result
  const subject = {
    hosts,
    port,
    authorityFile: paths.authorityCertificate,
    authoritySha256: authority.summary.sha256,
  }
  return [configurationSection(paths.certificate, paths.key), ...trustInstructions(subject)]
}

/** What was made, what was kept and why, with fingerprints and ends. */
export function describeInit({ paths, hosts, authority, leaf }: InitResult): string {
  const limit =
    authority.limitedTo === undefined
      ? 'can vouch for any name, so whoever has ca.key can too'
      : `can vouch only for ${authority.limitedTo}`
  const authorityAction = authority.action === 'made' ? 'made' : 'kept, so that clients go on trusting it'
  return [
    `${paths.authorityCertificate} (key: ca.key): ${authorityAction}`,
    `  ${authority.summary.commonName}, ${limit}`,
    ...summaryLines(authority.summary),
    `${paths.certificate} (key: tls.key): ${leafAction(leaf)}`,
    `  for ${hosts.map(({ text }) => text).join(', ')}`,
    ...summaryLines(leaf.summary),
    '',
  ].join('\n')
}

function leafAction({ action, reason }: InitResult['leaf']): string {
  if (action === 'made') return 'made'
  return action === 'kept' ? 'kept, it will do (--force replaces it)' : `replaced, because ${reason ?? ''}`
}

function summaryLines({ notAfter, sha256 }: CertificateSummary): readonly string[] {
  return [`  expires ${notAfter.toISOString().slice(0, 10)}`, `  SHA-256 ${sha256}`]
}
