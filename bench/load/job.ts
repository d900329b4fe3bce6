/** What the benchmark asks of its load generator, and what comes back: JSON over standard input and output. */

/** The front under load. */
export type Target = {
  readonly port: number
  /** PEM of the authority that vouches for it. */
  readonly ca: string
  /** Value of `Authorization` on every request. */
  readonly authorization: string
  /** Its process, whose descendants count too. */
  readonly pid: number
}

export type PullJob = {
  readonly kind: 'pull'
  readonly target: Target
  readonly path: string
  readonly bytes: number
  /** Where it is given the body is hashed besides being compared, which costs the load generator as much as TLS does. */
  readonly digest?: string
}

export type PushJob = {
  readonly kind: 'push'
  readonly target: Target
  readonly repository: string
  readonly bytes: number
  readonly digest: string
}

export type RequestsJob = {
  readonly kind: 'requests'
  readonly target: Target
  readonly path: string
  readonly accept: string
  /** SHA-256 of every body, in hexadecimal. */
  readonly sha256: string
  readonly connections: number
  /** Unmeasured requests on the same connections first, for this long. */
  readonly warmUpMs: number
  /** How long new requests are begun; those in flight at its end still count. */
  readonly windowMs: number
}

export type Job = PullJob | PushJob | RequestsJob

export type MetricName =
  | 'megabytesPerSecond'
  | 'cpuSecondsPerGigabyte'
  | 'peakResidentMegabytes'
  | 'requestsPerSecond'
  | 'cpuMicrosecondsPerRequest'
  | 'p50Ms'
  | 'p99Ms'

/** One measurement. M and G are decimal: a megabyte is 1,000,000 bytes. */
export type Sample = Readonly<Partial<Record<MetricName, number>>>

/** Reads a job that {@link Job}'s sender wrote. */
export function parseJob(text: string): Job {
  return JSON.parse(text) as Job
}

/** Reads what the load generator wrote. */
export function parseSample(text: string): Sample {
  return JSON.parse(text) as Sample
}
