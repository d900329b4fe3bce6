import { join } from 'node:path'
import { createClientHome, findDigest, withDigest } from './client.ts'
import type { RegistryClient } from './client.ts'
import { writeImageArchive } from './client-image.ts'
import type { DockerEngine } from './docker-engine.ts'
import { part } from './part.ts'
import type { RunOptions } from './processes.ts'

/**
 * The docker command line against an engine, where the engine runs. Trust is the engine's: /etc/docker/certs.d, its
 * `insecureRegistries`, and 127.0.0.0/8. Needs the parts `docker` and `dockerd`.
 */
export function createDockerClient(engine: DockerEngine): RegistryClient {
  const home = createClientHome('docker', engine.place)
  const env = { ...home.env, DOCKER_HOST: engine.host, DOCKER_CONFIG: join(home.directory, '.docker') }
  const command = (args: readonly string[], options: RunOptions = {}) =>
    home.place.run(part('docker'), args, { env, ...options })
  const push = async (reference: string) =>
    withDigest(await command(['push', reference]), ({ stdout }) => findDigest(stdout))
  return {
    name: 'docker',
    command,
    login: (registry, { username, password }) =>
      command(['login', '--username', username, '--password-stdin', registry], { input: password }),
    logout: (registry) => command(['logout', registry]),
    makeImage: (reference, files) => {
      const archive = join(home.directory, 'image.tar')
      writeImageArchive(archive, reference, files)
      return command(['load', '--input', archive])
    },
    push,
    pull: async (reference) => {
      await command(['image', 'rm', '--force', reference])
      return withDigest(await command(['pull', reference]), ({ stdout }) => findDigest(stdout))
    },
    copy: async (source, target) => {
      const tagged = await command(['tag', source, target])
      return tagged.code === 0 ? push(target) : { ...tagged, digest: undefined }
    },
    delete: undefined,
    stop: () => {
      home.remove()
      return Promise.resolve()
    },
  }
}
