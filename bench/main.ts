/**
 * `npm run bench`: what Wharfgate costs, side by side with the other fronts that are installed, as ratios of one run.
 * Progress goes to standard error, the tables to standard output, all samples to a JSON file. See README.md.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, constants, cpus, release, tmpdir, totalmem, type } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { hashPassword } from '../src/authentication/password-hashing.ts'
import { initCertificates } from '../src/cli/certificate-files.ts'
import { foundParts, part } from '../test/support/part.ts'
import { startRedis } from '../test/support/redis-servers.ts'
import { cipher } from './load/connection.ts'
import { UsageError, parseOptions, usage } from './options.ts'
import type { BenchOptions } from './options.ts'
import { peers } from './peers.ts'
import type { Stage } from './peers.ts'
import { documentOf, tablesOf } from './report.ts'
import type { Circumstances } from './report.ts'
import { runSuite } from './suite.ts'
import { startUpstream } from './upstream.ts'
import type { Upstream } from './upstream.ts'

/** Where the command was typed, which is not where npm runs it. */
const callerDirectory = process.env['WHARFGATE_CALLED_FROM'] ?? '.'

function report(line: string): void {
  process.stderr.write(`bench: ${line}\n`)
}

/** Why a run was broken off. */
class SignalError extends Error {
  override readonly name = 'SignalError'
  /** As a shell shows it. */
  readonly exitCode: number

  constructor(signal: NodeJS.Signals) {
    super(`${signal}: every process has been ended`)
    this.exitCode = 128 + constants.signals[signal]
  }
}

/** Ctrl-C and SIGTERM break the run off, and the run ends what it began; a second one does not wait for that. */
function abortOnSignal(controller: AbortController): void {
  const onSignal = (signal: NodeJS.Signals): void => {
    const reason = new SignalError(signal)
    if (controller.signal.aborted) process.exit(reason.exitCode)
    controller.abort(reason)
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal).on('SIGHUP', onSignal)
}

type Endings = {
  readonly add: (end: () => Promise<void>) => void
  /** Ends what was begun, the last first. */
  readonly run: () => Promise<void>
}

function createEndings(): Endings {
  const ends: (() => Promise<void>)[] = []
  return {
    add: (end) => {
      ends.push(end)
    },
    run: async () => {
      for (const end of ends.toReversed()) {
        await end().catch((error: unknown) => {
          report(`ending failed: ${String(error)}`)
        })
      }
    },
  }
}

async function prepare(options: BenchOptions, endings: Endings): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), 'wharfgate-bench-'))
  endings.add(() => {
    rmSync(directory, { recursive: true, force: true })
    return Promise.resolve()
  })
  const { paths } = await initCertificates({ directory: join(directory, 'certs'), hosts: ['localhost', '127.0.0.1'] })
  const login = { username: 'ci', password: 'bench-robot-4711' }
  const htpasswdFile = join(directory, 'htpasswd')
  writeFileSync(htpasswdFile, `${login.username}:${await hashPassword(login.password, 10)}\n`)
  report(`filling the upstream registry with ${options.size / 1024 ** 2} MiB`)
  const upstream = await startUpstream(options.size)
  endings.add(upstream.registry.stop)
  const redisPort = options.rows.some(({ kind }) => kind === 'alone') ? await prepareRedis(endings) : undefined
  return {
    directory,
    upstream,
    certificateFile: paths.certificate,
    keyFile: paths.key,
    ca: readFileSync(paths.authorityCertificate, 'utf8'),
    htpasswdFile,
    ...login,
    redisPort,
  }
}

async function prepareRedis(endings: Endings): Promise<number | undefined> {
  const found = foundParts()['redis-server']
  if (found === undefined || 'missing' in found) {
    report('redis-server is not installed: limits are measured in memory alone')
    return undefined
  }
  const redis = await startRedis()
  endings.add(redis.stop)
  return redis.port
}

async function circumstancesOf(options: BenchOptions, upstream: Upstream, date: string): Promise<Circumstances> {
  return {
    date,
    machine: {
      processor: cpus()[0]?.model.trim() ?? 'unknown',
      processors: availableParallelism(),
      memoryBytes: totalmem(),
      system: `${type()} ${release()}`,
    },
    node: process.versions.node,
    cipher,
    upstream: (await peers.find(({ name }) => name === 'registry')?.find()) ?? 'unknown',
    dataIn: upstream.dataIn,
    blobBytes: upstream.blob.bytes,
    rounds: options.rounds,
    extent: options.extent,
    baselines: options.baselines,
  }
}

async function main(words: readonly string[]): Promise<number> {
  const options = parseOptions(words)
  if (options === undefined) {
    process.stdout.write(`${usage}\n`)
    return 0
  }
  if (process.platform !== 'linux') throw new UsageError('the benchmark reads /proc, which only Linux has')
  // Says why it is missing before anything is begun.
  part('docker-registry')
  const date = new Date().toISOString()
  const endings = createEndings()
  const controller = new AbortController()
  const { signal } = controller
  abortOnSignal(controller)
  try {
    const stage = await prepare(options, endings)
    const circumstances = await circumstancesOf(options, stage.upstream, date)
    const results = await runSuite(options, { stage, report, onEnd: endings.add, signal })
    const file = options.jsonFile === undefined ? fileOfDate(date) : resolve(callerDirectory, options.jsonFile)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, `${JSON.stringify(documentOf(circumstances, results), null, 2)}\n`)
    process.stdout.write(tablesOf(circumstances, results))
    report(`every sample: ${file}`)
    return results.some((result) => result.peers.some(({ kind }) => kind === 'failed')) ? 1 : 0
  } catch (error) {
    // What fails because its processes end is no news.
    signal.throwIfAborted()
    throw error
  } finally {
    await endings.run()
  }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof SignalError) return error.exitCode
  return error instanceof UsageError ? 2 : 1
}

function fileOfDate(date: string): string {
  const name = date.replaceAll(':', '-').replace(/\.\d+Z$/, 'Z')
  return join(import.meta.dirname, '..', '.wharfgate', 'bench', `${name}.json`)
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  report(error instanceof Error ? error.message : String(error))
  if (error instanceof UsageError) process.stderr.write(`${usage}\n`)
  process.exitCode = exitCodeOf(error)
}
