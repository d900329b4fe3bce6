/** What the policy commands work on: the policy that a configuration names, or one of their own. */
import { readdirSync } from 'node:fs'
import { readFile, readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Command } from 'commander'
import type { LoadedPolicy } from '../authorization/compile-policy.ts'
import { loadPolicy } from '../authorization/load-policy.ts'
import { printFault, readPolicyFiles } from '../authorization/policy-store.ts'
import { withoutAnonymous } from '../authorization/without-anonymous.ts'
import type { Fault } from '../config/document.ts'
import { printProblem, readConfig } from '../config/load.ts'
import type { ConfigSources } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { codeOf } from '../config/text-file.ts'
import { createRuleTexts } from './policy-rule-text.ts'
import type { RuleTexts } from './policy-rule-text.ts'

/** What the commands read from and speak to; `process` is one. */
export type PolicyProcess = {
  readonly stdin: AsyncIterable<Uint8Array>
  readonly stdout: NodeJS.WritableStream
  readonly stderr: NodeJS.WritableStream
  readonly env: ConfigSources['environment']
  exitCode?: number | string | null | undefined
}

/** Where a command finds its policy; a path of its own needs no configuration. */
export type SourceOptions = { readonly config?: string; readonly policies?: string }

/** What keeps a command from its work, in lines for the person who gave it; exit code 2. */
export class PolicyCommandError extends Error {
  readonly code = 'POLICY_COMMAND'
  readonly lines: readonly string[]

  constructor(lines: readonly string[]) {
    super(lines.join('\n'))
    this.name = 'PolicyCommandError'
    this.lines = lines
  }
}

export type PolicySource = {
  /** The file or folder. */
  readonly path: string
  readonly policy: LoadedPolicy
  readonly ruleTexts: RuleTexts
  /** Absent where the policy was named without one. */
  readonly config: Config | undefined
}

/** The one place that knows where a configuration names its policies. */
export function policiesPathOf({ authorization }: Config): string {
  return authorization.policies
}

/**
 * The policy as the gateway of the configuration enforces it: where `authentication.anonymous` is off, nothing is for who
 * has not logged in. Without a configuration, the policy as it is.
 */
export function enforcedPolicy({ policy, config }: Pick<PolicySource, 'policy' | 'config'>): LoadedPolicy {
  return config?.authentication.anonymous.enabled === false ? { ...policy, ...withoutAnonymous(policy) } : policy
}

/** Reads the configuration, where one is needed, and the policy. @throws PolicyCommandError with everything that is wrong */
export async function readPolicySource(
  { config: file, policies }: SourceOptions,
  environment: ConfigSources['environment'],
): Promise<PolicySource> {
  if (policies === undefined) {
    const config = await readConfiguration(file, environment)
    return { ...(await readPolicy(policiesPathOf(config))), config }
  }
  // Where both are given, the configuration says the rest: who may ask at all, where the audit is.
  const config = file === undefined ? undefined : await readConfiguration(file, environment)
  return { ...(await readPolicy(policies)), config }
}

async function readConfiguration(file: string | undefined, environment: ConfigSources['environment']): Promise<Config> {
  const reading = await readConfig({ file, environment, readFile })
  if (reading.kind === 'ok') return reading.config
  const cure =
    file === undefined
      ? 'the environment alone is no configuration; name one with --config FILE, or policies with --policies PATH'
      : `${file} cannot be used; mend it, or name the policies themselves with --policies PATH`
  throw new PolicyCommandError([...reading.problems.map(printProblem), `wharfgate: ${cure}`])
}

/** A policy with its rules as they are written. */
type ReadPolicy = Pick<PolicySource, 'path' | 'policy' | 'ruleTexts'>

/** Reads one policy. @throws PolicyCommandError with every fault of every file */
export async function readPolicy(path: string): Promise<ReadPolicy> {
  const reading = await tryPolicy(path)
  if (reading.kind === 'faults') throw new PolicyCommandError(reading.faults.map(printFault))
  return reading
}

/** Reads one policy. Never throws: whatever is wrong, all of it, comes back as faults. */
export async function tryPolicy(
  path: string,
): Promise<(ReadPolicy & { readonly kind: 'ok' }) | { readonly kind: 'faults'; readonly faults: readonly Fault[] }> {
  const found = await readPolicyFiles(path, { readFile, listFolder: (folder) => readdirSync(folder) })
  if (found.kind === 'faults') return found
  const load = loadPolicy(found.files, { name: basename(path), generation: 1 })
  if (load.kind === 'faults') return load
  return { kind: 'ok', path, policy: load.policy, ruleTexts: createRuleTexts(found.files) }
}

const casesEnding = '.cases.yaml'

/** The tables of cases that stand beside a policy: those of its folder, or the one with the name of the file. */
export async function findCases(policies: string): Promise<readonly string[]> {
  try {
    if ((await stat(policies)).isDirectory()) {
      const names = await readdir(policies)
      const found = names.filter((name) => name.endsWith(casesEnding) && !name.startsWith('.'))
      return found.sort().map((name) => join(policies, name))
    }
    const beside = join(dirname(policies), `${basename(policies).replace(/\.ya?ml$/, '')}${casesEnding}`)
    return (await stat(beside)).isFile() ? [beside] : []
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []
    throw new PolicyCommandError([`wharfgate: the cases beside ${policies} cannot be read (${codeOf(error)})`])
  }
}

/** Adds the options that say where the policy is. */
export function withSource(command: Command): Command {
  return command
    .option('--config <file>', 'the configuration, which names the policies; without it, the environment')
    .option('--policies <path>', 'a policy file or folder itself; no configuration is needed then')
}

/**
 * Makes a subcommand: what its action answers is the exit code, a {@link PolicyCommandError} is told and ends with 2,
 * and so does what cannot be understood of the command line.
 */
export function policySubcommand(name: string): Command {
  return new Command(name)
    .showHelpAfterError(`(wharfgate policy ${name} --help lists what there is)`)
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
}

/** Runs the work of a command and gives its exit code to the process. */
export async function conclude(terminal: PolicyProcess, work: () => Promise<0 | 1>): Promise<void> {
  terminal.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // Whoever read this has seen enough.
    if (error.code === 'EPIPE') return
    terminal.stderr.write(`wharfgate: standard output cannot be written: ${error.message}\n`)
    terminal.exitCode = 2
  })
  try {
    terminal.exitCode = await work()
  } catch (error) {
    if (!(error instanceof PolicyCommandError)) throw error
    for (const line of error.lines) terminal.stderr.write(`${line}\n`)
    terminal.exitCode = 2
  }
}
