/** The words behind `npm run bench --`. */
import { parseArgs } from 'node:util'
import { peers } from './peers.ts'
import type { Peer } from './peers.ts'
import { rows } from './rows.ts'
import type { Extent, Row } from './rows.ts'

export type BenchOptions = {
  readonly rows: readonly Row[]
  readonly peers: readonly Peer[]
  /** Names of the peers that ratios are taken against. */
  readonly baselines: readonly string[]
  readonly rounds: number
  /** Of the blob, in bytes. */
  readonly size: number
  readonly extent: Extent
  /** Where the JSON goes; undefined for a file named after the date. */
  readonly jsonFile: string | undefined
}

export const usage = `npm run bench -- [OPTION]...
  --rounds N           measurements of each front in each row, medians are shown (5)
  --size SIZE          of the blob: bytes, or a number with KiB, MiB or GiB (1GiB)
  --only ROW,...       ${rows.map(({ name }) => name).join(', ')}
  --peers NAME,...     ${peers.map(({ name }) => name).join(', ')}
  --baseline NAME,...  the fronts that ratios are taken against (node-pipe,nginx,haproxy)
  --quick              4 MiB, one round, a moment of requests: shows that it works, measures nothing
  --json FILE          instead of .wharfgate/bench/DATE.json
  --help`

const wholeExtent: Extent = {
  connections: 16,
  warmUpMs: 2_000,
  windowMs: 5_000,
  slow: { clients: 200, bytesPerSecond: 100_000, windowMs: 10_000 },
  decisions: { rules: 10_000, windowMs: 1_000 },
  limits: { identities: 500, windowMs: 1_000 },
}

const quickExtent: Extent = {
  connections: 4,
  warmUpMs: 100,
  windowMs: 200,
  slow: { clients: 6, bytesPerSecond: 400_000, windowMs: 800 },
  decisions: { rules: 500, windowMs: 50 },
  limits: { identities: 50, windowMs: 50 },
}

/** A word that cannot be understood; the message names it. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/**
 * Reads the options; undefined where the usage was asked for.
 *
 * @throws UsageError
 */
export function parseOptions(words: readonly string[]): BenchOptions | undefined {
  const { values } = parse(words)
  if (values.help === true) return undefined
  const quick = values.quick === true
  return {
    rows: chooseFrom('--only', rows, values.only),
    peers: chooseFrom('--peers', peers, values.peers),
    baselines: chooseFrom('--baseline', peers, values.baseline ?? 'node-pipe,nginx,haproxy').map(({ name }) => name),
    rounds: values.rounds === undefined ? (quick ? 1 : 5) : parseRounds(values.rounds),
    size: values.size === undefined ? (quick ? 4 : 1024) * 1024 ** 2 : parseSize(values.size),
    extent: quick ? quickExtent : wholeExtent,
    jsonFile: values.json,
  }
}

function parse(words: readonly string[]) {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const options = {
    rounds: text,
    size: text,
    only: text,
    peers: text,
    baseline: text,
    json: text,
    quick: flag,
    help: flag,
  }
  try {
    return parseArgs({ args: [...words], options })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

/** Reads a size. @returns bytes */
export function parseSize(text: string): number {
  const [, digits = '', unit = ''] = /^(\d+)(KiB|MiB|GiB)?$/.exec(text) ?? []
  const bytes = Number(digits) * 1024 ** ['', 'KiB', 'MiB', 'GiB'].indexOf(unit)
  if (bytes > 0) return bytes
  throw new UsageError(`--size "${text}" is not a number of bytes, or one with KiB, MiB or GiB`)
}

function parseRounds(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text)
  throw new UsageError(`--rounds "${text}" is not a number from 1 to 9999`)
}

type Named = { readonly name: string }

function chooseFrom<Thing extends Named>(option: string, things: readonly Thing[], list: string | undefined) {
  if (list === undefined) return things
  const names = list.split(',')
  const unknown = names.find((name) => !things.some((thing) => thing.name === name))
  if (unknown === undefined) return things.filter(({ name }) => names.includes(name))
  throw new UsageError(`${option} knows no "${unknown}"; known are ${namesOf(things)}`)
}

function namesOf(things: readonly Named[]): string {
  return things.map(({ name }) => name).join(', ')
}
