/**
 * Runs Stryker as stryker.config.js says, and writes docs/reference/mutation.md from a whole run. With words behind it, such
 * as `--mutate src/authorization/wildcard.ts`, they go to Stryker and the page stays as it is.
 */
import { spawn } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { countOf, mutationPage, scoreOf, survivorsOf } from './mutation/report.ts'
import type { MutationReport } from './mutation/report.ts'
import { knownSurvivors } from './mutation/survivors.ts'

const leastScore = 90

const root = join(import.meta.dirname, '..')
const reportFile = join(root, '.wharfgate/mutation/report.json')

function runStryker(words: readonly string[]): Promise<number> {
  const stryker = join(root, 'node_modules/@stryker-mutator/core/bin/stryker.js')
  const child = spawn(process.execPath, [stryker, 'run', ...words], { cwd: root, stdio: 'inherit' })
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code) => {
      resolve(code ?? 1)
    })
  })
}

async function main(words: readonly string[]): Promise<number> {
  rmSync(reportFile, { force: true })
  const code = await runStryker(words)
  if (code !== 0) return code
  // Our own tool wrote it a moment ago.
  const report = JSON.parse(readFileSync(reportFile, 'utf8')) as MutationReport
  const count = countOf(Object.values(report.files).flatMap(({ mutants }) => mutants))
  for (const { file, line, replacement, reason } of survivorsOf(report, knownSurvivors))
    console.log(`${file}:${line} survived: ${replacement}${reason === undefined ? '' : ` (${reason})`}`)
  console.log(`score ${scoreOf(count).toFixed(1)} %: ${count.killed} of ${count.all} mutants found`)
  if (words.length === 0) {
    const page = mutationPage(report, knownSurvivors, new Date().toISOString().slice(0, 10))
    writeFileSync(join(root, 'docs/reference/mutation.md'), page)
  }
  return scoreOf(count) >= leastScore ? 0 : 1
}

process.exitCode = await main(process.argv.slice(2))
