/**
 * Runs Stryker as stryker.config.js says, and writes docs/reference/mutation.md. What an earlier run of this machine found
 * is kept in .wharfgate/mutation, and only what has changed since is tried: `--force` tries everything again. With
 * `--mutate src/authorization/wildcard.ts` only this file is tried, and the page stays as it is.
 */
import { spawn } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, matchesGlob } from 'node:path'
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

/** The part of a report that is about the files of `--mutate`; all of it where none are named. */
function scopeOf(report: MutationReport, words: readonly string[]): MutationReport {
  const at = words.findIndex((word) => word === '--mutate' || word === '-m')
  if (at === -1) return report
  const patterns = (words[at + 1] ?? '').split(',').map((pattern) => pattern.replace(/:\d.*$/, ''))
  const files = Object.entries(report.files).filter(([file]) => patterns.some((pattern) => matchesGlob(file, pattern)))
  return { files: Object.fromEntries(files) }
}

async function main(words: readonly string[]): Promise<number> {
  rmSync(reportFile, { force: true })
  const code = await runStryker(words)
  if (code !== 0) return code
  // Our own tool wrote it a moment ago; what was not tried this time is in it as it was found before.
  const whole = JSON.parse(readFileSync(reportFile, 'utf8')) as MutationReport
  const report = scopeOf(whole, words)
  const count = countOf(Object.values(report.files).flatMap(({ mutants }) => mutants))
  for (const { file, line, replacement, reason } of survivorsOf(report, knownSurvivors))
    console.log(`${file}:${line} survived: ${replacement}${reason === undefined ? '' : ` (${reason})`}`)
  console.log(`score ${scoreOf(count).toFixed(1)} %: ${count.killed} of ${count.all} mutants found`)
  if (report === whole) {
    const page = mutationPage(report, knownSurvivors, new Date().toISOString().slice(0, 10))
    writeFileSync(join(root, 'docs/reference/mutation.md'), page)
  }
  return scoreOf(count) >= leastScore ? 0 : 1
}

process.exitCode = await main(process.argv.slice(2))
