/** What a replay found, for people and for programs. */
import { printReference } from '../authorization/rule.ts'
import { printable } from '../telemetry/printable.ts'
import type { Change, ChangeGroup, ChangeTotals } from './policy-replay-changes.ts'

export type ReplayCounts = {
  /** Lines whose decision was compared. */
  readonly decisions: number
  /** Lines of exchanges that ended before a policy was asked. */
  readonly undecided: number
  readonly unreadable: number
  /** Milliseconds since the epoch, of the lines that were compared. */
  readonly firstAt: number
  readonly lastAt: number
}

const changes = ['loses', 'gains', 'risks'] as const satisfies readonly Change[]

export function hasChanges(totals: ChangeTotals): boolean {
  return changes.some((change) => totals[change].decisions > 0)
}

const titles: Readonly<Record<Change, string>> = {
  loses: 'would be refused',
  gains: 'would be allowed',
  risks: 'would be refused if they moved a protected tag, which the audit does not tell',
}

/** @param limit how many groups of each kind are shown */
export function printReplay(totals: ChangeTotals, counts: ReplayCounts, limit: number): string {
  const parts = changes.flatMap((change) => printChange(change, totals[change], limit))
  return [...parts, ...printCounts(counts), printSum(totals), ''].join('\n')
}

function printChange(change: Change, total: ChangeTotals[Change], limit: number): readonly string[] {
  const { groups, decisions, decisionsNotKept } = total
  if (decisions === 0) return []
  const rest = groups.slice(limit)
  const left = rest.reduce((sum, { times }) => sum + times, 0)
  return [
    `${titles[change]}: ${decisions}`,
    ...groups.slice(0, limit).flatMap(printGroup),
    ...(rest.length === 0
      ? []
      : [`  and ${rest.length} more groups with ${left} decisions; see them with --limit or --json`]),
    ...(decisionsNotKept === 0 ? [] : [`  and ${decisionsNotKept} decisions of groups that were too many to be kept`]),
    '',
  ]
}

function printGroup(group: ChangeGroup): readonly string[] {
  const { user, action, target, times, firstAt, lastAt } = group
  const when = firstAt === lastAt ? printTime(firstAt) : `${printTime(firstAt)} to ${printTime(lastAt)}`
  const reason = printReason(group)
  const line = `  ${printable(user)}: ${action} ${target}  ${times}x, ${when}`
  return reason === '' ? [line] : [line, `    ${reason}`]
}

function printReason({ change, rule, sentence }: ChangeGroup): string {
  const told = sentence === undefined ? [] : [`"${printable(sentence)}"`]
  if (rule !== undefined) return [`by ${printReference(rule)}`, ...told].join(' ')
  return [...(change === 'loses' ? ['no rule allows it'] : []), ...told].join(' ')
}

function printTime(ms: number): string {
  return new Date(ms).toISOString()
}

function printCounts({ decisions, undecided, unreadable, firstAt, lastAt }: ReplayCounts): readonly string[] {
  const span = decisions === 0 ? '' : `, ${printTime(firstAt)} to ${printTime(lastAt)}`
  return [
    `compared: ${decisions}${span}`,
    ...(undecided === 0 ? [] : [`not compared: ${undecided} that ended before a policy was asked`]),
    ...(unreadable === 0
      ? []
      : [`not read: ${unreadable} that are no lines of the audit, or lack what a decision needs`]),
  ]
}

function printSum(totals: ChangeTotals): string {
  if (!hasChanges(totals)) return 'nothing changes'
  const { loses, gains, risks } = totals
  return `changes: ${loses.decisions} lost, ${gains.decisions} gained, ${risks.decisions} uncertain`
}

export function replayJson(totals: ChangeTotals, counts: ReplayCounts): string {
  const { firstAt, lastAt, ...numbers } = counts
  const span = counts.decisions === 0 ? {} : { firstAt: printTime(firstAt), lastAt: printTime(lastAt) }
  const sections = changes.map((change) => [
    change,
    { ...totals[change], groups: totals[change].groups.map(groupJson) },
  ])
  return `${JSON.stringify({ ...numbers, ...span, ...Object.fromEntries(sections) })}\n`
}

function groupJson({ firstAt, lastAt, rule, sentence, ...group }: ChangeGroup) {
  return {
    ...group,
    firstAt: printTime(firstAt),
    lastAt: printTime(lastAt),
    rule: rule ?? null,
    sentence: sentence ?? null,
  }
}
