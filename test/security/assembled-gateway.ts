import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Policy } from '../../src/authorization/policy.ts'
import { createAuthorize } from '../../src/authorize.ts'
import { attachGateway } from '../../src/connection.ts'
import type { ExchangeDependencies } from '../../src/exchange.ts'
import { createGateway } from '../../src/gateway.ts'
import type { GatewayDependencies } from '../../src/gateway.ts'
import { createCors } from '../../src/headers/cors.ts'
import { createSecurityHeaders } from '../../src/headers/security-headers.ts'
import { createProxy } from '../../src/proxy/proxy.ts'

/** What the tests replace: stages, and what stands around an exchange. */
export type AssembledParts = Partial<GatewayDependencies> &
  Pick<GatewayDependencies, 'authentication'> & { readonly policy: Policy }

/** A gateway put together by hand, over plain HTTP on loopback, so that each of its stages can be another. */
export type AssembledGateway = {
  readonly port: number
  /** Sends a target as it is; whatever was read before a broken connection is lost. */
  ask(method: string, target: string, options?: AskOptions): Promise<AssembledAnswer>
  stop(): Promise<void>
}

export type AskOptions = { readonly headers?: http.OutgoingHttpHeaders; readonly body?: string }
export type AssembledAnswer = {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
}

/** The request id of every exchange. */
export const requestId = '00000000-test-request'

const errors = { reasonPhrase: true, writeInactivityMs: 60_000 }

/** A proxy to the upstream with deadlines that no test waits for. */
export function testProxy(upstreamUrl: string) {
  const patience = {
    connectMs: 60_000,
    headersMs: 60_000,
    commitHeadersMs: 60_000,
    inactivityMs: 60_000,
    keepAliveMs: 60_000,
  }
  const settings = {
    upstreamUrl: new URL(upstreamUrl),
    upstreamCa: undefined,
    credential: undefined,
    redirects: { mode: 'pass', hosts: new Set<string>() },
    upstreamTimeouts: patience,
    clientInactivityMs: 60_000,
    clientWriteInactivityMs: 60_000,
  } as const
  return createProxy(settings, {
    upstreamResponded: () => undefined,
    upstreamContact: () => undefined,
    upstreamRefusedGateway: () => undefined,
    upstreamRetried: () => undefined,
    blobAsked: () => undefined,
    catalogWalked: () => undefined,
    tagLockNotShared: () => undefined,
    tagLeaseLost: () => undefined,
  })
}

export async function startAssembledGateway(upstreamUrl: string, parts: AssembledParts): Promise<AssembledGateway> {
  const { policy, ...rest } = parts
  const cors = createCors({ enabled: false })
  const app = createGateway({
    cors: () => cors,
    authorization: createAuthorize({ current: () => policy, shadow: () => undefined }, 'Basic realm="test"'),
    audit: { admits: () => true },
    maintenance: () => ({ readOnly: false, message: '', retryAfterSeconds: 1 }),
    rateLimit: { admit: ({ transfer }) => Promise.resolve(transfer) },
    proxy: testProxy(upstreamUrl),
    errors,
    publicUrls: [new URL('https://localhost:8443')],
    isHealthy: () => true,
    now: () => Date.now(),
    onFault: () => undefined,
    ...rest,
  })
  const server = http.createServer()
  const exchange: ExchangeDependencies = {
    observe: { exchangeStarted: () => undefined, exchangeEnded: () => undefined },
    clientAddress: () => '127.0.0.1',
    newRequestId: () => requestId,
    now: () => Date.now(),
  }
  const securityHeaders = createSecurityHeaders({
    hstsMaxAgeSeconds: 0,
    hstsIncludeSubDomains: false,
    publicHosts: ['localhost'],
  })
  const peerAddress = ({ remoteAddress = '' }): string => remoteAddress
  attachGateway(server, { app, errors, securityHeaders, cors: () => cors, peerAddress, exchange })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    ask: (method, target, options) => ask(port, method, target, options),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve()
        })
        server.closeAllConnections()
      }),
  }
}

function ask(
  port: number,
  method: string,
  path: string,
  { headers = {}, body = '' }: AskOptions = {},
): Promise<AssembledAnswer> {
  const length = method.startsWith('P') ? { 'content-length': Buffer.byteLength(body) } : {}
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, method, path, agent: false, headers: { ...length, ...headers } }
    const request = http.request(options, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      response.on('error', reject).on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text })
      })
    })
    request.on('error', reject).end(body)
  })
}
