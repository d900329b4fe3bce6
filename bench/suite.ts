/** Runs the rows: the fronts of a row side by side, measured in turns, so that what else the machine does meets them all. */
import { join } from 'node:path'
import { runStarted, start } from '../test/support/processes.ts'
import { parseSample } from './load/job.ts'
import type { Job, MetricName, Sample, Target } from './load/job.ts'
import type { BenchOptions } from './options.ts'
import { authorizationOf } from './peers.ts'
import type { Front, Peer, Stage } from './peers.ts'
import type { Extent, FrontsRow, Row } from './rows.ts'
import { median } from './statistics.ts'

export type PeerResult = { readonly peer: string; readonly note: string } & (
  | { readonly kind: 'not installed' }
  | { readonly kind: 'failed'; readonly reason: string }
  | {
      readonly kind: 'measured'
      readonly version: string
      readonly medians: Sample
      /** Of the medians to each baseline's; empty where that was not measured. */
      readonly ratios: Readonly<Record<string, Sample>>
      /** One each round. */
      readonly samples: readonly Sample[]
    }
)

export type RowResult = { readonly row: Row; readonly peers: readonly PeerResult[] }

export type SuiteDependencies = {
  readonly stage: Stage
  readonly report: (line: string) => void
  /** Remembers what must end even when the run is broken off. */
  readonly onEnd: (end: () => Promise<void>) => void
  /** Breaks the run off. */
  readonly signal: AbortSignal
}

/**
 * Runs every row of the options. A front that fails is out of its row and says why; the others go on.
 *
 * @throws the signal's reason
 */
export async function runSuite(options: BenchOptions, dependencies: SuiteDependencies): Promise<readonly RowResult[]> {
  for (const { name, find } of options.peers) {
    if ((await find()) === undefined)
      dependencies.report(`${name} is not installed: left out, nothing is compared to it`)
  }
  const results: RowResult[] = []
  for (const row of options.rows) results.push(await runRow(row, options, dependencies))
  return results
}

type Running = { readonly front: Front; readonly target: Target }

/** A front in its row, and what became of it so far. */
type Contender = {
  readonly peer: Peer
  readonly version: string | undefined
  readonly samples: Sample[]
  running: Running | undefined
  failure: string | undefined
}

async function runRow(row: Row, options: BenchOptions, dependencies: SuiteDependencies): Promise<RowResult> {
  const { report, signal } = dependencies
  const contenders = await Promise.all(peersOf(row, options.peers).map(enter))
  const turn = async (contender: Contender, what: string, act: () => Promise<string>): Promise<void> => {
    signal.throwIfAborted()
    if (contender.version === undefined || contender.failure !== undefined) return
    const title = `${row.name} ${contender.peer.name} ${what}`
    try {
      report(`${title}: ${await act()}`)
    } catch (error) {
      signal.throwIfAborted()
      contender.failure = error instanceof Error ? error.message : String(error)
      report(`${title} FAILED: ${contender.failure}`)
    }
  }
  const ask = (contender: Contender, what: 'warmUp' | 'job'): Promise<Sample> =>
    row.kind === 'alone'
      ? load(row.job(options.extent, dependencies.stage.redisPort), signal)
      : askFront(row, what, contender, options.extent, dependencies)

  for (const contender of row.kind === 'alone' ? [] : contenders) {
    await turn(contender, 'warm-up', async () => {
      await ask(contender, 'warmUp')
      return `started ${contender.version ?? ''}, answers right`
    })
  }
  for (let round = 0; round < options.rounds; round += 1) {
    const first = round % contenders.length
    for (const contender of [...contenders.slice(first), ...contenders.slice(0, first)]) {
      await turn(contender, `${round + 1}/${options.rounds}`, async () => {
        const sample = await ask(contender, 'job')
        contender.samples.push(sample)
        return row.columns
          .map(({ metric, title, digits }) => `${sample[metric]?.toFixed(digits) ?? '-'} ${title}`)
          .join(', ')
      })
    }
  }
  await Promise.all(contenders.map(leave))
  return { row, peers: resultsOf(row, contenders, options.baselines) }
}

/** Who takes part: where there is no front, what is measured is Wharfgate's. */
function peersOf(row: Row, peers: readonly Peer[]): readonly Peer[] {
  if (row.kind === 'fronts') return peers
  return peers.filter(({ name }) => name === 'wharfgate').map((peer) => ({ ...peer, note: row.note }))
}

async function askFront(
  row: FrontsRow,
  what: 'warmUp' | 'job',
  contender: Contender,
  extent: Extent,
  dependencies: SuiteDependencies,
): Promise<Sample> {
  contender.running ??= await launch(contender.peer, dependencies)
  try {
    return await load(row[what](dependencies.stage.upstream, contender.running.target, extent), dependencies.signal)
  } finally {
    if (row.starts === 'each round') await leave(contender)
  }
}

async function launch({ start: startFront }: Peer, { stage, onEnd }: SuiteDependencies): Promise<Running> {
  const front = await startFront(stage)
  onEnd(front.stop)
  const { port, pid } = front
  return { front, target: { port, pid, ca: stage.ca, authorization: authorizationOf(stage) } }
}

async function leave(contender: Contender): Promise<void> {
  const { running } = contender
  contender.running = undefined
  await running?.front.stop()
}

async function enter(peer: Peer): Promise<Contender> {
  return { peer, version: await peer.find(), samples: [], running: undefined, failure: undefined }
}

/** One job in a load generator of its own. */
async function load(job: Job, signal: AbortSignal): Promise<Sample> {
  const generator = start(process.execPath, [join(import.meta.dirname, 'load.ts')])
  const breakOff = (): void => {
    generator.kill('SIGKILL')
  }
  signal.addEventListener('abort', breakOff)
  const input = { input: JSON.stringify(job), timeoutMs: timeoutMsOf(job) }
  const { code, stdout, stderr } = await runStarted(generator, input).finally(() => {
    signal.removeEventListener('abort', breakOff)
  })
  if (code !== 0) throw new Error(stderr.trim() === '' ? `the load generator ended with code ${code}` : stderr.trim())
  return parseSample(stdout)
}

/** A front that moves less than 5 MB/s, or does not answer for a minute, stands still. */
function timeoutMsOf(job: Job): number {
  switch (job.kind) {
    case 'pull':
    case 'push':
      return 60_000 + job.bytes / 5_000
    case 'slow-pull':
      // Each client logs in once, which some fronts do with bcrypt and a busy machine takes its time for.
      return 60_000 + job.windowMs + job.clients * 500
    case 'requests':
    case 'handshakes':
      return 60_000 + job.warmUpMs + job.windowMs
    case 'decisions':
      // A policy of that size is loaded four times.
      return 60_000 + 4 * (job.windowMs + job.rules)
    case 'limits':
      return 60_000 + 8 * job.windowMs + 3 * job.identities
  }
}

function resultsOf(
  { columns }: Row,
  contenders: readonly Contender[],
  baselines: readonly string[],
): readonly PeerResult[] {
  const metrics = columns.map(({ metric }) => metric)
  const references = baselines.map((name) => {
    const reference = contenders.find(({ peer }) => peer.name === name)
    return [name, reference?.failure === undefined ? mediansOf(metrics, reference?.samples ?? []) : {}] as const
  })
  return contenders.map(({ peer: { name: peer, note }, version, samples, failure }) => {
    if (version === undefined) return { peer, note, kind: 'not installed' }
    if (failure !== undefined) return { peer, note, kind: 'failed', reason: failure }
    const medians = mediansOf(metrics, samples)
    const ratios = Object.fromEntries(references.map(([name, reference]) => [name, ratiosOf(medians, reference)]))
    return { peer, note, kind: 'measured', version, medians, ratios, samples }
  })
}

function mediansOf(metrics: readonly MetricName[], samples: readonly Sample[]): Sample {
  if (samples.length === 0) return {}
  const values = (metric: MetricName) => samples.map((sample) => sample[metric] ?? Number.NaN)
  return Object.fromEntries(metrics.map((metric) => [metric, median(values(metric))]))
}

/** Without those whose baseline is zero: a body so small that no tick of the clock fell on it. */
function ratiosOf(medians: Sample, reference: Sample): Sample {
  const entries = Object.entries(reference) as readonly (readonly [MetricName, number])[]
  return Object.fromEntries(
    entries
      .filter(([, value]) => value > 0)
      .map(([metric, value]) => [metric, (medians[metric] ?? Number.NaN) / value]),
  )
}
