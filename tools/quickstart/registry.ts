import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { provideDockerRegistry } from '../parts/docker-registry.ts'
import { freePort } from '../free-port.ts'

/** A registry that the quickstart may use: an address somebody gave, or a process it has to start. */
export type RegistrySource =
  | { readonly kind: 'given'; readonly url: string }
  | { readonly kind: 'program'; readonly path: string }
  | { readonly kind: 'engine' }

/** A registry that answers. `stop` ends what the quickstart started, and nothing else. */
export type QuickstartRegistry = {
  readonly url: string
  readonly description: string
  stop(): Promise<void>
}

const image = 'registry:3'

/** The first source that fits: what the environment names, a program, a Docker engine, the Debian package. */
export async function findRegistry(stateDirectory: string, report: (line: string) => void): Promise<RegistrySource> {
  const given = process.env['WHARFGATE_UPSTREAM_URL']
  if (given !== undefined) return { kind: 'given', url: given }
  const program = programOnPath(['registry', 'docker-registry'])
  if (program !== undefined) return { kind: 'program', path: program }
  if (hasEngine(report)) return { kind: 'engine' }
  const provided = await provideDockerRegistry(stateDirectory, report)
  if ('path' in provided) return { kind: 'program', path: provided.path }
  throw new Error(
    `no registry is at hand: docker-registry ${provided.missing}; install a "registry" program, start a Docker engine, ` +
      'or name a running registry in WHARFGATE_UPSTREAM_URL',
  )
}

function programOnPath(names: readonly string[]): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path))
}

/** Whether a Docker engine answers and has the image, or can get it. */
function hasEngine(report: (line: string) => void): boolean {
  const succeeds = (words: readonly string[], timeout: number): boolean =>
    spawnSync('docker', words, { timeout, stdio: 'ignore' }).status === 0
  if (!succeeds(['version', '--format', '{{.Server.Version}}'], 5_000)) return false
  if (succeeds(['image', 'inspect', image], 5_000)) return true
  report(`asking the Docker engine for ${image}`)
  return succeeds(['pull', image], 60_000)
}

/** Starts the registry on a free loopback port, with its blobs in the state directory, and waits until it answers. */
export async function startRegistry(source: RegistrySource, stateDirectory: string): Promise<QuickstartRegistry> {
  if (source.kind === 'given') {
    return { url: source.url, description: source.url, stop: () => Promise.resolve() }
  }
  const data = join(stateDirectory, 'registry')
  mkdirSync(data, { recursive: true })
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const child = source.kind === 'program' ? runProgram(source.path, data, port) : runContainer(data, port)
  let failure = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    failure = (failure + chunk.toString()).slice(-2_000)
  })
  const exited = new Promise<undefined>((resolve) => {
    child.once('exit', () => {
      resolve(undefined)
    })
    child.once('error', (error) => {
      failure = error.message
      resolve(undefined)
    })
  })
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    await Promise.race([exited, new Promise((resolve) => setTimeout(resolve, 5_000).unref())])
    child.kill('SIGKILL')
  }
  const description = source.kind === 'program' ? source.path : `${image} in a container`
  while (!(await answers(url))) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`the registry (${description}) ended at its start: ${failure.trim()}`)
    }
    await Promise.race([exited, new Promise((resolve) => setTimeout(resolve, 100))])
  }
  return { url, description: `${description} on ${url}`, stop }
}

function runProgram(path: string, data: string, port: number): ChildProcess {
  const file = join(data, '..', 'registry.yaml')
  // JSON is YAML; the registry's own configuration has no better name for it.
  const configuration = {
    version: '0.1',
    log: { level: 'warn' },
    storage: { filesystem: { rootdirectory: data }, delete: { enabled: true } },
    http: { addr: `127.0.0.1:${port}` },
  }
  writeFileSync(file, JSON.stringify(configuration, undefined, 2))
  return spawnTethered(path, ['serve', file])
}

function runContainer(data: string, port: number): ChildProcess {
  const volume = `${data}:/var/lib/registry`
  const deletion = 'REGISTRY_STORAGE_DELETE_ENABLED=true'
  return spawnTethered('docker', ['run', '--rm', '-p', `127.0.0.1:${port}:5000`, '-e', deletion, '-v', volume, image])
}

/**
 * Starts a child in a process group of its own, so that Ctrl-C reaches the quickstart first. Where `setpriv` is at hand
 * the kernel ends the child even when this process is killed without a chance to.
 */
function spawnTethered(command: string, words: readonly string[]): ChildProcess {
  const tether = spawnSync('setpriv', ['--pdeathsig', 'TERM', 'true']).status === 0
  const line = tether ? ['setpriv', '--pdeathsig', 'TERM', '--', command, ...words] : [command, ...words]
  const [program = command, ...rest] = line
  const child = spawn(program, rest, { stdio: ['ignore', 'ignore', 'pipe'], detached: true })
  process.once('exit', () => child.kill('SIGKILL'))
  return child
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/v2/`, { signal: AbortSignal.timeout(1_000) })).status < 500
  } catch {
    return false
  }
}
