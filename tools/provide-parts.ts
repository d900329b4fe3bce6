/**
 * `node tools/provide-parts.ts [--only NAME,...]`: finds or fetches the real servers and clients that the tests and
 * benchmarks use, and writes down in `.wharfgate/parts.json` where each is or why it is missing. A missing part is no
 * failure here: whoever needs it decides (test/support/real-parts.ts).
 */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { catalogue } from './parts/catalogue.ts'
import { writeParts } from './parts/parts-file.ts'
import { provideParts } from './parts/provide.ts'

const stateDirectory = join(dirname(fileURLToPath(import.meta.url)), '..', '.wharfgate')

function say(line: string): void {
  process.stderr.write(`parts: ${line}\n`)
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { only: { type: 'string' } } })
  const names = values.only?.split(',') ?? catalogue.map((part) => part.name)
  const unknown = names.filter((name) => !catalogue.some((part) => part.name === name))
  if (unknown.length > 0) {
    say(`unknown part "${unknown.join('", "')}"; known are ${catalogue.map((part) => part.name).join(', ')}`)
    return 2
  }
  const wanted = catalogue.filter((part) => names.includes(part.name))
  const parts = await provideParts(wanted, { stateDirectory, path: process.env['PATH'] ?? '', report: say })
  writeParts(stateDirectory, parts)
  for (const [name, part] of Object.entries(parts)) if ('missing' in part) say(`${name} is missing: ${part.missing}`)
  const ready = Object.values(parts).filter((part) => !('missing' in part)).length
  say(`${String(ready)} of ${String(wanted.length)} ready`)
  return 0
}

process.exitCode = await main()
