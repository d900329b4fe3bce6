/** The authorization stage as the gateway sees it: the live policy decides, the shadow policy is asked and not obeyed. */
import { evaluate } from './authorization/evaluate.ts'
import type { Decision } from './authorization/evaluate.ts'
import type { Judgement, Policy } from './authorization/policy.ts'
import { RegistryError } from './registry/error.ts'
import type { Circumstances, Grant } from './registry/grant.ts'
import type { Principal } from './registry/principal.ts'
import type { RegistryRequest } from './registry/route.ts'
import type { ExchangeDecision } from './telemetry/exchange-record.ts'

/** The policies in force; asked for each request, since they can change. */
export type Policies = {
  readonly current: () => Policy
  /** The policy that is evaluated beside it and never enforced. */
  readonly shadow: () => Policy | undefined
}

export type Authorize = {
  /**
   * The grant of a request. `tell` is told what was decided, whatever that is.
   *
   * @throws RegistryError a challenge for whoever showed no credentials, and a sentence for a known user
   */
  authorize(
    principal: Principal,
    request: RegistryRequest,
    circumstances: Circumstances,
    tell: (decision: ExchangeDecision) => void,
  ): Grant
}

/** @param challenge the value of `WWW-Authenticate` for a request that is refused for want of a login */
export function createAuthorize(policies: Policies, challenge: string): Authorize {
  return {
    authorize: (principal, request, circumstances, tell) => {
      const decision = evaluate(policies.current(), principal, request, circumstances)
      const shadow = policies.shadow()
      const shadowDecision = shadow && evaluate(shadow, principal, request, circumstances).kind
      tell({ ...described(decision), shadowDecision })
      if (decision.kind === 'granted') return decision.grant
      throw principal.kind === 'anonymous'
        ? new RegistryError('credentialsMissing', { challenge })
        : new RegistryError('accessDenied', { sentence: decision.sentence(), sentenceInReason: true })
    },
  }
}

function described(decision: Decision): Omit<ExchangeDecision, 'shadowDecision'> {
  const { policy, policyGeneration, required, judgements } = decision.trace
  const rule = judgements.map(ruleOf).findLast((found) => found !== undefined)
  const mountRemoved = decision.kind === 'granted' && decision.grant.mountRemoved
  const protectedTags = decision.kind === 'granted' ? decision.grant.preconditions.protectedTags : []
  return { kind: decision.kind, policy, policyGeneration, required, rule, mountRemoved, protectedTags }
}

/** The rule that decided, as `file:line`. */
function ruleOf({ verdict }: Judgement): string | undefined {
  return 'rule' in verdict ? `${verdict.rule.file}:${verdict.rule.line}` : undefined
}
