import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { initCertificates } from '../../src/cli/certificate-files.ts'
import type { Ask } from './fault-push.ts'
import { requestOver } from './http-client.ts'
import { basicOf, htpasswdFile } from './personas.ts'
import { writePolicy } from './policies.ts'
import { start } from './processes.ts'
import type { RunningProcess, Start } from './processes.ts'
import type { RawTarget } from './raw-http-client.ts'
import { until } from './until.ts'

type Settings = Readonly<Record<string, unknown>>

export type ServeOptions = {
  /** A port that was served before; a free one when left out. */
  readonly port?: number
  /** Sections that replace those of the site. */
  readonly settings?: Settings
  /** Options of Node itself, in front of the command. */
  readonly nodeOptions?: readonly string[]
  /** Command and arguments that the gateway's own are appended to: another user, another root. */
  readonly inside?: readonly [string, ...string[]]
  /** Starts it elsewhere: `namespace.start`. It is then only awaited until it says that it serves. */
  readonly start?: Start
}

export type ServedGateway = {
  readonly process: RunningProcess
  readonly port: number
  readonly adminUrl: string
  readonly target: RawTarget
  readonly asAlice: Ask
  log(): string
  /** MiB resident now and at most since the start. */
  memory(): { readonly residentMiB: number; readonly peakMiB: number }
  /** Open file descriptors, sockets included. */
  descriptors(): number
}

/** The files of a gateway, which processes of it can be started from again and again, and several at a time. */
export type GatewaySite = {
  readonly directory: string
  readonly ca: string
  /** Writes the configuration and gives the command that serves it. */
  command(name: string, settings: Settings, nodeOptions?: readonly string[]): readonly string[]
  /** Starts a process and waits until it serves. @throws Error with what it said instead */
  serve(options?: ServeOptions): Promise<ServedGateway>
  /** Stops every process that was started here, and removes the files. */
  remove(): Promise<void>
}

const executable = join(import.meta.dirname, '..', '..', 'bin', 'wharfgate.js')

export async function createGatewaySite(base: Settings): Promise<GatewaySite> {
  const directory = mkdtempSync(join(tmpdir(), 'wharfgate-site-'))
  await initCertificates({ directory: join(directory, 'certs'), hosts: ['localhost', '127.0.0.1'] })
  writeFileSync(join(directory, 'htpasswd'), htpasswdFile())
  writePolicy(directory)
  const ca = readFileSync(join(directory, 'certs', 'ca.crt'), 'utf8')
  const started: RunningProcess[] = []

  function command(name: string, settings: Settings, nodeOptions: readonly string[] = []): readonly string[] {
    const file = join(directory, `${name}.json`)
    const configuration = {
      publicUrls: ['https://localhost:8443'],
      listen: { host: '127.0.0.1', port: 0 },
      admin: { host: '127.0.0.1', port: 0, socket: `${name}.sock` },
      tls: { certificateFile: 'certs/tls.crt', keyFile: 'certs/tls.key' },
      authentication: { htpasswd: { enabled: true, file: 'htpasswd' }, failureFloorMs: 1, maxQueueWaitMs: 60_000 },
      shutdown: { timeoutSeconds: 1 },
      audit: { destination: 'stdout' },
      ...base,
      ...settings,
    }
    writeFileSync(file, JSON.stringify(configuration))
    return [process.execPath, ...nodeOptions, executable, 'serve', '--config', file]
  }

  return {
    directory,
    ca,
    command,
    serve: async ({ port: fixed = 0, settings = {}, nodeOptions, inside = [], start: launch = start } = {}) => {
      const listen = fixed === 0 ? {} : { listen: { host: '127.0.0.1', port: fixed } }
      const words = command(`gateway-${started.length}`, { ...listen, ...settings }, nodeOptions)
      const [program = '', ...args] = [...inside, ...words]
      const running = launch(program, args, { cwd: directory, env: { PATH: process.env['PATH'] } })
      started.push(running)
      const [, port, adminUrl = ''] = await until(
        () => {
          if (running.exitCode() !== undefined) return ['', '', '']
          return /"https:\/\/[^"]+:(\d+)",(?:"[^"]*",)*"(http:[^"]+)"/.exec(running.stderr())
        },
        { what: 'the gateway serves' },
      )
      if (adminUrl === '') throw new Error(`the gateway ended: ${running.stderr()}`)
      const target = { port: Number(port), ca }
      const status = (name: string): number => {
        const text = readFileSync(`/proc/${running.pid}/status`, 'utf8')
        return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) / 1024
      }
      return {
        process: running,
        port: target.port,
        adminUrl,
        target,
        asAlice: (request) =>
          requestOver(target, { ...request, headers: { authorization: basicOf('alice'), ...request.headers } }),
        log: running.stderr,
        memory: () => ({ residentMiB: status('VmRSS'), peakMiB: status('VmHWM') }),
        descriptors: () => readdirSync(`/proc/${running.pid}/fd`).length,
      }
    },
    remove: async () => {
      await Promise.all(started.map((running) => running.stop()))
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
