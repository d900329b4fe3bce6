import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { initCertificates } from '../../src/cli/certificate-files.ts'
import { keepWrittenFile } from './canaries.ts'
import { requestOver } from './http-client.ts'
import { basicOf, htpasswdFile } from './personas.ts'
import { writePolicy } from './policies.ts'
import { start } from './processes.ts'
import type { Ask } from './fault-push.ts'
import type { RawTarget } from './raw-http-client.ts'
import { until } from './until.ts'

/** The gateway in a process of its own, so that its memory and its file descriptors are nobody else's. */
export type GatewayProcess = {
  readonly target: RawTarget
  readonly asAlice: Ask
  /** MiB resident now and at most since the start. */
  memory(): { readonly residentMiB: number; readonly peakMiB: number }
  /** Open file descriptors, sockets included. */
  descriptors(): number
  /** Ends it as a crash does, by kill -9; `stop` still removes its files. */
  kill(): Promise<void>
  stop(): Promise<void>
}

export type GatewayProcessOptions = {
  readonly upstreamUrl: string
  /** Sections of the configuration that replace those of the tests. */
  readonly settings?: Readonly<Record<string, unknown>>
  /** Options of Node itself, in front of the command. */
  readonly nodeOptions?: readonly string[]
}

/** Starts `wharfgate serve` on free loopback ports. */
export async function startGatewayProcess({
  upstreamUrl,
  settings = {},
  nodeOptions = [],
}: GatewayProcessOptions): Promise<GatewayProcess> {
  const directory = mkdtempSync(join(tmpdir(), 'wharfgate-process-'))
  await initCertificates({ directory: join(directory, 'certs'), hosts: ['localhost', '127.0.0.1'] })
  writeFileSync(join(directory, 'htpasswd'), htpasswdFile())
  writePolicy(directory)
  const file = join(directory, 'wharfgate.json')
  const configuration = {
    publicUrls: ['https://localhost:8443'],
    listen: { host: '127.0.0.1', port: 0 },
    admin: { host: '127.0.0.1', port: 0, socket: 'admin.sock' },
    tls: { certificateFile: 'certs/tls.crt', keyFile: 'certs/tls.key' },
    authentication: { htpasswd: { enabled: true, file: 'htpasswd' }, maxQueueWaitMs: 60_000 },
    upstream: { url: upstreamUrl },
    shutdown: { timeoutSeconds: 1 },
    log: { level: 'debug' },
    audit: { destination: 'audit.log' },
    ...settings,
  }
  writeFileSync(file, JSON.stringify(configuration))
  const command = join(import.meta.dirname, '..', '..', 'bin', 'wharfgate.js')
  const running = start(process.execPath, [...nodeOptions, command, 'serve', '--config', file], {
    env: { PATH: process.env['PATH'] },
  })
  const said = (): string => running.stdout() + running.stderr()
  const port = await until(
    () => {
      const code = running.exitCode()
      if (code !== undefined) throw new Error(`the gateway ended with ${code}: ${said()}`)
      return Number(/https:\/\/127\.0\.0\.1:(\d+)/.exec(said())?.[1])
    },
    { what: 'the gateway serves' },
  )
  const ca = readFileSync(join(directory, 'certs', 'ca.crt'), 'utf8')
  const of = `/proc/${running.pid}`
  const status = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`${of}/status`, 'utf8'))?.[1]) / 1024
  return {
    target: { port, ca },
    asAlice: (request) =>
      requestOver({ port, ca }, { ...request, headers: { authorization: basicOf('alice'), ...request.headers } }),
    memory: () => ({ residentMiB: status('VmRSS'), peakMiB: status('VmHWM') }),
    descriptors: () => readdirSync(`${of}/fd`).length,
    kill: async () => {
      running.kill('SIGKILL')
      await running.ended
    },
    stop: async () => {
      await running.stop()
      keepWrittenFile('audit', directory, join(directory, 'audit.log'))
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
