/** From the report of a run of Stryker to docs/reference/mutation.md. */
import type { KnownSurvivor } from './survivors.ts'

/** Of a mutant in a report (mutation-testing-report-schema 2), what is needed here. */
export type Mutant = {
  readonly mutatorName: string
  readonly replacement?: string
  readonly status: string
  readonly location: { readonly start: { readonly line: number; readonly column: number } }
}

export type MutationReport = {
  readonly files: Readonly<Record<string, { readonly source: string; readonly mutants: readonly Mutant[] }>>
}

type Count = { readonly killed: number; readonly all: number }

const dead = new Set(['Killed', 'Timeout'])
const alive = new Set(['Survived', 'NoCoverage'])

/** How many mutants tests found, of those that could be run. */
export function countOf(mutants: readonly Mutant[]): Count {
  const killed = mutants.filter(({ status }) => dead.has(status)).length
  return { killed, all: killed + mutants.filter(({ status }) => alive.has(status)).length }
}

/** Percent with one decimal, never rounded up. */
export function scoreOf({ killed, all }: Count): number {
  return all === 0 ? 100 : Math.floor((killed * 1_000) / all) / 10
}

export type Survivor = {
  readonly file: string
  readonly line: number
  readonly source: string
  readonly mutator: string
  readonly replacement: string
  readonly isCovered: boolean
  readonly reason: string | undefined
}

export function survivorsOf({ files }: MutationReport, known: readonly KnownSurvivor[]): readonly Survivor[] {
  return Object.entries(files).flatMap(([file, { source, mutants }]) => {
    const lines = source.split('\n')
    return mutants
      .filter(({ status }) => alive.has(status))
      .map(({ mutatorName, replacement = '', status, location }) => {
        const line = (lines[location.start.line - 1] ?? '').trim()
        const match = known.find((each) => each.file === file && each.line === line && each.replacement === replacement)
        return {
          file,
          line: location.start.line,
          source: line,
          mutator: mutatorName,
          replacement,
          isCovered: status === 'Survived',
          reason: match?.reason,
        }
      })
  })
}

/** The page of the last result. @param date such as `2026-11-21` */
export function mutationPage(report: MutationReport, known: readonly KnownSurvivor[], date: string): string {
  const files = Object.entries(report.files).sort(([one], [other]) => (one < other ? -1 : 1))
  const total = countOf(files.flatMap(([, { mutants }]) => mutants))
  const survivors = survivorsOf(report, known)
  const explained = survivors.filter(({ reason }) => reason !== undefined)
  return `# Mutation testing

\`npm run mutate\` changes the sources that decide who may do what, one small change at a time, and runs their unit tests on
each: a change that no test notices is a rule that nobody tests. This is what the last run of all files found; the command
writes the page, and fails under a score of 90 %. What has not changed since an earlier run on the same machine, and is met
by no other tests, is not tried again; \`-- --force\` tries everything.

Last run: ${date}. **Score: ${scoreOf(total).toFixed(1)} %** (${total.killed} of ${total.all} mutants found).

| File | Mutants | Found | Score |
|---|--:|--:|--:|
${files.map(([file, { mutants }]) => fileRow(file, countOf(mutants))).join('\n')}

## Survivors that no test can find

These change nothing that can be observed.

${table(explained, 'Why', ({ reason }) => reason ?? '')}

## Other survivors

${table(
  survivors.filter(({ reason }) => reason === undefined),
  'Mutator',
  ({ mutator, isCovered }) => (isCovered ? mutator : `${mutator}, not reached by any test`),
)}
`
}

function fileRow(file: string, count: Count): string {
  return `| \`${file}\` | ${count.all} | ${count.killed} | ${scoreOf(count).toFixed(1)} % |`
}

function table(survivors: readonly Survivor[], title: string, cell: (survivor: Survivor) => string): string {
  if (survivors.length === 0) return 'None.'
  const rows = survivors.map(
    (survivor) =>
      `| \`${survivor.file}:${survivor.line}\` | ${code(survivor.source)} | ${code(survivor.replacement)} | ${cell(survivor)} |`,
  )
  return `| Place | Line | A part of it becomes | ${title} |\n|---|---|---|---|\n${rows.join('\n')}`
}

/** Text as code in a cell of a table, in one line and not too long. */
function code(text: string): string {
  const line = text.replace(/\s+/g, ' ').replaceAll('|', '\\|')
  const short = line.length > 90 ? `${line.slice(0, 90)}…` : line
  const longest = Math.max(0, ...[...short.matchAll(/`+/g)].map(([run]) => run.length))
  return longest === 0 ? `\`${short}\`` : `${'`'.repeat(longest + 1)} ${short} ${'`'.repeat(longest + 1)}`
}
