import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AuditLine } from '../../src/telemetry/audit-line.ts'
import { keepSecret, keepWrittenFile } from './canaries.ts'
import type { Place } from './docker-engine.ts'
import { run, start } from './processes.ts'
import type { RunResult } from './processes.ts'
import { writePolicy } from './policies.ts'
import { until } from './until.ts'

export type GatewayProcessOptions = {
  readonly upstreamUrl: string
  /** Names and addresses that its certificate is for, as told to `certs init`. */
  readonly hosts: readonly string[]
  /** Passwords by user name. */
  readonly users: Readonly<Record<string, string>>
  /** Inside a network namespace; on the machine itself when left out. */
  readonly place?: Place
  /** Options of Node itself, in front of the command. */
  readonly nodeOptions?: readonly string[]
  /** A free port of loopback when left out. */
  readonly listen?: Listen
  /** Sections of the configuration besides. */
  readonly settings?: Readonly<Record<string, unknown>>
}

/** The gateway as its users run it: the installed command in a process of its own, with files that its commands made. */
export interface GatewayProcess {
  /** Where it listens, with scheme. */
  readonly url: string
  /** Where its files lie: `wharfgate.json`, `htpasswd`, `certs/`, `audit.log`. */
  readonly directory: string
  /** What `certs init` printed: what it made, and what to copy where. */
  readonly instructions: string
  readonly log: () => string
  /** PEM of the authority that vouches for it. */
  readonly ca: string
  readonly signal: (signal: NodeJS.Signals) => void
  /** Resolves when it has ended, by whatever. */
  readonly ended: Promise<RunResult>
  /** One for each exchange that has ended. */
  readonly auditLines: () => readonly AuditLine[]
  /** Ends it as an operator does, and removes its files. */
  readonly stop: () => Promise<RunResult>
}

const command = join(import.meta.dirname, '..', '..', 'bin', 'wharfgate.js')

/**
 * Sets the gateway up by `certs init` and `hash-password`, starts `serve`, and waits until it says that it serves.
 *
 * @throws Error with what it said instead
 */
export async function startGatewayProcess(options: GatewayProcessOptions): Promise<GatewayProcess> {
  const { hosts, users, nodeOptions = [], listen = { host: '127.0.0.1', port: 0 }, place = { run, start } } = options
  const directory = mkdtempSync(join(tmpdir(), 'wharfgate-process-'))
  const env = { PATH: process.env['PATH'], HOME: directory }
  const wharfgate = async (args: readonly string[], input = ''): Promise<string> => {
    const { code, stdout, stderr } = await place.run(process.execPath, [command, ...args], { env, input })
    if (code !== 0) throw new Error(`wharfgate ${args.join(' ')} failed: ${stderr}`)
    return stdout
  }
  const certificates = join(directory, 'certs')
  const names = hosts.flatMap((host) => ['--host', host])
  const port = listen.port === 0 ? [] : ['--port', String(listen.port)]
  const instructions = await wharfgate(['certs', 'init', '--directory', certificates, ...names, ...port])
  const lines = Object.entries(users).map(([name, password]) => wharfgate(['hash-password', name], `${password}\n`))
  for (const [name, password] of Object.entries(users)) keepSecret(name, password)
  writeFileSync(join(directory, 'htpasswd'), (await Promise.all(lines)).join(''))
  writePolicy(directory)
  const config = join(directory, 'wharfgate.json')
  writeFileSync(config, JSON.stringify(settingsOf(options, listen), undefined, 2))

  const serving = place.start(process.execPath, [...nodeOptions, command, 'serve', '--config', config], {
    env,
    cwd: directory,
  })
  const stop = async () => {
    const result = await serving.stop()
    keepWrittenFile('audit', directory, join(directory, 'audit.log'))
    rmSync(directory, { recursive: true, force: true })
    return result
  }
  const address = () => /https:\/\/[^\s",]+:\d+/.exec(serving.stderr())?.[0]
  const isSettled = () => serving.exitCode() !== undefined || address() !== undefined
  await until(isSettled, { what: 'the gateway serves' }).catch(() => undefined)
  const url = address()
  if (url === undefined) throw new Error(`the gateway did not start: ${(await stop()).stderr}`)
  return {
    url,
    directory,
    instructions,
    log: serving.stderr,
    ca: readFileSync(join(certificates, 'ca.crt'), 'utf8'),
    signal: serving.kill,
    ended: serving.ended,
    auditLines: () => parseAudit(readFileSync(join(directory, 'audit.log'), 'utf8')),
    stop,
  }
}

type Listen = { readonly host: string; readonly port: number }

function settingsOf({ upstreamUrl, hosts, settings }: GatewayProcessOptions, listen: Listen): unknown {
  return {
    publicUrls: hosts.map((host) => `https://${host}${listen.port === 0 ? '' : `:${String(listen.port)}`}`),
    listen,
    admin: { port: 0, socket: 'admin.sock' },
    tls: { certificateFile: 'certs/tls.crt', keyFile: 'certs/tls.key' },
    upstream: { url: upstreamUrl },
    authentication: { htpasswd: { enabled: true, file: 'htpasswd' }, maxQueueWaitMs: 60_000 },
    shutdown: { timeoutSeconds: 20 },
    log: { level: 'debug' },
    audit: { destination: 'audit.log' },
    ...settings,
  }
}

/** What stands behind the last line ending is still being written. */
function parseAudit(text: string): readonly AuditLine[] {
  const lines = text.split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line) as AuditLine)
}
