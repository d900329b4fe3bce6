/** `wharfgate policy`: what policies decide, why, and what would change. */
import { Command } from 'commander'
import { policyExplainCommand } from './policy-explain.ts'
import { policyMatrixCommand } from './policy-matrix.ts'
import { policyReplayCommand } from './policy-replay.ts'
import { policyTestCommand } from './policy-test.ts'
import type { PolicyProcess } from './policy-source.ts'

/** The `policy` subcommand with its own. */
export function policyCommand(terminal: PolicyProcess = process): Command {
  const policy = new Command('policy').description('ask policies, test them and see what a change would do')
  for (const command of [
    policyExplainCommand(terminal),
    policyTestCommand(terminal),
    policyMatrixCommand(terminal),
    policyReplayCommand(terminal),
  ])
    policy.addCommand(command)
  return policy
}
