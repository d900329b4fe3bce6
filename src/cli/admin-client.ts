/** How commands speak to a running gateway: over its admin socket. */
import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import type { Command } from 'commander'
import { ConfigError, loadConfig } from '../config/load.ts'
import type { ConfigSources } from '../config/load.ts'

/** Where a command speaks to; `process` is one. */
export type AdminTerminal = {
  readonly stdout: NodeJS.WritableStream & { readonly columns?: number }
  readonly stderr: NodeJS.WritableStream
  readonly env: ConfigSources['environment']
  exitCode?: number | string | null | undefined
}

/** What names the socket. */
export type AdminOptions = { readonly config?: string; readonly socket?: string }

export type AdminQuestion = {
  readonly method: 'GET' | 'POST'
  readonly path: string
  /** A parameter without a value is an empty text; one that is undefined is left out. */
  readonly query?: Readonly<Record<string, string | undefined>>
  /** How long the gateway may take, in milliseconds. */
  readonly timeoutMs: number
}

/** The gateway could not be asked, or did not do what it was asked; the message names the cure. */
export class AdminClientError extends Error {
  readonly code = 'ADMIN_CLIENT'

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'AdminClientError'
  }
}

/** Adds the options that name the socket. */
export function withAdminSocket(command: Command): Command {
  return command
    .option('--config <file>', 'configuration of the gateway, for the path of its admin socket')
    .option('--socket <path>', 'the admin socket itself')
}

/** Asks the gateway that the options name. @returns its answer, not looked at yet. @throws AdminClientError */
export async function askGateway(
  options: AdminOptions,
  environment: ConfigSources['environment'],
  question: AdminQuestion,
): Promise<unknown> {
  return ask(await socketPath(options, environment), question)
}

/** Runs the work of a command, tells why it failed, and gives its exit code to the process: 1 for a failure. */
export async function concludeAdmin(terminal: AdminTerminal, work: () => Promise<0 | 1>): Promise<void> {
  terminal.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // Whoever read this has seen enough.
    if (error.code === 'EPIPE') return
    terminal.stderr.write(`wharfgate: standard output cannot be written: ${error.message}\n`)
    terminal.exitCode = 1
  })
  try {
    terminal.exitCode = await work()
  } catch (error) {
    if (!(error instanceof AdminClientError)) throw error
    terminal.stderr.write(`wharfgate: ${error.message}\n`)
    terminal.exitCode = 1
  }
}

/** The member of an answer that is a list, each item read. @throws AdminClientError where it is not as expected */
export function listOf<Item>(answer: unknown, name: string, read: (item: Fields) => Item | undefined): readonly Item[] {
  const list = fieldsOf(answer)[name]
  if (!Array.isArray(list)) throw notUnderstood(name)
  return list.map((item: unknown) => {
    const found = read(fieldsOf(item))
    if (found === undefined) throw notUnderstood(name)
    return found
  })
}

export type Fields = Readonly<Record<string, unknown>>

export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

/** The texts of a list; what is none is left out. */
export function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item: unknown) => typeof item === 'string') : []
}

/** The answer is none of this version. */
export function notUnderstood(name: string): AdminClientError {
  return new AdminClientError(
    `the gateway answered without ${name} that can be read; use the wharfgate command of the gateway's own version`,
  )
}

async function socketPath({ config: file, socket }: AdminOptions, environment: ConfigSources['environment']) {
  if (socket !== undefined) return socket
  try {
    return (await loadConfig({ file, environment, readFile })).admin.socket
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    // The new configuration may be what is broken; the running gateway is still to say so itself.
    throw new AdminClientError(
      `${error.message}\nthe path of the admin socket is not known; name it with --socket PATH`,
      { cause: error },
    )
  }
}

function ask(socketPath: string, { method, path, query = {}, timeoutMs }: AdminQuestion): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const target = `${path}${printQuery(query)}`
    const req = request({ socketPath, path: target, method, agent: false, timeout: timeoutMs }, (res) => {
      let text = ''
      res.setEncoding('utf8')
      res.on('error', (error) => {
        reject(unreachable(socketPath, error))
      })
      res.on('data', (chunk: string) => {
        text += chunk
      })
      res.on('end', () => {
        const answer = parseJson(text)
        if (res.statusCode === 200 && answer !== undefined) resolve(answer)
        else reject(refused(socketPath, res.statusCode ?? 0, answer))
      })
    })
    req.on('timeout', () => {
      const message = `the gateway at ${socketPath} did not answer within ${timeoutMs / 1000} s; is it overloaded?`
      req.destroy(new AdminClientError(message))
    })
    req.on('error', (error: NodeJS.ErrnoException) => {
      reject(error instanceof AdminClientError ? error : unreachable(socketPath, error))
    })
    req.end()
  })
}

function printQuery(query: NonNullable<AdminQuestion['query']>): string {
  const pairs = Object.entries(query).flatMap(([name, value]) => {
    if (value === undefined) return []
    return [value === '' ? name : `${name}=${encodeURIComponent(value)}`]
  })
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function unreachable(path: string, error: NodeJS.ErrnoException): AdminClientError {
  const cures: Readonly<Record<string, string>> = {
    ENOENT: 'no gateway has its admin socket there; is it running, and is admin.socket the same?',
    ECONNREFUSED: 'the gateway that made it is gone',
    ECONNRESET: 'the gateway ended before it answered; what was asked may be done or not',
    EACCES: 'only the user that runs the gateway may open it',
  }
  return new AdminClientError(`${path}: ${cures[error.code ?? ''] ?? error.message}`, { cause: error })
}

function refused(path: string, status: number, answer: unknown): AdminClientError {
  const { error } = fieldsOf(answer)
  if (typeof error === 'string') return new AdminClientError(`the gateway at ${path} says: ${error}`)
  return new AdminClientError(
    `the gateway at ${path} answered ${status}, which is no answer of wharfgate; is --socket right?`,
  )
}
