import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ImageFile } from './client-image.ts'
import type { Place } from './docker-engine.ts'
import { run, start } from './processes.ts'
import type { RunOptions, RunResult } from './processes.ts'

/** What moved an image: `digest` is that of the manifest, as the client itself tells it; undefined when it failed. */
export type TransferResult = RunResult & { readonly digest: string | undefined }

/** How a client is to trust the registry. */
export type Trust =
  /** As the client does on its own: by what was copied to the places that `certs init` names. */
  | { readonly kind: 'installed' }
  /** By a CA file that it is pointed at. */
  | { readonly kind: 'ca'; readonly file: string }
  /** TLS without a check of the certificate. */
  | { readonly kind: 'unverified' }
  /** No TLS at all. */
  | { readonly kind: 'plain-http' }

export type Credentials = { readonly username: string; readonly password: string }

export type ClientOptions = {
  readonly trust: Trust
  /** Inside a network namespace; on the machine itself when left out. */
  readonly place?: Place
}

/**
 * A real client of registries with a private home: its credentials, its images and its settings are its own. References
 * are whole: `127.0.0.1:5000/alice/app:1`. Nothing here throws for a client that fails: its exit code and words are the result.
 */
export interface RegistryClient {
  readonly name: string
  /** Asks the registry, and remembers the credentials. A client without such a command just remembers. */
  readonly login: (registry: string, credentials: Credentials) => Promise<RunResult>
  readonly logout: (registry: string) => Promise<RunResult>
  /** Makes an image of the client's own, by its own means, under that reference. */
  readonly makeImage: (reference: string, files: readonly ImageFile[]) => Promise<RunResult>
  /** Sends the image that `makeImage` or `pull` put under that reference. */
  readonly push: (reference: string) => Promise<TransferResult>
  /** Drops what it has under that reference, then fetches it. */
  readonly pull: (reference: string) => Promise<TransferResult>
  /** Puts the image of one repository into another of the same registry: where the client can, by mounting. */
  readonly copy: (source: string, target: string) => Promise<TransferResult>
  /** Deletes the manifest at the registry; undefined for a client without such a command. */
  readonly delete: ((reference: string) => Promise<RunResult>) | undefined
  /** Runs any other command of the client, with its home and settings. */
  readonly command: (args: readonly string[], options?: RunOptions) => Promise<RunResult>
  /** Ends what it runs and removes its home. */
  readonly stop: () => Promise<void>
}

/** A client's private home and the environment that points there. */
export type ClientHome = {
  readonly directory: string
  readonly place: Place
  readonly env: NodeJS.ProcessEnv
  readonly remove: () => void
}

/** Makes an empty home. Nothing of the caller's environment goes in but the PATH: no proxy, no settings, no login. */
export function createClientHome(name: string, place: Place = { start, run }): ClientHome {
  const directory = mkdtempSync(join(tmpdir(), `wharfgate-${name}-`))
  const runtime = join(directory, 'runtime')
  mkdirSync(runtime, { mode: 0o700 })
  const env = { PATH: process.env['PATH'], HOME: directory, XDG_RUNTIME_DIR: runtime, TMPDIR: directory, LC_ALL: 'C' }
  return {
    directory,
    place,
    env,
    remove: () => {
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** Adds the digest that `find` reads, when the client succeeded. */
export async function withDigest(
  result: RunResult,
  find: (result: RunResult) => Promise<string | undefined> | string | undefined,
): Promise<TransferResult> {
  return { ...result, digest: result.code === 0 ? await find(result) : undefined }
}

/** The last digest that a text names. */
export function findDigest(text: string): string | undefined {
  return [...text.matchAll(/sha256:[0-9a-f]{64}/g)].at(-1)?.[0]
}
