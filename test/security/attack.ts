import { expect } from '@jest/globals'
import { readAnswers, sendRaw } from '../support/raw-http-client.ts'
import type { RawExchange } from '../support/raw-http-client.ts'
import { basicOf } from '../support/personas.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordedConnection, RecordingUpstream } from '../support/recording-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { StartGatewayOptions, TestGateway } from '../support/start-gateway.ts'

/** A gateway, and behind it an upstream that records each byte it is sent. */
export type Front = {
  readonly gateway: TestGateway
  readonly upstream: RecordingUpstream
  stop(): Promise<void>
}

export async function startFront(settings: StartGatewayOptions['settings'] = {}): Promise<Front> {
  const upstream = await startRecordingUpstream()
  const gateway = await startGateway({ upstreamUrl: upstream.url, settings })
  return {
    gateway,
    upstream,
    stop: async () => {
      await gateway.stop()
      await upstream.close()
    },
  }
}

export const host = 'localhost:8443'
export const alice = `Authorization: ${basicOf('alice')}`
export const digest = `sha256:${'ab'.repeat(32)}`

export type RawRequest = {
  readonly method?: string
  readonly target?: string
  readonly version?: string
  /** Besides Host and Authorization; lines as they stand on the wire. */
  readonly lines?: readonly string[]
  /** Replaces Host and Authorization. */
  readonly first?: readonly string[]
  readonly body?: string
}

/** A request as bytes; what is not told is what an honest client would send. */
export function bytesOf(request: RawRequest): string {
  const { method = 'GET', target = '/v2/', version = 'HTTP/1.1', lines = [], first, body = '' } = request
  const head = [`${method} ${target} ${version}`, ...(first ?? [`Host: ${host}`, alice]), ...lines]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}

/** As {@link bytesOf}, asking for the connection to be closed, so that whatever else was answered would be seen. */
export function closing(request: RawRequest): string {
  return bytesOf({ ...request, lines: [...(request.lines ?? []), 'Connection: close'] })
}

type Mark = ReadonlyMap<RecordedConnection, number>

/** Remembers how much the upstream has received. */
export function mark(upstream: RecordingUpstream): Mark {
  return new Map(upstream.connections.map((connection) => [connection, connection.received.length]))
}

/** Everything the upstream received since, less the gateway's own probes, which are known to the byte. */
export function receivedSince(upstream: RecordingUpstream, earlier: Mark): string {
  const probe = `GET /v2/ HTTP/1.1\r\nhost: 127.0.0.1:${String(upstream.port)}\r\nConnection: keep-alive\r\n\r\n`
  return upstream.connections
    .map((connection) => connection.received.subarray(earlier.get(connection) ?? 0).toString('latin1'))
    .join('')
    .replaceAll(probe, '')
}

/** Sends bytes to the gateway; says what came back and what the upstream got of it. */
export async function attack(
  { gateway, upstream }: Front,
  bytes: Parameters<typeof sendRaw>[1],
  options: Parameters<typeof sendRaw>[2] = {},
): Promise<RawExchange & { readonly upstreamGot: string }> {
  const before = mark(upstream)
  const exchange = await sendRaw(gateway.target, bytes, options)
  return { ...exchange, upstreamGot: receivedSince(upstream, before) }
}

/**
 * Expects one refusal in the registry's JSON and nothing after it, the connection closed, and not a byte upstream.
 * Bytes that end the connection whatever is answered: malformed framing, or a request that asks for the close.
 */
export async function expectRefused(
  front: Front,
  bytes: Parameters<typeof sendRaw>[1],
  statuses: readonly number[],
  options: Parameters<typeof sendRaw>[2] = {},
): Promise<RawExchange> {
  const exchange = withoutHeadLength(await attack(front, bytes, options), bytes)
  const { answers, rest, closed, upstreamGot } = exchange
  expect({ statuses: answers.map(({ status }) => status), rest, closed, upstreamGot }).toEqual({
    statuses: [expect.any(Number)],
    rest: '',
    closed: true,
    upstreamGot: '',
  })
  const [answer] = answers
  expect(statuses).toContain(answer?.status)
  expect(answer?.headers).toContainEqual(['content-type', 'application/json'])
  expect(answer?.headers.map(([name]) => name)).not.toContain('location')
  expect(answer?.body).toMatch(/^(?:|\{"errors":\[\{"code":"[A-Z_]+","message":"[^"]+","detail":"[^"]+"\}\]\})$/)
  return exchange
}

/** The answer to a HEAD tells the length of a body that does not come. */
function withoutHeadLength<Exchange extends RawExchange>(exchange: Exchange, bytes: unknown): Exchange {
  if (typeof bytes !== 'string' || !bytes.startsWith('HEAD ')) return exchange
  return { ...exchange, ...readAnswers(exchange.text.replace(/\r\ncontent-length: \d+/i, '')) }
}

/** Expects that an honest request still gets through: the gateway lives, and its pool holds no poisoned connection. */
export async function expectAlive(front: Front): Promise<void> {
  const before = mark(front.upstream)
  const answer = await front.gateway.as('alice', { path: '/v2/alive/tags/list' })
  expect(answer.status).toBe(200)
  expect(receivedSince(front.upstream, before)).toMatch(/^GET \/v2\/alive\/tags\/list HTTP\/1\.1\r\n/m)
}
