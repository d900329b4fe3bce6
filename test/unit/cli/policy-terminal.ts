import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { policyCommand } from '../../../src/cli/policy.ts'

/** What a command said, and the exit code that it left. */
export type Said = {
  readonly stdout: string
  readonly stderr: string
  readonly code: number | string | null | undefined
}

export type PolicyTerminal = {
  readonly folder: string
  /** Writes a file below the folder. @returns its path */
  readonly write: (name: string, text: string) => string
  /** Runs `wharfgate policy` with these words; what commander refuses rejects. */
  readonly run: (args: readonly string[], options?: RunOptions) => Promise<Said>
  readonly remove: () => void
}

export type RunOptions = {
  readonly stdin?: Uint8Array | string
  readonly env?: Readonly<Record<string, string>>
  /** How wide the terminal of standard output is; absent where that is none. */
  readonly columns?: number
  /** Whether a person watches standard error. */
  readonly isWatched?: boolean
}

/** A folder for policies and a terminal to ask them from. */
export function createPolicyTerminal(): PolicyTerminal {
  const folder = mkdtempSync(join(tmpdir(), 'wharfgate-policy-'))
  return {
    folder,
    write: (name, text) => {
      const path = join(folder, name)
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, text)
      return path
    },
    run: runPolicy,
    remove: () => {
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function runPolicy(args: readonly string[], options: RunOptions = {}): Promise<Said> {
  const said = { stdout: '', stderr: '' }
  const stream = (name: 'stdout' | 'stderr', more: object): PassThrough => {
    const kept = Object.assign(new PassThrough(), more)
    kept.on('data', (chunk: Buffer) => void (said[name] += chunk.toString()))
    return kept
  }
  const { stdin = '', env = {}, columns, isWatched = false } = options
  const terminal = {
    stdin: Readable.from([Buffer.from(stdin)]),
    stdout: stream('stdout', columns === undefined ? {} : { columns }),
    stderr: stream('stderr', isWatched ? { isTTY: true } : {}),
    env,
    exitCode: undefined as number | string | null | undefined,
  }
  const policy = policyCommand(terminal)
  for (const command of policy.commands) command.exitOverride().configureOutput({ writeErr: () => undefined })
  await policy.parseAsync(['node', 'policy', ...args])
  await new Promise((resolve) => setImmediate(resolve))
  return { ...said, code: terminal.exitCode }
}
