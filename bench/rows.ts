/** What is measured: one row is one kind of load, asked of every front or of none, and one table. */
import type { DecisionMetricName, Job, LimitMetricName, MetricName, Target } from './load/job.ts'
import { manifestType } from './upstream.ts'
import type { Blob, Upstream } from './upstream.ts'

export type Column = {
  readonly metric: MetricName
  readonly title: string
  readonly digits: number
  /** Whether the ratios to the baselines stand beside it. */
  readonly hasRatio: boolean
}

/** How long and how wide. */
export type Extent = {
  /** Of the rows that ask as fast as they are answered. */
  readonly connections: number
  readonly warmUpMs: number
  readonly windowMs: number
  /** Of `slow-pull`: how many read, how fast each, and for how long. */
  readonly slow: { readonly clients: number; readonly bytesPerSecond: number; readonly windowMs: number }
  /** Of `policy-decision`: rules of each policy, and how long each is asked. */
  readonly decisions: { readonly rules: number; readonly windowMs: number }
  /** Of `limits-decision`: who asks, and how long in each store. */
  readonly limits: { readonly identities: number; readonly windowMs: number }
}

export type MakeJob = (upstream: Upstream, target: Target, extent: Extent) => Job

export type Row = FrontsRow | AloneRow

type RowHead = {
  /** As `--only` takes it. */
  readonly name: string
  readonly title: string
  readonly columns: readonly Column[]
}

/** Every front takes part, measured in turns. */
export type FrontsRow = RowHead & {
  readonly kind: 'fronts'
  /**
   * `once` for a front that is started, warmed up, and then measured in every round; `each round` where what a front
   * did before would be in the figure: its memory grows less the second time.
   */
  readonly starts: 'once' | 'each round'
  /** Before the rounds, once for each front and not counted: shows that the front does it right. */
  readonly warmUp: MakeJob
  readonly job: MakeJob
}

/**
 * A part of Wharfgate in the load generator, without a front: one line. The job looks at its own answers, and leaves out
 * what it cannot measure without Redis.
 */
export type AloneRow = RowHead & {
  readonly kind: 'alone'
  /** What stands behind the name of the line. */
  readonly note: string
  readonly job: (extent: Extent, redisPort: number | undefined) => Job
}

const peak: Column = { metric: 'peakResidentMebibytes', title: 'peak RSS MiB', digits: 0, hasRatio: false }

const transferColumns: readonly Column[] = [
  { metric: 'megabytesPerSecond', title: 'MB/s', digits: 0, hasRatio: true },
  { metric: 'cpuSecondsPerGigabyte', title: 'CPU s/GB', digits: 2, hasRatio: true },
  peak,
]

/** In the order in which they run. */
export const rows: readonly Row[] = [
  {
    kind: 'fronts',
    starts: 'once',
    name: 'blob-pull',
    title: 'Blob pull, one TLS connection',
    columns: transferColumns,
    warmUp: (upstream, target) => ({ ...pullJob(upstream, target), digest: upstream.blob.digest }),
    job: pullJob,
  },
  {
    kind: 'fronts',
    starts: 'once',
    name: 'blob-push',
    title: 'Blob push, one TLS connection, POST and PUT',
    columns: transferColumns,
    warmUp: pushJob,
    job: pushJob,
  },
  {
    kind: 'fronts',
    starts: 'once',
    name: 'manifest-get',
    title: 'Manifest GET with a login, bcrypt cost 10',
    columns: [
      { metric: 'requestsPerSecond', title: 'requests/s', digits: 0, hasRatio: true },
      { metric: 'cpuMicrosecondsPerRequest', title: 'CPU µs/request', digits: 0, hasRatio: true },
      { metric: 'p50Ms', title: 'p50 ms', digits: 1, hasRatio: false },
      { metric: 'p99Ms', title: 'p99 ms', digits: 1, hasRatio: false },
      peak,
    ],
    warmUp: (upstream, target, extent) => manifestJob(upstream, target, { ...extent, windowMs: 0 }),
    job: (upstream, target, extent) => manifestJob(upstream, target, { ...extent, warmUpMs: 0 }),
  },
  {
    kind: 'fronts',
    starts: 'each round',
    name: 'slow-pull',
    title: 'Slow downloads at once, the memory of the front beyond its idle state',
    columns: [
      { metric: 'memoryGrowthMebibytes', title: 'growth MiB', digits: 0, hasRatio: true },
      { metric: 'slowestKilobytesPerSecond', title: 'slowest KB/s', digits: 0, hasRatio: false },
    ],
    warmUp: ({ repository, slowBlob }, target) => ({
      kind: 'pull',
      target,
      path: blobPath(repository, slowBlob),
      ...slowBlob,
    }),
    job: ({ repository, slowBlob }, target, { slow }) => ({
      kind: 'slow-pull',
      target,
      path: blobPath(repository, slowBlob),
      bytes: slowBlob.bytes,
      ...slow,
    }),
  },
  {
    kind: 'fronts',
    starts: 'once',
    name: 'tls-connections',
    title: 'New TLS 1.3 connections, a full handshake each, no request',
    columns: [
      { metric: 'handshakesPerSecond', title: 'connections/s', digits: 0, hasRatio: true },
      { metric: 'cpuMicrosecondsPerHandshake', title: 'CPU µs/connection', digits: 0, hasRatio: true },
    ],
    warmUp: (_upstream, target, extent) => handshakesJob(target, { ...extent, windowMs: 0 }),
    job: (_upstream, target, extent) => handshakesJob(target, { ...extent, warmUpMs: 0 }),
  },
  {
    kind: 'alone',
    name: 'policy-decision',
    title: 'One decision among thousands of rules, by the form of the rules',
    note: 'its policies alone',
    columns: [
      decisionColumn('microsecondsOneSubject', 'µs one subject'),
      decisionColumn('microsecondsOneRepository', 'µs one repository'),
      decisionColumn('microsecondsLeadingWildcard', 'µs leading wildcard'),
      decisionColumn('microsecondsUserVariable', 'µs user variable'),
    ],
    job: ({ decisions }) => ({ kind: 'decisions', ...decisions }),
  },
  {
    kind: 'alone',
    name: 'limits-decision',
    title: 'One decision past four limits, and one pull with its mark and headers',
    note: 'its limits alone',
    columns: [
      limitColumn('cpuMicrosecondsInMemory', 'CPU µs in memory'),
      limitColumn('cpuMicrosecondsPullInMemory', 'CPU µs pull in memory'),
      limitColumn('cpuMicrosecondsRoundTrip', 'CPU µs round trip to Redis'),
      limitColumn('cpuMicrosecondsBeyondRoundTrip', 'CPU µs pull beyond it'),
    ],
    job: ({ limits }, redisPort) => ({ kind: 'limits', ...limits, ...(redisPort !== undefined && { redisPort }) }),
  },
]

function decisionColumn(metric: DecisionMetricName, title: string): Column {
  return { metric, title, digits: 1, hasRatio: false }
}

function limitColumn(metric: LimitMetricName, title: string): Column {
  return { metric, title, digits: 1, hasRatio: false }
}

function blobPath(repository: string, { digest }: Blob): string {
  return `/v2/${repository}/blobs/${digest}`
}

function pullJob({ repository, blob }: Upstream, target: Target): Job & { readonly kind: 'pull' } {
  return { kind: 'pull', target, path: blobPath(repository, blob), bytes: blob.bytes }
}

function pushJob({ repository, blob }: Upstream, target: Target): Job {
  return { kind: 'push', target, repository, ...blob }
}

function manifestJob({ manifestPath, manifestSha256 }: Upstream, target: Target, extent: Extent): Job {
  const { connections, warmUpMs, windowMs } = extent
  const asked = { path: manifestPath, accept: manifestType, sha256: manifestSha256 }
  return { kind: 'requests', target, ...asked, connections, warmUpMs, windowMs }
}

function handshakesJob(target: Target, { connections, warmUpMs, windowMs }: Extent): Job {
  return { kind: 'handshakes', target, connections, warmUpMs, windowMs }
}
