import http from 'node:http'
import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import https from 'node:https'
import tls from 'node:tls'
import type { Socket } from 'node:net'
import type { Duplex, Readable } from 'node:stream'
import { RegistryError } from '../registry/error.ts'
import { createLastGoodLookup } from './last-good-lookup.ts'
import { isError, upstreamError } from './upstream-fault.ts'

export type UpstreamTimeouts = {
  /** From the start of a connection to its being usable, TLS included. */
  readonly connectMs: number
  /** From the end of the request to the head of the answer. */
  readonly headersMs: number
  /** The same for the PUT that commits a blob, which the registry may have to copy and hash. */
  readonly commitHeadersMs: number
  /** How long either direction of a transfer may stand still. */
  readonly inactivityMs: number
  /** How long after it was opened a connection is still kept for another request. */
  readonly keepAliveMs: number
}

export type UpstreamCall = {
  readonly url: URL
  readonly method: string
  /** Origin-form target, printed by `registry/route.ts`, or that of a redirect's Location. */
  readonly target: string
  readonly headers: OutgoingHttpHeaders
}

/** An answer whose head has been read; its body is still to come, or to be destroyed. */
export type UpstreamResponse = Readable & Pick<IncomingMessage, 'statusCode' | 'headers'>

/** A request on its way to the upstream. Whoever opened it ends or destroys `request`. */
export type OpenCall = {
  readonly request: ClientRequest
  /**
   * The head of the answer, or a {@link RegistryError} that says what went wrong on the way. The connect deadline is
   * watched here; the headers deadline runs from {@link OpenCall.awaitHead}.
   */
  readonly answer: Promise<IncomingMessage>
  /** Starts the headers deadline; called when the request has been written to its end. */
  awaitHead(limitMs: number): void
}

/** @param fresh opens a new connection instead of taking an idle one from the pool */
export type OpenUpstream = (call: UpstreamCall, fresh?: boolean) => OpenCall

export type UpstreamClient = {
  readonly open: OpenUpstream
  /** Ends idle connections; running calls go on. */
  close(): void
}

const maxHeaderLines = 100
const maxInformational = 16
const maxHeaderSize = 32 * 1024

/**
 * Requests to the upstream over pooled keep-alive connections, http or https by the URL of each call.
 *
 * @param ca PEM of the authorities trusted besides Node's own; verification cannot be turned off
 */
export function createUpstreamClient(timeouts: UpstreamTimeouts, ca: string | undefined): UpstreamClient {
  // Half of its life a connection may be used, and as long again be idle: together they are the limit that is promised.
  const halfLifeMs = Math.ceil(timeouts.keepAliveMs / 2)
  const pool = { keepAlive: true, keepAliveMsecs: 15_000, timeout: halfLifeMs, scheduling: 'lifo' } as const
  const trust = ca === undefined ? {} : { ca: [...tls.rootCertificates, ca] }
  const agents = { plain: new http.Agent(pool), secure: new https.Agent({ ...pool, ...trust }) }
  const lookup = createLastGoodLookup()
  const openedAt = new WeakMap<Duplex, number>()
  for (const agent of [agents.plain, agents.secure]) limitAge(agent, openedAt, halfLifeMs)
  return {
    open: ({ url, method, target, headers }, fresh = false) => {
      const secure = url.protocol === 'https:'
      const options = {
        host: url.hostname.replace(/^\[|\]$/g, ''),
        port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
        method,
        path: target,
        headers,
        setHost: false,
        maxHeaderSize,
        insecureHTTPParser: false,
        lookup,
      }
      const request = secure
        ? https.request({ ...options, ...trust, agent: fresh ? false : agents.secure })
        : http.request({ ...options, agent: fresh ? false : agents.plain })
      request.once('socket', (socket) => {
        if (socket.connecting) openedAt.set(socket, performance.now())
      })
      return watch(request, timeouts.connectMs)
    },
    close: () => {
      agents.plain.destroy()
      agents.secure.destroy()
    },
  }
}

/**
 * Keeps a connection for another request only up to an age: otherwise a busy pool would stay with an address for as long
 * as something answers there, when the name of the upstream has long been pointing elsewhere.
 *
 * The limit must not become an idle timeout of single connections: the agent takes the one that was used last, and looks
 * whether it is destroyed only at the other end of its list.
 */
function limitAge(agent: http.Agent, openedAt: WeakMap<Duplex, number>, maxAgeMs: number): void {
  const keep: (socket: Duplex) => unknown = agent.keepSocketAlive.bind(agent)
  agent.keepSocketAlive = (socket) => {
    const ageMs = performance.now() - (openedAt.get(socket) ?? 0)
    return ageMs < maxAgeMs && keep(socket) !== false
  }
}

function watch(request: ClientRequest, connectMs: number): OpenCall {
  const { promise: answer, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  // Whoever gives the call up does not wait for the answer any more; its failure is then nobody's to handle.
  answer.catch(() => undefined)
  let connectTimer: NodeJS.Timeout | undefined
  let headTimer: NodeJS.Timeout | undefined
  let settled = false
  let informational = 0

  function settle(): boolean {
    clearTimeout(connectTimer)
    clearTimeout(headTimer)
    const first = !settled
    settled = true
    return first
  }
  function fail(error: RegistryError): void {
    if (!settle()) return
    reject(error)
    request.destroy()
  }
  function expire(limitMs: number, what: string): NodeJS.Timeout {
    return setTimeout(() => {
      fail(new RegistryError('upstreamTimeout', { cause: new Error(`${what} took longer than ${limitMs} ms`) }))
    }, limitMs)
  }

  request.on('socket', (socket) => {
    // The agent's own timeout is for idle connections only; a running call has deadlines of its own.
    socket.setTimeout(0)
    if (!socket.connecting || settled) return
    connectTimer = expire(connectMs, 'connecting')
    socket.once('encrypted' in socket ? 'secureConnect' : 'connect', () => {
      clearTimeout(connectTimer)
    })
  })
  request.on('information', () => {
    informational += 1
    if (informational > maxInformational) fail(invalid('too many informational answers'))
  })
  request.on('upgrade', (_response: IncomingMessage, socket: Socket) => {
    socket.destroy()
    fail(invalid('an upgrade that nobody asked for'))
  })
  request.on('error', (error) => {
    fail(upstreamError(error))
  })
  request.on('close', () => {
    // Every call comes here; an error that nobody is told of would cost its stack.
    if (!settled) fail(invalid('the connection closed before an answer'))
  })
  request.on('response', (response) => {
    response.on('error', () => undefined)
    const fault = headFault(response, request.method)
    if (fault !== undefined) fail(invalid(fault))
    else if (settle()) resolve(response)
  })
  return {
    request,
    answer,
    awaitHead: (limitMs) => {
      if (!settled) headTimer = expire(limitMs, 'the head of the answer')
    },
  }
}

function invalid(why: string): RegistryError {
  return new RegistryError('upstreamInvalid', { cause: new Error(why) })
}

/** What makes the head of an answer unusable although Node's parser took it. */
function headFault(response: IncomingMessage, method: string): string | undefined {
  const status = response.statusCode ?? 0
  if (status < 200 || status > 599) return `status ${status}`
  if (response.rawHeaders.length / 2 > maxHeaderLines) return `more than ${maxHeaderLines} header lines`
  const length = response.headers['content-length']
  const encoding = response.headers['transfer-encoding']
  if (length !== undefined && encoding !== undefined) return 'both Content-Length and Transfer-Encoding'
  if (encoding !== undefined && encoding.toLowerCase() !== 'chunked') return 'a transfer encoding other than chunked'
  const bodiless = method === 'HEAD' || status === 204 || status === 304
  // A body that ends with the connection could be cut short without anyone noticing.
  if (!bodiless && length === undefined && encoding === undefined) return 'neither Content-Length nor chunked body'
  return undefined
}

/** Whether a call failed because its pooled connection had been closed by the upstream before it was used. */
export function isStaleConnection(request: ClientRequest, error: unknown): boolean {
  if (!request.reusedSocket || !(error instanceof RegistryError)) return false
  const cause = error.cause
  return isError(cause) && 'code' in cause && (cause.code === 'ECONNRESET' || cause.code === 'EPIPE')
}
