/** `wharfgate policy test`: tables of cases, which are the tests of policies. */
import { styleText } from 'node:util'
import type { Command } from 'commander'
import { printFinding } from './check.ts'
import { runCases } from './policy-cases.ts'
import type { CasesOutcome } from './policy-cases.ts'
import { PolicyCommandError, conclude, findCases, policySubcommand } from './policy-source.ts'
import { readPolicySource, withSource } from './policy-source.ts'
import type { PolicyProcess, SourceOptions } from './policy-source.ts'

/** The `policy test` subcommand: exit code 0 where every case holds, 1 where one does not, 2 where none could be asked. */
export function policyTestCommand(terminal: PolicyProcess): Command {
  return withSource(policySubcommand('test'))
    .description('ask the policy the cases of *.cases.yaml, and tell what it decides otherwise')
    .argument('[cases...]', 'the files of cases; without them, those beside the policies')
    .action((named: readonly string[], options: SourceOptions) =>
      conclude(terminal, async () => {
        const source = await readPolicySource(options, terminal.env)
        const files = named.length > 0 ? named : await findCases(source.path)
        if (files.length === 0) throw new PolicyCommandError([noCases(source.path)])
        const outcome = await runCases(source, files, Date.now())
        if (outcome.faults.length > 0) throw new PolicyCommandError(outcome.faults.map(printFinding))
        for (const failure of outcome.failures) {
          terminal.stdout.write(`${styleText('red', printFinding(failure), { stream: terminal.stdout })}\n`)
        }
        terminal.stdout.write(`${summary(outcome, files.length)}\n`)
        return outcome.failures.length === 0 ? 0 : 1
      }),
    )
}

function noCases(path: string): string {
  const name = path.endsWith('.yaml') ? path.replace(/\.yaml$/, '.cases.yaml') : `${path}/*.cases.yaml`
  return `wharfgate: no cases were found; write some in ${name}, or name their files behind the command`
}

function summary({ cases, decisions, failures }: CasesOutcome, files: number): string {
  const asked = `${count(decisions, 'decision')} of ${count(cases, 'case')} in ${count(files, 'file')}`
  return failures.length === 0
    ? `${asked}: all as expected`
    : `${asked}: ${failures.length} ${failures.length === 1 ? 'is' : 'are'} not as expected`
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
