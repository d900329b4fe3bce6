/** The way of a request: one stage a line, in the order they run. Each takes values and returns one. */
import type { IncomingMessage } from 'node:http'
import express from 'express'
import type { ErrorRequestHandler, Express } from 'express'
import type { Authorize } from './authorize.ts'
import { respondWithError } from './error-response.ts'
import type { ErrorResponseSettings } from './error-response.ts'
import { exchangeOf } from './exchange.ts'
import type { Exchange } from './exchange.ts'
import type { Cors } from './headers/cors.ts'
import { applyHeaders } from './headers/security-headers.ts'
import { refuseWrites } from './maintenance.ts'
import type { Maintenance } from './maintenance.ts'
import type { Proxy } from './proxy/proxy.ts'
import type { RateLimit } from './rate-limit/rate-limit.ts'
import { RegistryError } from './registry/error.ts'
import type { Circumstances } from './registry/grant.ts'
import type { Principal } from './registry/principal.ts'
import { parseRegistryRequest } from './registry/route.ts'
import type { RegistryRequest } from './registry/route.ts'

export type GatewayDependencies = {
  /** What pages in a browser may do; asked for each request, since it can change. */
  readonly cors: () => Pick<Cors, 'preflight'>
  readonly authentication: {
    authenticate(req: IncomingMessage, request: RegistryRequest, address: string): Promise<Principal>
  }
  readonly authorization: Authorize
  readonly audit: { admits(request: RegistryRequest): boolean }
  readonly maintenance: () => Maintenance
  readonly rateLimit: Pick<RateLimit, 'admit'>
  readonly proxy: Proxy
  readonly errors: ErrorResponseSettings
  /** The addresses that clients type; the first is told to the upstream. */
  readonly publicUrls: readonly [URL, ...URL[]]
  /** Whether the public health check answers 200. */
  readonly isHealthy: () => boolean
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Told of what should not have happened, after it was answered with 500. */
  readonly onFault: (cause: unknown) => void
}

/** Builds the application. It sees only requests whose exchange has begun and whose head was vetted (`connection.ts`). */
export function createGateway(dependencies: GatewayDependencies): Express {
  const { cors, authentication, authorization, audit, rateLimit, proxy, errors, publicUrls } = dependencies
  const [{ host: publicHost, protocol }] = publicUrls
  const publicProtocol = protocol.replace(':', '')
  const ownHosts = new Set(publicUrls.map(({ host }) => host.toLowerCase()))
  const circumstances = ({ clientAddress }: Exchange): Circumstances => ({
    address: clientAddress,
    now: dependencies.now(),
    ownHosts,
  })

  const app = express()
  app.disable('x-powered-by').disable('etag').set('query parser', false)
  app.enable('case sensitive routing').enable('strict routing')

  // Before authentication, since browsers send no login with a preflight, and alike whatever the path names.
  app.use((req, res, next) => {
    const allowed = cors().preflight(req)
    if (allowed === undefined) {
      next()
      return
    }
    applyHeaders(res, allowed)
    res.writeHead(204).end()
  })

  app.all('/healthz', ({ method }, res) => {
    if (method !== 'GET' && method !== 'HEAD') throw new RegistryError('methodNotAllowed', { allow: ['GET', 'HEAD'] })
    res.writeHead(dependencies.isHealthy() ? 200 : 503, { 'content-length': 0 }).end()
  })

  app.use('/v2', async (req, res) => {
    res.setHeader('docker-distribution-api-version', 'registry/2.0')
    const exchange = exchangeOf(res)
    const request = parseRegistryRequest(req.method, req.originalUrl)
    exchange.note({ request })
    const { requestId, clientAddress } = exchange
    const principal = await authentication.authenticate(req, request, clientAddress)
    exchange.note({ principal })
    const grant = authorization.authorize(principal, request, circumstances(exchange), (decision) => {
      exchange.note({ decision })
    })
    refuseWrites(request, dependencies.maintenance())
    if (!audit.admits(request)) throw new RegistryError('auditUnavailable')
    const asked = {
      principal,
      request: grant.request,
      address: clientAddress,
      transfer: exchange.transfer,
      client: res,
    }
    const transfer = exchange.hold(await rateLimit.admit(asked, (name, value) => res.setHeader(name, value)))
    // Counts nothing: who is slowed waits here for what was taken before.
    await transfer.charge('down', 0)
    await proxy.forward(req, res, grant, transfer, { requestId, clientAddress, publicHost, publicProtocol })
  })

  app.use(() => {
    throw new RegistryError('routeUnknown')
  })

  // Express knows an error handler by its four parameters.
  const onError: ErrorRequestHandler = async (cause: unknown, req, res, _next) => {
    const exchange = exchangeOf(res)
    const error = cause instanceof RegistryError ? cause : new RegistryError('gatewayFault', { cause })
    exchange.note({ error })
    await respondWithError(req, res, error, exchange.requestId, errors)
    if (error.id === 'gatewayFault') dependencies.onFault(cause)
  }
  app.use(onError)
  return app
}
