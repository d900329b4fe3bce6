import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClientHome, findDigest, withDigest } from './client.ts'
import type { ClientOptions, RegistryClient, Trust } from './client.ts'
import { writeImageArchive } from './client-image.ts'
import { part } from './part.ts'
import type { RunOptions } from './processes.ts'

/** crane (go-containerregistry); its images are archives of its home. Needs the part `crane`. */
export function createCraneClient({ trust, place }: ClientOptions): RegistryClient {
  const home = createClientHome('crane', place)
  const env = { ...home.env, ...caEnvironment(trust) }
  const flags = trust.kind === 'plain-http' || trust.kind === 'unverified' ? ['--insecure'] : []
  const command = (args: readonly string[], options: RunOptions = {}) =>
    home.place.run(part('crane'), [...args, ...flags], { env, ...options })
  const image = (reference: string) => join(home.directory, createHash('sha256').update(reference).digest('hex'))
  return {
    name: 'crane',
    command,
    login: (registry, { username, password }) =>
      command(['auth', 'login', '--username', username, '--password-stdin', registry], { input: password }),
    logout: (registry) => command(['auth', 'logout', registry]),
    makeImage: (reference, files) => {
      writeImageArchive(image(reference), reference, files)
      return Promise.resolve({ code: 0, stdout: '', stderr: '' })
    },
    push: async (reference) =>
      withDigest(await command(['push', image(reference), reference]), ({ stdout }) => findDigest(stdout)),
    pull: async (reference) => {
      rmSync(image(reference), { recursive: true, force: true })
      const pull = ['pull', '--format', 'oci', reference, image(reference)]
      return withDigest(await command(pull), () =>
        findDigest(readFileSync(join(image(reference), 'index.json'), 'utf8')),
      )
    },
    copy: async (source, target) =>
      withDigest(await command(['copy', source, target]), ({ stderr }) => findDigest(stderr)),
    delete: (reference) => command(['delete', reference]),
    stop: () => {
      home.remove()
      return Promise.resolve()
    },
  }
}

/** oras; its artifacts are folders of files. Needs the part `oras`. */
export function createOrasClient({ trust, place }: ClientOptions): RegistryClient {
  const home = createClientHome('oras', place)
  const artifact = (reference: string) => join(home.directory, createHash('sha256').update(reference).digest('hex'))
  const names = new Map<string, readonly string[]>()
  const command = (args: readonly string[], options: RunOptions = {}) =>
    home.place.run(part('oras'), args, { env: home.env, ...options })
  const flags = orasFlags(trust)
  return {
    name: 'oras',
    command,
    login: (registry, { username, password }) =>
      command(['login', ...flags(), '--username', username, '--password-stdin', registry], { input: password }),
    logout: (registry) => command(['logout', registry]),
    makeImage: (reference, files) => {
      mkdirSync(artifact(reference), { recursive: true })
      for (const { name, content } of files) writeFileSync(join(artifact(reference), name), content)
      names.set(
        reference,
        files.map(({ name }) => name),
      )
      return Promise.resolve({ code: 0, stdout: '', stderr: '' })
    },
    push: async (reference) => {
      const args = ['push', ...flags(), reference, ...(names.get(reference) ?? [])]
      return withDigest(await command(args, { cwd: artifact(reference) }), ({ stdout }) => findDigest(stdout))
    },
    pull: async (reference) => {
      rmSync(artifact(reference), { recursive: true, force: true })
      const args = ['pull', ...flags(), '--output', artifact(reference), reference]
      return withDigest(await command(args), ({ stdout }) => findDigest(stdout))
    },
    copy: async (source, target) =>
      withDigest(await command(['copy', ...flags('from-'), ...flags('to-'), source, target]), ({ stdout }) =>
        findDigest(stdout),
      ),
    delete: (reference) => command(['manifest', 'delete', ...flags(), '--force', reference]),
    stop: () => {
      home.remove()
      return Promise.resolve()
    },
  }
}

/** Go programs read one file of trusted CAs, which is the system's own unless this names another. */
function caEnvironment(trust: Trust): NodeJS.ProcessEnv {
  return trust.kind === 'ca' ? { SSL_CERT_FILE: trust.file } : {}
}

function orasFlags(trust: Trust): (side?: '' | 'from-' | 'to-') => readonly string[] {
  return (side = '') => {
    switch (trust.kind) {
      case 'installed':
        return []
      case 'plain-http':
        return [`--${side}plain-http`]
      case 'unverified':
        return [`--${side}insecure`]
      case 'ca':
        return [`--${side}ca-file`, trust.file]
    }
  }
}
