import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorTable } from '../../src/registry/error.ts'
import type { ErrorId } from '../../src/registry/error.ts'
import type { RunResult } from './processes.ts'

/** What happens to a client, by the headings of docs/reference/clients.md, and the row of the error table it meets. */
export const situations = {
  'Pull without a login': 'credentialsMissing',
  'Push without a login': 'credentialsMissing',
  'Wrong password': 'credentialsInvalid',
  'Pull of what does not exist': undefined,
  'Pull while the registry is down': 'upstreamUnreachable',
  'Push that the policy does not allow': 'accessDenied',
  'Pull that the policy does not allow': 'accessDenied',
  'Pull beyond a limit': 'rateLimited',
  'Push beyond a limit': 'rateLimited',
  'Login while locked out': 'loginLocked',
} as const satisfies Readonly<Record<string, ErrorId | undefined>>

export type Situation = keyof typeof situations

/** The sentences that a policy's refusal makes in the tests; they stand where the table has a fixed one. */
export const policySentences: readonly string[] = [
  'alice may not pull from prod/app: releases go through ci',
  'alice may not push to prod/app: releases go through ci',
]

/** Stands for the sentence of a limit, which tells a wait and so is never the same. */
const limitSentence = 'SENTENCE'
const limitSentences =
  /(?:alice|bob) has (?:used the [^;]+ of the limit [a-z-]+; the next is free in \d+ (?:s|min)|under way [^;]+; try again when one has ended)/g

/** What the page says of one client. */
export type DocumentedClient = {
  /** The start of the version that was seen. */
  readonly version: string
  readonly shows: Readonly<Partial<Record<Situation, string>>>
  /** What stands behind that in the same row: see the heads of the columns. */
  readonly figures: Readonly<Partial<Record<Situation, readonly string[]>>>
}

/** Reads the page: the table of versions, and one table for each situation; text to be shown is set as code. */
export function documentedClients(): ReadonlyMap<string, DocumentedClient> {
  const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'reference', 'clients.md'), 'utf8')
  const sections = page.split(/^## /m).map((section) => {
    const [heading = '', ...lines] = section.split('\n')
    return [heading, new Map(lines.flatMap(parseRow))] as const
  })
  const byHeading = new Map(sections)
  const versions = [...(byHeading.get('Versions') ?? [])].filter(([name]) => name !== 'client')
  return new Map(
    versions.map(([name, { text: version }]) => {
      const rows = Object.keys(situations).flatMap((heading) => {
        const row = byHeading.get(heading)?.get(name)
        return row === undefined ? [] : [[heading, row] as const]
      })
      const shows = Object.fromEntries(rows.map(([heading, { text }]) => [heading, text]))
      const figures = Object.fromEntries(rows.map(([heading, row]) => [heading, row.figures]))
      return [name, { version, shows, figures }]
    }),
  )
}

type Row = { readonly text: string; readonly figures: readonly string[] }

/** A client's row of a table: its name, a text that is set as code (or else a word), and cells that are neither. */
function parseRow(line: string): readonly (readonly [name: string, row: Row])[] {
  const [, name = '', code, word = '', rest = ''] =
    /^\| (\w+) +\| (?:`(.*)`|([^\s`]+)[^|`]*?) +\|(.*)$/.exec(line) ?? []
  if (name === '') return []
  const figures = rest.split('|').map((cell) => cell.trim())
  return [[name, { text: code ?? word, figures: figures.filter((cell) => cell !== '') }]]
}

/**
 * What a client shows, on one line and with what differs from run to run named in capitals: HOST, DIGEST, ID, SENTENCE.
 *
 * @param host the gateway as the client was told
 */
export function shownBy({ stdout, stderr }: RunResult, host: string): string {
  return `${stdout}\n${stderr}`
    .replaceAll(host, 'HOST')
    .replaceAll(/sha256:[0-9a-f]{64}/g, 'DIGEST')
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'ID')
    .replaceAll(/\s+/g, ' ')
    .replaceAll(limitSentences, limitSentence)
}

/** The words of ours in a text, if there are any: the sentence, the policy's, or what stands in the reason phrase. */
export function ourWords(text: string, situation: Situation): string | undefined {
  const id = situations[situation]
  if (id === undefined) return undefined
  const { sentence, reason } = errorTable[id]
  return [sentence, reason, ...policySentences, limitSentence].find((words) => text.includes(words))
}
