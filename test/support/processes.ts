import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { constants as osConstants } from 'node:os'
import { keepWritten } from './canaries.ts'

/** What a finished command left. `code` is 128 + the signal's number when a signal ended it, as in a shell. */
export type RunResult = {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export type StartOptions = {
  /** The whole environment of the process; the test's own when left out. */
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
}

export type RunOptions = StartOptions & {
  /** Written to standard input, which is then closed. */
  readonly input?: string | Buffer
  /** After this long the command is killed and its result says so: two minutes unless told. */
  readonly timeoutMs?: number
}

/** A process that a test started and must stop. */
export interface RunningProcess {
  readonly pid: number
  readonly stdout: () => string
  readonly stderr: () => string
  /** The exit code (see RunResult), or undefined while it runs. */
  readonly exitCode: () => number | undefined
  /** Resolves when the process has ended and its output is complete. */
  readonly ended: Promise<RunResult>
  /** Writes to standard input and closes it. */
  readonly input: (data: string | Buffer) => void
  readonly kill: (signal: NodeJS.Signals) => void
  /** SIGTERM, then SIGKILL when that was not enough within `graceMs` (30 s unless told). Safe to call twice. */
  readonly stop: (options?: { readonly graceMs?: number }) => Promise<RunResult>
}

/** Starts a long-lived process here, or elsewhere (see createNetworkNamespace). */
export type Start = (command: string, args: readonly string[], options?: StartOptions) => RunningProcess

/** Runs a command to its end here, or elsewhere (see createNetworkNamespace). */
export type Run = (command: string, args: readonly string[], options?: RunOptions) => Promise<RunResult>

const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find(isExecutable)
const alive = new Set<ChildProcessWithoutNullStreams>()
let isExitWatched = false

/**
 * Starts a process and captures its output. It ends with the test process whatever becomes of that: where Linux has
 * setpriv the kernel sees to it (Jest never tells its tests that it exits), elsewhere the exit event does.
 */
export const start: Start = (command, args, options = {}) => {
  const child = launch(command, args, options)
  const running = watch(child, `${command} ${args.join(' ')}`)
  if (isGateway(args)) {
    void running.ended.then(({ stdout, stderr }) => {
      keepWritten('output', 'process', `${stdout}\n${stderr}`)
    })
  }
  return running
}

/** Other commands of ours print secrets on purpose: `hash-password` its hash. */
function isGateway(args: readonly string[]): boolean {
  return args.includes('serve') && args.some((word) => word.endsWith('wharfgate.js'))
}

/** Runs a command to its end. A failing command is a result, never an exception. */
export const run: Run = (command, args, options = {}) => runStarted(start(command, args, options), options)

/** Feeds, times and awaits a process that was just started: the second half of `run`. */
export async function runStarted(running: RunningProcess, options: RunOptions): Promise<RunResult> {
  const { timeoutMs = 120_000 } = options
  running.input(options.input ?? '')
  const deadline = { isPassed: false }
  const timer = setTimeout(() => {
    deadline.isPassed = true
    running.kill('SIGKILL')
  }, timeoutMs)
  const result = await running.ended.finally(() => {
    clearTimeout(timer)
  })
  return deadline.isPassed ? { ...result, stderr: `${result.stderr}\nkilled after ${String(timeoutMs)} ms` } : result
}

function launch(command: string, args: readonly string[], options: StartOptions): ChildProcessWithoutNullStreams {
  if (!isExitWatched) {
    isExitWatched = true
    process.on('exit', () => {
      for (const child of alive) child.kill('SIGKILL')
    })
  }
  const [program, words] =
    setpriv === undefined ? [command, [...args]] : [setpriv, ['--pdeathsig', 'KILL', '--', command, ...args]]
  const child = spawn(program, words, { ...options, stdio: 'pipe' })
  alive.add(child)
  return child
}

function watch(child: ChildProcessWithoutNullStreams, title: string): RunningProcess {
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  let exitCode: number | undefined
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
  // A command that ends without reading its input is no fault of ours.
  child.stdin.on('error', () => undefined)
  const exited = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      stderr.push(Buffer.from(`${title} cannot be started: ${error.message}`))
      exitCode ??= 127
      resolve()
    })
    child.once('exit', (code, signal) => {
      alive.delete(child)
      exitCode = code ?? 128 + (signal === null ? 0 : osConstants.signals[signal])
      // 'close' waits for whoever inherited the pipes; what a command left behind must not hold its result. What the
      // command itself wrote is read before the immediate, however late this process comes to look.
      setTimeout(() => setImmediate(resolve), 500).unref()
    })
    child.once('close', () => {
      resolve()
    })
  })
  const text = (chunks: readonly Buffer[]) => () => Buffer.concat(chunks).toString('utf8')
  const ended = exited.then(() => ({ code: exitCode ?? 127, stdout: text(stdout)(), stderr: text(stderr)() }))
  return {
    pid: child.pid ?? -1,
    stdout: text(stdout),
    stderr: text(stderr),
    exitCode: () => exitCode,
    ended,
    input: (data) => {
      child.stdin.end(data)
    },
    kill: (signal) => {
      child.kill(signal)
    },
    stop: async ({ graceMs = 30_000 } = {}) => {
      if (exitCode === undefined) child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs)
      return ended.finally(() => {
        clearTimeout(timer)
      })
    },
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
