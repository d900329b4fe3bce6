import { validateHeaderValue } from 'node:http'
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import { RegistryError } from '../registry/error.ts'
import type { Grant } from '../registry/grant.ts'
import { printTarget } from '../registry/route.ts'
import type { RegistryRequest, RequestKind } from '../registry/route.ts'
import type { Transfer } from '../registry/transfer.ts'
import { createAnswerPolicy } from './answer.ts'
import type { RedirectSettings } from './answer.ts'
import { closeUnlessComplete, endAnswer, sendContinue } from './early-answer.ts'
import { createBlobLane } from './blob-stream.ts'
import type { LaneAnswer } from './blob-stream.ts'
import { createBufferPool } from './buffer-pool.ts'
import { createInactivityTimer } from './inactivity.ts'
import type { BlobStreamOptions } from './lane-body.ts'
import { createLaneConnections } from './lane-connections.ts'
import { startPump } from './pump.ts'
import { brokenOffBy, uploadFault } from './pump-end.ts'
import { bodyFraming, upstreamRequestHeaders } from './request-headers.ts'
import type { BodyFraming, Forwarding } from './request-headers.ts'
import { clientResponseHeaders } from './response-headers.ts'
import { createUpstreamClient, isStaleConnection } from './upstream-client.ts'
import type { OpenCall, OpenUpstream, UpstreamCall, UpstreamResponse, UpstreamTimeouts } from './upstream-client.ts'

export type ProxySettings = {
  /** Origin of the registry: http or https, no path. */
  readonly upstreamUrl: URL
  /** PEM of the authorities trusted for the upstream besides Node's own. */
  readonly upstreamCa: string | undefined
  /** What the gateway shows the upstream of itself; the client's own credentials never go there. */
  readonly credential: { readonly username: string; readonly password: string } | undefined
  readonly redirects: RedirectSettings
  readonly upstreamTimeouts: UpstreamTimeouts
  /** How long a client may send nothing of a body it has begun, in milliseconds. */
  readonly clientInactivityMs: number
  /** How long a client may take nothing of an answer, in milliseconds. */
  readonly clientWriteInactivityMs: number
}

/** What the proxy tells of, for metrics and log. */
export type ProxyObserver = {
  upstreamResponded(kind: RequestKind, seconds: number): void
  upstreamContact(up: boolean): void
  upstreamRefusedGateway(): void
  upstreamRetried(): void
}

export type Proxy = {
  /**
   * Sends a granted request upstream and its answer to the client; nothing is buffered in either direction.
   *
   * Ownership: `req` and `res` stay the caller's until this is called; from then on the proxy reads the one, writes the
   * other, and ends or destroys both sides. When it throws, nothing has been written to `res`, and it is the caller's
   * again. A fault after the head was sent breaks the client's connection, so that a cut body never looks whole.
   *
   * @throws RegistryError when there is no answer of the upstream that can be passed on
   */
  forward(req: IncomingMessage, res: ServerResponse, grant: Grant, transfer: Transfer, about: Forwarding): Promise<void>
  /** Asks the upstream for `/v2/`; any answer will do. @throws RegistryError when there is none */
  probe(): Promise<void>
  close(): void
}

/** The distribution registry's own limit (`MaxManifestBodySize`); the specification asks for at least this much. */
const maxManifestBytes = 4 * 1024 * 1024

/** In bytes: up to eight downloads at once have the largest reads, up to thirty-two the middle ones. */
const laneMemory = { maxFreeBytes: 16 * 1024 * 1024, maxSharedBytes: 8 * 1024 * 1024 }

const left = { kind: 'left' } as const

/** An answer of the upstream, or undefined when the client went away while it was waited for. */
type Asked = { readonly response: UpstreamResponse; readonly request?: ClientRequest } | undefined

/** Creates the forwarding stage for one upstream. */
export function createProxy(settings: ProxySettings, observe: ProxyObserver): Proxy {
  const { upstreamUrl, upstreamTimeouts: timeouts, credential } = settings
  const client = createUpstreamClient(timeouts, settings.upstreamCa)
  const buffers = createBufferPool(laneMemory)
  const lane = createBlobLane({
    connections: createLaneConnections({ ...settings, keepAliveMs: timeouts.keepAliveMs, buffers }),
    buffers,
    timeouts,
    onRetry: () => {
      observe.upstreamRetried()
    },
  })
  const answers = createAnswerPolicy(settings.redirects, credential !== undefined, timeouts.headersMs)
  const upstream = {
    host: upstreamUrl.host,
    authorization:
      credential === undefined
        ? undefined
        : `Basic ${Buffer.from(`${credential.username}:${credential.password}`).toString('base64')}`,
  }

  async function forward(...[req, res, grant, transfer, about]: Parameters<Proxy['forward']>): Promise<void> {
    const { request } = grant
    // The client may have left while it was being authenticated; its close has been told then, and is not told again.
    if (res.destroyed) {
      transfer.end('aborted-by-client')
      return
    }
    const body = bodyFraming(req)
    if (request.kind === 'manifest' && body.kind === 'sized' && body.bytes > maxManifestBytes) {
      throw new RegistryError('manifestTooLarge')
    }
    const headers = upstreamRequestHeaders(req.headers, request, body, about, upstream)
    const call = { url: upstreamUrl, method: request.method, target: printTarget(request), headers }
    // A client that leaves takes the connection to the upstream with it, whatever is waited for.
    let current: OpenCall | undefined
    const open: OpenUpstream = (next, fresh) => {
      current = client.open(next, fresh)
      return current
    }
    res.once('close', () => current?.request.destroy())
    const startedMs = performance.now()
    const viaLane = request.kind === 'blob' && request.method === 'GET' ? await laneAnswer(res, call) : left
    const asked =
      viaLane?.kind === 'left'
        ? await upstreamAnswer(req, res, request, transfer, body, (fresh) => open(call, fresh))
        : viaLane
    if (asked === undefined) {
      transfer.end('aborted-by-client')
      res.destroy()
      return
    }
    observe.upstreamResponded(request.kind, (performance.now() - startedMs) / 1000)
    if ('kind' in asked && asked.kind === 'blob') await streamBlob(req, res, request, asked, transfer)
    else await answer(req, res, request, asked, transfer, about, open)
  }

  /** Asks for a blob by its lane; nothing when the client left while the head was waited for. */
  async function laneAnswer(res: ServerResponse, call: UpstreamCall): Promise<LaneAnswer | undefined> {
    const asking = lane.open(call)
    const cancel = (): void => {
      asking.cancel()
    }
    res.once('close', cancel)
    try {
      const answer = await asking.answer
      if (answer.kind !== 'left') observe.upstreamContact(true)
      return answer
    } catch (error) {
      if (res.destroyed) return undefined
      observe.upstreamContact(false)
      throw error
    } finally {
      res.off('close', cancel)
    }
  }

  /** Gets the head of the answer; nothing when the client left while it was waited for. */
  async function upstreamAnswer(
    req: IncomingMessage,
    res: ServerResponse,
    request: RegistryRequest,
    transfer: Transfer,
    body: BodyFraming,
    open: (fresh: boolean) => OpenCall,
  ): Promise<Asked> {
    const first = open(false)
    try {
      const asked = await (body.kind === 'none'
        ? ask(res, request, first, open)
        : send(req, res, request, first, transfer))
      if (asked !== undefined) observe.upstreamContact(true)
      return asked
    } catch (error) {
      first.request.destroy()
      if (res.destroyed) return undefined
      if (error instanceof RegistryError && error.source === 'upstream') observe.upstreamContact(false)
      throw error
    }
  }

  /** Asks without a body. A GET or HEAD that met a connection which the upstream had closed is asked once more. */
  async function ask(
    res: ServerResponse,
    request: RegistryRequest,
    first: OpenCall,
    open: (fresh: boolean) => OpenCall,
  ): Promise<Asked> {
    try {
      return await headOf(first, request)
    } catch (error) {
      const repeatable = request.method === 'GET' || request.method === 'HEAD'
      // A client that left ended the connection too; nobody would be there for a second answer.
      if (!repeatable || res.destroyed || !isStaleConnection(first.request, error)) throw error
      observe.upstreamRetried()
      return headOf(open(true), request)
    }
  }

  async function headOf(open: OpenCall, request: RegistryRequest): Promise<Asked> {
    open.request.end()
    open.awaitHead(headLimitMs(request))
    return { response: await open.answer, request: open.request }
  }

  function headLimitMs(request: RegistryRequest): number {
    const commits = request.method === 'PUT' && request.kind === 'upload-session'
    const monolithic = request.kind === 'upload-start' && request.digest !== undefined
    return commits || monolithic ? timeouts.commitHeadersMs : timeouts.headersMs
  }

  /** Sends with a body, which the upstream may answer before it has all of it. */
  async function send(
    req: IncomingMessage,
    res: ServerResponse,
    request: RegistryRequest,
    open: OpenCall,
    transfer: Transfer,
  ): Promise<Asked> {
    sendContinue(req, res)
    const pump = startPump(req, open.request, {
      charge: (bytes) => transfer.charge('up', bytes),
      sourceIdleMs: settings.clientInactivityMs,
      sinkIdleMs: timeouts.inactivityMs,
      ...(request.kind === 'manifest' && { maxBytes: maxManifestBytes }),
    })
    try {
      const first = await Promise.race([pump.ended, open.answer])
      if (!('kind' in first)) return { response: first, request: open.request }
      if (first.kind === 'complete') return await headOf(open, request)
      if (first.kind === 'source-failed') {
        open.request.destroy()
        return undefined
      }
      // The connection of the upstream failed; an answer that it had sent before says more than the failure.
      if (first.kind === 'sink-failed') return { response: await open.answer, request: open.request }
      throw uploadFault(first)
    } finally {
      pump.stop()
    }
  }

  /** Writes the answer that the client gets for the one the upstream gave. */
  async function answer(
    req: IncomingMessage,
    res: ServerResponse,
    request: RegistryRequest,
    asked: NonNullable<Asked>,
    transfer: Transfer,
    about: Forwarding,
    open: OpenUpstream,
  ): Promise<void> {
    const unfinished = asked.request?.writableEnded === false ? asked.request : undefined
    try {
      const given = await answers.judge(asked.response, request, req.headers, about.requestId, open)
      writeHead(req, res, given.status, given.headers)
      if (given.content.kind === 'text') {
        const text = request.method === 'HEAD' ? undefined : given.content.text
        if (text !== undefined) void transfer.charge('down', Buffer.byteLength(text))
        await finish(req, res, transfer, text)
      } else if (given.content.kind === 'none') {
        given.content.discard.resume()
        await finish(req, res, transfer)
      } else await stream(req, res, given.content.stream, transfer)
    } catch (error) {
      if (res.destroyed) {
        transfer.end('aborted-by-client')
        return
      }
      if (error instanceof RegistryError && error.id === 'upstreamRefusedGateway') observe.upstreamRefusedGateway()
      throw error
    } finally {
      // A connection on which the request was not written to its end cannot be used again.
      unfinished?.destroy()
    }
  }

  /** Passes a blob on that comes by its lane; head and end are written as for any other answer. */
  async function streamBlob(
    req: IncomingMessage,
    res: ServerResponse,
    request: RegistryRequest,
    { head, body }: Extract<LaneAnswer, { kind: 'blob' }>,
    transfer: Transfer,
  ): Promise<void> {
    try {
      writeHead(req, res, head.statusCode, clientResponseHeaders(head.headers, head.statusCode, request))
    } catch (error) {
      body.discard()
      throw error
    }
    const end = await body.stream(res, limits(transfer))
    if (end.kind === 'complete') {
      await finish(req, res, transfer)
      return
    }
    transfer.end(brokenOffBy(end))
    res.destroy()
  }

  async function stream(
    req: IncomingMessage,
    res: ServerResponse,
    source: Readable,
    transfer: Transfer,
  ): Promise<void> {
    const end = await startPump(source, res, limits(transfer)).ended
    if (end.kind === 'complete') {
      await finish(req, res, transfer)
      return
    }
    transfer.end(brokenOffBy(end))
    source.destroy()
    res.destroy()
  }

  /** How a download is counted, and how long either side may keep it standing still. */
  function limits(transfer: Transfer): BlobStreamOptions {
    return {
      charge: (bytes) => transfer.charge('down', bytes),
      sourceIdleMs: timeouts.inactivityMs,
      sinkIdleMs: settings.clientWriteInactivityMs,
    }
  }

  /** Ends the response and waits until the client has taken it. */
  async function finish(req: IncomingMessage, res: ServerResponse, transfer: Transfer, text?: string): Promise<void> {
    const { promise: taken, resolve } = Promise.withResolvers<undefined>()
    const timer = createInactivityTimer({
      limitMs: settings.clientWriteInactivityMs,
      counts: () => true,
      onIdle: () => {
        transfer.end('aborted-by-gateway')
        res.destroy()
      },
    })
    const onEnd = (): void => {
      resolve(undefined)
    }
    res.once('finish', onEnd).once('close', onEnd)
    await endAnswer(req, res, text)
    if (!res.destroyed && !res.writableFinished) await taken
    timer.stop()
    transfer.end(res.writableFinished ? 'complete' : 'aborted-by-client')
  }

  return {
    forward,
    probe: async () => {
      const headers = { host: upstream.host, ...(upstream.authorization && { authorization: upstream.authorization }) }
      const open = client.open({ url: upstreamUrl, method: 'GET', target: '/v2/', headers })
      open.request.end()
      open.awaitHead(timeouts.connectMs)
      const response = await open.answer
      response.resume()
    },
    close: () => {
      client.close()
      lane.close()
    },
  }
}

/** Sets status and headers; nothing of them when one cannot be sent. */
function writeHead(
  req: IncomingMessage,
  res: ServerResponse,
  status: number,
  headers: ReadonlyMap<string, string>,
): void {
  for (const [name, value] of headers) checkHeader(name, value)
  closeUnlessComplete(req, res)
  res.statusCode = status
  for (const [name, value] of headers) res.setHeader(name, value)
}

function checkHeader(name: string, value: string): void {
  try {
    validateHeaderValue(name, value)
  } catch (error) {
    throw new RegistryError('upstreamInvalid', { cause: error })
  }
}
