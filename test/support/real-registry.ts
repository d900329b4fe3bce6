import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { get as httpGet } from 'node:http'
import { get as httpsGet } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { part } from './part.ts'
import { start } from './processes.ts'
import type { RunningProcess, Start } from './processes.ts'
import { until } from './until.ts'

/** How to run the registry; everything has a default. */
export type RealRegistryOptions = {
  /** `memory` keeps the data in /dev/shm where that exists: for large blobs and for measuring. */
  readonly dataIn?: 'disk' | 'memory'
  readonly isDeleteEnabled?: boolean
  /** Replicas of one registry need one secret; a random one of the registry's own when left out. */
  readonly httpSecret?: string
  /** `Location` headers without scheme and host. */
  readonly isRelativeUrls?: boolean
  readonly htpasswd?: { readonly file: string; readonly realm: string }
  readonly tls?: { readonly certificateFile: string; readonly keyFile: string }
  /** Merged over everything else, section by section: any setting of the registry's own configuration. */
  readonly configuration?: Readonly<Record<string, unknown>>
  /** Added to the environment of the process. */
  readonly env?: Readonly<Record<string, string>>
  /** Starts it elsewhere: `namespace.start`. It is then only awaited until it listens, as nothing here can reach it. */
  readonly start?: Start
  /** Loopback unless told: an address of the namespace that `start` belongs to. */
  readonly address?: string
}

/** One line of the registry's access log: what the registry was truly asked. */
export type RegistryRequestRecord = {
  readonly address: string
  readonly method: string
  readonly target: string
  readonly status: number
  readonly bytes: number
  readonly userAgent: string
}

/** A registry that a test started and must stop. */
export interface RealRegistry {
  /** With scheme and without a slash at its end. */
  readonly url: string
  /** `address:port`, as clients write it before a repository. */
  readonly host: string
  readonly port: number
  readonly dataDirectory: string
  readonly pid: () => number
  /** Everything it wrote, its access log included, over all restarts. */
  readonly log: () => string
  /** The requests it answered since it was made, in the order in which it finished them. */
  readonly requests: () => readonly RegistryRequestRecord[]
  /** Stops it and removes its data. */
  readonly stop: () => Promise<void>
  /** Stops it and starts it again on the same port with the same data. */
  readonly restart: () => Promise<void>
  /** Stops it and leaves port and data for a later `restart`: a registry that is down. */
  readonly pause: () => Promise<void>
}

/** Starts the real `docker-registry` on a free port and waits until it answers `/v2/`. */
export async function startRealRegistry(options: RealRegistryOptions = {}): Promise<RealRegistry> {
  const { dataIn = 'disk', address = '127.0.0.1' } = options
  const memory = '/dev/shm'
  const parent = dataIn === 'memory' && existsSync(memory) ? memory : tmpdir()
  const dataDirectory = mkdtempSync(join(parent, 'wharfgate-registry-'))
  const earlier: string[] = []
  let running = await launch(options, dataDirectory, `${address}:0`)
  const port = running.port
  const host = `${address}:${String(port)}`
  const log = () => [...earlier, textOf(running.process)].join('')

  async function pause(): Promise<void> {
    // It would finish what is in flight first; a test that stops its registry is done with it.
    await running.process.stop({ graceMs: 500 })
  }

  return {
    url: `${options.tls === undefined ? 'http' : 'https'}://${host}`,
    host,
    port,
    dataDirectory,
    pid: () => running.process.pid,
    log,
    requests: () => parseAccessLog(log()).filter((request) => request.userAgent !== readinessUserAgent),
    pause,
    stop: async () => {
      await pause()
      rmSync(dataDirectory, { recursive: true, force: true })
    },
    restart: async () => {
      await pause()
      earlier.push(textOf(running.process))
      running = await launch(options, dataDirectory, host)
    },
  }
}

/** The access log's lines in a text that holds other lines too; the shape is Apache's "combined". */
export function parseAccessLog(text: string): readonly RegistryRequestRecord[] {
  const shape = /^(\S+) \S+ \S+ \[[^\]]*\] "(\S+) (\S+) HTTP\/[\d.]+" (\d{3}) (\d+) "[^"]*" "([^"]*)"/gm
  return [...text.matchAll(shape)].map(
    ([, address = '', method = '', target = '', status = '', bytes = '', userAgent = '']) => ({
      address,
      method,
      target,
      status: Number(status),
      bytes: Number(bytes),
      userAgent,
    }),
  )
}

type Launched = { readonly process: RunningProcess; readonly port: number }

async function launch(options: RealRegistryOptions, dataDirectory: string, listen: string): Promise<Launched> {
  const file = join(dataDirectory, 'config.yml')
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(configurationOf(options, dataDirectory, listen), null, 2))
  const env = { PATH: process.env['PATH'], OTEL_TRACES_EXPORTER: 'none', ...options.env }
  const running = (options.start ?? start)(part('docker-registry'), ['serve', file], { env })
  try {
    const port = await until(() => listeningPort(running), { what: 'the registry listens' })
    if (options.start === undefined) {
      const url = `${options.tls === undefined ? 'http' : 'https'}://${listen.replace(/:\d+$/, '')}:${String(port)}/v2/`
      await until(() => answers(url), { what: `${url} answers` })
    }
    return { process: running, port }
  } catch (error) {
    await running.stop({ graceMs: 0 })
    throw new Error(`the registry did not start: ${textOf(running)}`, { cause: error })
  }
}

function listeningPort(running: RunningProcess): number {
  if (running.exitCode() !== undefined) throw new Error('it ended')
  return Number(/listening on \S+:(\d+)/.exec(textOf(running))?.[1] ?? 0)
}

function textOf(running: RunningProcess): string {
  return `${running.stdout()}${running.stderr()}`
}

type Section = Readonly<Record<string, unknown>>

function configurationOf(options: RealRegistryOptions, dataDirectory: string, listen: string): Section {
  const { httpSecret, htpasswd, tls, isRelativeUrls = false, isDeleteEnabled = true, configuration = {} } = options
  const base: Section = {
    version: '0.1',
    log: { level: 'info', accesslog: { disabled: false } },
    storage: {
      filesystem: { rootdirectory: join(dataDirectory, 'data') },
      delete: { enabled: isDeleteEnabled },
    },
    http: {
      addr: listen,
      relativeurls: isRelativeUrls,
      ...(httpSecret === undefined ? {} : { secret: httpSecret }),
      ...(tls === undefined ? {} : { tls: { certificate: tls.certificateFile, key: tls.keyFile } }),
    },
    ...(htpasswd === undefined ? {} : { auth: { htpasswd: { realm: htpasswd.realm, path: htpasswd.file } } }),
  }
  return merge(base, configuration)
}

function merge(under: Section, over: Section): Section {
  const merged = Object.entries(over).map(([key, value]) => {
    const below = under[key]
    return [key, isSection(below) && isSection(value) ? merge(below, value) : value] as const
  })
  return { ...under, ...Object.fromEntries(merged) }
}

function isSection(value: unknown): value is Section {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const readinessUserAgent = 'wharfgate-test-readiness'

/** Any status is an answer: with authentication it is 401. The certificate is the test's own affair. */
function answers(url: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const get = url.startsWith('https:') ? httpsGet : httpGet
    const headers = { 'user-agent': readinessUserAgent }
    const request = get(url, { headers, rejectUnauthorized: false, agent: false, timeout: 10_000 }, (response) => {
      response.resume()
      resolve(true)
    })
    request.once('error', reject)
    request.once('timeout', () => request.destroy(new Error('no answer within 10 s')))
  })
}
