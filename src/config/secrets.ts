/** Secrets that stand in files of their own: `passwordFile` beside `password`. */
import { printPath } from './keys.ts'
import type { KnownKey } from './keys.ts'
import { readTextFile } from './text-file.ts'
import type { ReadFile } from './text-file.ts'
import { valueAt, withValue, withoutValue } from './tree.ts'
import type { ResolvePath } from './values.ts'

/** The longest secret that a file may hold: 64 KiB. */
const maxSecretBytes = 65_536

/** A key whose file cannot be used. */
export type SecretFault = { readonly path: readonly string[]; readonly sentence: string }

/** The value with every secret in its place; `twins` gives the key that was written for the one that holds it now. */
export type ReplacedSecrets = {
  readonly value: unknown
  readonly twins: ReadonlyMap<string, readonly string[]>
  readonly faults: readonly SecretFault[]
}

/**
 * Puts the content of each secret file in the place of the key that names it, without the newline at its end. Both the
 * secret and its file is a fault, and so is a file that cannot be read or is empty. Never throws.
 */
export async function replaceSecretFiles(
  unread: unknown,
  known: readonly KnownKey[],
  readFile: ReadFile,
  resolvePath: ResolvePath,
): Promise<ReplacedSecrets> {
  const twins = new Map<string, readonly string[]>()
  const faults: SecretFault[] = []
  let value = unread
  for (const { path, secretPath } of known) {
    const file = secretPath === undefined ? undefined : valueAt(value, path)
    if (secretPath === undefined || file === undefined) continue
    twins.set(printPath(secretPath), path)
    const isDouble = valueAt(value, secretPath) !== undefined
    const secret = isDouble ? both(secretPath) : await readSecret(file, readFile, resolvePath)
    value = withoutValue(value, path)
    if (secret.kind === 'fault') faults.push({ path, sentence: secret.sentence })
    else value = withValue(value, secretPath, secret.text)
  }
  return { value, twins, faults }
}

function both(secretPath: readonly string[]) {
  return { kind: 'fault', sentence: `stands beside ${printPath(secretPath)}; keep one of the two` } as const
}

async function readSecret(path: unknown, readFile: ReadFile, resolvePath: ResolvePath) {
  if (typeof path !== 'string' || path === '') return { kind: 'fault', sentence: 'must be the path of a file' } as const
  const file = resolvePath(path)
  const content = await readTextFile(readFile, file, maxSecretBytes)
  if (content.kind === 'fault') return { kind: 'fault', sentence: `the file ${file} ${content.sentence}` } as const
  const text = content.text.replace(/\r?\n$/, '')
  return text === ''
    ? ({ kind: 'fault', sentence: `the file ${file} is empty` } as const)
    : ({ kind: 'ok', text } as const)
}
