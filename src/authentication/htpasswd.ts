import { readFile } from 'node:fs/promises'

/** Something about a line that its owner should know. */
export type HtpasswdFault = {
  /** Counted from 1. */
  readonly line: number
  /** Says what is wrong and what helps; never contains the hash or anything else that stands after the colon. */
  readonly sentence: string
  /** `error`: the user of the line cannot log in. `warning`: they can, but the line should be replaced. */
  readonly severity: 'error' | 'warning'
  /** Whose line it is, where that can be told. */
  readonly username?: string
}

/** The users of a file who can log in. Names are exact: `Alice` is not `alice`. */
export type HtpasswdTable = {
  /** User name to bcrypt hash. */
  readonly hashes: ReadonlyMap<string, string>
  /** The highest cost among them; 0 in an empty table. */
  readonly maxCost: number
  readonly faults: readonly HtpasswdFault[]
}

/** A file of users that nobody could log in by. */
export class HtpasswdError extends Error {
  readonly code: 'HTPASSWD_UNREADABLE' | 'HTPASSWD_UNUSABLE'
  readonly source = 'gateway'

  constructor(code: HtpasswdError['code'], sentence: string, cause?: unknown) {
    super(sentence, cause === undefined ? undefined : { cause })
    this.name = 'HtpasswdError'
    this.code = code
  }
}

/** The costs that are taken: below 4 bcrypt has none, above 14 one login takes seconds. */
export const costRange = { lowest: 4, weakBelow: 10, highest: 14 } as const

/**
 * `$2a$`, `$2b$` or `$2y$`, the cost, 22 characters of salt and 31 of hash. Their last characters carry only 2 and 4
 * bits; where the unused bits are set, the hash is not what bcrypt writes, and no password would ever match it.
 */
const bcryptHash = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]$/

/** Prefixes of other kinds of hashes, and what to call them. */
const otherHashes: readonly (readonly [prefix: string, name: string])[] = [
  ['$2x$', 'a hash of a faulty version of bcrypt ($2x$)'],
  ['{SHA}', 'a SHA-1 hash ({SHA})'],
  ['{SSHA}', 'a SHA-1 hash ({SSHA})'],
  ['$apr1$', 'an MD5 hash ($apr1$)'],
  ['$1$', 'an MD5 hash ($1$)'],
  ['$5$', 'a SHA-256 crypt hash ($5$)'],
  ['$6$', 'a SHA-512 crypt hash ($6$)'],
  ['$y$', 'a yescrypt hash ($y$)'],
  ['$argon2', 'an Argon2 hash'],
]

/**
 * Why a name cannot stand in a file of users, or nothing. Apart from the signs of the file itself, these are names that
 * nobody could type or tell apart in a log.
 */
export function usernameFault(username: string): string | undefined {
  if (username === '') return 'the user name is empty'
  if (username.includes(':')) return 'the user name contains a colon'
  if (username.startsWith('#')) return 'the user name begins with #, which makes the line a comment'
  if (username !== username.trim()) return 'the user name begins or ends with white space'
  if (/\p{Cc}/u.test(username)) return 'the user name contains a control character'
  if (username.includes('\ufffd')) return 'the user name is not UTF-8'
  if (Buffer.byteLength(username) > 255) return 'the user name is longer than 255 bytes'
  return undefined
}

/**
 * Parses a file as Apache's `htpasswd -B` writes it: a line `name:hash` for each user, `#` comments, empty lines, a byte
 * order mark and CRLF allowed. A line that cannot be used disables its user and nobody else; so does a second line for a
 * name, because nobody can tell which of the two was meant. Never throws; linear in the length of the text.
 */
export function parseHtpasswd(text: string): HtpasswdTable {
  const hashes = new Map<string, string>()
  const firstLines = new Map<string, number>()
  const faults: HtpasswdFault[] = []
  for (const [index, rawLine] of text.split('\n').entries()) {
    // Takes a carriage return away, and a byte order mark, wherever files were put together.
    const content = rawLine.trim()
    if (content === '' || content.startsWith('#')) continue
    const line = index + 1
    const parsed = parseLine(content)
    const { username } = parsed
    if (username === undefined) {
      faults.push({ line, sentence: parsed.sentence, severity: 'error' })
      continue
    }
    const firstLine = firstLines.get(username)
    if (firstLine !== undefined) {
      hashes.delete(username)
      const sentence = `line ${firstLine} has the same user, who cannot log in until one of the two lines is removed`
      faults.push({ line, sentence, severity: 'error', username })
      continue
    }
    firstLines.set(username, line)
    if (parsed.hash !== undefined) hashes.set(username, parsed.hash)
    if (parsed.sentence !== undefined) {
      const severity = parsed.hash === undefined ? 'error' : 'warning'
      faults.push({ line, sentence: parsed.sentence, severity, username })
    }
  }
  if (hashes.size === 0) faults.unshift({ line: 1, sentence: nobodySentence, severity: 'error' })
  return { hashes, maxCost: highestCost(hashes), faults }
}

/** Everything that is wrong with a file of users, in the order of its lines; nothing where all is well. */
export function inspectHtpasswd(text: string): readonly HtpasswdFault[] {
  return parseHtpasswd(text).faults
}

/**
 * Reads a file of users.
 *
 * @throws {HtpasswdError} when it cannot be read, or when not one of its lines can be used
 */
export async function readHtpasswd(file: string): Promise<HtpasswdTable> {
  const table = parseHtpasswd(await readText(file))
  if (table.hashes.size === 0) throw new HtpasswdError('HTPASSWD_UNUSABLE', `${file}: ${nobodySentence}`)
  return table
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new HtpasswdError('HTPASSWD_UNREADABLE', `${file}: the file of users cannot be read`, error)
  }
}

/** What is said of a file without one line that can be used. */
export const nobodySentence = `no line of the file can be used, so nobody could log in; ${help(undefined)}`

type ParsedLine =
  | { readonly username: undefined; readonly sentence: string }
  | { readonly username: string; readonly hash: undefined; readonly sentence: string }
  | { readonly username: string; readonly hash: string; readonly sentence: string | undefined }

function parseLine(content: string): ParsedLine {
  const colon = content.indexOf(':')
  const username = content.slice(0, Math.max(colon, 0))
  const fault = colon < 0 ? 'the line has no colon between a user name and a hash' : usernameFault(username)
  if (fault !== undefined) return { username: undefined, sentence: `${fault}; ${help(undefined)}` }
  const field = content.slice(colon + 1)
  const cost = bcryptHash.exec(field)?.[1]
  if (cost === undefined) {
    return { username, hash: undefined, sentence: `${kindOf(field)}; ${help(username)}` }
  }
  const { lowest, weakBelow, highest } = costRange
  if (Number(cost) < lowest || Number(cost) > highest) {
    const sentence = `the bcrypt cost is ${cost}, but only ${lowest} to ${highest} are taken; ${help(username)}`
    return { username, hash: undefined, sentence }
  }
  const weak = `the bcrypt cost is ${cost}, and below ${weakBelow} a stolen file is quickly guessed; ${help(username)}`
  return { username, hash: field, sentence: Number(cost) < weakBelow ? weak : undefined }
}

/** Says what stands where a bcrypt hash should, without repeating any of it. */
function kindOf(field: string): string {
  if (field === '') return 'the hash is missing'
  if (/^\$2[aby]\$/.test(field)) return 'the bcrypt hash is damaged: something is missing, changed or added'
  const known = otherHashes.find(([prefix]) => field.startsWith(prefix))
  if (known === undefined) return 'what stands after the colon is not a bcrypt hash'
  return `what stands after the colon is ${known[1]}, and only bcrypt ($2a$, $2b$, $2y$) is taken`
}

/** The command that makes a good line; a name is repeated only where a shell would take it as it stands. */
function help(username: string | undefined): string {
  const name = username !== undefined && /^\w[\w.@+-]{0,63}$/.test(username) ? username : 'NAME'
  return `make the line with: wharfgate hash-password --username ${name}`
}

/** The cost of a bcrypt hash that has been parsed. */
export function costOf(hash: string): number {
  return Number(hash.slice(4, 6))
}

function highestCost(hashes: ReadonlyMap<string, string>): number {
  let highest = 0
  for (const hash of hashes.values()) highest = Math.max(highest, costOf(hash))
  return highest
}
