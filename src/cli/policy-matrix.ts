/** `wharfgate policy matrix`: who may do what, as a table of people and repositories. */
import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import type { LoadedPolicy } from '../authorization/compile-policy.ts'
import { overwriteAccess } from '../authorization/evaluate.ts'
import type { Judge } from '../authorization/policy.ts'
import { printTarget } from '../config/policy-cases.ts'
import type { Target } from '../config/policy-cases.ts'
import { readTextFile } from '../config/text-file.ts'
import { actions } from '../registry/access.ts'
import type { Action, TagReach } from '../registry/access.ts'
import type { Circumstances } from '../registry/grant.ts'
import { exampleTargets, namedPeople, namedTargets, peopleOf } from './policy-matrix-axes.ts'
import type { Examples, Person } from './policy-matrix-axes.ts'
import { circumstancesOf, withCircumstances } from './policy-question.ts'
import type { CircumstanceOptions } from './policy-question.ts'
import { PolicyCommandError, conclude, enforcedPolicy, policySubcommand } from './policy-source.ts'
import { readPolicySource, withSource } from './policy-source.ts'
import type { PolicyProcess, SourceOptions } from './policy-source.ts'
import { printCsv, printTable } from './policy-table.ts'

type MatrixOptions = SourceOptions &
  CircumstanceOptions & {
    readonly users?: string
    readonly repositories?: string
    readonly repositoriesFile?: string
    readonly json?: boolean
    readonly csv?: boolean
  }

/** The `policy matrix` subcommand: exit code 0, or 2 where there is nothing to show. */
export function policyMatrixCommand(terminal: PolicyProcess): Command {
  return withCircumstances(withSource(policySubcommand('matrix')))
    .description('print who may do what, as a table of people and repositories')
    .option(
      '--users <list>',
      'such as alice,group:developers,authenticated,anonymous; without it, whom the policy names',
    )
    .option('--repositories <list>', 'such as team/app,prod/api:v1; without it, one for each pattern of the policy')
    .option('--repositories-file <file>', 'a file with one of them on each line')
    .option('--json', 'print one JSON object')
    .option('--csv', 'print comma-separated values')
    .action((options: MatrixOptions) =>
      conclude(terminal, async () => {
        const policy = enforcedPolicy(await readPolicySource(options, terminal.env))
        const { method = 'htpasswd' } = options
        const people = options.users === undefined ? peopleOf(policy, method) : namedPeople(options.users, method)
        const named = await targetsOf(options)
        const examples: Examples = named ?? exampleTargets(policy, people)
        const rows = matrixOf(policy, people, examples.targets, circumstancesOf(options))
        terminal.stdout.write(print(rows, people, options, terminal.stdout))
        if (options.json !== true && options.csv !== true)
          terminal.stdout.write(legend(rows, examples, policy, options))
        return 0
      }),
    )
}

const maxListBytes = 67_108_864

async function targetsOf({ repositories, repositoriesFile: file }: MatrixOptions): Promise<Examples | undefined> {
  if (repositories === undefined && file === undefined) return undefined
  const targets = repositories === undefined ? [] : namedTargets(repositories.split(','), '--repositories')
  return { targets: [...targets, ...(file === undefined ? [] : await targetsIn(file))], areInvented: false, left: 0 }
}

async function targetsIn(file: string): Promise<readonly Target[]> {
  const content = await readTextFile(readFile, file, maxListBytes)
  if (content.kind === 'fault')
    throw new PolicyCommandError([`wharfgate: --repositories-file: ${file} ${content.sentence}`])
  const lines = content.text.split('\n').map((line) => line.trim())
  return namedTargets(
    lines.filter((line) => line !== '' && !line.startsWith('#')),
    file,
  )
}

/** `some`: not for every tag, or a protected tag may be created and not moved. */
export type Extent = 'all' | 'some' | 'none'

/** What one person may do on one target. */
export type Cell = Readonly<Record<Action, Extent>>

export type MatrixRow = { readonly target: Target; readonly cells: readonly Cell[] }

/** Decides every action of everybody on every target; the cells of a row are in the order of the people. */
export function matrixOf(
  policy: LoadedPolicy,
  people: readonly Person[],
  targets: readonly Target[],
  circumstances: Circumstances,
): readonly MatrixRow[] {
  const judges = people.map(({ principal }) => policy.judgeFor(principal, circumstances))
  // Few cells differ from each other, however many there are.
  const known = new Map<string, Cell>()
  const once = (cell: Cell): Cell => {
    const name = Object.values(cell).join(' ')
    const found = known.get(name) ?? cell
    known.set(name, found)
    return found
  }
  return targets.map((target) => ({ target, cells: judges.map((judge) => once(cellOf(policy, judge, target))) }))
}

function cellOf(policy: LoadedPolicy, judge: Judge, { repository, tag }: Target): Cell {
  const may = (action: Action, tags: TagReach | undefined): boolean =>
    judge.judge({ repository, action, tags }).kind === 'allowed'
  const named: TagReach | undefined = tag === undefined ? undefined : { kind: 'named', tags: [tag] }
  const isProtected = overwriteAccess(policy, repository, tag).length > 0
  const mayOverwrite = may('overwrite', named ?? { kind: 'any' })

  const extent = (action: Action): Extent => {
    if (!may(action, named)) return 'none'
    if (action === 'list') return 'all'
    if (isProtected && !mayOverwrite) {
      // What has no protected tag may be deleted nevertheless, unless this one is meant.
      if (action === 'delete') return tag === undefined ? 'some' : 'none'
      if (action === 'push') return 'some'
    }
    return named !== undefined || may(action, { kind: 'any' }) ? 'all' : 'some'
  }
  return {
    pull: extent('pull'),
    push: extent('push'),
    delete: extent('delete'),
    list: extent('list'),
    overwrite: extent('overwrite'),
  }
}

function print(
  rows: readonly MatrixRow[],
  people: readonly Person[],
  { json, csv }: MatrixOptions,
  stream: NodeJS.WritableStream & { readonly columns?: number },
): string {
  const users = people.map(({ label }) => label)
  if (json === true) {
    const repositories = rows.map(({ target, cells }) => ({
      repository: target.repository,
      tag: target.tag ?? null,
      may: Object.fromEntries(cells.map((cell, index) => [users[index] ?? '', cell])),
    }))
    return `${JSON.stringify({ users, repositories })}\n`
  }
  const lines = [['', ...users], ...rows.map(({ target, cells }) => [printTarget(target), ...cells.map(printCell)])]
  return csv === true ? printCsv(lines) : printTable(lines, stream)
}

function printCell(cell: Cell): string {
  const given = actions.filter((action) => cell[action] !== 'none')
  return given.length === 0 ? '-' : given.map((action) => (cell[action] === 'some' ? `${action}~` : action)).join(' ')
}

function legend(
  rows: readonly MatrixRow[],
  { areInvented, left }: Examples,
  { rules }: LoadedPolicy,
  { address, at }: MatrixOptions,
): string {
  const conditions = rules.flatMap(({ when }) => when ?? [])
  const hangsOnTime = conditions.some(
    ({ hours, notBefore, notAfter }) => (hours ?? notBefore ?? notAfter) !== undefined,
  )

  const isPartial = rows.some(({ cells }) => cells.some((cell) => actions.some((action) => cell[action] === 'some')))
  const lines = [
    ...(isPartial ? ['~ not for every tag, or without moving protected tags; ask: wharfgate policy explain'] : []),
    ...(areInvented ? ['the word example stands for any name that a wildcard takes'] : []),
    ...(left > 0 ? [`${left} more patterns are not shown; name repositories with --repositories`] : []),
    ...(address === undefined && conditions.some(({ addresses }) => addresses !== undefined)
      ? ['some rules ask for the address of the client, which is not known; name one with --address']
      : []),
    ...(at === undefined && hangsOnTime ? ['some rules ask for the time, which is now; name another with --at'] : []),
    ...(rows.length === 0 ? ['the policy names no repository; name some with --repositories'] : []),
  ]
  return lines.length === 0 ? '' : `\n${lines.join('\n')}\n`
}
