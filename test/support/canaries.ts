import { randomUUID } from 'node:crypto'
import { appendFileSync, createReadStream, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { passwords } from './personas.ts'

/**
 * Names the folder in which everything that gateways wrote is kept until the end of the run; unset: nothing is kept.
 * Not WHARFGATE_..., since the gateway refuses variables of that kind that it does not know.
 */
export const writtenFolderVariable = 'GATEWAY_TEST_WRITTEN'

/** Kinds of text that a gateway writes, as the beginning of the name of the file it is kept in. */
export type WrittenKind = 'log' | 'audit' | 'metrics' | 'error' | 'output'

/** Something that must stand nowhere. */
export type Canary = { readonly name: string; readonly isIn: (line: string) => boolean }

export type CanaryHit = { readonly file: string; readonly line: number; readonly canary: string }

export type CanaryReport = {
  readonly hits: readonly CanaryHit[]
  readonly files: number
  readonly bytes: number
  readonly canaries: number
}

const secretsFile = 'secrets.jsonl'
/** A shorter word may stand in a log by chance. */
const minSecretCharacters = 8

/** Keeps a text that a gateway wrote for the search at the end of the run; `source` says which gateway, for people. */
export function keepWritten(kind: WrittenKind, source: string, text: string): void {
  const folder = process.env[writtenFolderVariable]
  if (folder === undefined || text === '') return
  writeFileSync(join(folder, `${kind}-${basename(source)}-${randomUUID()}`), text)
}

/** The same of a file; one that is not there, or is none, has nothing to keep. */
export function keepWrittenFile(kind: WrittenKind, source: string, file: string): void {
  if (statSync(file, { throwIfNoEntry: false })?.isFile() === true) {
    keepWritten(kind, source, readFileSync(file, 'utf8'))
  }
}

/** Makes a password of this run a canary, alone and as the login of its user. */
export function keepSecret(username: string, password: string): void {
  const folder = process.env[writtenFolderVariable]
  if (folder === undefined || password.length < minSecretCharacters) return
  appendFileSync(join(folder, secretsFile), `${JSON.stringify([username, password])}\n`)
}

/** Whatever its value is, it is a secret. */
const always: readonly Canary[] = [
  { name: 'a hash of a password', isIn: (line) => /\$2[abxy]\$\d\d\$[./A-Za-z0-9]{10}/.test(line) },
  { name: 'the state of an upload', isIn: (line) => /\b_?state=[A-Za-z0-9%_-]/i.test(line) },
  {
    name: 'the signature of a storage URL',
    isIn: (line) => /\bX-Amz-(?:Signature|Credential)=[A-Za-z0-9%]/i.test(line),
  },
  { name: 'a private key', isIn: (line) => /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(line) },
]

/** The canaries of a login: the password as it is, in a URL, in JSON; and the pair as Basic has it. */
export function loginCanaries(username: string, password: string): readonly Canary[] {
  const pair = Buffer.from(`${username}:${password}`).toString('base64').replace(/=+$/, '')
  const forms = new Set([password, encodeURIComponent(password), JSON.stringify(password).slice(1, -1)])
  return [
    ...[...forms].map((form) => ({ name: `the password of ${username}`, isIn: (line: string) => line.includes(form) })),
    { name: `the Basic credentials of ${username}`, isIn: (line) => line.includes(pair) },
  ]
}

/** Searches everything that was kept in a folder. */
export async function searchWritten(folder: string): Promise<CanaryReport> {
  const files = readdirSync(folder)
  const logins = new Map<string, readonly [string, string]>(
    Object.entries(passwords).map((login) => [JSON.stringify(login), login]),
  )
  if (files.includes(secretsFile)) {
    for await (const line of linesOf(join(folder, secretsFile))) {
      const [username = '', password = ''] = JSON.parse(line) as string[]
      logins.set(line, [username, password])
    }
  }
  const canaries = [...always, ...[...logins.values()].flatMap(([name, password]) => loginCanaries(name, password))]
  const written = files.filter((file) => file !== secretsFile)
  const hits: CanaryHit[] = []
  let bytes = 0
  for (const file of written) {
    bytes += statSync(join(folder, file)).size
    let line = 0
    for await (const text of linesOf(join(folder, file))) {
      line += 1
      for (const { name, isIn } of canaries) if (isIn(text)) hits.push({ file, line, canary: name })
    }
  }
  return { hits, files: written.length, bytes, canaries: canaries.length }
}

function linesOf(file: string): AsyncIterable<string> {
  return createInterface({ input: createReadStream(file), crlfDelay: Infinity })
}
