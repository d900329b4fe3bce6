import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../tools/free-port.ts'
import { part } from './part.ts'
import { start } from './processes.ts'
import type { RunningProcess } from './processes.ts'
import { askRedis } from './redis-client.ts'
import type { RedisReply, RedisTarget } from './redis-client.ts'
import { until } from './until.ts'
import type { UpstreamCertificate } from './upstream-certificate.ts'

export type RedisOptions = {
  /** Lines of `redis.conf`, behind those of the tests; `PORT` stands for the port. */
  readonly configuration?: readonly string[]
  /** The password of the user `default`, for whoever connects and for what it replicates from. */
  readonly password?: string
  /** Speaks TLS, as `localhost`, and nothing else. */
  readonly tls?: UpstreamCertificate
  readonly isSentinel?: boolean
}

/** A real Redis that a test started and must stop. It keeps nothing over a restart, as a cache in a cluster does. */
export interface RedisServer {
  /** Of 127.0.0.1; stays the same over restarts. */
  readonly port: number
  readonly pid: () => number
  /** Everything it wrote, over all restarts. */
  readonly log: () => string
  /** Runs one command, as the user `default`. @throws Error with the words of Redis */
  readonly command: (...words: readonly (string | number)[]) => Promise<RedisReply>
  /** Ends it as kill -9 does; its port stays closed until `restart`. */
  readonly kill: () => Promise<void>
  /** Starts it again on the same port, empty; ends it before where it runs. */
  readonly restart: () => Promise<void>
  /** Stops it in its tracks: connections stay, and nothing answers. */
  readonly stall: () => void
  readonly resume: () => void
  /** Ends it and removes its files. Safe to call twice. */
  readonly stop: () => Promise<void>
}

/** Starts a real `redis-server` on a free port of loopback and waits until it answers. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const directory = mkdtempSync(join(tmpdir(), 'wharfgate-redis-'))
  const earlier: string[] = []
  const launched = await launchOnFreePort(options, directory)
  const { port } = launched
  let { running } = launched
  const target = targetOf(options, port)

  async function kill(): Promise<void> {
    // It also ends one that is stalled.
    running.kill('SIGKILL')
    await running.ended
  }
  return {
    port,
    pid: () => running.pid,
    log: () => [...earlier, running.stdout()].join(''),
    command: async (...words) => {
      const [reply = null] = await askRedis(target, [words])
      return reply
    },
    kill,
    restart: async () => {
      await kill()
      earlier.push(running.stdout())
      running = await launch(options, directory, port)
    },
    stall: () => {
      running.kill('SIGSTOP')
    },
    resume: () => {
      running.kill('SIGCONT')
    },
    stop: async () => {
      await kill()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** A primary and its replica, which is in step with it. */
export type RedisPair = { readonly primary: RedisServer; readonly replica: RedisServer; stop(): Promise<void> }

export async function startRedisPair(options: RedisOptions = {}): Promise<RedisPair> {
  // Without the delay, a replica is in step in milliseconds, and not in five seconds.
  const { configuration = [] } = options
  const primary = await startRedis({ ...options, configuration: [...configuration, 'repl-diskless-sync-delay 0'] })
  const replica = await startRedis({
    ...options,
    configuration: [...configuration, 'repl-diskless-sync-delay 0', `replicaof 127.0.0.1 ${primary.port}`],
  })
  await until(async () => String(await replica.command('INFO', 'replication')).includes('master_link_status:up'), {
    what: 'the replica is in step',
  })
  return {
    primary,
    replica,
    stop: async () => {
      await Promise.all([primary.stop(), replica.stop()])
    },
  }
}

/** Somebody else may take a free port first, so a server that cannot have it gets another. */
async function launchOnFreePort(
  options: RedisOptions,
  directory: string,
): Promise<{ readonly port: number; readonly running: RunningProcess }> {
  for (let left = 3; ; left -= 1) {
    const port = await freePort()
    try {
      return { port, running: await launch(options, directory, port) }
    } catch (error) {
      if (left === 0 || !String(error).includes('already in use')) throw error
    }
  }
}

async function launch(options: RedisOptions, directory: string, port: number): Promise<RunningProcess> {
  const file = join(directory, 'redis.conf')
  writeFileSync(file, configurationOf(options, directory, port))
  const args = options.isSentinel === true ? [file, '--sentinel'] : [file]
  const running = start(part('redis-server'), args, { env: { PATH: process.env['PATH'] }, cwd: directory })
  const target = targetOf(options, port)
  const isOver = (): boolean => running.exitCode() !== undefined
  try {
    await until(async () => isOver() || (await askRedis(target, [['PING']])), { what: `Redis answers on port ${port}` })
    if (!isOver()) return running
    throw new Error('it ended')
  } catch (error) {
    await running.stop({ graceMs: 0 })
    throw new Error(`Redis did not start: ${running.stdout()}${running.stderr()}`, { cause: error })
  }
}

function targetOf({ password, tls }: RedisOptions, port: number): RedisTarget {
  return { port, ...(password === undefined ? {} : { password }), ...(tls === undefined ? {} : { ca: tls.ca }) }
}

function configurationOf(options: RedisOptions, directory: string, port: number): string {
  const { configuration = [], password, tls, isSentinel = false } = options
  const listen = tls === undefined ? [`port ${port}`] : ['port 0', `tls-port ${port}`, ...tlsLines(tls, directory)]
  const data = ['save ""', 'appendonly no', ...(password === undefined ? [] : [`masterauth ${password}`])]
  const lines = [
    'bind 127.0.0.1 -::1',
    ...listen,
    `dir ${directory}`,
    ...(isSentinel ? [] : data),
    ...(password === undefined ? [] : [`requirepass ${password}`]),
    ...configuration.map((line) => line.replaceAll('PORT', String(port))),
    '',
  ]
  return lines.join('\n')
}

function tlsLines({ cert, key, ca }: UpstreamCertificate, directory: string): readonly string[] {
  const files = { 'tls-cert-file': cert, 'tls-key-file': key, 'tls-ca-cert-file': ca }
  const lines = Object.entries(files).map(([name, pem]) => {
    const file = join(directory, `${name}.pem`)
    writeFileSync(file, pem)
    return `${name} ${file}`
  })
  return [...lines, 'tls-auth-clients no']
}
