import type { LoadedPolicy } from '../../src/authorization/compile-policy.ts'
import { loadPolicy } from '../../src/authorization/load-policy.ts'
import { printFault } from '../../src/authorization/policy-store.ts'

/** A policy of one file, `p.yaml`; throws what is wrong with it. */
export function policyOf(text: string): LoadedPolicy {
  const load = loadPolicy([{ file: 'p.yaml', text }], { name: 'p', generation: 1 })
  if (load.kind === 'faults') throw new Error(load.faults.map(printFault).join('\n'))
  return load.policy
}
