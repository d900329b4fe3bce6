/** The configuration: file, then environment, then secret files, then every check. The only reader of the environment. */
import { dirname, isAbsolute, join } from 'node:path'
import { maxDocumentBytes, parseDocument } from './document.ts'
import type { Place } from './document.ts'
import { environmentName, readEnvironment } from './environment.ts'
import type { Environment, EnvironmentSetting } from './environment.ts'
import { explain } from './explain.ts'
import { knownKeys, printPath } from './keys.ts'
import type { KnownKey, PathStep } from './keys.ts'
import { createConfigSchema } from './schema.ts'
import type { Config } from './schema.ts'
import { replaceSecretFiles } from './secrets.ts'
import { readTextFile } from './text-file.ts'
import type { ReadFile } from './text-file.ts'
import { withValue, withoutValue } from './tree.ts'

/** Where a setting came from, or where it would be written. */
export type Origin =
  ({ readonly kind: 'file'; readonly file: string } & Place) | { readonly kind: 'environment'; readonly name: string }

/** One thing that is wrong with the configuration; {@link printProblem} prints it. */
export type Problem = {
  readonly origin: Origin
  /** Such as `tls.certificates[0].keyFile`; nothing for a variable that belongs to no key. */
  readonly key?: string
  /** Never repeats a secret. */
  readonly sentence: string
}

/** What {@link readConfig} and {@link loadConfig} read from. */
export type ConfigSources = {
  /** The YAML file; relative paths in the configuration start at its folder. Without it, the environment is all. */
  readonly file?: string | undefined
  readonly environment: Environment
  readonly readFile: ReadFile
}

/** The answer of {@link readConfig}. */
export type ConfigReading =
  | { readonly kind: 'ok'; readonly config: Config; readonly originOf: (path: readonly PathStep[]) => Origin }
  | { readonly kind: 'faults'; readonly problems: readonly Problem[] }

/** The configuration cannot be used; the message lists every problem with its place, one on a line. */
export class ConfigError extends Error {
  readonly code = 'CONFIG_INVALID'
  readonly source = 'gateway'
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[]) {
    super(`the configuration cannot be used\n${problems.map(printProblem).join('\n')}`)
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/** Prints a problem as `file:line:column key: sentence`, or `environment NAME key: sentence`. */
export function printProblem({ origin, key, sentence }: Problem): string {
  return `${printPlace(origin)}${key === undefined ? '' : ` ${key}`}: ${sentence}`
}

/** Prints where a setting stands: `file:line:column`, or `environment NAME`. */
export function printPlace(origin: Origin): string {
  return origin.kind === 'file' ? `${origin.file}:${origin.line}:${origin.column}` : `environment ${origin.name}`
}

/** Reads and checks the whole configuration. Throws one {@link ConfigError} with every problem, and nothing else. */
export async function loadConfig(sources: ConfigSources): Promise<Config> {
  const reading = await readConfig(sources)
  if (reading.kind === 'faults') throw new ConfigError(reading.problems)
  return reading.config
}

/** Reads and checks the whole configuration. Never throws: whatever is wrong comes back as problems with their places. */
export async function readConfig({ file, environment, readFile }: ConfigSources): Promise<ConfigReading> {
  const resolvePath = (path: string): string =>
    file === undefined || isAbsolute(path) ? path : join(dirname(file), path)
  const schema = createConfigSchema(resolvePath)
  const known = knownKeys(schema)
  const variables = readEnvironment(environment, known)
  const problems: Problem[] = variables.faults.map(({ name, path, sentence }) => ({
    origin: { kind: 'environment', name },
    ...(path === undefined ? {} : { key: printPath(path) }),
    sentence,
  }))
  const document = file === undefined ? nothing : await parseFile(file, readFile)
  if (document.kind === 'faults') return { kind: 'faults', problems: inOrder([...document.problems, ...problems]) }

  const originOf = originFinder(file, document.placeOf, variables.settings)
  const merged = merge(document.value ?? {}, variables.settings, alternatives(known))
  const secrets = await replaceSecretFiles(merged, known, readFile, resolvePath)
  for (const { path, sentence } of secrets.faults) {
    problems.push({ origin: originOf(path), key: printPath(path), sentence })
  }
  const result = schema.safeParse(secrets.value, { reportInput: true })
  if (result.success && problems.length === 0) return { kind: 'ok', config: result.data, originOf }

  // A key that could not be read has been told of already; that it is missing now is no second problem.
  const told = new Set(problems.map(({ key }) => key))
  for (const { path, sentence } of explain(result.error?.issues ?? [], known)) {
    const written = secrets.twins.get(printPath(path)) ?? path
    const key = printPath(written)
    if (!told.has(key)) problems.push({ origin: originOf(written), key, sentence })
  }
  return { kind: 'faults', problems: inOrder(problems) }
}

const nothing = { kind: 'ok', value: null, placeOf: (): Place => ({ line: 1, column: 1 }) } as const

async function parseFile(file: string, readFile: ReadFile) {
  const content = await readTextFile(readFile, file, maxDocumentBytes)
  const problem = (place: Place, key: string, sentence: string): Problem => ({
    origin: { kind: 'file', file, line: place.line, column: place.column },
    key,
    sentence,
  })
  if (content.kind === 'fault') {
    return { kind: 'faults', problems: [problem({ line: 1, column: 1 }, 'document', content.sentence)] } as const
  }
  const parsed = parseDocument({ text: content.text, file })
  if (parsed.kind === 'ok') return parsed
  return { kind: 'faults', problems: parsed.faults.map((fault) => problem(fault, fault.key, fault.sentence)) } as const
}

/** Keys that say the same thing in two ways; a variable that sets one of them replaces the other of the file. */
function alternatives(known: readonly KnownKey[]): ReadonlyMap<string, readonly string[]> {
  const pairs: (readonly [readonly string[], readonly string[]])[] = [[['publicUrl'], ['publicUrls']]]
  for (const { path, secretPath } of known) if (secretPath !== undefined) pairs.push([path, secretPath])
  return new Map(pairs.flatMap(([one, other]) => [[printPath(one), other] as const, [printPath(other), one] as const]))
}

function merge(
  value: unknown,
  settings: readonly EnvironmentSetting[],
  others: ReadonlyMap<string, readonly string[]>,
): unknown {
  const withoutOthers = settings.reduce((tree, { path }) => {
    const other = others.get(printPath(path))
    return other === undefined ? tree : withoutValue(tree, other)
  }, value)
  return settings.reduce((tree, { path, value }) => withValue(tree, path, value), withoutOthers)
}

function originFinder(
  file: string | undefined,
  placeOf: (path: readonly PathStep[]) => Place,
  settings: readonly EnvironmentSetting[],
) {
  const names = new Map(settings.map(({ path, name }) => [printPath(path), name]))
  return (path: readonly PathStep[]): Origin => {
    for (let length = path.length; length > 0; length -= 1) {
      const name = names.get(printPath(path.slice(0, length)))
      if (name !== undefined) return { kind: 'environment', name }
    }
    if (file !== undefined) return { kind: 'file', file, ...placeOf(path) }
    return { kind: 'environment', name: environmentName(path.map(String)) ?? 'WHARFGATE_*' }
  }
}

/** The file from top to bottom, then the environment by name. */
function inOrder(problems: readonly Problem[]): readonly Problem[] {
  const rank = ({ origin }: Problem): readonly [number, number, string] =>
    origin.kind === 'file' ? [origin.line, origin.column, ''] : [Number.POSITIVE_INFINITY, 0, origin.name]
  return [...problems].sort((one, other) => {
    const [line, column, name] = rank(one)
    const [otherLine, otherColumn, otherName] = rank(other)
    if (line !== otherLine) return line < otherLine ? -1 : 1
    return column - otherColumn || (name < otherName ? -1 : name > otherName ? 1 : 0)
  })
}
