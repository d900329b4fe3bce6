/** `wharfgate hash-password`: a line for an htpasswd file, from a password on standard input. */
import { Command, InvalidArgumentError } from 'commander'
import { costRange, usernameFault } from '../authentication/htpasswd.ts'
import { defaultCost, hashPassword, isHashable, maxPasswordBytes } from '../authentication/password-hashing.ts'
import { askHidden, PasswordInputError, readFirstLine } from './password-input.ts'
import type { PasswordSource } from './password-input.ts'

/** What the command reads from and writes to; `process` is one. */
export type Console = PasswordSource & {
  readonly stdout: { write(text: string): unknown }
  exitCode?: number | string | null | undefined
}

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
  if (console.stdin.isTTY !== true) return readFirstLine(console.stdin, maxPasswordBytes, passwordTooLong)
  const password = await askHidden(console, 'Password: ')
  if ((await askHidden(console, 'Again: ')) === password) return password
  throw new PasswordInputError('the two passwords are not the same')
}
