/** `wharfgate hash-password`: a line for an htpasswd file, from a password on standard input. */
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { Command, InvalidArgumentError } from 'commander'
import { costRange, usernameFault } from '../authentication/htpasswd.ts'
import { defaultCost, hashPassword, isHashable, maxPasswordBytes } from '../authentication/password-hashing.ts'

/** What the command reads from and writes to; `process` is one. */
export type Console = {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean }
  readonly stdout: { write(text: string): unknown }
  readonly stderr: { write(text: string): unknown }
  exitCode?: number | string | null | undefined
}

/** Something that the person at the keyboard has to do differently; printed without a stack. */
class PasswordInputError extends Error {}

const passwordTooLong = `the password is longer than ${maxPasswordBytes} bytes, and bcrypt would ignore the rest; choose a shorter one`

type HashPasswordOptions = { readonly username?: string; readonly cost: number }

/**
 * The `hash-password` subcommand. A terminal is asked twice and shows nothing of it; of anything else the first line is
 * the password, without its line ending. What cannot be done is one sentence on standard error and exit code 1.
 */
export function hashPasswordCommand(console: Console = process): Command {
  const costs = `${costRange.weakBelow} to ${costRange.highest}`
  return new Command('hash-password')
    .description('read a password from standard input and print a line for an htpasswd file')
    .argument('[name]', 'the user name, like --username', parseUsername)
    .option('--username <name>', 'the user name, which stands in front of the hash', parseUsername)
    .option('--cost <number>', `bcrypt cost, ${costs}; every step doubles the time of a check`, parseCost, defaultCost)
    .action(async (name: string | undefined, options: HashPasswordOptions) => {
      try {
        const username = options.username ?? name
        const hash = await hashPassword(checkPassword(await readPassword(console)), options.cost)
        console.stdout.write(username === undefined ? `${hash}\n` : `${username}:${hash}\n`)
        if (username === undefined) console.stderr.write('wharfgate: put the user name and a colon in front of it\n')
      } catch (error) {
        if (!(error instanceof PasswordInputError)) throw error
        console.stderr.write(`wharfgate: ${error.message}\n`)
        console.exitCode = 1
      }
    })
}

function parseUsername(text: string): string {
  const fault = usernameFault(text)
  if (fault !== undefined) throw new InvalidArgumentError(`${fault}.`)
  return text
}

function parseCost(text: string): number {
  const cost = /^\d{1,2}$/.test(text) ? Number(text) : 0
  const { weakBelow, highest } = costRange
  if (cost < weakBelow || cost > highest) throw new InvalidArgumentError(`it must be from ${weakBelow} to ${highest}.`)
  return cost
}

function checkPassword(password: string): string {
  if (password === '') throw new PasswordInputError('the password is empty')
  if (isHashable(password)) return password
  const hasNul = password.includes('\0')
  throw new PasswordInputError(hasNul ? 'the password contains a NUL, which bcrypt cannot take' : passwordTooLong)
}

async function readPassword(console: Console): Promise<string> {
  if (console.stdin.isTTY !== true) return readFirstLine(console.stdin)
  const password = await askHidden(console, 'Password: ')
  if ((await askHidden(console, 'Again: ')) === password) return password
  throw new PasswordInputError('the two passwords are not the same')
}

/** Reads no further than the first line, and no more of it than any password has. */
async function readFirstLine(input: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of input) {
    const bytes = Buffer.from(chunk)
    const end = bytes.indexOf(0x0a)
    chunks.push(end < 0 ? bytes : bytes.subarray(0, end))
    length += bytes.length
    if (end >= 0 || length > maxPasswordBytes + 1) break
  }
  const line = Buffer.concat(chunks)
  // What is longer may have been cut in the middle of a character.
  if (line.length > maxPasswordBytes + 1) throw new PasswordInputError(passwordTooLong)
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(line).replace(/\r$/, '')
  } catch {
    throw new PasswordInputError('the password is not UTF-8, which is how clients send it')
  }
}

/** Lets readline edit the line, but gives it nothing to show it on. */
async function askHidden({ stdin, stderr }: Console, question: string): Promise<string> {
  const nowhere = new Writable({
    write: (_chunk, _encoding, done) => {
      done()
    },
  })
  const reader = createInterface({ input: stdin, output: nowhere, terminal: true })
  stderr.write(question)
  try {
    return await Promise.race([reader.question(''), ended(reader)])
  } finally {
    reader.close()
    stderr.write('\n')
  }
}

/** Ctrl-C and Ctrl-D end the line without an answer. */
function ended(reader: NodeJS.EventEmitter): Promise<never> {
  return new Promise((_resolve, reject) => {
    reader.once('close', () => {
      reject(new PasswordInputError('no password was given'))
    })
  })
}
