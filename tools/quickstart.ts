/**
 * `npm run quickstart`: a certificate, a user, a real registry and the gateway in front of it, on this machine alone.
 * What it makes stays in `.wharfgate/quickstart`, or where `--state` says, and is used again at the next start; Ctrl-C ends
 * all that runs.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { initCertificates } from '../src/cli/certificate-files.ts'
import { hashPassword } from '../src/authentication/password-hashing.ts'
import { loadConfig } from '../src/config/load.ts'
import { startServer } from '../src/server.ts'
import { quickstartLines } from './quickstart/lines.ts'
import { findRegistry, startRegistry } from './quickstart/registry.ts'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const stateDirectory = join(root, '.wharfgate')
const username = 'wharfgate'
/** npm runs scripts at the root of the repository; paths that somebody typed begin where they typed them. */
const calledFrom = process.env['WHARFGATE_CALLED_FROM'] ?? process.cwd()

function say(line: string): void {
  process.stderr.write(`quickstart: ${line}\n`)
}

/** A path as the shell that called us would write it. */
function shown(path: string): string {
  const from = relative(calledFrom, path)
  return from.startsWith('..') ? path : from
}

/** The one user's password, made at the first start. */
async function provideUser(home: string): Promise<{ readonly password: string; readonly passwordFile: string }> {
  const passwordFile = join(home, 'password')
  const htpasswd = join(home, 'htpasswd')
  if (!existsSync(passwordFile) || !existsSync(htpasswd)) {
    say('making a user with a random password')
    const password = randomBytes(18).toString('base64url')
    writeFileSync(htpasswd, `${username}:${await hashPassword(password)}\n`, { mode: 0o600 })
    writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 })
  }
  return { password: readFileSync(passwordFile, 'utf8').trim(), passwordFile }
}

/** The policy of the first start; from then on it is the user's to change, and a change takes effect at once. */
function providePolicy(home: string): void {
  const file = join(home, 'policies', 'default.yaml')
  if (existsSync(file)) return
  const lines = [
    '# Who may do what. Written by npm run quickstart when it was not there; change it, and it is in force at once.',
    'rules:',
    `  - allow: owner              # pull, push, delete and list, and move protected tags`,
    `    to: user:${username}`,
    "    on: '**'                  # every repository",
    '',
  ]
  mkdirSync(join(home, 'policies'), { recursive: true })
  writeFileSync(file, lines.join('\n'))
}

function writeConfig(home: string, port: number, upstream: string): string {
  const file = join(home, 'wharfgate.yaml')
  const lines = [
    '# Written by npm run quickstart at every start; copy it before you change it.',
    `publicUrl: https://localhost:${port}`,
    `listen: { host: 127.0.0.1, port: ${port} }`,
    'admin: { port: 0, socket: admin.sock }',
    'tls: { certificateFile: certs/tls.crt, keyFile: certs/tls.key }',
    `upstream: { url: ${JSON.stringify(upstream)} }`,
    'authentication: { htpasswd: { enabled: true, file: htpasswd } }',
    'authorization: { policies: policies }',
    'log: { level: warn }',
    'audit: { destination: audit.log }',
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  return file
}

/** Resolves at the first Ctrl-C or SIGTERM. */
function untilAsked(): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      resolve()
    }
    process.once('SIGINT', stop).once('SIGTERM', stop)
  })
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '8443' },
      state: { type: 'string', default: join(stateDirectory, 'quickstart') },
    },
  })
  const port = Number(values.port)
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new Error(`--port is a number from 1 to 65535, not ${values.port}`)
  const home = resolve(calledFrom, values.state)
  mkdirSync(home, { recursive: true, mode: 0o700 })
  const certificates = join(home, 'certs')
  say('making a certificate for localhost, if there is none yet')
  await initCertificates({ directory: certificates, hosts: ['localhost', '127.0.0.1', '::1'] })
  const user = await provideUser(home)
  say('finding a registry')
  const registry = await startRegistry(await findRegistry(stateDirectory, say), home)
  const asked = untilAsked()
  try {
    providePolicy(home)
    const configFile = writeConfig(home, port, registry.url)
    const config = await loadConfig({ file: configFile, environment: {}, readFile })
    const server = await startServer(config)
    process.stdout.write(
      quickstartLines({
        host: `localhost:${port}`,
        registry: registry.description,
        username,
        ...user,
        passwordFile: shown(user.passwordFile),
        caFile: shown(join(certificates, 'ca.crt')),
        configFile: shown(configFile),
        emphasize: (text) =>
          process.stdout.isTTY && process.env['NO_COLOR'] === undefined ? `\u001b[1m${text}\u001b[22m` : text,
      }),
    )
    await asked
    say('ending')
    await server.stop()
  } finally {
    await registry.stop()
  }
}

try {
  await main()
} catch (error) {
  const cause = error instanceof Error ? error : new Error(String(error))
  say(cause.message)
  if ('code' in cause && cause.code === 'EADDRINUSE') say('another port: npm run quickstart -- --port 9443')
  process.exitCode = 1
}
