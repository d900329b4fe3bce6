import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { privateEtc } from './network-namespace.ts'
import { part } from './part.ts'
import { run, start } from './processes.ts'
import type { Run, Start } from './processes.ts'
import { until } from './until.ts'

/** Where a client or an engine runs: a network namespace, or (when left out) the machine itself. */
export type Place = { readonly start: Start; readonly run: Run }

export type DockerEngineOptions = {
  readonly place?: Place
  /** `address:port` of registries spoken to without trust. Addresses in 127.0.0.0/8 always are. */
  readonly insecureRegistries?: readonly string[]
}

/** A Docker engine of the test's own: private data, no bridge, no firewall rules, no containers. */
export interface DockerEngine {
  /** For `DOCKER_HOST`. */
  readonly host: string
  readonly place: Place
  readonly pid: number
  readonly log: () => string
  /** Stops it and removes its data. */
  readonly stop: () => Promise<void>
}

/** Starts `dockerd` and waits until it answers. Needs the part `dockerd`. */
export async function startDockerEngine(options: DockerEngineOptions = {}): Promise<DockerEngine> {
  const { place, insecureRegistries = [] } = options
  const directory = mkdtempSync(join(tmpdir(), 'wharfgate-engine-'))
  const host = `unix://${join(directory, 'docker.sock')}`
  // Whatever the machine's own engine is told in /etc/docker/daemon.json is not for this one.
  writeFileSync(join(directory, 'daemon.json'), '{}')
  const args = [
    '--iptables=false',
    '--bridge=none',
    `--data-root=${join(directory, 'data')}`,
    `--exec-root=${join(directory, 'run')}`,
    `--pidfile=${join(directory, 'docker.pid')}`,
    `--config-file=${join(directory, 'daemon.json')}`,
    `--host=${host}`,
    // The overlay driver cannot stand on an overlay, which is what a container's own file system is.
    '--storage-driver=vfs',
    ...insecureRegistries.map((registry) => `--insecure-registry=${registry}`),
  ]
  // A mount namespace of its own, so that a killed test leaves no mount of the data folder; and, where the place has not
  // seen to that, an /etc of its own, as the engine writes a key into /etc/docker.
  const setUp = [...(place === undefined ? privateEtc : []), 'exec "$0" "$@"'].join(' && ')
  const { start: startThere, run: runThere } = place ?? { start, run }
  const words = ['--mount', 'sh', '-c', setUp, part('dockerd'), ...args]
  const engine = startThere('unshare', words, { env: { PATH: process.env['PATH'], HOME: directory } })
  const stop = async () => {
    await engine.stop({ graceMs: 30_000 })
    rmSync(directory, { recursive: true, force: true })
  }
  const log = () => `${engine.stdout()}${engine.stderr()}`
  try {
    const isSettled = () => engine.exitCode() !== undefined || log().includes('API listen on')
    await until(isSettled, { what: 'dockerd listens', deadlineMs: 90_000 })
    if (engine.exitCode() !== undefined) throw new Error('dockerd ended at once')
  } catch (error) {
    await stop()
    throw new Error(`the Docker engine did not start: ${log()}`, { cause: error })
  }
  return { host, place: { start: startThere, run: runThere }, pid: engine.pid, log, stop }
}
