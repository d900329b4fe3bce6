import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** A real server or client that tests, benchmarks or the quickstart use: where it is, or why it is missing. */
export type Part = { readonly path: string; readonly version: string } | { readonly missing: string }

/** Every part by its name, as `.wharfgate/parts.json` holds them. */
export type Parts = Readonly<Record<string, Part>>

/** Where the parts are written down: `parts.json` of the state directory (`.wharfgate`). */
export function partsFile(stateDirectory: string): string {
  return join(stateDirectory, 'parts.json')
}

/** Reads what was found the last time; empty when nothing was, or when the file is not what we write. */
export function readParts(stateDirectory: string): Parts {
  try {
    return parseParts(JSON.parse(readFileSync(partsFile(stateDirectory), 'utf8')))
  } catch {
    return {}
  }
}

/** Writes the parts over those of an earlier run that knew others; whole or not at all. */
export function writeParts(stateDirectory: string, parts: Parts): void {
  const file = partsFile(stateDirectory)
  const draft = `${file}.${String(process.pid)}`
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(draft, `${JSON.stringify({ ...readParts(stateDirectory), ...parts }, null, 2)}\n`)
  renameSync(draft, file)
}

/** The entries of a parsed `parts.json` that are parts; anything else is left out. */
export function parseParts(value: unknown): Parts {
  if (typeof value !== 'object' || value === null) return {}
  const parts: Record<string, Part> = {}
  for (const [name, entry] of Object.entries(value)) {
    const part = parsePart(entry)
    if (part !== undefined) parts[name] = part
  }
  return parts
}

function parsePart(value: unknown): Part | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  if ('missing' in value && typeof value.missing === 'string') return { missing: value.missing }
  if (!('path' in value) || !('version' in value)) return undefined
  const { path, version } = value
  return typeof path === 'string' && typeof version === 'string' ? { path, version } : undefined
}
