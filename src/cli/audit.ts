/** `wharfgate audit tail`: the audit for people, one readable line for each exchange. */
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { Command, InvalidArgumentError, Option } from 'commander'
import { readConfig } from '../config/load.ts'
import type { ConfigSources } from '../config/load.ts'
import { isWanted, parseAuditEntry, printAuditEntry } from './audit-entry.ts'
import type { AuditEntry, AuditFilter } from './audit-entry.ts'
import { createLineCutter, follow, readStream } from './audit-source.ts'
import type { SourceEvent } from './audit-source.ts'

/** Where the command reads from and speaks to; `process` is one. */
export type AuditProcess = {
  readonly stdin: AsyncIterable<Uint8Array>
  readonly stdout: NodeJS.WritableStream
  readonly stderr: NodeJS.WritableStream
  readonly env: ConfigSources['environment']
  exitCode?: number | string | null | undefined
}

type TailOptions = AuditFilter & { readonly config?: string; readonly follow: boolean; readonly lines: number }

const pollMs = 250

/** The `audit` subcommand. Exit code 1 when there is nothing that could be read; a reader who has seen enough is none. */
export function auditCommand(terminal: AuditProcess = process): Command {
  const audit = new Command('audit').description('the audit, for people')
  audit
    .command('tail')
    .description('print the last lines of the audit, readable')
    .argument('[file]', 'the audit file, or - for standard input; without it, what the configuration says')
    .option('--config <file>', 'read the destination of the audit from this file; without it, from the environment')
    .option('--follow', 'go on with what is appended, through rotations', false)
    .option('--lines <count>', 'how many of the lines that match, the last ones; or: all', lineCount, 20)
    .option('--user <name>', 'only what this user did, and failed logins of this user')
    .option('--repository <name>', 'only this repository; with / at its end, all below it')
    .option('--status <status>', 'only this status: 404, 4xx, or none where no response was sent', statusPattern)
    .addOption(
      new Option('--outcome <outcome>', 'only exchanges that ended so').choices([
        'complete',
        'aborted-by-client',
        'aborted-by-upstream',
        'aborted-by-gateway',
      ]),
    )
    .action(async (file: string | undefined, options: TailOptions) => {
      const found = file === undefined ? await destinationOf(options.config, terminal.env) : { path: file }
      if ('path' in found) await tail(found.path, options, terminal)
      else fail(terminal, found.sentence)
    })
  return audit
}

function lineCount(text: string): number {
  if (text === 'all') return Number.POSITIVE_INFINITY
  const count = Number(text)
  if (!/^\d+$/.test(text) || count > 1_000_000) throw new InvalidArgumentError('must be 0 to 1000000, or all.')
  return count
}

function statusPattern(text: string): string {
  if (/^([1-5]\d\d|[1-5]xx|none)$/.test(text)) return text
  throw new InvalidArgumentError('must be a status such as 404, a class such as 4xx, or none.')
}

type Destination = { readonly path: string } | { readonly sentence: string }

async function destinationOf(
  file: string | undefined,
  environment: ConfigSources['environment'],
): Promise<Destination> {
  const reading = await readConfig({ file, environment, readFile })
  if (reading.kind === 'faults') {
    const [source, argument] = file === undefined ? ['the environment', ''] : [file, ` --config ${file}`]
    return {
      sentence: `${source} is no usable configuration; name the audit file, or see what is wrong: wharfgate check${argument}`,
    }
  }
  const { audit } = reading.config
  if (!audit.enabled) return { sentence: 'audit.enabled is false: no audit is written' }
  if (audit.destination !== 'stdout') return { path: audit.destination }
  return { sentence: 'the audit goes to standard output; pipe it in: ... | wharfgate audit tail -' }
}

function fail(terminal: AuditProcess, sentence: string): void {
  terminal.stderr.write(`wharfgate: ${sentence}\n`)
  terminal.exitCode = 1
}

async function tail(path: string, options: TailOptions, terminal: AuditProcess): Promise<void> {
  const gone = new AbortController()
  terminal.stdout.on('error', (error: NodeJS.ErrnoException) => {
    gone.abort()
    // Whoever read this has seen enough.
    if (error.code !== 'EPIPE') fail(terminal, `standard output cannot be written: ${error.message}`)
  })
  const note = (sentence: string): void => {
    terminal.stderr.write(`wharfgate: ${sentence}\n`)
  }
  const source = sourceOf(path, options.follow, terminal.stdin, gone.signal, note)
  try {
    await print(source, options, terminal.stdout, gone.signal, note)
  } catch (error) {
    if (gone.signal.aborted) return
    fail(terminal, `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function sourceOf(
  path: string,
  isFollowed: boolean,
  standardInput: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  note: (sentence: string) => void,
): AsyncIterable<SourceEvent> {
  if (path === '-') return readStream(standardInput, isFollowed)
  if (!isFollowed) return readStream(createReadStream(path), false)
  return follow(path, {
    pause: () => delay(pollMs, undefined, { signal }),
    onMissing: () => {
      note(`${path} is not there yet; waiting for it`)
    },
  })
}

/** Prints what was there at the first end, as much as is wanted of it, and from then on everything that matches. */
async function print(
  source: AsyncIterable<SourceEvent>,
  options: TailOptions,
  stdout: NodeJS.WritableStream,
  signal: AbortSignal,
  note: (sentence: string) => void,
): Promise<void> {
  const cutter = createLineCutter()
  let held: AuditEntry[] | undefined = options.lines === Number.POSITIVE_INFINITY ? undefined : []
  let broken = 0

  async function show(entries: readonly AuditEntry[]): Promise<void> {
    if (entries.length === 0) return
    const text = entries.map((entry) => `${printAuditEntry(entry, stdout)}\n`).join('')
    if (!stdout.write(text)) await once(stdout, 'drain', { signal })
  }

  async function take(lines: readonly string[]): Promise<void> {
    const parsed = lines.filter((line) => line !== '').map(parseAuditEntry)
    const entries = parsed.filter((entry) => entry !== undefined)
    broken += parsed.length - entries.length
    const wanted = entries.filter((entry) => isWanted(entry, options))
    if (held === undefined) await show(wanted)
    else held = lastOf([...held, ...wanted], options.lines)
  }

  async function catchUp(): Promise<void> {
    if (held !== undefined) await show(held)
    held = undefined
    if (broken > 0) note(`skipped ${broken} ${broken === 1 ? 'line that is' : 'lines that are'} not of the audit`)
    broken = 0
  }

  for await (const event of source) {
    if (signal.aborted) return
    if (event.kind === 'bytes') await take(cutter.cut(event.bytes))
    else if (event.kind === 'end') await catchUp()
    else await take([cutter.rest()])
  }
}

function lastOf<T>(items: T[], count: number): T[] {
  return items.length > count ? items.slice(items.length - count) : items
}
