/** The policy in force: read from a file or a folder, replaced whole, and kept when what would replace it is at fault. */
import { basename, join } from 'node:path'
import { maxDocumentBytes } from '../config/document.ts'
import type { Fault } from '../config/document.ts'
import { codeOf, readTextFile } from '../config/text-file.ts'
import type { ReadFile } from '../config/text-file.ts'
import type { LoadedPolicy } from './compile-policy.ts'
import { loadPolicy } from './load-policy.ts'
import type { PolicyFile } from './load-policy.ts'

/** How policies are read. */
export type PolicyFolder = {
  readonly readFile: ReadFile
  /** The names in a folder; throws a system error with a `code`. `readdirSync` of `node:fs` is one. */
  readonly listFolder: (path: string) => readonly string[]
}

/** The policy cannot be used; `problems` are `file:line:column key: sentence`, one for each fault. */
export class PolicyError extends Error {
  readonly code = 'POLICY_INVALID'
  readonly source = 'gateway'
  readonly faults: readonly Fault[]
  readonly problems: readonly string[]

  constructor(faults: readonly Fault[]) {
    const problems = faults.map(printFault)
    super(`the policy cannot be used\n${problems.join('\n')}`)
    this.name = 'PolicyError'
    this.faults = faults
    this.problems = problems
  }
}

export function printFault({ file, line, column, key, sentence }: Fault): string {
  return `${file}:${line}:${column} ${key}: ${sentence}`
}

export type PolicyStore = {
  readonly current: () => LoadedPolicy
  /**
   * Reads the policy of a path and puts it in force, whole and at once, under the next generation; where the files say
   * what they said before, nothing changes, and nothing is made of them: that takes long.
   *
   * @throws PolicyError when it is missing, empty or at fault; everything stays as it was
   */
  readonly replace: (path: string) => Promise<void>
  /** The files that the policy is made of now, to be watched; a file that is new in the folder is among them. */
  readonly watched: () => readonly string[]
}

/**
 * Opens the policy of a file or folder.
 *
 * @throws PolicyError when it is missing, empty or at fault
 */
export async function createPolicyStore(path: string, folder: PolicyFolder): Promise<PolicyStore> {
  let opened = makePolicy(path, await filesOf(path, folder), 1)
  return {
    current: () => opened.policy,
    replace: async (next) => {
      const files = await filesOf(next, folder)
      if (!isSame({ path: next, files }, opened)) opened = makePolicy(next, files, opened.policy.generation + 1)
    },
    watched: () => {
      const listing = listPolicyFiles(opened.path, folder)
      if (listing.kind === 'ok') return listing.paths
      // What does not belong in the folder is watched too: that it appears, and that it goes, are changes.
      const misplaced = listing.faults.filter(({ file }) => file !== opened.path)
      return [...opened.files, ...misplaced].map(({ file }) => file)
    },
  }
}

type Opened = { readonly path: string; readonly files: readonly PolicyFile[]; readonly policy: LoadedPolicy }

function isSame(one: Omit<Opened, 'policy'>, other: Omit<Opened, 'policy'>): boolean {
  return one.path === other.path && JSON.stringify(one.files) === JSON.stringify(other.files)
}

async function filesOf(path: string, folder: PolicyFolder): Promise<readonly PolicyFile[]> {
  const reading = await readPolicyFiles(path, folder)
  if (reading.kind === 'faults') throw new PolicyError(reading.faults)
  return reading.files
}

function makePolicy(path: string, files: readonly PolicyFile[], generation: number): Opened {
  const loading = loadPolicy(files, { name: basename(path), generation })
  if (loading.kind === 'faults') throw new PolicyError(loading.faults)
  return { path, files, policy: loading.policy }
}

/** The answer of {@link readPolicyFiles}. */
export type PolicyFilesReading =
  | { readonly kind: 'ok'; readonly files: readonly PolicyFile[] }
  | { readonly kind: 'faults'; readonly faults: readonly Fault[] }

/** Reads the files of a policy. Never throws: every file that cannot be read is a fault. */
export async function readPolicyFiles(path: string, folder: PolicyFolder): Promise<PolicyFilesReading> {
  const listing = listPolicyFiles(path, folder)
  if (listing.kind === 'faults') return listing
  const readings = await Promise.all(
    listing.paths.map(async (file) => ({ file, ...(await readTextFile(folder.readFile, file, maxDocumentBytes)) })),
  )
  const faults = readings.flatMap((reading) =>
    reading.kind === 'fault' ? [wholeFile(reading.file, reading.sentence)] : [],
  )
  if (faults.length > 0) return { kind: 'faults', faults }
  const files = readings.flatMap((reading) =>
    reading.kind === 'ok' ? [{ file: reading.file, text: reading.text }] : [],
  )
  return { kind: 'ok', files }
}

type Listing =
  | { readonly kind: 'ok'; readonly paths: readonly string[] }
  | { readonly kind: 'faults'; readonly faults: readonly Fault[] }

const maxFiles = 1_000

/** The policy files of a folder by name, or the one file. Hidden names are left out: editors and Kubernetes make them. */
function listPolicyFiles(path: string, { listFolder }: PolicyFolder): Listing {
  let names: readonly string[]
  try {
    names = listFolder(path).filter((name) => !name.startsWith('.'))
  } catch (error) {
    // Whatever else it is, reading it will tell.
    return codeOf(error) === 'ENOENT'
      ? {
          kind: 'faults',
          faults: [wholeFile(path, 'does not exist (ENOENT); name the file or folder of the policies')],
        }
      : { kind: 'ok', paths: [path] }
  }
  const misnamed = names
    .filter((name) => name.endsWith('.yml'))
    .map((name) => wholeFile(join(path, name), 'is not read, since only names in .yaml are; rename it or move it away'))
  if (misnamed.length > 0) return { kind: 'faults', faults: misnamed }
  const own = names.filter((name) => name.endsWith('.yaml') && !name.endsWith('.cases.yaml')).sort()
  if (own.length === 0) return { kind: 'faults', faults: [wholeFile(path, 'holds no policy: no file in .yaml')] }
  if (own.length > maxFiles)
    return { kind: 'faults', faults: [wholeFile(path, `holds more than ${maxFiles} files in .yaml`)] }
  return { kind: 'ok', paths: own.map((name) => join(path, name)) }
}

function wholeFile(file: string, sentence: string): Fault {
  return { file, line: 1, column: 1, key: 'document', sentence }
}
