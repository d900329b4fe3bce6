import type { Writable } from 'node:stream'
import { pino } from 'pino'
import { describeError } from './error-description.ts'
import { withoutSecrets } from './printable.ts'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error'

/** Flat on purpose: an object handed in whole (a request, headers, settings) is how secrets get into logs. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined | readonly string[]>>

type Write = (message: string, fields?: LogFields, error?: unknown) => void

/**
 * The operator's log. `message` is a fixed lower-case sentence, what varies stands in `fields`, and an error is told
 * with its id and the chain of its causes. Credentials and queries are taken out of every text.
 */
export type Logger = {
  readonly debug: Write
  readonly info: Write
  readonly warn: Write
  readonly error: Write
  /** Whether entries of this level are written; asked before fields are built on the way of every request. */
  isEnabled(level: LogLevel): boolean
  /** From now on, entries below this level are not written. */
  setLevel(level: LogLevel): void
}

/** Takes one line at a time, its line feed included. */
export type LogDestination = { write(line: string): void }

/** Fields of these names are never printed, whoever hands them in. */
const secretFields = [
  ...['authorization', 'proxyAuthorization', 'cookie', 'password', 'passphrase', 'secret', 'token', 'credential'],
  ...['credentials', 'hash', 'query', 'headers', 'target'],
]

/**
 * Creates the log: JSON lines with `level`, `time` (RFC 3339, UTC), `message`, the fields and, for faults, `error`.
 * It belongs on standard error, because standard output is where the audit goes by default.
 */
export function createLogger(level: LogLevel, destination: LogDestination): Logger {
  const sink = pino(
    {
      level,
      base: null,
      messageKey: 'message',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secretFields, censor: '[removed]' },
    },
    destination,
  )
  const writer =
    (of: 'debug' | 'info' | 'warn' | 'error'): Write =>
    (message, fields, error) => {
      if (!sink.isLevelEnabled(of)) return
      const entry = cleaned(fields)
      sink[of](error === undefined ? entry : { ...entry, error: describeError(error) }, withoutSecrets(message))
    }
  return {
    debug: writer('debug'),
    info: writer('info'),
    warn: writer('warn'),
    error: writer('error'),
    isEnabled: (of) => sink.isLevelEnabled(of),
    setLevel: (next) => {
      sink.level = next
    },
  }
}

function cleaned(fields: LogFields | undefined): Record<string, unknown> {
  const entry: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(fields ?? {})) {
    if (typeof value === 'string') entry[name] = withoutSecrets(value)
    else if (typeof value === 'object' && value !== null) entry[name] = value.map(withoutSecrets)
    else entry[name] = value
  }
  return entry
}

const maxBufferedBytes = 4 * 1024 * 1024

/**
 * A stream as destination of the log. A reader that has gone away (EPIPE) or is too slow costs lines, never the
 * process and never more memory than 4 MiB.
 */
export function logTo(stream: Writable): LogDestination {
  stream.on('error', () => undefined)
  return {
    write(line) {
      if (stream.writableLength > maxBufferedBytes) return
      try {
        stream.write(line)
      } catch {
        // Standard error that is a file is written synchronously and throws when the disk is full: the line is lost.
      }
    },
  }
}
