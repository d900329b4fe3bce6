import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { ClientOptions, Credentials, RegistryClient } from '../support/client.ts'
import { createContainerdClient } from '../support/client-containerd.ts'
import { createBuildahClient, createPodmanClient, createSkopeoClient } from '../support/client-containers.ts'
import { createDockerClient } from '../support/client-docker.ts'
import { createCraneClient, createOrasClient } from '../support/client-go.ts'
import { installTrust } from '../support/client-trust.ts'
import { startDockerEngine } from '../support/docker-engine.ts'
import { createNetworkNamespace } from '../support/network-namespace.ts'
import type { NetworkNamespace } from '../support/network-namespace.ts'
import { part } from '../support/part.ts'
import { run } from '../support/processes.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'

type ClientCase = {
  readonly name: string
  readonly parts: readonly string[]
  readonly create: (options: ClientOptions) => RegistryClient | Promise<RegistryClient>
}

const clients: readonly ClientCase[] = [
  { name: 'docker', parts: ['docker', 'dockerd'], create: createDockerWithEngine },
  { name: 'podman', parts: ['podman'], create: createPodmanClient },
  { name: 'buildah', parts: ['buildah'], create: createBuildahClient },
  { name: 'skopeo', parts: ['skopeo'], create: createSkopeoClient },
  { name: 'ctr', parts: ['ctr', 'containerd'], create: createContainerdClient },
  { name: 'crane', parts: ['crane'], create: createCraneClient },
  { name: 'oras', parts: ['oras'], create: createOrasClient },
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

async function digestAt(registry: RealRegistry, repository: string, tag: string): Promise<string | null> {
  const types = ['oci.image.manifest.v1+json', 'docker.distribution.manifest.v2+json']
  const accept = types.map((type) => `application/vnd.${type}`).join(', ')
  const url = `${registry.url}/v2/${repository}/manifests/${tag}`
  return (await fetch(url, { method: 'HEAD', headers: { accept } })).headers.get('docker-content-digest')
}

describeWith(['docker-registry'], 'the real registry', () => {
  test('answers, keeps its data over a restart, and records what it was asked', async () => {
    const registry = await startRealRegistry({ isRelativeUrls: true })
    try {
      const started = await fetch(`${registry.url}/v2/alice/app/blobs/uploads/`, { method: 'POST' })
      expect(started.headers.get('location')).toMatch(/^\/v2\/alice\/app\/blobs\/uploads\//)
      const blob = randomBytes(1000)
      const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}`
      const target = `${registry.url}${started.headers.get('location') ?? ''}&digest=${digest}`
      expect((await fetch(target, { method: 'PUT', body: blob })).status).toBe(201)
      await registry.restart()
      const got = await fetch(`${registry.url}/v2/alice/app/blobs/${digest}`)
      expect(Buffer.from(await got.arrayBuffer())).toEqual(blob)
      expect(registry.requests().map(({ method, status }) => [method, status])).toEqual([
        ['POST', 202],
        ['PUT', 201],
        ['GET', 200],
      ])
    } finally {
      await registry.stop()
    }
  })
})

describe.each(clients)('$name against the plain registry', ({ name, parts, create }) => {
  describeWith(['docker-registry', ...parts], name, () => {
    let registry: RealRegistry
    let client: RegistryClient

    beforeAll(async () => {
      registry = await startRealRegistry()
      client = await create({ trust: { kind: 'plain-http' } })
    })
    afterAll(async () => {
      await client.stop()
      await registry.stop()
    })

    test('pushes, pulls, mounts into a second repository and deletes, with equal digests', async () => {
      const reference = `${registry.host}/alice/app:1`
      const made = await client.makeImage(reference, [{ name: 'file', content: randomBytes(70_000) }])
      expect(made).toHaveProperty('code', 0)
      const pushed = await client.push(reference)
      expect(pushed).toMatchObject({ code: 0, digest: await digestAt(registry, 'alice/app', '1') })

      const before = registry.requests().length
      expect(await client.pull(reference)).toMatchObject({ code: 0, digest: pushed.digest })
      const fetched = registry.requests().slice(before)
      expect(fetched.filter(({ method, bytes }) => method === 'GET' && bytes > 69_000)).toHaveLength(1)

      const copied = await client.copy(reference, `${registry.host}/alice/copy:1`)
      expect(copied).toMatchObject({ code: 0, digest: await digestAt(registry, 'alice/copy', '1') })
      const mounts = registry.requests().filter(({ target }) => target.includes('mount='))
      expect(mounts).toContainEqual(expect.objectContaining({ method: 'POST', status: 201 }))

      if (client.delete === undefined) return
      expect(await client.delete(`${registry.host}/alice/copy@${copied.digest ?? ''}`)).toHaveProperty('code', 0)
      expect(await digestAt(registry, 'alice/copy', '1')).toBeNull()
    })
  })
})

describe.each(clients)('$name in a network namespace, before a registry with TLS and a password', (client) => {
  const needed = ['docker-registry', 'network-namespace', 'ip', 'openssl', 'htpasswd', ...client.parts]
  describeWith(needed, client.name, () => {
    let directory: string
    let namespace: NetworkNamespace

    beforeAll(async () => {
      directory = mkdtempSync(join(tmpdir(), 'wharfgate-tls-'))
      namespace = await createNetworkNamespace({ addresses: ['10.89.7.1'], hosts: { 'registry.test': '10.89.7.1' } })
    })
    afterAll(async () => {
      await namespace.stop()
      rmSync(directory, { recursive: true, force: true })
    })

    test('trusts the CA where users copy it, and logs in', async () => {
      const alice = { username: 'alice', password: 'correct horse' }
      const registry = await startSecuredRegistry(namespace, directory, alice)
      const host = `registry.test:${String(registry.port)}`
      const reference = `${host}/alice/app:1`
      const user = await client.create({ trust: { kind: 'installed' }, place: namespace })
      try {
        await expect(fetch(`${registry.url}/v2/`)).rejects.toThrow()
        const made = await user.makeImage(reference, [{ name: 'file', content: randomBytes(1_000) }])
        expect(made).toHaveProperty('code', 0)
        expect(await user.push(reference)).toMatchObject({ stderr: expect.stringMatching(/x509|certificate/) })

        installTrust(namespace, host, readFileSync(join(directory, 'tls.crt'), 'utf8'))
        const stranger = await user.push(reference)
        expect(stranger.code).not.toBe(0)
        expect(stranger.stderr).not.toMatch(/x509/)

        expect(await user.login(host, alice)).toHaveProperty('code', 0)
        const pushed = await user.push(reference)
        expect(pushed).toMatchObject({ code: 0, digest: expect.stringMatching(/^sha256:/) })
        expect(await user.pull(reference)).toMatchObject({ code: 0, digest: pushed.digest })
        expect(await user.logout(host)).toHaveProperty('code', 0)
        expect((await user.pull(reference)).code).not.toBe(0)
      } finally {
        await user.stop()
        await registry.stop()
      }
    })
  })
})

async function startSecuredRegistry(namespace: NetworkNamespace, directory: string, user: Credentials) {
  const certificateFile = join(directory, 'tls.crt')
  const keyFile = join(directory, 'tls.key')
  const names = ['-subj', '/CN=registry.test', '-addext', 'subjectAltName=DNS:registry.test,IP:10.89.7.1']
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyFile]
  await run(part('openssl'), ['req', '-x509', '-days', '2', ...key, '-out', certificateFile, ...names])
  const file = join(directory, 'htpasswd')
  writeFileSync(file, (await run(part('htpasswd'), ['-niB', user.username], { input: user.password })).stdout)
  const tls = { certificateFile, keyFile }
  return startRealRegistry({ start: namespace.start, address: '10.89.7.1', tls, htpasswd: { file, realm: 'test' } })
}
