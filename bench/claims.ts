/** What the project says of itself, and whether the run at hand bears it out. */
import type { MetricName } from './load/job.ts'
import { rows } from './rows.ts'
import type { RowResult } from './suite.ts'

export type Claim = {
  readonly row: string
  readonly metric: MetricName
  readonly bound: { readonly kind: 'at most' | 'at least'; readonly value: number }
  /** The front that the bound is a multiple of; without one it is the figure itself. */
  readonly baseline?: string
}

export type Finding = Claim & {
  /** The claim in words. */
  readonly claim: string
  /** The ratio, or the figure where there is no baseline; undefined where one of the two was not measured. */
  readonly measured: number | undefined
  readonly verdict: 'held' | 'not held' | 'not measured'
}

const atMost = (value: number): Claim['bound'] => ({ kind: 'at most', value })
const atLeast = (value: number): Claim['bound'] => ({ kind: 'at least', value })

/** Of Wharfgate with everything on: login, policy, audit, metrics. */
export const claims: readonly Claim[] = [
  { row: 'blob-pull', metric: 'cpuSecondsPerGigabyte', bound: atMost(0.8), baseline: 'haproxy' },
  { row: 'blob-pull', metric: 'cpuSecondsPerGigabyte', bound: atMost(0.6), baseline: 'nginx' },
  { row: 'blob-pull', metric: 'megabytesPerSecond', bound: atLeast(1), baseline: 'haproxy' },
  { row: 'blob-pull', metric: 'peakResidentMebibytes', bound: atMost(200) },
  { row: 'blob-push', metric: 'cpuSecondsPerGigabyte', bound: atMost(0.85), baseline: 'nginx' },
  { row: 'blob-push', metric: 'cpuSecondsPerGigabyte', bound: atMost(1.3), baseline: 'haproxy' },
  { row: 'blob-push', metric: 'peakResidentMebibytes', bound: atMost(200) },
  { row: 'manifest-get', metric: 'requestsPerSecond', bound: atLeast(40), baseline: 'nginx' },
  { row: 'manifest-get', metric: 'requestsPerSecond', bound: atLeast(40), baseline: 'registry' },
  { row: 'manifest-get', metric: 'cpuMicrosecondsPerRequest', bound: atMost(1.6), baseline: 'node-pipe' },
  { row: 'manifest-get', metric: 'peakResidentMebibytes', bound: atMost(200) },
  { row: 'slow-pull', metric: 'memoryGrowthMebibytes', bound: atMost(1), baseline: 'node-pipe' },
  { row: 'slow-pull', metric: 'memoryGrowthMebibytes', bound: atMost(128) },
  { row: 'policy-decision', metric: 'microsecondsOneSubject', bound: atMost(50) },
  { row: 'policy-decision', metric: 'microsecondsOneRepository', bound: atMost(50) },
  { row: 'policy-decision', metric: 'microsecondsLeadingWildcard', bound: atMost(50) },
  { row: 'policy-decision', metric: 'microsecondsUserVariable', bound: atMost(50) },
  { row: 'limits-decision', metric: 'cpuMicrosecondsInMemory', bound: atMost(5) },
  { row: 'limits-decision', metric: 'cpuMicrosecondsBeyondRoundTrip', bound: atMost(60) },
]

/** Holds the claims against a run. */
export function findingsOf(results: readonly RowResult[]): readonly Finding[] {
  return claims.map((claim) => {
    const { metric, bound, baseline } = claim
    const result = results.find(({ row }) => row.name === claim.row)
    const of = (front: string): number | undefined => {
      const peer = result?.peers.find((each) => each.peer === front)
      return peer?.kind === 'measured' ? peer.medians[metric] : undefined
    }
    const measured = quotient(of('wharfgate'), baseline === undefined ? 1 : of(baseline))
    return { ...claim, claim: sentenceOf(claim), measured, verdict: judge(bound, measured) }
  })
}

function sentenceOf({ row: name, metric, bound: { kind, value }, baseline }: Claim): string {
  const columns = rows.find((row) => row.name === name)?.columns ?? []
  const title = columns.find((column) => column.metric === metric)?.title ?? metric
  const figure = value < 10 ? value.toFixed(2) : String(value)
  const bound = baseline === undefined ? figure : `${figure} times ${baseline}'s`
  return `${name}: ${title} ${kind} ${bound}`
}

/** Undefined where there is nothing to divide, or to divide by: a body so small that no tick of the clock fell on it. */
function quotient(dividend: number | undefined, divisor: number | undefined): number | undefined {
  if (dividend === undefined || divisor === undefined || !(divisor > 0) || Number.isNaN(dividend)) return undefined
  return dividend / divisor
}

function judge({ kind, value }: Claim['bound'], measured: number | undefined): Finding['verdict'] {
  if (measured === undefined) return 'not measured'
  return (kind === 'at most' ? measured <= value : measured >= value) ? 'held' : 'not held'
}
