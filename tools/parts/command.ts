import { spawn } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Servers live in the sbin directories, which are not on every user's PATH. */
const serverDirectories = ['/usr/local/sbin', '/usr/sbin', '/sbin']

/**
 * How long a command may take that only tells whether something works. A part whose probe is too slow counts as missing,
 * so this is for a machine that is very busy.
 */
export const probeTimeoutMs = 60_000

/** What a command left: `code` is -1 when it could not be started or was killed at its deadline. */
export type CommandResult = { readonly code: number; readonly output: string }

/** Runs a command, without a terminal or input; both outputs together. Killed after `timeoutMs`. */
export function runCommand(
  command: string,
  args: readonly string[],
  options: { readonly timeoutMs: number; readonly env?: NodeJS.ProcessEnv; readonly cwd?: string },
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const { timeoutMs, ...rest } = options
    const child = spawn(command, args, {
      ...rest,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    })
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.once('error', (error) => {
      resolve({ code: -1, output: error.message })
    })
    child.once('close', (code) => {
      resolve({ code: code ?? -1, output: Buffer.concat(chunks).toString('utf8') })
    })
  })
}

/** Every executable file of that name on the PATH, then in the common sbin directories, in this order. */
export function findExecutables(name: string, path: string): readonly string[] {
  const directories = [...path.split(delimiter).filter((directory) => directory !== ''), ...serverDirectories]
  return [...new Set(directories)].map((directory) => join(directory, name)).filter(isExecutableFile)
}

/** The first dotted number of a `--version` answer, with what follows it up to a space or comma. */
export function findVersion(output: string): string | undefined {
  return /(?:^|[\s:v]|v=)(\d+\.\d+[^\s,]*)/.exec(output)?.[1]
}

/** The one line of a failed command that says most: the last that names an error, else the last. */
export function complaintOf(output: string): string {
  const lines = output.split('\n').map((line) => line.trim())
  const spoken = lines.filter((line) => line !== '')
  return (
    spoken.findLast((line) => /error|^E:|fail|cannot|denied|not found/i.test(line)) ??
    spoken.at(-1) ??
    'it said nothing'
  )
}

function isExecutableFile(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
