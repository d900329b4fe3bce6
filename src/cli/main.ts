import { readFile } from 'node:fs/promises'
import { createProgram } from './program.ts'

/** The command line. @param argv as `process.argv` */
export async function main(argv: readonly string[]): Promise<void> {
  // npm runs scripts at the root of the repository; paths that somebody typed begin where they typed them.
  const calledFrom = process.env['WHARFGATE_CALLED_FROM']
  if (calledFrom !== undefined) process.chdir(calledFrom)
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  const { version = 'unknown' } = JSON.parse(text) as { readonly version?: string }
  await createProgram(version).parseAsync(argv)
}
