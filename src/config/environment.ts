/** Settings from the environment: `WHARFGATE_` and the path of the key in upper snake case. */
import { nearestBy, printName } from './keys.ts'
import type { KnownKey } from './keys.ts'

/** The variables of a process, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>

/** A key that a variable sets. */
export type EnvironmentSetting = {
  readonly path: readonly string[]
  readonly name: string
  readonly value: unknown
}

/** A variable that cannot be used. Without a key where no key has that name. */
export type EnvironmentFault = {
  readonly name: string
  readonly path?: readonly string[]
  readonly sentence: string
}

const prefix = 'WHARFGATE_'

/** Set by this repository's own npm commands. */
const ours = new Set(['WHARFGATE_CALLED_FROM'])

/**
 * What Kubernetes sets in every pod for a Service called wharfgate, or wharfgate- and more. A Service called
 * wharfgate-admin even sets WHARFGATE_ADMIN_PORT, which is told from the key `admin.port` by its value, a URL.
 */
const ofKubernetes =
  /^WHARFGATE_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/
const portOfKubernetes = /^WHARFGATE_([A-Z0-9_]+_)?PORT$/
const addressOfKubernetes = /^(tcp|udp|sctp):\/\//

/** The variable of a key; none for a key inside a list, which is given as a whole. */
export function environmentName(path: readonly string[]): string | undefined {
  if (path.includes('[]')) return undefined
  return prefix + path.map((name) => name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase()).join('_')
}

/** Reads every variable that begins with `WHARFGATE_`, the outer keys first. Values are not checked yet, only read. */
export function readEnvironment(environment: Environment, known: readonly KnownKey[]) {
  const byName = new Map(known.map((key) => [environmentName(key.path), key]))
  const settings: EnvironmentSetting[] = []
  const faults: EnvironmentFault[] = []
  for (const [name, text] of Object.entries(environment)) {
    if (text === undefined || !name.startsWith(prefix) || isForeign(name, text)) continue
    const key = byName.get(name)
    const read = key === undefined ? unknownName(name, byName) : readValue(name, key, text)
    if ('sentence' in read) faults.push(read)
    else settings.push(read)
  }
  return { settings: settings.sort((one, other) => one.path.length - other.path.length), faults }
}

function isForeign(name: string, text: string): boolean {
  if (ours.has(name) || name === 'WHARFGATE_PORT' || ofKubernetes.test(name)) return true
  return portOfKubernetes.test(name) && addressOfKubernetes.test(text)
}

function unknownName(name: string, byName: ReadonlyMap<string | undefined, KnownKey>): EnvironmentFault {
  const names = [...byName.keys()].filter((known) => known !== undefined)
  const nearest = nearestBy(names, name.slice(prefix.length), (known) => known.slice(prefix.length))
  const ending = nearest === undefined ? 'no key has this name' : `did you mean ${nearest}?`
  return { name: printName(name), sentence: `unknown variable; ${ending}` }
}

function readValue(
  name: string,
  { path, type, schema }: KnownKey,
  text: string,
): EnvironmentSetting | EnvironmentFault {
  if (text === '') return { name, path, sentence: 'is empty; give it a value or unset the variable' }
  switch (type) {
    case 'text':
      return { name, path, value: text }
    case 'boolean':
      return { name, path, value: text === 'true' ? true : text === 'false' ? false : text }
    case 'number':
      return { name, path, value: /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text }
    case 'list':
      return readJson(name, path, text, `list, such as ${sampleOf(schema) ?? '["one", "two"]'}`)
    case 'section':
      return readJson(name, path, text, 'map, such as {"key": "value"}')
  }
}

function sampleOf({ samples }: KnownKey['schema']): string | undefined {
  return Array.isArray(samples) ? JSON.stringify(samples[0]) : undefined
}

function readJson(
  name: string,
  path: readonly string[],
  text: string,
  kind: string,
): EnvironmentSetting | EnvironmentFault {
  try {
    return { name, path, value: JSON.parse(text) }
  } catch {
    // The message of JSON.parse repeats the text.
    return { name, path, sentence: `must be a JSON ${kind}` }
  }
}
