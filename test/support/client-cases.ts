import { existsSync } from 'node:fs'
import type { ClientOptions, RegistryClient } from './client.ts'
import { createContainerdClient } from './client-containerd.ts'
import { createBuildahClient, createPodmanClient, createSkopeoClient } from './client-containers.ts'
import { createDockerClient } from './client-docker.ts'
import { createCraneClient, createOrasClient } from './client-go.ts'
import { startDockerEngine } from './docker-engine.ts'

/** A client that is driven through the gateway, and what it needs. */
export type ClientCase = {
  readonly name: string
  readonly parts: readonly string[]
  /** The part whose version decides what it shows. */
  readonly speaker: string
  /** How the block begins that `certs init` prints for it. */
  readonly trust: string
  readonly create: (options: ClientOptions) => RegistryClient | Promise<RegistryClient>
}

const containersTrust = 'podman, skopeo, buildah'
const systemTrust = existsSync('/usr/sbin/update-ca-certificates') ? 'System store on Debian' : 'System store on RHEL'

export const clientCases: readonly ClientCase[] = [
  {
    name: 'docker',
    parts: ['docker', 'dockerd'],
    speaker: 'dockerd',
    trust: 'Docker engine',
    create: createDockerWithEngine,
  },
  { name: 'podman', parts: ['podman'], speaker: 'podman', trust: containersTrust, create: createPodmanClient },
  { name: 'buildah', parts: ['buildah'], speaker: 'buildah', trust: containersTrust, create: createBuildahClient },
  { name: 'skopeo', parts: ['skopeo'], speaker: 'skopeo', trust: containersTrust, create: createSkopeoClient },
  { name: 'ctr', parts: ['ctr', 'containerd'], speaker: 'ctr', trust: 'containerd', create: createContainerdClient },
  { name: 'crane', parts: ['crane'], speaker: 'crane', trust: systemTrust, create: createCraneClient },
  { name: 'oras', parts: ['oras'], speaker: 'oras', trust: systemTrust, create: createOrasClient },
]

/** The engine decides about trust, so a docker client takes no flag for it. */
async function createDockerWithEngine({ place }: ClientOptions): Promise<RegistryClient> {
  const engine = await startDockerEngine(place === undefined ? {} : { place })
  const client = createDockerClient(engine)
  const stop = async () => {
    await client.stop()
    await engine.stop()
  }
  return { ...client, stop }
}
