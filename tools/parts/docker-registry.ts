import { resolve } from 'node:path'
import { catalogue } from './catalogue.ts'
import type { Part } from './parts-file.ts'
import { provideParts } from './provide.ts'

/**
 * A real registry (distribution) as a program to start: one on the PATH, one unpacked earlier, else the Debian or
 * Ubuntu package, downloaded and unpacked into the state directory. Never installed, so no service starts; needs no root.
 *
 * @returns its path and version, or why there is none, as a sentence without a subject ("it is not installed and ...").
 */
export async function provideDockerRegistry(
  stateDirectory: string,
  report: (line: string) => void = () => undefined,
): Promise<Part> {
  const wanted = catalogue.filter((part) => part.name === 'docker-registry')
  const options = { stateDirectory: resolve(stateDirectory), path: process.env['PATH'] ?? '', report }
  const parts = await provideParts(wanted, options)
  return parts['docker-registry'] ?? { missing: 'it is not in the catalogue' }
}
