/** The part of `wharfgate check` that is about policies. */
import { policyWarnings } from '../authorization/policy-warnings.ts'
import type { Fault } from '../config/document.ts'
import type { CheckFinding } from './check.ts'
import { runCases } from './policy-cases.ts'
import { findCases, tryPolicy } from './policy-source.ts'

/**
 * Everything that is wrong with the policy of a path: its faults, what is probably not meant, and the cases beside it
 * that do not hold. Never throws for what stands in the files.
 *
 * @param now milliseconds since the epoch
 */
export async function checkPolicies(path: string, now: number): Promise<readonly CheckFinding[]> {
  const reading = await tryPolicy(path)
  if (reading.kind === 'faults') return reading.faults.map((fault) => finding('error', fault))
  const warnings = policyWarnings(reading.policy, now).map((fault) => finding('warning', fault))
  const { faults, failures } = await runCases(reading, await findCases(path), now)
  return [...warnings, ...faults, ...failures]
}

function finding(severity: CheckFinding['severity'], { file, line, column, key, sentence }: Fault): CheckFinding {
  return { severity, place: `${file}:${line}:${column}`, key, sentence }
}
