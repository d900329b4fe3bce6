import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from '@jest/globals'
import type { Parts } from '../../tools/parts/parts-file.ts'
import { explain, foundParts } from './part.ts'

/** Whether a suite runs, and why not. */
export type Gate =
  | { readonly kind: 'run' }
  | { readonly kind: 'skip'; readonly reason: string }
  | { readonly kind: 'fail'; readonly reason: string }

/**
 * A `describe` for a suite that needs real parts. When one is missing the suite is skipped with the reason in its title;
 * with `CI=true` it fails, unless test/unavailable.md lists the part. The body runs only when every part is there.
 */
export function describeWith(names: readonly string[], title: string, body: () => void): void {
  const gate = decide(names, foundParts(), readUnavailable(), process.env['CI'] === 'true')
  switch (gate.kind) {
    case 'run':
      describe(title, body)
      return
    case 'skip':
      describe(title, () => {
        test.skip(gate.reason, () => undefined)
      })
      return
    case 'fail':
      describe(title, () => {
        test('has the real parts it needs', () => {
          throw new Error(gate.reason)
        })
      })
  }
}

/** Decides about a suite from what it needs and what there is; pure. */
export function decide(
  names: readonly string[],
  parts: Parts,
  unavailable: ReadonlyMap<string, string>,
  isContinuousIntegration: boolean,
): Gate {
  const missing = names.filter((name) => {
    const found = parts[name]
    return found === undefined || 'missing' in found
  })
  if (missing.length === 0) return { kind: 'run' }
  const mustBeThere = missing.filter((name) => !unavailable.has(name))
  if (isContinuousIntegration && mustBeThere.length > 0) {
    return { kind: 'fail', reason: mustBeThere.map((name) => explain(name, parts)).join('; ') }
  }
  const reasons = missing.map((name) => {
    const listed = unavailable.get(name)
    return listed === undefined ? explain(name, parts) : `${name} is missing: ${listed} (test/unavailable.md)`
  })
  return { kind: 'skip', reason: reasons.join('; ') }
}

/** Reads the table `| part | reason |` of test/unavailable.md; other lines are prose. */
export function parseUnavailable(markdown: string): ReadonlyMap<string, string> {
  const rows = markdown.matchAll(/^\|\s*`?([a-z0-9-]+)`?\s*\|\s*(.*?)\s*\|\s*$/gm)
  const entries = [...rows].map(([, name = '', reason = '']) => [name, reason] as const)
  return new Map(entries.filter(([name]) => name !== 'part' && !/^-+$/.test(name)))
}

function readUnavailable(): ReadonlyMap<string, string> {
  return parseUnavailable(readFileSync(join(import.meta.dirname, '..', 'unavailable.md'), 'utf8'))
}
