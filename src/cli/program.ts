import { Command } from 'commander'
import { auditCommand } from './audit.ts'
import { certsCommand } from './certs.ts'
import { checkCommand } from './check.ts'
import { credentialsCommand } from './credentials.ts'
import { hashPasswordCommand } from './hash-password.ts'
import { healthcheckCommand } from './healthcheck.ts'
import { ldapCommand } from './ldap.ts'
import { limitsCommand } from './limits.ts'
import { lockoutCommand } from './lockout.ts'
import { policyCommand } from './policy.ts'
import { reloadCommand } from './reload.ts'
import { serveCommand } from './serve.ts'

/** Every command of `wharfgate`, ready to parse its words; nothing is run yet. */
export function createProgram(version: string): Command {
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
    limitsCommand(),
    lockoutCommand(),
    credentialsCommand(),
    ldapCommand(),
  ]) {
    program.addCommand(command)
  }
  return program
}
