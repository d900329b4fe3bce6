import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { searchWritten, writtenFolderVariable } from './canaries.ts'

const maxHitsTold = 20

/**
 * Jest's globalTeardown: fails the run when a secret stands in anything that a gateway of the run wrote. What was
 * searched stays where it is then.
 *
 * @throws Error that names file, line and secret of each hit
 */
export default async function searchForSecrets(): Promise<void> {
  const folder = process.env[writtenFolderVariable]
  if (folder === undefined) return
  const { hits, files, bytes, canaries } = await searchWritten(folder)
  const searched = `${canaries} secrets were looked for in ${files} texts of ${bytes} bytes that gateways wrote`
  if (hits.length === 0) {
    process.stderr.write(`${searched}: none is there\n`)
    rmSync(folder, { recursive: true, force: true })
    return
  }
  const places = hits.slice(0, maxHitsTold).map(({ file, line, canary }) => `${join(folder, file)}:${line} ${canary}`)
  throw new Error(`${searched}: ${hits.length} are there\n${places.join('\n')}`)
}
