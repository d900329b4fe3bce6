/** One line of the audit as people read it: parsed, chosen, printed. */
import { styleText } from 'node:util'
import { printable } from '../telemetry/printable.ts'

const textFields = [
  ...(['time', 'requestId', 'user', 'attemptedUser', 'clientAddress', 'userAgent', 'method', 'route', 'path'] as const),
  ...(['action', 'repository', 'reference', 'digest', 'errorId', 'outcome'] as const),
] as const

type TextField = (typeof textFields)[number]
type NumberField = 'status' | 'bytesUp' | 'bytesDown' | 'durationMs'

/**
 * What is printed of a line. A field that the line has not, or not as expected, is absent: lines of other versions can be
 * read. Texts are without control characters, whoever wrote the file.
 */
export type AuditEntry = Partial<Readonly<Record<TextField, string>>> & {
  readonly [name in NumberField]?: number | undefined
} & {
  readonly time: string
  readonly requestId: string
  readonly anonymous: boolean
}

/** Reads one line; absent where it is no line of the audit. */
export function parseAuditEntry(line: string): AuditEntry | undefined {
  const value = parseObject(line)
  if (value === undefined) return undefined
  const texts = Object.fromEntries(
    textFields.flatMap((name) => {
      const text = value[name]
      return typeof text === 'string' ? [[name, printable(text)]] : []
    }),
  ) as Partial<Record<TextField, string>>
  const { time, requestId } = texts
  if (time === undefined || requestId === undefined) return undefined
  const number = (name: NumberField): number | undefined => {
    const found = value[name]
    return typeof found === 'number' ? found : undefined
  }
  return {
    ...texts,
    time,
    requestId,
    anonymous: value['anonymous'] === true,
    status: number('status'),
    bytesUp: number('bytesUp'),
    bytesDown: number('bytesDown'),
    durationMs: number('durationMs'),
  }
}

function parseObject(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined
  }
}

/** Which lines are printed; what is absent lets every line through. */
export type AuditFilter = {
  /** Who did it, or whose login failed. */
  readonly user?: string
  /** A repository, or with a slash at its end all below it. */
  readonly repository?: string
  /** `404`, `4xx`, or `none` where no response was sent. */
  readonly status?: string
  readonly outcome?: string
}

export function isWanted(entry: AuditEntry, { user, repository, status, outcome }: AuditFilter): boolean {
  const code = entry.status === undefined ? 'none' : String(entry.status)
  return (
    (user === undefined || entry.user === user || entry.attemptedUser === user) &&
    (repository === undefined || isIn(entry.repository, repository)) &&
    (status === undefined || code === status || `${code.charAt(0)}xx` === status) &&
    (outcome === undefined || entry.outcome === outcome)
  )
}

function isIn(name: string | undefined, wanted: string): boolean {
  return wanted.endsWith('/') ? name?.startsWith(wanted) === true : name === wanted
}

/** Prints a line: when, status, what, who, how much, and the request id. Coloured where `stream` is a terminal that wants it. */
export function printAuditEntry(entry: AuditEntry, stream: NodeJS.WritableStream): string {
  const paint = (style: 'green' | 'yellow' | 'red' | 'dim', text: string): string => styleText(style, text, { stream })
  const { status, outcome, errorId, userAgent } = entry
  const isBroken = outcome !== undefined && outcome !== 'complete'
  const remarks = [...(errorId === undefined ? [] : [errorId]), ...(isBroken ? [outcome] : [])]
  return [
    entry.time,
    paint(styleOf(status), status === undefined ? '---' : String(status)),
    `${entry.action ?? entry.method ?? '?'} ${subjectOf(entry)}`,
    `by ${whoOf(entry)}`,
    ...amountsOf(entry),
    ...(remarks.length === 0 ? [] : [paint('yellow', remarks.join(' '))]),
    ...(userAgent === undefined ? [] : [paint('dim', `(${userAgent})`)]),
    paint('dim', entry.requestId),
  ].join(' ')
}

function styleOf(status: number | undefined): 'green' | 'yellow' | 'red' {
  if (status === undefined || status >= 500) return 'red'
  return status >= 400 ? 'yellow' : 'green'
}

/** As much of a digest as people compare. */
const shownDigest = /^([^:]+:.{12}).+$/

function subjectOf({ repository, reference, digest, path, route }: AuditEntry): string {
  if (repository === undefined) return path ?? (route === 'base' ? '/v2/' : route) ?? '?'
  if (digest !== undefined) return `${repository}@${digest.replace(shownDigest, '$1')}`
  return reference === undefined ? repository : `${repository}:${reference}`
}

function whoOf({ user, attemptedUser, anonymous, clientAddress }: AuditEntry): string {
  const failed = attemptedUser === undefined ? '' : ` (failed login of ${attemptedUser})`
  const who = user ?? (anonymous ? 'anonymous' : `nobody${failed}`)
  return clientAddress === undefined ? who : `${who} from ${clientAddress}`
}

function amountsOf({ bytesUp = 0, bytesDown = 0, durationMs }: AuditEntry): readonly string[] {
  return [
    ...(bytesUp > 0 ? [`up ${printBytes(bytesUp)}`] : []),
    ...(bytesDown > 0 ? [`down ${printBytes(bytesDown)}`] : []),
    ...(durationMs === undefined ? [] : [`in ${printDuration(durationMs)}`]),
  ]
}

function printBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  const step = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3))
  return `${(bytes / 1000 ** step).toFixed(step === 0 ? 0 : 1)} ${units[step] ?? ''}`
}

function printDuration(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}
