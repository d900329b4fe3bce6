/** `wharfgate limits`: what is left of the limits of a user, and making them whole again. */
import { Command } from 'commander'
import { bytesText, waitText } from '../rate-limit/limit-words.ts'
import type { LimitState } from '../server/admin-answers.ts'
import { printable } from '../telemetry/printable.ts'
import { askGateway, concludeAdmin, fieldsOf, listOf, notUnderstood, textsOf, withAdminSocket } from './admin-client.ts'
import type { AdminOptions, AdminTerminal, Fields } from './admin-client.ts'
import { printTable } from './policy-table.ts'

type LimitsOptions = AdminOptions & { readonly user: string; readonly bucket?: string; readonly json?: boolean }

/** What the command shows of a bucket. */
type Row = Pick<LimitState, 'bucket' | 'scope' | 'subject' | 'unit' | 'quotaText' | 'remaining' | 'resetSeconds'>

const timeoutMs = 10_000

/** Creates the command with its subcommands. Exit code 0, or 1 where the gateway did not do it. */
export function limitsCommand(terminal: AdminTerminal = process): Command {
  const limits = new Command('limits').description('the limits of a user in a running gateway')
  withAdminSocket(limits.command('show'))
    .description('print every limit that counts a user, and what is left of it')
    .requiredOption('--user <name>', 'the name as the user logs in with it')
    .option('--json', 'print one JSON object')
    .action((options: LimitsOptions) => concludeAdmin(terminal, () => show(options, terminal)))
  withAdminSocket(limits.command('reset'))
    .description('make limits of a user whole again: those that count the user alone, or the one that is named')
    .requiredOption('--user <name>', 'the name as the user logs in with it')
    .option('--bucket <name>', 'this limit, also where it is shared with others')
    .option('--json', 'print one JSON object')
    .action((options: LimitsOptions) => concludeAdmin(terminal, () => reset(options, terminal)))
  return limits
}

async function show(options: LimitsOptions, { stdout, env }: AdminTerminal): Promise<0> {
  const question = { method: 'GET', path: '/limits', query: { user: options.user }, timeoutMs } as const
  const answer = await askGateway(options, env, question)
  const rows = listOf(answer, 'limits', readRow)
  if (options.json === true) stdout.write(`${JSON.stringify(answer)}\n`)
  else if (rows.length === 0) stdout.write(`no limit counts ${printable(options.user)}\n`)
  else {
    const head = ['limit', 'counts', 'allows', 'left', 'whole again in']
    stdout.write(printTable([head, ...rows.map(printRow)], stdout))
    stdout.write(noteOf(answer))
  }
  return 0
}

async function reset(options: LimitsOptions, { stdout, env }: AdminTerminal): Promise<0> {
  const { user, bucket } = options
  const question = { method: 'POST', path: '/limits/reset', query: { user, bucket }, timeoutMs } as const
  const answer = await askGateway(options, env, question)
  const { reset: names } = fieldsOf(answer)
  if (!Array.isArray(names)) throw notUnderstood('the limits that were reset')
  if (options.json === true) stdout.write(`${JSON.stringify(answer)}\n`)
  else if (names.length === 0) stdout.write(`no limit counts ${printable(user)} alone; nothing was reset\n`)
  else stdout.write(`whole again for ${printable(user)}: ${textsOf(names).join(', ')}\n${noteOf(answer)}`)
  return 0
}

function readRow({ bucket, scope, subject, unit, quotaText, remaining, resetSeconds }: Fields): Row | undefined {
  if (typeof bucket !== 'string' || typeof quotaText !== 'string' || typeof remaining !== 'number') return undefined
  if (scope !== 'user' && scope !== 'group' && scope !== 'address' && scope !== 'global') return undefined
  if (unit !== 'requests' && unit !== 'bytes' && unit !== 'concurrent') return undefined
  return {
    bucket,
    scope,
    subject: typeof subject === 'string' ? subject : null,
    unit,
    quotaText,
    remaining,
    resetSeconds: typeof resetSeconds === 'number' ? resetSeconds : null,
  }
}

function printRow({ bucket, scope, subject, unit, quotaText, remaining, resetSeconds }: Row): readonly string[] {
  const left = unit === 'bytes' && remaining > 0 ? bytesText(remaining) : String(remaining)
  const whole = resetSeconds === null ? '-' : resetSeconds <= 0 ? 'now' : waitText(resetSeconds * 1000)
  return [bucket, subject === null ? 'all together' : `${scope} ${printable(subject)}`, quotaText, left, whole]
}

/** What a reader who has several gateways has to know. */
function noteOf(answer: unknown): string {
  return fieldsOf(answer)['isShared'] === false ? 'counted by this gateway alone, since redis.enabled is false\n' : ''
}
