import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Whoever has logged in may do everything: for tests that are about something else. */
export const everythingForUsers = ['rules:', '  - allow: owner', '    to: authenticated', '    on: "**"', ''].join('\n')

/** Writes a policy to where a configuration in the same folder looks for it. */
export function writePolicy(directory: string, text = everythingForUsers, name = 'default.yaml'): void {
  mkdirSync(join(directory, 'policies'), { recursive: true })
  writeFileSync(join(directory, 'policies', name), text)
}
