import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { rawErrorResponse, respondWithError } from './error-response.ts'
import type { ErrorResponseSettings } from './error-response.ts'
import { beginExchange, openExchanges, recordRefusedConnection } from './exchange.ts'
import type { ExchangeDependencies } from './exchange.ts'
import type { Cors } from './headers/cors.ts'
import { applyHeaders } from './headers/security-headers.ts'
import type { SecurityHeaders } from './headers/security-headers.ts'
import { RegistryError } from './registry/error.ts'
import { parserRefusal, vetRequestHead } from './request-head.ts'

/** How long a client may go on sending after a refusal that ends its connection, in milliseconds. */
const lingerMs = 2_000

export type ConnectionDependencies = {
  readonly exchange: ExchangeDependencies
  readonly securityHeaders: SecurityHeaders
  readonly cors: () => Pick<Cors, 'headers'>
  readonly errors: ErrorResponseSettings
  /** The address at the other end of a connection, as a PROXY header tells it where one is due. */
  readonly peerAddress: (socket: Socket) => string
  /** Handles a request whose head was vetted. */
  readonly app: (req: IncomingMessage, res: ServerResponse) => void
}

/**
 * Attaches the gateway to a server: the exchange begins, and the raw head is vetted before anything routes by it.
 * Expectations take the same way as other requests, and what Node's parser cannot read is answered in the registry's
 * JSON like everything else.
 */
export function attachGateway(server: Server, dependencies: ConnectionDependencies): void {
  const { exchange: exchangeDependencies, securityHeaders, cors, errors, app } = dependencies
  /** Connections that close after the answer under way: what follows on them may be anything, and is not looked at. */
  const closing = new WeakSet<Duplex>()

  function onRequest(req: IncomingMessage, res: ServerResponse): void {
    if (closing.has(req.socket)) return
    const exchange = beginExchange(req, res, exchangeDependencies)
    res.setHeader('x-request-id', exchange.requestId)
    applyHeaders(res, securityHeaders)
    applyHeaders(res, cors().headers(req.headers.origin))
    const vetted = vetRequestHead(req)
    // Behind a request that asks for an upgrade Node's parser skips bytes up to the next packet.
    if (vetted.kind === 'refused' || req.headers.upgrade !== undefined) {
      closing.add(req.socket)
      res.setHeader('connection', 'close')
    }
    if (vetted.kind === 'vetted') {
      req.url = vetted.target
      app(req, res)
      return
    }
    exchange.note({ error: vetted.error })
    void respondWithError(req, res, vetted.error, exchange.requestId, errors)
  }

  /** Answers where there is no response object; the connection has no future, whatever had been sent on it. */
  function refuseConnection(socket: Duplex, method: string, error: RegistryError): void {
    if (!socket.writable) {
      socket.destroy()
      return
    }
    const requestId = exchangeDependencies.newRequestId()
    // Closing while the client is still sending would reset the connection before it has read the answer.
    const linger = setTimeout(() => socket.destroy(), lingerMs)
    socket.once('close', () => {
      clearTimeout(linger)
    })
    socket.end(rawErrorResponse(error, requestId, [...securityHeaders, ...cors().headers(undefined)], errors))
    socket.resume()
    const address = socket instanceof Socket ? dependencies.peerAddress(socket) : ''
    recordRefusedConnection(exchangeDependencies, { requestId, address, method, error })
  }

  async function onClientError(cause: NodeJS.ErrnoException, socket: Duplex): Promise<void> {
    const refusal = parserRefusal(cause)
    const running = socket instanceof Socket ? openExchanges(socket) : []
    // A refusal that is on its way out closes the connection by itself; cutting it short would take the answer along.
    // So does one that is lingered for: what the parser makes of the rest does not matter.
    if (closing.has(socket) && (running.length > 0 || refusal !== undefined)) return
    if (closing.has(socket) || refusal === undefined) {
      socket.destroy()
      return
    }
    closing.add(socket)
    const broken = running.find(({ req }) => !req.complete)
    if (broken?.res.headersSent === true) {
      socket.destroy()
      return
    }
    // Answers go out in order: those of the requests before the unreadable one come first.
    await Promise.all(running.filter((exchange) => exchange !== broken).map(({ closed }) => closed))
    refuseConnection(socket, '', refusal)
  }

  server.on('request', onRequest).on('checkContinue', onRequest).on('checkExpectation', onRequest)
  server.on('clientError', (cause: NodeJS.ErrnoException, socket) => void onClientError(cause, socket))
  server.on('connect', (_req, socket) => {
    closing.add(socket)
    refuseConnection(socket, 'CONNECT', new RegistryError('methodNotAllowed', { allow: ['GET', 'HEAD'] }))
  })
}
