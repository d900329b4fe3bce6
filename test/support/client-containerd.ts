import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClientHome, withDigest } from './client.ts'
import type { ClientHome, ClientOptions, Credentials, RegistryClient, Trust } from './client.ts'
import { writeImageArchive } from './client-image.ts'
import { part } from './part.ts'
import type { RunningProcess, RunOptions, RunResult } from './processes.ts'
import { until } from './until.ts'

/** Where containerd's users keep a folder per registry; ctr reads it when told to. */
const installedHostsDirectory = '/etc/containerd/certs.d'

/**
 * ctr with a containerd of its own. It has no login: the credentials go with every command. Needs the parts `ctr` and
 * `containerd`.
 */
export async function createContainerdClient({ trust, place }: ClientOptions): Promise<RegistryClient> {
  const home = createClientHome('containerd', place)
  const socket = join(home.directory, 'containerd.sock')
  const daemon = await startContainerd(home, socket)
  const known = new Map<string, Credentials>()
  const command = (args: readonly string[], options: RunOptions = {}) =>
    home.place.run(part('ctr'), ['--address', socket, '--namespace', 'test', ...args], { env: home.env, ...options })
  const flags = (reference: string) => {
    const credentials = known.get(reference.split('/')[0] ?? '')
    const user = credentials === undefined ? [] : ['--user', `${credentials.username}:${credentials.password}`]
    return [...user, ...trustFlags(trust)]
  }
  const digestOf = async (reference: string) => {
    const { stdout } = await command(['images', 'list', `name==${reference}`])
    return /sha256:[0-9a-f]{64}/.exec(stdout)?.[0]
  }
  const push = async (reference: string) =>
    withDigest(await command(['images', 'push', ...flags(reference), reference]), () => digestOf(reference))
  return {
    name: 'ctr',
    command,
    login: (registry, credentials) => {
      known.set(registry, credentials)
      return Promise.resolve(succeeded)
    },
    logout: (registry) => {
      known.delete(registry)
      return Promise.resolve(succeeded)
    },
    makeImage: (reference, files) => {
      const archive = join(home.directory, 'image.tar')
      writeImageArchive(archive, reference, files)
      return command(['images', 'import', '--no-unpack', archive])
    },
    push,
    pull: async (reference) => {
      await command(['images', 'remove', '--sync', reference])
      // The content must leave with the name, or the pull would find every blob at home.
      await command(['content', 'prune', 'references'])
      const pull = ['images', 'pull', '--snapshotter', 'native', ...flags(reference), reference]
      return withDigest(await command(pull), () => digestOf(reference))
    },
    copy: async (source, target) => {
      const tagged = await command(['images', 'tag', '--force', source, target])
      return tagged.code === 0 ? push(target) : { ...tagged, digest: undefined }
    },
    delete: undefined,
    stop: async () => {
      await daemon.stop()
      home.remove()
    },
  }
}

const succeeded: RunResult = { code: 0, stdout: '', stderr: '' }

async function startContainerd(home: ClientHome, socket: string): Promise<RunningProcess> {
  const configuration = join(home.directory, 'config.toml')
  const plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.internal.v1.opt']
  writeFileSync(configuration, `version = 2\ndisabled_plugins = ${JSON.stringify(plugins)}\n`)
  const folders = ['--root', join(home.directory, 'root'), '--state', join(home.directory, 'state')]
  const args = ['--config', configuration, '--address', socket, ...folders]
  // A mount namespace of its own, so that a killed test leaves no mount behind.
  const daemon = home.place.start('unshare', ['--mount', part('containerd'), ...args], { env: home.env })
  const isSettled = () => daemon.exitCode() !== undefined || daemon.stderr().includes('successfully booted')
  await until(isSettled, { what: 'containerd is up', deadlineMs: 90_000 })
  if (daemon.exitCode() !== undefined) throw new Error(`containerd did not start: ${daemon.stderr()}`)
  return daemon
}

function trustFlags(trust: Trust): readonly string[] {
  switch (trust.kind) {
    case 'installed':
      return ['--hosts-dir', installedHostsDirectory]
    case 'plain-http':
      return ['--plain-http']
    case 'unverified':
      return ['--skip-verify']
    case 'ca':
      return ['--tlscacert', trust.file]
  }
}
