/** The long rows at full size: `npm run soak`, or one of them with `--only NAME`. Prints a line for each; exits 1 when one did not hold. */
import { parseArgs } from 'node:util'
import { soakRows } from './soak-rows.ts'
import type { SoakRow } from './soak-rows.ts'

/** Runs a row to its end; resolves with whether it held. */
async function run({ name, promise, measure }: SoakRow): Promise<boolean> {
  const startedMs = performance.now()
  const result = await measure().then(
    (figure) => ({ held: true, figure }),
    (error: unknown) => ({ held: false, figure: error instanceof Error ? error.message : String(error) }),
  )
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(0).padStart(4)
  console.log(`${result.held ? 'held  ' : 'FAILED'} ${seconds} s  ${name.padEnd(12)}  ${promise}: ${result.figure}`)
  return result.held
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({ options: { only: { type: 'string', multiple: true } } })
  const names = values.only ?? soakRows.map(({ name }) => name)
  const unknown = names.filter((name) => !soakRows.some((row) => row.name === name))
  if (unknown.length > 0) {
    throw new Error(`unknown row ${unknown.join(', ')}; known are ${soakRows.map(({ name }) => name).join(', ')}`)
  }
  const wanted = soakRows.filter(({ name }) => names.includes(name))
  // Those that mostly wait run beside the others, which follow one another, so that their figures are their own.
  const waiting = wanted.filter(({ kind }) => kind === 'waits').map(run)
  const held: boolean[] = []
  for (const row of wanted.filter(({ kind }) => kind === 'works')) held.push(await run(row))
  return [...held, ...(await Promise.all(waiting))].every(Boolean)
}

try {
  process.exitCode = (await main()) ? 0 : 1
} catch (error) {
  console.error(`soak: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
