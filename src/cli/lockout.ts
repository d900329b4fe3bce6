/** `wharfgate lockout`: from where logins are refused because of wrong passwords, and letting them in again. */
import { Command } from 'commander'
import { waitText } from '../rate-limit/limit-words.ts'
import type { LockedOut } from '../server/admin-answers.ts'
import { printable } from '../telemetry/printable.ts'
import { AdminClientError, askGateway, concludeAdmin, fieldsOf, listOf, notUnderstood } from './admin-client.ts'
import { withAdminSocket } from './admin-client.ts'
import type { AdminOptions, AdminTerminal, Fields } from './admin-client.ts'
import { printTable } from './policy-table.ts'

type ListOptions = AdminOptions & { readonly json?: boolean }
type ClearOptions = ListOptions & { readonly address?: string; readonly user?: string; readonly all?: boolean }

const timeoutMs = 10_000

/** Creates the command with its subcommands. Exit code 0, or 1 where the gateway did not do it. */
export function lockoutCommand(terminal: AdminTerminal = process): Command {
  const lockout = new Command('lockout').description('who is locked out of a running gateway after wrong passwords')
  withAdminSocket(lockout.command('list'))
    .description('print from which addresses logins are refused, and until when')
    .option('--json', 'print one JSON object')
    .action((options: ListOptions) => concludeAdmin(terminal, () => list(options, terminal)))
  withAdminSocket(lockout.command('clear'))
    .description('forget wrong passwords, so that logins are checked again at once')
    .option('--address <address>', 'those from this address; of IPv6, from its /64')
    .option('--user <name>', 'those for this user, at every address that is listed or, with --address, at that one')
    .option('--all', 'all of them')
    .option('--json', 'print one JSON object')
    .action((options: ClearOptions) => concludeAdmin(terminal, () => clear(options, terminal)))
  return lockout
}

async function list(options: ListOptions, { stdout, env }: AdminTerminal): Promise<0> {
  const answer = await askGateway(options, env, { method: 'GET', path: '/lockout', timeoutMs })
  const locked = listOf(answer, 'locked', readLocked)
  if (options.json === true) stdout.write(`${JSON.stringify(answer)}\n`)
  else if (locked.length === 0) stdout.write(`nobody is locked out\n${noteOf(answer)}`)
  else {
    const head = ['address', 'who is refused', 'wrong passwords', 'for']
    stdout.write(printTable([head, ...locked.map(printRow)], stdout))
    stdout.write(noteOf(answer))
  }
  return 0
}

async function clear(options: ClearOptions, { stdout, env }: AdminTerminal): Promise<0> {
  const { address, user, all = false } = options
  if (all === (address !== undefined || user !== undefined)) {
    throw new AdminClientError('say what to clear: --address A, --user U or both, or --all')
  }
  const query = { address, user, all: all ? '' : undefined }
  const answer = await askGateway(options, env, { method: 'POST', path: '/lockout/clear', query, timeoutMs })
  const { cleared } = fieldsOf(answer)
  if (typeof cleared !== 'number') throw notUnderstood('the number of what was cleared')
  if (options.json === true) stdout.write(`${JSON.stringify(answer)}\n`)
  else stdout.write(`${clearedText(cleared)}\n${noteOf(answer)}`)
  return 0
}

function clearedText(cleared: number): string {
  if (cleared === 0) return 'there was nothing to forget; wharfgate lockout list shows what is locked'
  return `wrong passwords from ${cleared} ${cleared === 1 ? 'address' : 'addresses'} are forgotten`
}

function readLocked({ address, lockedSeconds, failures, lockedUsers }: Fields): LockedOut | undefined {
  if (typeof address !== 'string' || typeof lockedSeconds !== 'number') return undefined
  if (typeof failures !== 'number' || typeof lockedUsers !== 'number') return undefined
  return { address, lockedSeconds, failures, lockedUsers }
}

function printRow({ address, lockedSeconds, failures, lockedUsers }: LockedOut): readonly string[] {
  const isWhole = lockedSeconds > 0
  const who = isWhole ? 'everybody new' : `${lockedUsers} ${lockedUsers === 1 ? 'user' : 'users'}`
  return [printable(address), who, String(failures), isWhole ? waitText(lockedSeconds * 1000) : '-']
}

/** What a reader who has several gateways has to know. */
function noteOf(answer: unknown): string {
  return fieldsOf(answer)['isShared'] === false ? 'known to this gateway alone, since redis.enabled is false\n' : ''
}
