/** `wharfgate policy replay`: what another policy would have decided about everything that stands in the audit. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'
import type { Command } from 'commander'
import { InvalidArgumentError } from 'commander'
import { codeOf } from '../config/text-file.ts'
import { createLineCutter, readStream } from './audit-source.ts'
import { collect } from './policy-question.ts'
import { createChangeGatherer } from './policy-replay-changes.ts'
import type { ChangeTotals } from './policy-replay-changes.ts'
import { parseReplayLine } from './policy-replay-line.ts'
import { hasChanges, printReplay, replayJson } from './policy-replay-report.ts'
import type { ReplayCounts } from './policy-replay-report.ts'
import { PolicyCommandError, conclude, enforcedPolicy, policySubcommand } from './policy-source.ts'
import { readPolicySource, withSource } from './policy-source.ts'
import type { PolicyProcess, PolicySource, SourceOptions } from './policy-source.ts'

type ReplayOptions = SourceOptions & {
  readonly audit?: readonly string[]
  readonly limit: number
  readonly json?: boolean
}

/** Groups that are kept; each takes some hundred bytes. */
const maxGroups = 20_000

/** The `policy replay` subcommand: exit code 0 where nothing changes, 1 where something does, 2 where nothing was read. */
export function policyReplayCommand(terminal: PolicyProcess): Command {
  return withSource(policySubcommand('replay'))
    .description('tell what a new policy would have decided otherwise about the requests of an audit')
    .option(
      '--audit <file>',
      'the audit file, .gz too, or - for standard input; may be given again; without it, that of the configuration',
      collect,
    )
    .option('--limit <count>', 'how many groups of each kind are printed', parseLimit, 50)
    .option('--json', 'print one JSON object, with all groups that were kept')
    .action((options: ReplayOptions) =>
      conclude(terminal, async () => {
        const source = await readPolicySource(options, terminal.env)
        const files = options.audit ?? [auditOf(source)]
        const { totals, counts } = await replay(files, source, terminal)
        if (counts.decisions === 0 && counts.unreadable > 0)
          throw new PolicyCommandError([`wharfgate: ${files.join(', ')}: no line is one of the audit`])
        terminal.stdout.write(
          options.json === true ? replayJson(totals, counts) : printReplay(totals, counts, options.limit),
        )
        return hasChanges(totals) ? 1 : 0
      }),
    )
}

function parseLimit(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It must be 0 to 999999.')
}

function auditOf({ config }: PolicySource): string {
  const audit = config?.audit
  if (audit?.enabled === true && audit.destination !== 'stdout') return audit.destination
  const reason = config === undefined ? 'without --config' : 'the configuration names no audit file'
  throw new PolicyCommandError([
    `wharfgate: which audit? ${reason}; name it with --audit FILE, or --audit - for standard input`,
  ])
}

type Replayed = { readonly totals: ChangeTotals; readonly counts: ReplayCounts }

async function replay(files: readonly string[], source: PolicySource, terminal: PolicyProcess): Promise<Replayed> {
  const gatherer = createChangeGatherer(enforcedPolicy(source), maxGroups)
  const counts = { decisions: 0, undecided: 0, unreadable: 0, firstAt: Infinity, lastAt: -Infinity }
  const progress = createProgress(terminal.stderr, await sizeOf(files), Date.now)

  function take(line: string): void {
    if (line === '') return
    const read = parseReplayLine(line)
    if (read.kind !== 'decided') {
      counts[read.kind] += 1
      return
    }
    const { now } = read.decided.circumstances
    counts.decisions += 1
    counts.firstAt = Math.min(counts.firstAt, now)
    counts.lastAt = Math.max(counts.lastAt, now)
    gatherer.replay(read.decided)
  }

  for (const file of files) {
    const cutter = createLineCutter()
    try {
      for await (const event of readStream(open(file, terminal, progress.add), false)) {
        if (event.kind === 'bytes') cutter.cut(event.bytes).forEach(take)
        else if (event.kind === 'cut') take(cutter.rest())
      }
    } catch (error) {
      throw unreadable(file, error)
    } finally {
      progress.clear()
    }
  }
  return { totals: gatherer.totals(), counts }
}

/** @param onBytes told how much of the file has been read, before it is unpacked */
function open(file: string, { stdin }: PolicyProcess, onBytes: (bytes: number) => void): AsyncIterable<Uint8Array> {
  if (file === '-') return stdin
  const bytes = counted(createReadStream(file, { highWaterMark: chunkBytes }), onBytes)
  // What goes wrong reaches the reader of the last stream; nobody else has to hear of it.
  return file.endsWith('.gz') ? pipeline(bytes, createGunzip(), () => undefined) : bytes
}

const chunkBytes = 262_144

async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const bytes of chunks) {
    onBytes(bytes.length)
    yield bytes
  }
}

async function sizeOf(files: readonly string[]): Promise<number> {
  let size = 0
  for (const file of files) {
    if (file === '-') continue
    try {
      size += (await stat(file)).size
    } catch (error) {
      throw unreadable(file, error)
    }
  }
  return size
}

/** A fault of the system, or of what was packed, in words for who named the file; another fault is one of ours. */
function unreadable(file: string, error: unknown): unknown {
  const code = codeOf(error)
  if (!/^[EZ]_?[A-Z_0-9]+$/.test(code)) return error
  return new PolicyCommandError([
    `wharfgate: --audit: ${file} cannot be read (${code}); name an audit file that is there and whole`,
  ])
}

const progressMs = 500

/**
 * Tells a person how far a reading has come; says nothing where nobody watches.
 *
 * @param total bytes that there are to read; 0 where that is not known
 * @param now milliseconds
 */
export function createProgress(
  stream: NodeJS.WritableStream & { readonly isTTY?: boolean },
  total: number,
  now: () => number,
) {
  let done = 0
  let toldAt = now()
  let isTold = false
  return {
    add: (bytes: number): void => {
      done += bytes
      if (stream.isTTY !== true || now() - toldAt < progressMs) return
      toldAt = now()
      isTold = true
      stream.write(`\rreplaying ${Math.floor((100 * done) / Math.max(total, done))} %`)
    },
    /** Takes what was told away again, so that what follows stands alone. */
    clear: (): void => {
      if (isTold) stream.write('\r\u001b[K')
      isTold = false
    },
  }
}
