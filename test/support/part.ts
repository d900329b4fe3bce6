import { join } from 'node:path'
import { readParts } from '../../tools/parts/parts-file.ts'
import type { Parts } from '../../tools/parts/parts-file.ts'

/** What tools/provide-parts.ts found on this machine; empty when it was never run. */
export function foundParts(): Parts {
  return readParts(join(import.meta.dirname, '..', '..', '.wharfgate'))
}

/**
 * Where a part is, as an absolute path of an executable.
 *
 * @throws Error with the reason when it is missing: call it in a suite whose `describeWith` names the part.
 */
export function part(name: string): string {
  const found = foundParts()[name]
  if (found === undefined || 'missing' in found) throw new Error(explain(name, foundParts()))
  return found.path
}

/** Says in a sentence why a part is not there. */
export function explain(name: string, parts: Parts): string {
  const found = parts[name]
  if (found === undefined) return `${name} was not looked for: run node tools/provide-parts.ts`
  return 'missing' in found ? `${name} is missing: ${found.missing}` : `${name} is there`
}
