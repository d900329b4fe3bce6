import { readFile } from 'node:fs/promises'
import { Command } from 'commander'
import { auditCommand } from './audit.ts'
import { certsCommand } from './certs.ts'
import { checkCommand } from './check.ts'
import { hashPasswordCommand } from './hash-password.ts'
import { healthcheckCommand } from './healthcheck.ts'
import { policyCommand } from './policy.ts'
import { reloadCommand } from './reload.ts'
import { serveCommand } from './serve.ts'

/** The command line. @param argv as `process.argv` */
export async function main(argv: readonly string[]): Promise<void> {
  // npm runs scripts at the root of the repository; paths that somebody typed begin where they typed them.
  const calledFrom = process.env['WHARFGATE_CALLED_FROM']
  if (calledFrom !== undefined) process.chdir(calledFrom)
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  const { version = 'unknown' } = JSON.parse(text) as { readonly version?: string }
  const program = new Command('wharfgate')
    .description('The TLS front door of container registries.')
    .version(version)
    .showHelpAfterError('(wharfgate --help lists what there is)')
  for (const command of [
    serveCommand(),
    reloadCommand(),
    checkCommand(),
    certsCommand(),
    hashPasswordCommand(),
    healthcheckCommand(),
    auditCommand(),
    policyCommand(),
  ]) {
    program.addCommand(command)
  }
  await program.parseAsync(argv)
}
