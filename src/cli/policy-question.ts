/** What the command line asks of a policy: who, from where, when and what. */
import { isIP } from 'node:net'
import { Argument, InvalidArgumentError, Option } from 'commander'
import type { Command } from 'commander'
import { parseInstant, parseTarget } from '../config/policy-cases.ts'
import type { Target } from '../config/policy-cases.ts'
import { actions } from '../registry/access.ts'
import type { Circumstances } from '../registry/grant.ts'
import { authenticationMethods } from '../registry/principal.ts'
import type { AuthenticationMethod, Principal } from '../registry/principal.ts'
import { PolicyCommandError } from './policy-source.ts'

/** Under which circumstances; what is absent is not known, and the time is now. */
export type CircumstanceOptions = {
  readonly address?: string
  readonly at?: number
  readonly method?: AuthenticationMethod
}

export type PrincipalOptions = {
  readonly user?: string
  readonly group?: readonly string[]
  readonly anonymous?: boolean
  readonly method?: AuthenticationMethod
}

/** Adds the options of who asks. */
export function withPrincipal(command: Command): Command {
  return command
    .option('--user <name>', 'who asks')
    .option('--group <name>', 'a group that the login of the user brings; may be given again', collect)
    .option('--anonymous', 'somebody asks who has not logged in')
}

/** Adds the options of from where, when and how. */
export function withCircumstances(command: Command): Command {
  return command
    .option(
      '--address <address>',
      'address of the client; without it, no condition on it lets anybody in',
      parseAddress,
    )
    .option('--at <time>', 'when, such as 2026-12-01T09:00:00Z; without it, now', parseTime)
    .addOption(new Option('--method <method>', 'how the user logged in').choices(authenticationMethods))
}

/** The arguments of what is wanted. */
export const actionArgument = new Argument('<action>', 'what to do').choices(actions)
export const targetArgument = new Argument('<repository[:tag]>', 'on what').argParser(parseTargetArgument)

export function parseTargetArgument(text: string): Target {
  const parsed = parseTarget(text)
  if (parsed.kind === 'fault') throw new InvalidArgumentError(`It ${parsed.sentence}.`)
  return parsed.value
}

/** Collects an option that may be given more than once. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}

function parseAddress(text: string): string {
  if (isIP(text) === 0) throw new InvalidArgumentError('It must be one address, such as 10.1.2.3 or ::1.')
  return text
}

function parseTime(text: string): number {
  const at = parseInstant(text)
  if (at !== undefined) return at
  throw new InvalidArgumentError('It must be an instant with its offset from UTC, such as 2026-12-01T09:00:00Z.')
}

/** @throws PolicyCommandError where it is not said who asks, or twice */
export function principalOf({ user, group = [], anonymous, method = 'htpasswd' }: PrincipalOptions): Principal {
  if (anonymous === true) {
    if (user === undefined && group.length === 0) return { kind: 'anonymous' }
    throw usage('--anonymous is somebody without a login; leave out --user and --group, or --anonymous')
  }
  if (user === undefined) throw usage('who asks? name a user with --user NAME, or say --anonymous')
  if (user === '' || user.includes(':')) throw usage('--user: a user name is neither empty nor holds a colon')
  return { kind: 'user', name: user, groups: group, method }
}

function usage(sentence: string): PolicyCommandError {
  return new PolicyCommandError([`wharfgate: ${sentence}`])
}

export function circumstancesOf({ address = '', at = Date.now() }: CircumstanceOptions): Circumstances {
  return { address, now: at, ownHosts: new Set() }
}

/** Who asks, for people: `alice`, or `anonymous`. */
export function nameOf(principal: Principal): string {
  return principal.kind === 'user' ? principal.name : 'anonymous'
}
