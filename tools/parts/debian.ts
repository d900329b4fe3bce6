import { chmodSync, existsSync, globSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { complaintOf, findExecutables, runCommand } from './command.ts'
import type { CommandResult } from './command.ts'

/** Where a group of packages was unpacked, or why it could not be. */
export type Unpacked =
  { readonly kind: 'unpacked'; readonly directory: string } | { readonly kind: 'missing'; readonly reason: string }

/** Fetches packages of Debian or Ubuntu and unpacks them into a private folder. */
export interface DebianPackages {
  /**
   * Unpacks the packages, and those they depend on that are not installed, into `DIRECTORY/parts/GROUP`. The first of
   * the `alternatives` (lists of package names) that the distribution knows is taken. `programs` are paths in the tree
   * that get a start script besides what stands in its program directories.
   */
  readonly unpack: (
    group: string,
    alternatives: readonly (readonly string[])[],
    programs?: readonly string[],
  ) => Promise<Unpacked>
  /** Removes the package lists that were fetched. */
  readonly close: () => void
}

/**
 * Nothing is installed: no service starts, no file outside the state directory changes, and root is not needed. Even
 * the package lists are fetched into the state directory, once, and only when a package is wanted.
 */
export function createDebianPackages(stateDirectory: string, path: string): DebianPackages {
  const apt = join(stateDirectory, `apt-${String(process.pid)}`)
  let updated: Promise<CommandResult> | undefined

  async function unpack(
    ...[group, alternatives, programs = []]: Parameters<DebianPackages['unpack']>
  ): Promise<Unpacked> {
    const absent = ['apt-get', 'dpkg-deb'].filter((tool) => findExecutables(tool, path).length === 0)
    if (absent.length > 0)
      return missing(`it is not installed and there is no ${absent.join(', no ')} to fetch it with`)
    updated ??= aptGet(apt, path, ['update'])
    const update = await updated
    if (update.code !== 0) return missing(`apt-get update failed: ${complaintOf(update.output)}`)
    let reason = 'no package is known'
    for (const packages of alternatives) {
      const archives = join(apt, 'archives', group)
      const answer = await download(apt, path, archives, packages)
      if (answer.code === 0) return unpackArchives(archives, join(stateDirectory, 'parts', group), programs)
      reason = `${packages.join(', ')} cannot be fetched: ${complaintOf(answer.output)}`
    }
    return missing(reason)
  }

  return {
    unpack,
    close: () => {
      rmSync(apt, { recursive: true, force: true })
    },
  }
}

function missing(reason: string): Unpacked {
  return { kind: 'missing', reason }
}

function aptGet(apt: string, path: string, args: readonly string[]): Promise<CommandResult> {
  mkdirSync(join(apt, 'lists'), { recursive: true })
  const settings = [
    `Dir::State::lists=${join(apt, 'lists')}`,
    `Dir::Cache=${apt}`,
    'Debug::NoLocking=true',
    'Acquire::Languages=none',
    // The sandbox user may not enter a private folder; signatures are checked all the same.
    ...(process.getuid?.() === 0 ? ['APT::Sandbox::User=root'] : []),
  ]
  return runCommand('apt-get', ['-qq', ...settings.flatMap((setting) => ['-o', setting]), ...args], {
    timeoutMs: 300_000,
    env: { ...process.env, PATH: path, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
  })
}

function download(apt: string, path: string, archives: string, packages: readonly string[]): Promise<CommandResult> {
  mkdirSync(join(archives, 'partial'), { recursive: true })
  const args = ['-o', `Dir::Cache::archives=${archives}`, 'install', '--download-only', '-y', '--no-install-recommends']
  return aptGet(apt, path, [...args, ...packages])
}

/** Unpacks every archive into one tree, adds a script for each program, and moves the tree into place as a whole. */
async function unpackArchives(archives: string, directory: string, programs: readonly string[]): Promise<Unpacked> {
  const draft = `${directory}.${String(process.pid)}`
  mkdirSync(draft, { recursive: true })
  try {
    for (const archive of readdirSync(archives).filter((name) => name.endsWith('.deb'))) {
      const answer = await runCommand('dpkg-deb', ['-x', join(archives, archive), draft], { timeoutMs: 120_000 })
      if (answer.code !== 0) return missing(`${archive} cannot be unpacked: ${complaintOf(answer.output)}`)
    }
    writeLaunchers(draft, programs)
    rmSync(directory, { recursive: true, force: true })
    renameSync(draft, directory)
    return { kind: 'unpacked', directory }
  } catch (error) {
    // Another run may have put the same tree there in between; that one is as good.
    if (existsSync(join(directory, launcherDirectory))) return { kind: 'unpacked', directory }
    return missing(`${directory} cannot be written: ${String(error)}`)
  } finally {
    rmSync(draft, { recursive: true, force: true })
    rmSync(archives, { recursive: true, force: true })
  }
}

/** The folder of an unpacked group that holds a start script for each of its programs. */
export const launcherDirectory = 'run'

/** libpulse keeps a library of its own apart, and looks for it in the root of the system. */
const libraryDirectories = ['{usr/lib,lib}/*-linux-*/', '{usr/lib,lib}/*-linux-*/pulseaudio/']
const programDirectories = ['usr/sbin', 'usr/bin', 'sbin', 'bin']

function writeLaunchers(root: string, programs: readonly string[]): void {
  mkdirSync(join(root, launcherDirectory))
  const libraries = globSync(libraryDirectories, { cwd: root }).map((folder) => folder.replace(/\/$/, ''))
  const usual = programDirectories.flatMap((directory) =>
    existsSync(join(root, directory)) ? readdirSync(join(root, directory)).map((name) => join(directory, name)) : [],
  )
  for (const program of [...usual, ...programs]) {
    const launcher = join(root, launcherDirectory, basename(program))
    writeFileSync(launcher, launcherScript(program, libraries))
    chmodSync(launcher, 0o755)
  }
}

/**
 * A shell script that becomes (exec: the process id stays) the unpacked program, which finds its libraries and the
 * other programs of its tree beside it.
 */
export function launcherScript(program: string, libraries: readonly string[]): string {
  const inTree = (folders: readonly string[]) => folders.map((folder) => `$root/${folder}:`).join('')
  const withLibraries = `export LD_LIBRARY_PATH="${inTree(libraries)}$LD_LIBRARY_PATH"`
  return [
    '#!/bin/sh',
    'root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)',
    `export PATH="${inTree(programDirectories)}$PATH"`,
    ...(libraries.length > 0 ? [withLibraries] : []),
    `exec "$root/${program}" "$@"`,
    '',
  ].join('\n')
}
