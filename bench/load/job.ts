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

export type SlowPullJob = {
  readonly kind: 'slow-pull'
  readonly target: Target
  readonly path: string
  /** Of the blob, more than the kernel holds for a client and the client reads. */
  readonly bytes: number
  /** How many read at once. */
  readonly clients: number
  /** At which each of them reads. */
  readonly bytesPerSecond: number
  /** How long they read once all of them have been answered. */
  readonly windowMs: number
}

export type HandshakesJob = {
  readonly kind: 'handshakes'
  readonly target: Target
  /** How many connections are being made at any time. */
  readonly connections: number
  /** Unmeasured connections first, for this long. */
  readonly warmUpMs: number
  /** How long new connections are begun; those under way at its end still count. */
  readonly windowMs: number
}

/** Decisions of policies in the load generator itself: there is no front. */
export type DecisionsJob = {
  readonly kind: 'decisions'
  /** Of each policy. */
  readonly rules: number
  /** How long each policy is asked. */
  readonly windowMs: number
}

/** Decisions of limits in the load generator itself: there is no front. */
export type LimitsJob = {
  readonly kind: 'limits'
  /** Users, each with an address and a repository, who ask in turn. */
  readonly identities: number
  /** How long each store is asked, once to warm up and once to measure. */
  readonly windowMs: number
  /** Of a Redis on loopback; without it the memory of the process alone is asked. */
  readonly redisPort?: number
}

export type Job = PullJob | PushJob | RequestsJob | SlowPullJob | HandshakesJob | DecisionsJob | LimitsJob

export type DecisionMetricName =
  'microsecondsOneSubject' | 'microsecondsOneRepository' | 'microsecondsLeadingWildcard' | 'microsecondsUserVariable'

export type LimitMetricName =
  | 'cpuMicrosecondsInMemory'
  | 'cpuMicrosecondsPullInMemory'
  | 'cpuMicrosecondsRoundTrip'
  | 'cpuMicrosecondsBeyondRoundTrip'

export type MetricName =
  | 'megabytesPerSecond'
  | 'cpuSecondsPerGigabyte'
  | 'peakResidentMebibytes'
  | 'requestsPerSecond'
  | 'cpuMicrosecondsPerRequest'
  | 'p50Ms'
  | 'p99Ms'
  | 'memoryGrowthMebibytes'
  | 'slowestKilobytesPerSecond'
  | 'handshakesPerSecond'
  | 'cpuMicrosecondsPerHandshake'
  | DecisionMetricName
  | LimitMetricName

/** One measurement. What moves is counted in kilobytes, megabytes and gigabytes, which are decimal; memory in mebibytes. */
export type Sample = Readonly<Partial<Record<MetricName, number>>>

/** Reads a job that {@link Job}'s sender wrote. */
export function parseJob(text: string): Job {
  return JSON.parse(text) as Job
}

/** Reads what the load generator wrote. */
export function parseSample(text: string): Sample {
  return JSON.parse(text) as Sample
}
