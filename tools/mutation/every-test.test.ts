/**
 * The tests that mutants are tried with, as one file: a run loads what they import once, not once for each of them, and
 * that is most of what a mutant costs.
 */
import { globSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')

for (const file of globSync(['test/unit/authorization/**/*.test.ts', 'test/unit/registry/access.test.ts'], {
  cwd: root,
}).sort())
  await import(join(root, file))
