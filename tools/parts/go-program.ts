import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { complaintOf, findExecutables, runCommand } from './command.ts'
import type { Source } from './catalogue.ts'
import type { Part } from './parts-file.ts'

type GoSource = Extract<Source, { kind: 'go' }>

/** Where a build of exactly this version stands, whether or not it was made yet. */
export function goProgramPath(stateDirectory: string, { program, version }: GoSource): string {
  return join(stateDirectory, 'parts', `${basename(program)}-${version}`, basename(program))
}

/**
 * Builds a Go program at its pinned version, from the modules the Go client fetches and checks against the public
 * checksum database. The module is required by a throw-away module of our own rather than named as `path@version`:
 * that form also asks for the list of all versions, which not every module proxy serves.
 */
export async function buildGoProgram(stateDirectory: string, source: GoSource, path: string): Promise<Part> {
  const [go] = findExecutables('go', path)
  if (go === undefined) return { missing: 'it is not installed and there is no go to build it with' }
  const program = goProgramPath(stateDirectory, source)
  const draft = `${join(program, '..')}.${String(process.pid)}`
  mkdirSync(draft, { recursive: true })
  try {
    writeFileSync(join(draft, 'go.mod'), `module parts\n\nrequire ${source.module} ${source.version}\n`)
    const target = join(draft, basename(program))
    const args = ['build', '-mod=mod', '-ldflags=-s -w', '-o', target, `${source.module}/${source.program}`]
    const env = { ...process.env, PATH: path, GOTOOLCHAIN: 'local', GOWORK: 'off', CGO_ENABLED: '0' }
    const { code, output } = await runCommand(go, args, { cwd: draft, env, timeoutMs: 600_000 })
    if (code !== 0) return { missing: `go cannot build ${source.module} ${source.version}: ${complaintOf(output)}` }
    if (!existsSync(program)) renameSync(draft, join(program, '..'))
    return { path: program, version: source.version.replace(/^v/, '') }
  } catch (error) {
    return { missing: `${program} cannot be written: ${String(error)}` }
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}
