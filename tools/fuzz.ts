/**
 * Fuzzes what reads other people's bytes: `npm run fuzz`, with `--seconds N` (60 unless told, for all together),
 * `--seed S` to have the same inputs again, `--only NAME`, and `--input JSON` to try the one that failed. Exits 1 when
 * something did not hold.
 */
import { parseArgs } from 'node:util'
import { fuzz } from './fuzz/session.ts'
import { targets } from './fuzz/targets.ts'

function wholeNumber(option: string, text: string): number {
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 0) throw new Error(`--${option} is a whole number, not ${text}`)
  return number
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
      only: { type: 'string', multiple: true },
      input: { type: 'string' },
    },
  })
  const known = targets.map(({ name }) => name)
  const names = values.only ?? known
  const unknown = names.filter((name) => !known.includes(name))
  if (unknown.length > 0) throw new Error(`unknown target ${unknown.join(', ')}; known are ${known.join(', ')}`)
  if (values.input !== undefined) {
    if (names.length !== 1) throw new Error('--input needs the one --only that it is for')
    await targets.find(({ name }) => name === names[0])?.reproduce(values.input)
    console.log('the input holds')
    return true
  }
  const [seconds, seed] = [wholeNumber('seconds', values.seconds), wholeNumber('seed', values.seed)]
  console.log(`fuzzing for ${String(seconds)} s with --seed ${String(seed)}`)
  const module = new URL('./fuzz/targets.ts', import.meta.url).href
  return fuzz({ module, names, seconds, seed, print: console.log })
}

try {
  process.exitCode = (await main()) ? 0 : 1
} catch (error) {
  console.error(`fuzz: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
