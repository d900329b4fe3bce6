import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Credentials } from './client.ts'
import { startGatewayProcess } from './gateway-process.ts'
import type { GatewayProcess } from './gateway-process.ts'
import { createNetworkNamespace } from './network-namespace.ts'
import type { NetworkNamespace } from './network-namespace.ts'
import type { RunResult } from './processes.ts'
import { startRealRegistry } from './real-registry.ts'
import type { RealRegistry } from './real-registry.ts'

/** A machine of its own with a real registry on its loopback, and the gateway where clients reach it by two names. */
export interface ClientSite {
  readonly namespace: NetworkNamespace
  readonly registry: RealRegistry
  readonly gateway: GatewayProcess
  /** The gateway as clients write it before a repository: by its name, by a second name, by its address. */
  readonly host: string
  readonly secondHost: string
  readonly addressHost: string
  /** Executes what `certs init` printed under the title that begins so, as the reader of it would. */
  readonly follow: (title: string) => Promise<RunResult>
  readonly stop: () => Promise<void>
}

const address = '10.89.7.1'
const names = ['registry.example.test', 'second.example.test'] as const
const port = 8443

export type ClientSiteOptions = {
  /** Passwords by user name, of people besides. */
  readonly users?: Readonly<Record<string, string>>
  /** Sections of the gateway's configuration besides. */
  readonly settings?: Readonly<Record<string, unknown>>
}

/** Needs the parts `docker-registry`, `network-namespace` and `ip`. Docker takes no address here for an insecure one. */
export async function startClientSite(
  { username, password }: Credentials,
  { users = {}, settings = {} }: ClientSiteOptions = {},
): Promise<ClientSite> {
  const hosts = Object.fromEntries(names.map((name) => [name, address]))
  const namespace = await createNetworkNamespace({ addresses: [address], hosts })
  const registry = await startRealRegistry({ start: namespace.start })
  const gateway = await startGatewayProcess({
    upstreamUrl: registry.url,
    hosts: [...names, address],
    users: { [username]: password, ...users },
    settings,
    place: namespace,
    listen: { host: address, port },
  })
  return {
    namespace,
    registry,
    gateway,
    host: `${names[0]}:${String(port)}`,
    secondHost: `${names[1]}:${String(port)}`,
    addressHost: `${address}:${String(port)}`,
    follow: (title) => runPrinted(namespace, gateway, title),
    stop: async () => {
      await gateway.stop()
      await registry.stop()
      await namespace.stop()
    },
  }
}

/** The lines of one block of what `certs init` printed. */
export function printedLines(instructions: string, title: string): string {
  const block = instructions.split('\n\n').find((text) => text.startsWith(`# ${title}`))
  if (block === undefined) throw new Error(`certs init printed no block "${title}": ${instructions}`)
  return block.slice(block.indexOf('\n') + 1)
}

/**
 * `sudo` stands for itself on machines without it: the test is root already. The folder of the system's own CAs is no part of
 * the namespace's private files, so the lines see an empty one.
 */
function runPrinted(namespace: NetworkNamespace, gateway: GatewayProcess, title: string): Promise<RunResult> {
  const programs = join(gateway.directory, 'programs')
  const sudo = join(programs, 'sudo')
  mkdirSync(programs, { recursive: true })
  writeFileSync(sudo, '#!/bin/sh\nexec "$@"\n')
  chmodSync(sudo, 0o755)
  const script = ['set -e', 'mount -t tmpfs tmpfs /usr/local/share', printedLines(gateway.instructions, title)]
  const env = { PATH: `${programs}:${process.env['PATH'] ?? ''}`, HOME: gateway.directory }
  return namespace.run('unshare', ['--mount', 'sh', '-c', script.join('\n')], { env })
}
