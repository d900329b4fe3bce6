import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hashSync } from '@node-rs/bcrypt'
import { keepSecret } from '../support/canaries.ts'
import { basic } from '../support/personas.ts'
import { readAnswers, sendRaw } from '../support/raw-http-client.ts'
import type { RawAnswer } from '../support/raw-http-client.ts'
import { answerOk, startRecordingUpstream } from '../support/recording-upstream.ts'
import type { Responder } from '../support/recording-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { StartGatewayOptions, TestGateway } from '../support/start-gateway.ts'
import { bytesOf } from './attack.ts'
import type { Front, RawRequest } from './attack.ts'

/** Everybody's password: who may do what is the subject, not who is who. */
const password = 'four words of everybody'

/** Who asks: the name of a user, or nobody. */
export type Asker = string | undefined

export type Ask = (who: Asker, request: RawRequest) => Promise<RawAnswer>

/** A gateway with a policy of its own, and users by any names. */
export type PolicyGateway = { readonly gateway: TestGateway; readonly ask: Ask; stop(): Promise<void> }

export type PolicyGatewayOptions = StartGatewayOptions & {
  readonly policy: string
  readonly users?: readonly string[]
  /** Whether the policies decide about those without a login. */
  readonly anonymousEnabled?: boolean
}

export function headersOf(who: Asker): readonly string[] {
  return ['Host: localhost:8443', ...(who === undefined ? [] : [`Authorization: ${basic(who, password)}`])]
}

export async function startPolicyGateway({
  users = ['alice', 'bob', 'ci', 'mallory'],
  anonymousEnabled = false,
  settings = {},
  ...options
}: PolicyGatewayOptions): Promise<PolicyGateway> {
  const directory = mkdtempSync(join(tmpdir(), 'wharfgate-users-'))
  const file = join(directory, 'htpasswd')
  const hash = hashSync(password, 4)
  writeFileSync(file, users.map((name) => `${name}:${hash}\n`).join(''))
  for (const name of users) keepSecret(name, password)
  const authentication = { htpasswd: { enabled: true, file }, anonymous: { enabled: anonymousEnabled } }
  const removeUsers = (): void => {
    rmSync(directory, { recursive: true, force: true })
  }
  const gateway = await startGateway({
    ...options,
    settings: { ...settings, authentication },
  }).catch((error: unknown) => {
    removeUsers()
    throw error
  })
  return {
    gateway,
    ask: (who, request) => askRaw(gateway, who, request),
    stop: async () => {
      await gateway.stop()
      removeUsers()
    },
  }
}

/** A request without a body, and with the length that says so where one could be. */
export function requestOf(method: string, target: string): RawRequest {
  return { method, target, lines: method.startsWith('P') ? ['Content-Length: 0'] : [] }
}

/** Sends one request on a connection of its own. @throws Error when it is not answered by exactly one answer */
export async function askRaw(
  gateway: Pick<TestGateway, 'target'>,
  who: Asker,
  request: RawRequest,
): Promise<RawAnswer> {
  const bytes = bytesOf({ first: headersOf(who), ...request, lines: [...(request.lines ?? []), 'Connection: close'] })
  const { text } = await sendRaw(gateway.target, bytes)
  // The answer to a HEAD tells the length of a body that does not come.
  const { answers, rest } = readAnswers(request.method === 'HEAD' ? text.replace(/\r\ncontent-length: \d+/i, '') : text)
  const [answer] = answers.filter(({ status }) => status !== 100)
  if (answer === undefined || rest !== '') throw new Error(`no whole answer: ${text}`)
  return answer
}

export type PolicyFront = Omit<PolicyGateway, 'stop'> & Front

/** The same before an upstream that records every byte. */
export async function startPolicyFront(options: Omit<PolicyGatewayOptions, 'upstreamUrl'>): Promise<PolicyFront> {
  const upstream = await startRecordingUpstream()
  upstream.respondWith(answerAny)
  const site = await startPolicyGateway({ ...options, upstreamUrl: upstream.url })
  return {
    ...site,
    upstream,
    stop: async () => {
      await site.stop()
      await upstream.close()
    },
  }
}

/** Answers a HEAD with the head alone, after which the connection ends; everything else as {@link answerOk} does. */
export const answerAny: Responder = (connection, heads) => {
  if (heads.some((head) => head.startsWith('HEAD '))) {
    if (!connection.socket.writableEnded) connection.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n')
  } else answerOk(connection, heads)
}

/** The message of the error that an answer carries. */
export function messageOf({ body }: Pick<RawAnswer, 'body'>): string | undefined {
  type Envelope = { readonly errors: readonly { readonly message: string }[] }
  const { errors } = JSON.parse(Buffer.from(body, 'latin1').toString('utf8')) as Envelope
  return errors[0]?.message
}

/** An answer with what must differ from request to request named instead. */
export function comparable({ statusLine, headers, body }: RawAnswer): string {
  const id = headers.find(([name]) => name === 'x-request-id')?.[1] ?? 'none'
  const lines = headers.filter(([name]) => name !== 'date').map(([name, value]) => `${name}: ${value}`)
  return [statusLine, ...lines, '', body].join('\r\n').replaceAll(id, 'ID')
}

export const manifestType = 'application/vnd.oci.image.manifest.v1+json'
/** The configuration that every manifest here names. */
export const config = '{}'

export function sha256(content: string): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}

/** A manifest that nobody has seen. */
export function newManifest(): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(config), size: config.length },
    layers: [],
    annotations: { serial: randomBytes(12).toString('hex') },
  })
}

export function chunked(body: string): string {
  return `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
}
