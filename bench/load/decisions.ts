/** Decisions of policies, without a gateway around them. */
import { evaluate } from '../../src/authorization/evaluate.ts'
import { loadPolicy } from '../../src/authorization/load-policy.ts'
import type { Policy } from '../../src/authorization/policy.ts'
import type { Principal } from '../../src/registry/principal.ts'
import { parseRegistryRequest } from '../../src/registry/route.ts'
import type { RegistryRequest } from '../../src/registry/route.ts'
import type { DecisionMetricName, DecisionsJob } from './job.ts'

/** Rules of one form, and who asks for what; of each rule there is one question that it alone allows. */
type Mix = {
  /** Of a rule, as YAML: to whom and on what. */
  readonly rule: (index: number) => string
  readonly user: (index: number) => string
  readonly repository: (index: number) => string
}

const mixes: Readonly<Record<DecisionMetricName, Mix>> = {
  microsecondsOneSubject: {
    rule: (index) => `to: user:ci, on: team${index}/**`,
    user: () => 'ci',
    repository: (index) => `team${index}/app`,
  },
  microsecondsOneRepository: {
    rule: (index) => `to: user:user${index}, on: prod/api`,
    user: (index) => `user${index}`,
    repository: () => 'prod/api',
  },
  microsecondsLeadingWildcard: {
    rule: (index) => `to: authenticated, on: "**/*-${index}-*"`,
    user: (index) => `user${index}`,
    repository: (index) => `team/group/part/app-${index}-x`,
  },
  microsecondsUserVariable: {
    rule: (index) => `to: authenticated, on: "\${user}/app${index}/**"`,
    user: (index) => `user${index}`,
    repository: (index) => `user${index}/app${index}/cache`,
  },
}

/**
 * Measures each mix: the mean time of a decision, in microseconds. Every question is asked as a push, which is granted,
 * and as a deletion, which is refused and whose sentence is made.
 *
 * @throws Error at a decision that is wrong
 */
export function decisions({ rules, windowMs }: DecisionsJob): Readonly<Record<DecisionMetricName, number>> {
  return {
    microsecondsOneSubject: measure(mixes.microsecondsOneSubject, rules, windowMs),
    microsecondsOneRepository: measure(mixes.microsecondsOneRepository, rules, windowMs),
    microsecondsLeadingWildcard: measure(mixes.microsecondsLeadingWildcard, rules, windowMs),
    microsecondsUserVariable: measure(mixes.microsecondsUserVariable, rules, windowMs),
  }
}

type Question = { readonly user: string; readonly granted: RegistryRequest; readonly refused: RegistryRequest }

function measure(mix: Mix, rules: number, windowMs: number): number {
  const policy = policyOf(mix, rules)
  const questions = Array.from({ length: rules }, (_value, index): Question => {
    const target = `/v2/${mix.repository(index)}/manifests/v1`
    const [granted, refused] = [parseRegistryRequest('PUT', target), parseRegistryRequest('DELETE', target)]
    return { user: mix.user(index), granted, refused }
  })
  askAll(policy, questions)
  const beganAt = performance.now()
  let asked = 0
  do asked += askAll(policy, questions)
  while (performance.now() - beganAt < windowMs)
  return ((performance.now() - beganAt) * 1_000) / asked
}

function policyOf({ rule }: Mix, rules: number): Policy {
  const lines = Array.from({ length: rules }, (_value, index) => `  - { allow: writer, ${rule(index)} }\n`)
  const loading = loadPolicy([{ file: 'bench.yaml', text: `rules:\n${lines.join('')}` }], {
    name: 'bench',
    generation: 1,
  })
  if (loading.kind === 'faults') throw new Error(`the policy is at fault: ${loading.faults[0]?.sentence ?? ''}`)
  return loading.policy
}

const circumstances = { address: '192.0.2.7', now: 0, ownHosts: new Set<string>() }

/** Asks every question once. @returns how many decisions were made */
function askAll(policy: Policy, questions: readonly Question[]): number {
  for (const { user, granted, refused } of questions) {
    // Made anew for each decision: what is kept of a principal would be found again otherwise.
    expectDecision(policy, user, granted, 'granted')
    expectDecision(policy, user, refused, 'refused')
  }
  return questions.length * 2
}

function expectDecision(policy: Policy, name: string, request: RegistryRequest, expected: 'granted' | 'refused'): void {
  const principal: Principal = { kind: 'user', name, groups: [], method: 'htpasswd' }
  const decision = evaluate(policy, principal, request, circumstances)
  const isRight = decision.kind === expected && (decision.kind === 'granted' || decision.sentence().includes(name))
  if (!isRight) throw new Error(`a wrong decision: ${name} is ${decision.kind}`)
}
