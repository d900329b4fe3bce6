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
} as const satisfies Readonly<Record<string, ErrorId | undefined>>

export type Situation = keyof typeof situations

/** The sentences that a policy's refusal makes in the tests; they stand where the table has a fixed one. */
export const policySentences: readonly string[] = [
  'alice may not pull from prod/app: releases go through ci',
  'alice may not push to prod/app: releases go through ci',
]

/** What the page says of one client. */
export type DocumentedClient = {
  /** The start of the version that was seen. */
  readonly version: string
  readonly shows: Readonly<Partial<Record<Situation, string>>>
}

/** Reads the page: the table of versions, and one table for each situation; text to be shown is set as code. */
export function documentedClients(): ReadonlyMap<string, DocumentedClient> {
  const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'reference', 'clients.md'), 'utf8')
  const sections = page.split(/^## /m).map((section) => {
    const [heading = '', ...lines] = section.split('\n')
    const cells = lines.map((line) => /^\| (\w+) +\| (?:`(.*)`|(\S+).*?) +\|/.exec(line))
    const rows = cells.flatMap((row) => (row === null ? [] : [[row[1] ?? '', row[2] ?? row[3] ?? ''] as const]))
    return [heading, new Map(rows)] as const
  })
  const byHeading = new Map(sections)
  const versions = [...(byHeading.get('Versions') ?? [])].filter(([name]) => name !== 'client')
  return new Map(
    versions.map(([name, version]) => {
      const shows = Object.keys(situations).map((heading) => [heading, byHeading.get(heading)?.get(name)] as const)
      return [name, { version, shows: Object.fromEntries(shows.filter(([, text]) => text !== undefined)) }]
    }),
  )
}

/**
 * What a client shows, on one line and with what differs from run to run named in capitals: HOST, DIGEST, ID.
 *
 * @param host the gateway as the client was told
 */
export function shownBy({ stdout, stderr }: RunResult, host: string): string {
  return `${stdout}\n${stderr}`
    .replaceAll(host, 'HOST')
    .replaceAll(/sha256:[0-9a-f]{64}/g, 'DIGEST')
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'ID')
    .replaceAll(/\s+/g, ' ')
}

/** The words of ours in a text, if there are any: the sentence, the policy's, or what stands in the reason phrase. */
export function ourWords(text: string, situation: Situation): string | undefined {
  const id = situations[situation]
  if (id === undefined) return undefined
  const { sentence, reason } = errorTable[id]
  return [sentence, reason, ...policySentences].find((words) => text.includes(words))
}
