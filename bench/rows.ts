/** What is measured: one row is one kind of load, asked of every front, and one table. */
import type { Job, MetricName, Target } from './load/job.ts'
import { manifestType } from './upstream.ts'
import type { Upstream } from './upstream.ts'

export type Column = {
  readonly metric: MetricName
  readonly title: string
  readonly digits: number
  /** Whether the ratio to the baseline stands beside it. */
  readonly hasRatio: boolean
}

/** How long and how wide. */
export type Extent = {
  readonly connections: number
  readonly warmUpMs: number
  readonly windowMs: number
}

export type MakeJob = (upstream: Upstream, target: Target, extent: Extent) => Job

export type Row = {
  /** As `--only` takes it. */
  readonly name: string
  readonly title: string
  readonly columns: readonly Column[]
  /** Before the rounds, once for each front and not counted. */
  readonly warmUp: MakeJob
  readonly job: MakeJob
}

const peak: Column = { metric: 'peakResidentMegabytes', title: 'peak RSS MB', digits: 0, hasRatio: true }

const transferColumns: readonly Column[] = [
  { metric: 'megabytesPerSecond', title: 'MB/s', digits: 0, hasRatio: true },
  { metric: 'cpuSecondsPerGigabyte', title: 'CPU s/GB', digits: 2, hasRatio: true },
  peak,
]

/** In the order in which they run. */
export const rows: readonly Row[] = [
  {
    name: 'blob-pull',
    title: 'Blob pull, one TLS connection',
    columns: transferColumns,
    warmUp: (upstream, target) => ({ ...pullJob(upstream, target), digest: upstream.digest }),
    job: pullJob,
  },
  {
    name: 'blob-push',
    title: 'Blob push, one TLS connection, POST and PUT',
    columns: transferColumns,
    warmUp: pushJob,
    job: pushJob,
  },
  {
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
]

function pullJob({ repository, bytes, digest }: Upstream, target: Target): Job & { readonly kind: 'pull' } {
  return { kind: 'pull', target, path: `/v2/${repository}/blobs/${digest}`, bytes }
}

function pushJob({ repository, bytes, digest }: Upstream, target: Target): Job {
  return { kind: 'push', target, repository, bytes, digest }
}

function manifestJob({ manifestPath, manifestSha256 }: Upstream, target: Target, extent: Extent): Job {
  return { kind: 'requests', target, path: manifestPath, accept: manifestType, sha256: manifestSha256, ...extent }
}
