/** What a run says in the end: tables and claims for people, a document for programs. */
import { findingsOf } from './claims.ts'
import type { Finding } from './claims.ts'
import type { MetricName } from './load/job.ts'
import type { Column, Extent } from './rows.ts'
import type { PeerResult, RowResult } from './suite.ts'

export type Circumstances = {
  /** When it began, RFC 3339, UTC. */
  readonly date: string
  readonly machine: {
    readonly processor: string
    readonly processors: number
    readonly memoryBytes: number
    readonly system: string
  }
  readonly node: string
  readonly cipher: string
  readonly upstream: string
  /** `disk` makes every figure one of the disk. */
  readonly dataIn: 'disk' | 'memory'
  readonly blobBytes: number
  readonly rounds: number
  readonly extent: Extent
  /** The fronts that ratios are taken against. */
  readonly baselines: readonly string[]
}

/** A blob of less is too quick for a clock of hundredths of a second. */
const quotableBytes = 256 * 1024 ** 2
const quotableRounds = 3

/** The run as Markdown. */
export function tablesOf(circumstances: Circumstances, results: readonly RowResult[]): string {
  const tables = results.map(
    ({ row, peers }) => `${row.title} (${row.name})\n\n${tableOf(row.columns, peers, circumstances.baselines)}`,
  )
  const source = isQuotable(circumstances) ? 'README.md tells what each means' : 'this run is too small for them'
  const claims = `The claims (${source})\n\n${claimsOf(findingsOf(results))}`
  return `${[headOf(circumstances), ...tables, claims].join('\n\n')}\n`
}

function isQuotable({ blobBytes, rounds }: Circumstances): boolean {
  return blobBytes >= quotableBytes && rounds >= quotableRounds
}

function headOf(circumstances: Circumstances): string {
  const { date, machine, node, cipher, upstream, dataIn, blobBytes, rounds } = circumstances
  const { connections, windowMs, slow, decisions } = circumstances.extent
  const gibibytes = (bytes: number) => (bytes / 1024 ** 3).toFixed(1)
  return [
    `${date}, ${machine.processors} x ${machine.processor}, ${gibibytes(machine.memoryBytes)} GiB, ${machine.system}, node ${node}`,
    `TLSv1.3 ${cipher}, EC P-256; upstream ${upstream}, data ${dataIn === 'memory' ? 'in memory' : 'ON DISK'}`,
    `blob ${blobBytes / 1024 ** 2} MiB, ${connections} connections for ${windowMs / 1000} s, ${slow.clients} slow clients of ${slow.bytesPerSecond / 1000} KB/s for ${slow.windowMs / 1000} s, ${decisions.rules} rules; ${rounds === 1 ? 'one round' : `medians of ${rounds} rounds`}`,
    ...(isQuotable(circumstances)
      ? []
      : [`Too small to quote: take at least ${quotableRounds} rounds and ${quotableBytes / 1024 ** 2} MiB.`]),
  ].join('\n')
}

function tableOf(columns: readonly Column[], peers: readonly PeerResult[], baselines: readonly string[]): string {
  const titles = columns.flatMap(({ title, hasRatio }) =>
    hasRatio ? [title, ...baselines.map((baseline) => `to ${baseline}`)] : [title],
  )
  const lines = peers.map((result) => {
    const name = `${result.peer} (${result.note})`
    switch (result.kind) {
      case 'measured':
        return [name, ...columns.flatMap((column) => cellsOf(column, result, baselines))]
      case 'failed':
        return [name, `FAILED: ${inCell(result.reason)}`]
      case 'not installed':
        return [name, 'not installed']
    }
  })
  return aligned([['front', ...titles], ...lines])
}

/** The beginning of a text, fit for a table; the whole stands in the document. */
function inCell(text: string): string {
  return text.replaceAll(/\s+/g, ' ').replaceAll('|', '/').slice(0, 120)
}

type Measured = Extract<PeerResult, { kind: 'measured' }>

function cellsOf(
  { metric, digits, hasRatio }: Column,
  { medians, ratios }: Measured,
  baselines: readonly string[],
): readonly string[] {
  const value = shown(medians[metric], digits)
  if (!hasRatio) return [value]
  return [value, ...baselines.map((baseline) => times(ratios[baseline]?.[metric]))]
}

function times(ratio: number | undefined): string {
  return ratio === undefined ? '-' : `x ${shown(ratio, 2)}`
}

function claimsOf(findings: readonly Finding[]): string {
  const lines = findings.map(({ claim, baseline, measured, verdict }) => [
    claim,
    baseline === undefined ? shown(measured, 0) : times(measured),
    verdict,
  ])
  return aligned([['claim', 'measured', ''], ...lines])
}

function shown(value: number | undefined, digits: number): string {
  return value === undefined || Number.isNaN(value) ? '-' : value.toFixed(digits)
}

/** A Markdown table whose columns also line up as plain text; short lines are filled, a long first cell is let run. */
function aligned([head = [], ...lines]: readonly (readonly string[])[]): string {
  const whole = [head, ...lines.filter((cells) => cells.length === head.length)]
  const widths = head.map((_title, column) => {
    const all = column === 0 ? [head, ...lines] : whole
    return Math.max(3, ...all.map((cells) => cells[column]?.length ?? 0))
  })
  const line = (cells: readonly string[]) => {
    const padded = widths.map((width, column) => {
      const cell = cells[column] ?? ''
      return column === 0 ? cell.padEnd(width) : cell.padStart(width)
    })
    return `| ${padded.join(' | ')} |`
  }
  const rule = widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [line(head), line(rule), ...lines.map(line)].join('\n')
}

/** The run for programs: every sample, and the columns of the tables with their titles. */
export type ReportDocument = {
  readonly circumstances: Circumstances
  readonly rows: readonly {
    readonly name: string
    readonly title: string
    readonly metrics: Readonly<Partial<Record<MetricName, string>>>
    readonly peers: readonly PeerResult[]
  }[]
  readonly claims: readonly Finding[]
}

export function documentOf(circumstances: Circumstances, results: readonly RowResult[]): ReportDocument {
  const rows = results.map(({ row: { name, title, columns }, peers }) => ({
    name,
    title,
    metrics: Object.fromEntries(columns.map((column) => [column.metric, column.title])),
    peers,
  }))
  return { circumstances, rows, claims: findingsOf(results) }
}
