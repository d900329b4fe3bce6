/** `wharfgate credentials`: what a running gateway remembers of logins. */
import { Command } from 'commander'
import { askGateway, concludeAdmin, fieldsOf, notUnderstood, withAdminSocket } from './admin-client.ts'
import type { AdminOptions, AdminTerminal } from './admin-client.ts'

type FlushOptions = AdminOptions & { readonly json?: boolean }

const timeoutMs = 10_000

/** Creates the command with its subcommands. Exit code 0, or 1 where the gateway did not do it. */
export function credentialsCommand(terminal: AdminTerminal = process): Command {
  const credentials = new Command('credentials').description('what a running gateway remembers of logins')
  withAdminSocket(credentials.command('flush'))
    .description('forget every remembered login, so that the next of each user is checked anew')
    .option('--json', 'print one JSON object')
    .action((options: FlushOptions) => concludeAdmin(terminal, () => flush(options, terminal)))
  return credentials
}

async function flush(options: FlushOptions, { stdout, env }: AdminTerminal): Promise<0> {
  const answer = await askGateway(options, env, { method: 'POST', path: '/credentials/flush', timeoutMs })
  if (fieldsOf(answer)['flushed'] !== true) throw notUnderstood('flushed')
  if (options.json === true) stdout.write(`${JSON.stringify(answer)}\n`)
  // Memory of logins is never shared: whoever has several gateways asks each.
  else stdout.write('remembered logins are forgotten in this gateway; ask every other one itself\n')
  return 0
}
