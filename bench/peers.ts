/** The fronts that are compared: which there are, where each is found, and how it is started. Their settings lie in config/. */
import { accessSync, constants, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { foundParts } from '../test/support/part.ts'
import { run, start } from '../test/support/processes.ts'
import type { RunningProcess } from '../test/support/processes.ts'
import { startRealRegistry } from '../test/support/real-registry.ts'
import { until } from '../test/support/until.ts'
import { tlsOptions } from './load/connection.ts'
import type { Upstream } from './upstream.ts'
import { freePort } from '../tools/free-port.ts'

/** What every front is given. */
export type Stage = {
  /** For files of the fronts; each makes a folder of its name in it. */
  readonly directory: string
  readonly upstream: Upstream
  readonly certificateFile: string
  readonly keyFile: string
  /** PEM of the authority that issued the certificate. */
  readonly ca: string
  /** One user, bcrypt. */
  readonly htpasswdFile: string
  readonly username: string
  readonly password: string
  /** Of a Redis that nobody else uses, where it is installed and somebody asks it. */
  readonly redisPort: number | undefined
}

export type Front = {
  readonly port: number
  readonly pid: number
  readonly stop: () => Promise<void>
}

export type Peer = {
  /** As `--peers` and `--baseline` take it. */
  readonly name: string
  /** What the table says beside the name. */
  readonly note: string
  /** Name and version of what is installed; undefined where nothing is. */
  readonly find: () => Promise<string | undefined>
  /** Resolves when it answers a request with a login. */
  readonly start: (stage: Stage) => Promise<Front>
}

/** In the order of the table. */
export const peers: readonly Peer[] = [
  {
    name: 'wharfgate',
    note: 'everything on',
    find: () => Promise.resolve(`wharfgate ${packageVersion()}, node ${process.versions.node}`),
    start: (stage) =>
      startProcess('wharfgate', stage, ({ directory, values }) => {
        const file = join(directory, 'wharfgate.yaml')
        writeFileSync(file, filled('wharfgate.yaml', values))
        return start(process.execPath, [fileOf('../bin/wharfgate.js'), 'serve', '--config', file])
      }),
  },
  {
    name: 'node-pipe',
    note: 'no login',
    find: () => Promise.resolve(`node ${process.versions.node}`),
    start: (stage) =>
      startProcess('node-pipe', stage, ({ port, values }) => {
        const { certificateFile, keyFile } = stage
        const words = [String(port), values['UPSTREAM'] ?? '', certificateFile, keyFile]
        return start(process.execPath, [fileOf('config/node-pipe.ts'), ...words])
      }),
  },
  {
    name: 'registry',
    note: 'its own TLS and htpasswd',
    find: () => Promise.resolve(`docker-registry ${registryVersion()}`),
    start: startRegistryAsFront,
  },
  nginx('nginx', 'buffering on', 'on'),
  nginx('nginx-unbuffered', 'buffering off', 'off'),
  {
    name: 'haproxy',
    note: 'password in clear',
    find: () => firstLineOf('haproxy', '-v'),
    start: (stage) =>
      startProcess('haproxy', stage, ({ directory, values }) => {
        const pem = join(directory, 'certificate-and-key.pem')
        writeFileSync(pem, `${readFileSync(stage.certificateFile, 'utf8')}${readFileSync(stage.keyFile, 'utf8')}`)
        const file = join(directory, 'haproxy.cfg')
        writeFileSync(file, filled('haproxy.cfg', { ...values, CERTIFICATE_AND_KEY: pem }))
        return start(findExecutable('haproxy') ?? 'haproxy', ['-db', '-f', file])
      }),
  },
]

function nginx(name: string, note: string, buffering: 'on' | 'off'): Peer {
  return {
    name,
    note,
    find: () => firstLineOf('nginx', '-v'),
    start: (stage) =>
      startProcess(name, stage, ({ directory, values }) => {
        // As root its workers would be nobody, who may not read what lies here.
        const user = process.getuid?.() === 0 ? 'user root;' : ''
        const file = join(directory, 'nginx.conf')
        writeFileSync(file, filled('nginx.conf', { ...values, BUFFERING: buffering, USER: user }))
        return start(findExecutable('nginx') ?? 'nginx', ['-p', directory, '-c', file])
      }),
  }
}

/** A second registry over the same data: what one has without any front. */
async function startRegistryAsFront({ upstream, htpasswdFile, certificateFile, keyFile }: Stage): Promise<Front> {
  const registry = await startRealRegistry({
    isRelativeUrls: true,
    htpasswd: { realm: 'Registry', file: htpasswdFile },
    tls: { certificateFile, keyFile },
    configuration: {
      log: { accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(upstream.registry.dataDirectory, 'data') } },
    },
  })
  return { port: registry.port, pid: registry.pid(), stop: registry.stop }
}

type Prepared = {
  readonly directory: string
  readonly port: number
  /** For the places of a configuration file, see {@link filled}. */
  readonly values: Readonly<Record<string, string>>
}

async function startProcess(
  name: string,
  stage: Stage,
  launch: (prepared: Prepared) => RunningProcess,
): Promise<Front> {
  const directory = join(stage.directory, name)
  mkdirSync(directory, { recursive: true })
  const port = await freePort()
  const values = {
    DIRECTORY: directory,
    PORT: String(port),
    UPSTREAM: stage.upstream.registry.host,
    CERTIFICATE: stage.certificateFile,
    KEY: stage.keyFile,
    HTPASSWD: stage.htpasswdFile,
    POLICIES: fileOf('config/policies.yaml'),
    USERNAME: stage.username,
    PASSWORD: stage.password,
  }
  const running = launch({ directory, port, values })
  const stop = async (): Promise<void> => {
    await running.stop({ graceMs: 3_000 })
  }
  try {
    await until(() => running.exitCode() !== undefined || answers(port, stage), {
      what: `${name} answers`,
      deadlineMs: 30_000,
    })
    if (running.exitCode() !== undefined) throw new Error(`it ended with code ${String(running.exitCode())}`)
    return { port, pid: running.pid, stop }
  } catch (error) {
    await stop()
    const said = `${running.stdout()}${running.stderr()}`.trim()
    throw new Error(`${name} did not start: ${said === '' ? String(error) : said}`, { cause: error })
  }
}

/** Value of `Authorization` for the one user. */
export function authorizationOf({ username, password }: Pick<Stage, 'username' | 'password'>): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

function answers(port: number, stage: Stage): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: authorizationOf(stage) }
    const asked = request(
      { ...tlsOptions({ port, ca: stage.ca }), path: '/v2/', headers, agent: false },
      (response) => {
        response.resume()
        resolve(response.statusCode === 200)
      },
    )
    asked.setTimeout(5_000, () => asked.destroy(new Error('no answer within 5 s')))
    asked.once('error', reject)
    asked.end()
  })
}

/**
 * Fills the places `${NAME}` of a file in config/.
 *
 * @throws Error when a place has no value
 */
function filled(name: string, values: Readonly<Record<string, string>>): string {
  return readFileSync(fileOf(`config/${name}`), 'utf8').replaceAll(/\$\{([A-Z_]+)\}/g, (_place, key: string) => {
    const value = values[key]
    if (value === undefined) throw new Error(`bench/config/${name} has a place ${key} that nothing fills`)
    return value
  })
}

function fileOf(path: string): string {
  return join(import.meta.dirname, path)
}

function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(fileOf('../package.json'), 'utf8')) as { readonly version: string }
  return version
}

function registryVersion(): string {
  const found = foundParts()['docker-registry']
  return found === undefined || 'missing' in found ? 'missing' : found.version
}

/** Servers lie in the directories of the administrator, which are not on everyone's PATH. */
function findExecutable(name: string): string | undefined {
  const directories = [...(process.env['PATH'] ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin']
  return directories
    .filter((directory) => directory.startsWith('/'))
    .map((directory) => join(directory, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

async function firstLineOf(name: string, option: string): Promise<string | undefined> {
  const path = findExecutable(name)
  if (path === undefined) return undefined
  const { stdout, stderr } = await run(path, [option])
  return `${stdout}${stderr}`.split('\n', 1)[0] ?? name
}
