import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClientHome, withDigest } from './client.ts'
import type { ClientHome, ClientOptions, RegistryClient, Trust } from './client.ts'
import { writeImageArchive } from './client-image.ts'
import type { ImageFile } from './client-image.ts'
import type { Place } from './docker-engine.ts'
import { part } from './part.ts'
import type { RunOptions, RunResult } from './processes.ts'

/** podman, with private storage that needs no kernel support (vfs). Needs the part `podman`. */
export function createPodmanClient(options: ClientOptions): RegistryClient {
  const home = createContainersHome('podman', options)
  const storage = storageFlags(home)
  const client = createStoringClient('podman', home, storage, options.trust)
  return {
    ...client,
    makeImage: (reference, files) => {
      const archive = join(home.directory, 'image.tar')
      writeImageArchive(archive, reference, files)
      return client.command(['load', '--input', archive])
    },
  }
}

/** buildah, with private storage that needs no kernel support (vfs). Needs the part `buildah`. */
export function createBuildahClient(options: ClientOptions): RegistryClient {
  const home = createContainersHome('buildah', options)
  const client = createStoringClient('buildah', home, storageFlags(home), options.trust)
  return { ...client, makeImage: (reference, files) => buildFromScratch(client.command, home, reference, files) }
}

/** skopeo; its images are directories of its home. Needs the part `skopeo`. */
export function createSkopeoClient(options: ClientOptions): RegistryClient {
  const home = createContainersHome('skopeo', options)
  const command = (args: readonly string[], runOptions: RunOptions = {}) =>
    home.place.run(part('skopeo'), args, { env: home.env, ...runOptions })
  const digestFile = join(home.directory, 'digest')
  const image = (reference: string) =>
    join(home.directory, 'images', createHash('sha256').update(reference).digest('hex'))
  const digest = () => readFileSync(digestFile, 'utf8').trim()
  const flags = ['--digestfile', digestFile]
  const from = trustFlags(options.trust, 'src-')
  const to = trustFlags(options.trust, 'dest-')
  mkdirSync(join(home.directory, 'images'))
  return {
    name: 'skopeo',
    command,
    ...loginCommands(command, options.trust),
    makeImage: (reference, files) => {
      const archive = join(home.directory, 'image.tar')
      writeImageArchive(archive, reference, files)
      return command(['copy', `docker-archive:${archive}`, `dir:${image(reference)}`])
    },
    push: async (reference) =>
      withDigest(await command(['copy', ...to, ...flags, `dir:${image(reference)}`, `docker://${reference}`]), digest),
    pull: async (reference) => {
      rmSync(image(reference), { recursive: true, force: true })
      return withDigest(
        await command(['copy', ...from, ...flags, `docker://${reference}`, `dir:${image(reference)}`]),
        digest,
      )
    },
    copy: async (source, target) =>
      withDigest(await command(['copy', ...from, ...to, ...flags, `docker://${source}`, `docker://${target}`]), digest),
    delete: (reference) => command(['delete', ...trustFlags(options.trust), `docker://${reference}`]),
    stop: () => {
      home.remove()
      return Promise.resolve()
    },
  }
}

type Command = RegistryClient['command']

/** What podman and buildah have in common, down to the flags. */
function createStoringClient(
  name: 'podman' | 'buildah',
  home: ClientHome,
  storage: readonly string[],
  trust: Trust,
): Omit<RegistryClient, 'makeImage'> {
  const command: Command = (args, runOptions = {}) =>
    home.place.run(part(name), [...storage, ...args], { env: home.env, ...runOptions })
  const digestFile = join(home.directory, 'digest')
  const pushFlags = [...trustFlags(trust), '--digestfile', digestFile]
  const push = async (reference: string) =>
    withDigest(await command(['push', ...pushFlags, reference]), () => readFileSync(digestFile, 'utf8').trim())
  const pulledDigest = async (reference: string) => {
    const inspect =
      name === 'podman'
        ? ['image', 'inspect', '--format', '{{.Digest}}', reference]
        : ['inspect', '--type', 'image', '--format', '{{.FromImageDigest}}', reference]
    return (await command(inspect)).stdout.trim()
  }
  return {
    name,
    command,
    ...loginCommands(command, trust),
    push,
    pull: async (reference) => {
      await command(['rmi', '--force', reference])
      return withDigest(await command(['pull', ...trustFlags(trust), reference]), () => pulledDigest(reference))
    },
    copy: async (source, target) => {
      const tagged = await command(['tag', source, target])
      return tagged.code === 0 ? push(target) : { ...tagged, digest: undefined }
    },
    delete: undefined,
    stop: async () => {
      // As a user without root it left files that only its own user namespace may remove.
      if (process.getuid?.() !== 0) await command(['unshare', 'rm', '-rf', join(home.directory, 'storage')])
      home.remove()
    },
  }
}

function loginCommands(command: Command, trust: Trust): Pick<RegistryClient, 'login' | 'logout'> {
  return {
    login: (registry, { username, password }) =>
      command(['login', ...trustFlags(trust), '--username', username, '--password-stdin', registry], {
        input: password,
      }),
    logout: (registry) => command(['logout', registry]),
  }
}

/** `FROM scratch`, then one COPY and commit for each file, so that each is a layer. */
async function buildFromScratch(
  command: Command,
  home: ClientHome,
  reference: string,
  files: readonly ImageFile[],
): Promise<RunResult> {
  const file = join(home.directory, 'layer')
  let base = 'scratch'
  let result: RunResult = { code: 1, stdout: '', stderr: 'an image needs a file' }
  for (const { name, content } of files) {
    writeFileSync(file, content)
    const steps = [
      ['from', '--pull-never', '--name', 'builder', base],
      ['copy', 'builder', file, `/${name}`],
      ['commit', '--rm', 'builder', reference],
    ]
    for (const step of steps) {
      result = await command(step)
      if (result.code !== 0) return result
    }
    base = reference
  }
  return result
}

/** The tools read these files from their home; without them they fall back on /etc/containers, which may not exist. */
export function createContainersHome(name: string, { place }: Pick<ClientOptions, 'place'>): ClientHome {
  const home = createClientHome(name, place)
  const settings = join(home.directory, '.config', 'containers')
  mkdirSync(settings, { recursive: true })
  writeFileSync(join(settings, 'policy.json'), JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
  const registries = join(settings, 'registries.conf')
  writeFileSync(registries, 'unqualified-search-registries = []\n')
  const containers = join(settings, 'containers.conf')
  writeFileSync(containers, '[engine]\nevents_logger = "none"\ncgroup_manager = "cgroupfs"\n')
  const env = {
    ...home.env,
    CONTAINERS_CONF: containers,
    CONTAINERS_REGISTRIES_CONF: registries,
    BUILDAH_ISOLATION: 'chroot',
  }
  return { ...home, env, place: withPrivateCache(home) }
}

/**
 * As root the tools keep what they know of blobs in /var/lib/containers/cache and nowhere else. Each command runs with
 * a /var/lib of the client's own, or tests would share that knowledge, and leave it on the machine.
 */
function withPrivateCache({ directory, place }: ClientHome): Place {
  if (process.getuid?.() !== 0) return place
  const cache = join(directory, 'var-lib')
  mkdirSync(cache)
  const wrap = (command: string, args: readonly string[]) => {
    return ['--mount', 'sh', '-c', 'mount --bind "$0" /var/lib && exec "$@"', cache, command, ...args]
  }
  return {
    start: (command, args, options) => place.start('unshare', wrap(command, args), options),
    run: (command, args, options) => place.run('unshare', wrap(command, args), options),
  }
}

/** Private storage that needs no kernel support. */
export function storageFlags({ directory }: ClientHome): readonly string[] {
  const root = join(directory, 'storage')
  return ['--root', root, '--runroot', join(directory, 'run'), '--storage-driver', 'vfs']
}

/** The flags of one side of a transfer: skopeo's copy has two sides, `src-` and `dest-`. */
function trustFlags(trust: Trust, side: '' | 'src-' | 'dest-' = ''): readonly string[] {
  switch (trust.kind) {
    case 'installed':
      return []
    case 'plain-http':
    case 'unverified':
      return [`--${side}tls-verify=false`]
    case 'ca':
      return [`--${side}cert-dir=${certificateDirectory(trust.file)}`]
  }
}

/** These tools take a folder, and every `*.crt` in it as a CA. */
function certificateDirectory(caFile: string): string {
  const directory = `${caFile}.d`
  if (!existsSync(directory)) {
    mkdirSync(directory)
    writeFileSync(join(directory, 'ca.crt'), readFileSync(caFile))
  }
  return directory
}
