/** Files of text that a person wrote: read whole, bounded, and what goes wrong said in words. */

/** Reads a file; rejects with a system error that has a `code`. `readFile` of `node:fs/promises` is one. */
export type ReadFile = (path: string) => Promise<Uint8Array>

/** The answer of {@link readTextFile}; the sentence lacks its subject, the file. */
export type TextFile =
  { readonly kind: 'ok'; readonly text: string } | { readonly kind: 'fault'; readonly sentence: string }

const sentences: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist (ENOENT)',
  EACCES: 'may not be read by this user (EACCES)',
  EPERM: 'may not be read by this user (EPERM)',
  EISDIR: 'is a folder (EISDIR)',
  ENOTDIR: 'stands below something that is no folder (ENOTDIR)',
}

/** Reads UTF-8 text of at most `maxBytes`, without the byte order mark. Never throws. */
export async function readTextFile(readFile: ReadFile, path: string, maxBytes: number): Promise<TextFile> {
  let bytes: Uint8Array
  try {
    bytes = await readFile(path)
  } catch (error) {
    const code = codeOf(error)
    return { kind: 'fault', sentence: sentences[code] ?? `cannot be read (${code})` }
  }
  if (bytes.byteLength > maxBytes) return { kind: 'fault', sentence: `is larger than ${maxBytes} bytes` }
  try {
    return { kind: 'ok', text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch {
    return { kind: 'fault', sentence: 'is not UTF-8 text' }
  }
}

/** The code of a system or OpenSSL error; told by its shape, because errors may come from another realm. */
export function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'unknown error'
}
