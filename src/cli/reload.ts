import { Command } from 'commander'
import { askGateway, concludeAdmin, listOf, textsOf, withAdminSocket } from './admin-client.ts'
import type { AdminOptions, AdminTerminal, Fields } from './admin-client.ts'

/** `wharfgate reload`: asks the running gateway to read its files again, and tells what became of each part. */
export function reloadCommand(terminal: AdminTerminal = process): Command {
  return withAdminSocket(new Command('reload'))
    .description('make a running gateway read its configuration, certificates and users again')
    .action((options: AdminOptions) =>
      concludeAdmin(terminal, async () => {
        const question = { method: 'POST', path: '/reload', timeoutMs: 60_000 } as const
        const outcomes = listOf(await askGateway(options, terminal.env, question), 'outcomes', readOutcome)
        for (const outcome of outcomes) terminal.stdout.write(describe(outcome))
        return outcomes.some(({ result }) => result === 'refused') ? 1 : 0
      }),
    )
}

type Outcome =
  | { readonly part: string; readonly result: 'reloaded'; readonly needRestart: readonly string[] }
  | { readonly part: string; readonly result: 'refused'; readonly problems: readonly string[] }

function readOutcome({ part, result, needRestart, problems }: Fields): Outcome | undefined {
  if (typeof part !== 'string') return undefined
  if (result === 'reloaded') return { part, result, needRestart: textsOf(needRestart) }
  return result === 'refused' ? { part, result, problems: textsOf(problems) } : undefined
}

function describe(outcome: Outcome): string {
  if (outcome.result === 'refused') {
    return `${outcome.part}: refused, the last good state serves on\n${outcome.problems.map((line) => `  ${line}\n`).join('')}`
  }
  const restart =
    outcome.needRestart.length === 0 ? '' : ` (needs a restart to take effect: ${outcome.needRestart.join(', ')})`
  return `${outcome.part}: reloaded${restart}\n`
}
