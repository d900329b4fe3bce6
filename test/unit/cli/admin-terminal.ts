import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { WriteStream } from 'node:tty'
import type { createProgram } from '../../../src/cli/program.ts'
import type { AdminTerminal } from '../../../src/cli/admin-client.ts'
import { openAdminSocket } from '../../../src/server/admin-socket.ts'
import type { AdminCommands } from '../../../src/server/admin-commands.ts'

type Command = ReturnType<typeof createProgram>

/** What a command said, and the exit code that it left. */
export type Said = {
  readonly stdout: string
  readonly stderr: string
  readonly code: number | string | null | undefined
}

export type AdminSite = {
  /** The admin socket of a gateway that has these commands and nothing else. */
  readonly socket: string
  /** Runs words of a command against the socket. */
  readonly run: (args: readonly string[], options?: TerminalOptions) => Promise<Said>
  readonly close: () => Promise<void>
}

export type TerminalOptions = {
  readonly env?: Readonly<Record<string, string>>
  /** The variables of a terminal, by which it has colours; absent where standard output is none. */
  readonly terminal?: object
  readonly columns?: number
}

/** A gateway as far as the admin socket shows one, and terminals to speak to it from. */
export async function startAdminSite(
  commands: Partial<AdminCommands>,
  create: (terminal: AdminTerminal) => Command,
): Promise<AdminSite> {
  const folder = mkdtempSync(join(tmpdir(), 'wharfgate-admin-'))
  const socket = join(folder, 'admin.sock')
  const server = await openAdminSocket(socket, {
    reload: () => Promise.resolve([]),
    flush: () => undefined,
    ...commands,
  })
  return {
    socket,
    run: (args, options) => runCommand(create, [...args, '--socket', socket], options),
    close: async () => {
      await server.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Runs a command in a terminal of its own; what commander refuses rejects. */
export async function runCommand(
  create: (terminal: AdminTerminal) => Command,
  args: readonly string[],
  { env = {}, terminal: variables, columns }: TerminalOptions = {},
): Promise<Said> {
  const said = { stdout: '', stderr: '' }
  const stdout = new PassThrough()
  stdout.on('data', (chunk: Buffer) => void (said.stdout += chunk.toString()))
  if (variables !== undefined) {
    Object.assign(stdout, { isTTY: true, getColorDepth: () => WriteStream.prototype.getColorDepth(variables) })
  }
  if (columns !== undefined) Object.assign(stdout, { columns })
  const stderr = new PassThrough()
  stderr.on('data', (chunk: Buffer) => void (said.stderr += chunk.toString()))
  const terminal: AdminTerminal = { stdout, stderr, env }
  const command = create(terminal)
  for (const one of [command, ...command.commands]) {
    one.exitOverride().configureOutput({ writeErr: () => undefined })
  }
  await command.parseAsync(['node', command.name(), ...args])
  await new Promise((resolve) => setImmediate(resolve))
  return { ...said, code: terminal.exitCode }
}
