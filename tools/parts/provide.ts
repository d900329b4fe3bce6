import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { PartDescription } from './catalogue.ts'
import { complaintOf, findExecutables, findVersion, probeTimeoutMs, runCommand } from './command.ts'
import { createDebianPackages, launcherDirectory } from './debian.ts'
import type { DebianPackages } from './debian.ts'
import { buildGoProgram, goProgramPath } from './go-program.ts'
import { createNeedCheck } from './needs.ts'
import type { Part, Parts } from './parts-file.ts'

/** What providing parts works with. */
export type ProvideOptions = {
  /** Where fetched parts are kept: `.wharfgate`, an absolute path. */
  readonly stateDirectory: string
  /** The PATH to search. */
  readonly path: string
  /** Told a line at a time what takes long. */
  readonly report: (line: string) => void
}

/**
 * Finds each part on the machine, else in the state directory, else fetches it there. Never throws for a part that
 * cannot be had: that one is `missing`, with a reason.
 */
export async function provideParts(wanted: readonly PartDescription[], options: ProvideOptions): Promise<Parts> {
  const packages = createDebianPackages(options.stateDirectory, options.path)
  const checkNeed = createNeedCheck(options.path)
  const parts = new Map<string, Part>()
  const sought: PartDescription[] = []
  try {
    const found = wanted.map(async (part) => {
      for (const need of part.needs) {
        const reason = await checkNeed(need)
        if (reason !== undefined) return parts.set(part.name, { missing: reason })
      }
      const present = await findPart(part, options)
      return present === undefined ? sought.push(part) : parts.set(part.name, present)
    })
    await Promise.all(found)
    // One after the other, in the order of the catalogue: building Go programs beside apt makes both slower on two cores.
    for (const part of wanted.filter((candidate) => sought.includes(candidate))) {
      parts.set(part.name, (await findPart(part, options)) ?? (await fetchPart(part, options, packages)))
    }
  } finally {
    packages.close()
  }
  return Object.fromEntries(
    wanted.map((part) => [part.name, parts.get(part.name) ?? { missing: 'it was not looked for' }]),
  )
}

/** Looks on the PATH and in what earlier runs left; undefined when nothing that works is there. */
async function findPart(part: PartDescription, options: ProvideOptions): Promise<Part | undefined> {
  const installed = part.commands.flatMap((command) => findExecutables(command, options.path))
  const candidates = [...installed, ...fetchedPaths(part, options.stateDirectory).filter((path) => existsSync(path))]
  for (const path of candidates) {
    const tried = await tryPart(part, path)
    if (!('missing' in tried)) return tried
  }
  return undefined
}

function fetchedPaths({ commands, source }: PartDescription, stateDirectory: string): readonly string[] {
  switch (source.kind) {
    case 'debian':
      return commands.map((command) => join(stateDirectory, 'parts', source.group, launcherDirectory, command))
    case 'go':
      return [goProgramPath(stateDirectory, source)]
    case 'system':
      return []
  }
}

async function tryPart(part: PartDescription, path: string): Promise<Part> {
  const { code, output } = await runCommand(path, part.probe, { timeoutMs: probeTimeoutMs })
  if (code !== 0) return { missing: `${path} does not work: ${complaintOf(output)}` }
  if (part.expected !== undefined && !part.expected.test(output)) return { missing: `${path} is something else` }
  const pinned = part.source.kind === 'go' && part.source.version.replace(/^v/, '')
  return { path, version: findVersion(output) ?? (pinned === false ? 'unknown' : pinned) }
}

async function fetchPart(part: PartDescription, options: ProvideOptions, packages: DebianPackages): Promise<Part> {
  const { source } = part
  switch (source.kind) {
    case 'debian': {
      return timed(options, `fetching ${source.group} (Debian packages)`, async () => {
        const unpacked = await packages.unpack(source.group, source.packages, source.programs)
        if (unpacked.kind === 'missing') return { missing: unpacked.reason }
        const [path] = fetchedPaths(part, options.stateDirectory).filter((candidate) => existsSync(candidate))
        return path === undefined
          ? { missing: `the packages hold no ${part.commands.join(' or ')}` }
          : tryPart(part, path)
      })
    }
    case 'go':
      return timed(options, `building ${part.name} ${source.version} with go`, () =>
        buildGoProgram(options.stateDirectory, source, options.path),
      )
    case 'system':
      return { missing: `${source.hint} are not on the PATH` }
  }
}

async function timed(options: ProvideOptions, what: string, work: () => Promise<Part>): Promise<Part> {
  options.report(`${what} ...`)
  const startedMs = performance.now()
  const part = await work()
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
  options.report('missing' in part ? `${what}: ${part.missing}` : `${what}: done in ${seconds} s`)
  return part
}
