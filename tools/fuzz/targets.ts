import { answerTargets } from './answers.ts'
import { fileTargets } from './files.ts'
import { originTargets } from './origins.ts'
import { policyTargets } from './policies.ts'
import { requestTargets } from './requests.ts'
import type { FuzzTarget } from './target.ts'

/** Everything that is fuzzed. */
export const targets: readonly FuzzTarget[] = [
  ...requestTargets,
  ...originTargets,
  ...fileTargets,
  ...answerTargets,
  ...policyTargets,
]
