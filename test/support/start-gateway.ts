import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { initCertificates } from '../../src/cli/certificate-files.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { startServer } from '../../src/server.ts'
import type { RunningServer } from '../../src/server.ts'
import { keepSecret, keepWritten, keepWrittenFile } from './canaries.ts'
import { requestOver } from './http-client.ts'
import type { ClientRequest, ClientResponse } from './http-client.ts'
import { basicOf, htpasswdFile } from './personas.ts'
import type { Persona } from './personas.ts'
import { writePolicy } from './policies.ts'
import type { RawTarget } from './raw-http-client.ts'
import { until } from './until.ts'

type Settings = Readonly<Record<string, unknown>>

export type StartGatewayOptions = {
  readonly upstreamUrl: string
  /** Merged over the settings of the tests, sections deeply. */
  readonly settings?: Settings
  /** The policy file; everything for users where none is given. */
  readonly policy?: string
}

export type AuditLine = Readonly<Record<string, unknown>> & { readonly requestId: string }

export type TestGateway = {
  readonly port: number
  readonly adminUrl: string
  /** PEM of the authority that vouches for the gateway. */
  readonly ca: string
  readonly caFile: string
  readonly target: RawTarget
  /** Where its files lie: `htpasswd`, `policies/default.yaml`, `wharfgate.json`, `certs/`. */
  readonly directory: string
  /** Asks as a user, with their password, over a connection of its own. */
  as(persona: Persona, request: ClientRequest): Promise<ClientResponse>
  /** Asks with exactly the headers given. */
  ask(request: ClientRequest): Promise<ClientResponse>
  auditLines(): readonly AuditLine[]
  /** Waits for the audit line of a request. */
  auditLineOf(requestId: string): Promise<AuditLine>
  log(): string
  /** What the gateway called unexpected; a test that expects nothing of the kind can say so. */
  faults(): readonly unknown[]
  readonly server: RunningServer
  /** Ends it as SIGTERM does. */
  stop(): Promise<void>
}

/**
 * A password check that fails takes no time worth waiting for, unless a test is about just that. Deadlines that come
 * before `soonMs` by default come after it, so that a machine which stalls is not taken for a client that does.
 */
const testSettings: Settings = {
  publicUrls: ['https://localhost:8443', 'https://registry.example.test:8443'],
  listen: { host: '127.0.0.1', port: 0 },
  admin: { host: '127.0.0.1', port: 0, socket: 'admin.sock' },
  tls: { certificateFile: 'certs/tls.crt', keyFile: 'certs/tls.key' },
  authentication: { htpasswd: { enabled: true, file: 'htpasswd' }, failureFloorMs: 1, maxQueueWaitMs: 60_000 },
  client: { handshakeMs: 60_000, requestHeadersMs: 60_000 },
  shutdown: { timeoutSeconds: 1 },
  log: { level: 'debug' },
  audit: { destination: 'audit.log' },
}

/** Starts the gateway in this process, on free loopback ports, with certificate, users and audit of its own. */
export async function startGateway({ upstreamUrl, settings = {}, policy }: StartGatewayOptions): Promise<TestGateway> {
  const directory = mkdtempSync(join(tmpdir(), 'wharfgate-test-'))
  await initCertificates({
    directory: join(directory, 'certs'),
    hosts: ['localhost', '127.0.0.1', 'registry.example.test'],
  })
  writeFileSync(join(directory, 'htpasswd'), htpasswdFile())
  writePolicy(directory, policy)
  const file = join(directory, 'wharfgate.json')
  writeFileSync(file, JSON.stringify(merge(merge(testSettings, { upstream: { url: upstreamUrl } }), settings)))
  const readConfig = (): Promise<Config> => loadConfig({ file, environment: {}, readFile })
  const config = await readConfig()
  const faults: unknown[] = []
  const standardError = new PassThrough()
  let log = ''
  standardError.on('data', (chunk: Buffer) => {
    log += chunk.toString()
  })
  const server = await startServer(config, {
    output: { standardOutput: new PassThrough(), standardError },
    configFile: file,
    readConfig,
    watchIntervalMs: 50,
    onFault: (cause) => faults.push(cause),
  })
  const caFile = join(directory, 'certs', 'ca.crt')
  const ca = readFileSync(caFile, 'utf8')
  const { port } = server
  const auditLines = (): readonly AuditLine[] =>
    readFileSync(join(directory, 'audit.log'), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as AuditLine)
  const errorBodies: string[] = []
  const ask = async (request: ClientRequest): Promise<ClientResponse> => {
    const response = await requestOver({ port, ca }, request)
    if (response.status >= 400) errorBodies.push(response.body)
    return response
  }
  const adminUrl = `http://127.0.0.1:${server.adminPort}`
  const { credential } = config.upstream
  if (credential !== undefined) keepSecret(credential.username, credential.password)
  const keepAll = async (): Promise<void> => {
    keepWritten('metrics', directory, await metricsOf(adminUrl))
    await server.stop()
    keepWritten('log', directory, log)
    keepWritten('error', directory, errorBodies.join('\n'))
    keepWrittenFile('audit', directory, join(directory, 'audit.log'))
  }
  return {
    port,
    adminUrl,
    ca,
    caFile,
    target: { port, ca },
    directory,
    ask,
    as: (persona, request) => ask({ ...request, headers: { authorization: basicOf(persona), ...request.headers } }),
    auditLines,
    auditLineOf: (requestId) =>
      until(() => auditLines().find((line) => line.requestId === requestId), { what: `audit line of ${requestId}` }),
    log: () => log,
    faults: () => faults,
    server,
    stop: async () => {
      await keepAll()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** Empty where the gateway was stopped already. A connection of its own, so that none stays behind. */
function metricsOf(adminUrl: string): Promise<string> {
  return new Promise((resolve) => {
    const request = get(`${adminUrl}/metrics`, { agent: false, timeout: 10_000 }, (response) => {
      text(response).then(resolve, () => {
        resolve('')
      })
    })
    request.once('timeout', () => request.destroy())
    request.once('error', () => {
      resolve('')
    })
  })
}

function merge(base: Settings, over: Settings): Settings {
  const merged: Record<string, unknown> = { ...base }
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key]
    merged[key] = isSection(below) && isSection(value) ? merge(below, value) : value
  }
  return merged
}

function isSection(value: unknown): value is Settings {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
