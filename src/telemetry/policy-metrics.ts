import type { Registry } from 'prom-client'
import { labelValues } from './labels.ts'
import type { ShadowComparison, WalkResult } from './labels.ts'
import { counter, counterBy, gauge } from './metric-children.ts'
import { definitions } from './metric-definitions.ts'

export type PolicyRole = 'live' | 'shadow'

/** A policy that was put in force. */
export type PolicyReport = {
  readonly role: PolicyRole
  readonly name: string
  readonly generation: number
  readonly rules: number
}

/** What is counted of decisions, and of the catalog that they filter. */
export type PolicyMetrics = {
  readonly policyLoaded: (policy: PolicyReport) => void
  readonly decided: (decision: 'granted' | 'refused', mountRemoved: boolean) => void
  readonly shadowCompared: (comparison: ShadowComparison) => void
  /** `names` are those in the snapshot after a walk that was complete. */
  readonly catalogWalked: (result: WalkResult, names: number | undefined) => void
}

export function policyMetrics(registry: Registry): PolicyMetrics {
  const generation = gauge(registry, definitions.policyGeneration)
  const rules = gauge(registry, definitions.policyRules)
  const decisions = counterBy(registry, definitions.decisions, 'decision', labelValues.decision)
  const mounts = counter(registry, definitions.mountsRemoved)
  const shadow = counterBy(registry, definitions.shadowDecisions, 'comparison', labelValues.comparison)
  const walks = counterBy(registry, definitions.catalogWalks, 'result', labelValues.walk)
  const names = gauge(registry, definitions.catalogNames)
  return {
    policyLoaded: (policy) => {
      generation.set({ policy: policy.role }, policy.generation)
      rules.set({ policy: policy.role }, policy.rules)
    },
    decided: (decision, mountRemoved) => {
      decisions(decision).inc()
      if (mountRemoved) mounts.inc()
    },
    shadowCompared: (comparison) => {
      shadow(comparison).inc()
    },
    catalogWalked: (result, found) => {
      walks(result).inc()
      if (found !== undefined) names.set(found)
    },
  }
}
