/** `wharfgate ldap`: a login at the directory of the configuration, step by step. */
import { readFile } from 'node:fs/promises'
import { Command } from 'commander'
import { maxPasswordBytes } from '../authentication/ldap/canonical-name.ts'
import { walkLdap } from '../authentication/ldap/walk.ts'
import type { WalkResult } from '../authentication/ldap/walk.ts'
import type { WalkStep } from '../authentication/ldap/walk-cures.ts'
import { monotonicClock } from '../authentication/clock.ts'
import { ConfigError, loadConfig } from '../config/load.ts'
import type { ConfigSources } from '../config/load.ts'
import type { LdapDirectorySettings } from '../config/ldap-settings.ts'
import { readTextFile } from '../config/text-file.ts'
import { askHidden, PasswordInputError, readFirstLine } from './password-input.ts'
import type { PasswordSource } from './password-input.ts'

/** What the command reads from and writes to; `process` is one. */
export type LdapTerminal = PasswordSource & {
  readonly stdout: { write(text: string): unknown }
  readonly env: ConfigSources['environment']
  exitCode?: number | string | null | undefined
}

type TestOptions = { readonly config?: string; readonly user: string }

/** The command cannot begin; the message names the cure. */
class LdapTestError extends Error {}

const maxCaBytes = 1_048_576
const labels: Readonly<Record<WalkStep, string>> = {
  connect: 'connection to',
  tls: 'TLS with',
  serviceBind: 'login of the service account',
  base: 'entry',
  user: 'user',
  userBind: 'password of',
  groups: 'groups',
}

/** Creates the command with its subcommand. Exit code 0 where every step works, else 1. */
export function ldapCommand(terminal: LdapTerminal = process): Command {
  const ldap = new Command('ldap').description('the directory that people log in with')
  ldap
    .command('test')
    .description(
      'log somebody in at the directory step by step, with the password from standard input, and tell what to change',
    )
    .requiredOption('--user <name>', 'the name as the user logs in with it')
    .option('--config <file>', 'the configuration file; without it, the environment alone')
    .action(async (options: TestOptions) => {
      try {
        terminal.exitCode = await runTest(options, terminal)
      } catch (error) {
        const isTold = [ConfigError, LdapTestError, PasswordInputError].some((kind) => error instanceof kind)
        if (!isTold || !(error instanceof Error)) throw error
        terminal.stderr.write(`wharfgate: ${error.message}\n`)
        terminal.exitCode = 1
      }
    })
  return ldap
}

async function runTest({ config: file, user }: TestOptions, terminal: LdapTerminal): Promise<0 | 1> {
  const { ldap } = (await loadConfig({ file, environment: terminal.env, readFile })).authentication
  if (!ldap.enabled) throw new LdapTestError('there is no directory: authentication.ldap.enabled is false')
  const ca = await readAuthorities(ldap)
  const password = await readPassword(terminal)
  let isWhole = true
  const walk = { settings: ldap, username: user, password, clock: monotonicClock }
  for await (const result of walkLdap(ca === undefined ? walk : { ...walk, ca })) {
    terminal.stdout.write(printResult(result))
    if (result.outcome === 'no') isWhole = false
  }
  return isWhole ? 0 : 1
}

async function readAuthorities({ caFile }: LdapDirectorySettings): Promise<string | undefined> {
  if (caFile === undefined) return undefined
  const content = await readTextFile(readFile, caFile, maxCaBytes)
  if (content.kind === 'ok') return content.text
  throw new LdapTestError(`authentication.ldap.caFile: the file ${caFile} ${content.sentence}`)
}

function readPassword(terminal: LdapTerminal): Promise<string> {
  const tooLong = `the password is longer than ${maxPasswordBytes} bytes, which never reaches a directory`
  if (terminal.stdin.isTTY === true) return askHidden(terminal, 'Password: ')
  return readFirstLine(terminal.stdin, maxPasswordBytes, tooLong)
}

/** A line for the step, and what there is to say about it below, indented. */
function printResult({ step, subject, outcome, sentence, lines }: WalkResult): string {
  const head = [labels[step], ...(subject === '' ? [] : [shown(subject)])].join(' ')
  const tail = sentence === '' ? '' : `, ${shown(sentence)}`
  const mark = outcome === 'no' ? 'change: ' : ''
  return [`${head}: ${outcome}${tail}`, ...lines.map((line) => `  ${mark}${shown(line)}`)]
    .map((line) => `${line}\n`)
    .join('')
}

/** What a directory says may hold anything; whole, since names of entries are long. */
function shown(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\p{Bidi_Control}]/gu, '')
}
