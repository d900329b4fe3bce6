/** `wharfgate policy explain`: what a policy decides about one request, and which rule says so. */
import type { Command } from 'commander'
import { explain } from '../authorization/explain.ts'
import type { Explanation } from '../authorization/explain.ts'
import { printTarget } from '../config/policy-cases.ts'
import type { Target } from '../config/policy-cases.ts'
import type { Action } from '../registry/access.ts'
import type { Principal } from '../registry/principal.ts'
import { actionArgument, circumstancesOf, nameOf, principalOf, targetArgument } from './policy-question.ts'
import { withCircumstances, withPrincipal } from './policy-question.ts'
import type { CircumstanceOptions, PrincipalOptions } from './policy-question.ts'
import { nearestOf, printMissing, protectionOf, reasonsOf } from './policy-reason.ts'
import type { Reason, WrittenMiss } from './policy-reason.ts'
import { forTerminal, printRule } from './policy-rule-text.ts'
import type { WrittenRule } from './policy-rule-text.ts'
import { conclude, enforcedPolicy, policySubcommand, readPolicySource, withSource } from './policy-source.ts'
import type { PolicyProcess, PolicySource, SourceOptions } from './policy-source.ts'

type ExplainOptions = SourceOptions & PrincipalOptions & CircumstanceOptions & { readonly json?: boolean }

/** Everything that is told, as `--json` prints it. */
type Report = {
  readonly decision: Explanation['kind']
  readonly principal: Principal
  readonly action: Action
  readonly repository: string
  readonly tag: string | null
  /** What the client is told; null where it is allowed. */
  readonly sentence: string | null
  readonly reasons: readonly Reason[]
  /** Whether a push may move the protected tag that it names; null where it names none. */
  readonly mayMoveTag: boolean | null
  readonly protection: WrittenRule | null
  readonly nearest: readonly WrittenMiss[]
  readonly notes: readonly string[]
}

/** The `policy explain` subcommand: exit code 0 where it is allowed, 1 where it is refused, 2 where nothing was asked. */
export function policyExplainCommand(terminal: PolicyProcess): Command {
  return withCircumstances(withPrincipal(withSource(policySubcommand('explain'))))
    .description('tell whether something is allowed, and by which rule')
    .option('--json', 'print one JSON object')
    .addArgument(actionArgument)
    .addArgument(targetArgument)
    .action((action: Action, target: Target, options: ExplainOptions) =>
      conclude(terminal, async () => {
        const principal = principalOf(options)
        const report = reportOf(principal, action, target, options, await readPolicySource(options, terminal.env))
        terminal.stdout.write(options.json === true ? printJson(report) : forTerminal(printReport(report, target)))
        return report.decision === 'allowed' ? 0 : 1
      }),
    )
}

function reportOf(
  principal: Principal,
  action: Action,
  target: Target,
  options: ExplainOptions,
  source: PolicySource,
): Report {
  const explanation = explain(enforcedPolicy(source), principal, { action, ...target }, circumstancesOf(options))
  const reasons = reasonsOf(explanation, target, source)
  const nearest = nearestOf(explanation, source)
  return {
    decision: explanation.kind,
    principal,
    action,
    repository: target.repository,
    tag: target.tag ?? null,
    sentence: explanation.sentence ?? null,
    reasons,
    mayMoveTag: explanation.mayMoveTag ?? null,
    protection: (explanation.mayMoveTag === undefined ? undefined : protectionOf(target, source)) ?? null,
    nearest,
    notes: notesOn(principal, [...reasons, ...nearest], options, source),
  }
}

/** What the person who asks may not have thought of. */
function notesOn(
  principal: Principal,
  found: readonly { readonly rule: WrittenRule | undefined }[],
  { address }: ExplainOptions,
  { config }: PolicySource,
): readonly string[] {
  const asksForAddress = found.some(({ rule }) => rule?.conditions.includes('addresses') === true)
  const isShutOut = principal.kind === 'anonymous' && config?.authentication.anonymous.enabled === false
  return [
    ...(address === undefined && asksForAddress
      ? ['the address of the client may decide here; name it with --address ADDRESS']
      : []),
    ...(isShutOut
      ? ['authentication.anonymous.enabled is false: who has not logged in is asked to, whatever the policies say']
      : []),
  ]
}

/** What is absent is null, so that every field is always there. */
function printJson(report: Report): string {
  return `${JSON.stringify(report, (_, value: unknown) => value ?? null)}\n`
}

function printReport(report: Report, target: Target): string {
  const { decision, principal, action, sentence, reasons, nearest, notes } = report
  const asked = `${nameOf(principal)} may ${action} ${printTarget(target)}`
  return [
    decision === 'allowed' ? `allowed: ${asked}` : `refused: ${sentence ?? ''}`,
    ...reasons.flatMap((reason) => printOne(reason, reasons.length > 1)),
    ...printProtection(report),
    ...(nearest.length === 0 ? [] : ['nearest:']),
    ...nearest.flatMap((miss) => [`  ${printRule(miss.rule)}`, `    ${printMissing(miss)}`]),
    ...notes.map((note) => `note: ${note}`),
    '',
  ].join('\n')
}

function printOne({ action, rule, protection }: Reason, isOneOfMany: boolean): readonly string[] {
  const what = isOneOfMany && action !== undefined ? `${action}: ` : ''
  return [
    rule === undefined ? `  ${what}by no rule: none allows it` : `  ${what}by ${printRule(rule)}`,
    ...(protection === undefined ? [] : [`  overwrite is needed by ${printRule(protection, 'protectedTags')}`]),
  ]
}

function printProtection({ mayMoveTag, tag, protection }: Report): readonly string[] {
  if (mayMoveTag === null || protection === null) return []
  const what = mayMoveTag
    ? `may move the protected tag ${tag ?? ''} too`
    : `may create the protected tag ${tag ?? ''}, but not move it once it is there`
  return [`  ${what}: ${printRule(protection, 'protectedTags')}`]
}
