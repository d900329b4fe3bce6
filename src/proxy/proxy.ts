import type { IncomingMessage, ServerResponse } from 'node:http'
import { RegistryError } from '../registry/error.ts'
import type { Grant } from '../registry/grant.ts'
import { printTarget } from '../registry/route.ts'
import type { RegistryRequest } from '../registry/route.ts'
import type { Transfer } from '../registry/transfer.ts'
import type { Store } from '../store/store.ts'
import type { CatalogWalk } from '../telemetry/policy-events.ts'
import { createAnswerPolicy } from './answer.ts'
import type { RedirectSettings } from './answer.ts'
import { createAsk, maxManifestBytes } from './ask.ts'
import type { AskObserver, Asked } from './ask.ts'
import { createBlobLane } from './blob-stream.ts'
import { createBufferPool } from './buffer-pool.ts'
import { createListing } from './catalog/listing.ts'
import { createGuardedPush } from './guarded-push.ts'
import { createLaneConnections } from './lane-connections.ts'
import { bodyFraming, upstreamRequestHeaders } from './request-headers.ts'
import type { BodyFraming, Forwarding } from './request-headers.ts'
import { createRespond } from './respond.ts'
import type { Answerable } from './respond.ts'
import { createSharedTagLock } from './shared-tag-lock.ts'
import type { SharedTagLockObserver } from './shared-tag-lock.ts'
import { createTagLock } from './tag-lock.ts'
import { createUpstreamClient } from './upstream-client.ts'
import type { OpenCall, OpenUpstream, UpstreamCall, UpstreamTimeouts } from './upstream-client.ts'

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
export type ProxyObserver = AskObserver &
  SharedTagLockObserver & {
    upstreamRefusedGateway(): void
    catalogWalked(end: CatalogWalk): void
  }

type CatalogRequest = Extract<RegistryRequest, { kind: 'catalog' }>

export type Proxy = {
  /**
   * Sends a granted request upstream and its answer to the client. Bodies are streamed, save for
   * short content that came with its head and manifests for protected tags, both bounded.
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

/** In bytes: up to eight downloads at once have the largest reads, up to thirty-two the middle ones. */
const laneMemory = { maxFreeBytes: 16 * 1024 * 1024, maxSharedBytes: 8 * 1024 * 1024 }

/** Pushes to protected tags that may wait for others of the same tag. */
const maxWaitingPushes = 256

/** How long the lock of a protected tag outlives a gateway that is killed, in milliseconds. */
const tagLeaseMs = 15_000

/**
 * Creates the forwarding stage for one upstream.
 *
 * @param shared where the replicas keep the locks of protected tags; without it each has its own
 */
export function createProxy(settings: ProxySettings, observe: ProxyObserver, shared?: Store): Proxy {
  const { upstreamUrl, upstreamTimeouts: timeouts, credential } = settings
  const client = createUpstreamClient(timeouts, settings.upstreamCa)
  const upstream = {
    host: upstreamUrl.host,
    authorization:
      credential === undefined
        ? undefined
        : `Basic ${Buffer.from(`${credential.username}:${credential.password}`).toString('base64')}`,
  }
  const buffers = createBufferPool(laneMemory)
  const lane = createBlobLane({
    connections: createLaneConnections({ ...settings, keepAliveMs: timeouts.keepAliveMs, buffers }),
    buffers,
    timeouts,
    onRetry: () => {
      observe.upstreamRetried()
    },
  })
  const asking = createAsk({ lane, timeouts, clientInactivityMs: settings.clientInactivityMs, observe })
  const openCall: OpenUpstream = (call, fresh) => client.open(call, fresh)
  const lock = createTagLock(maxWaitingPushes)
  const guarded = createGuardedPush({
    ask: asking,
    open: openCall,
    clientInactivityMs: settings.clientInactivityMs,
    upstreamUrl,
    upstream,
    lock: shared === undefined ? lock : createSharedTagLock(lock, shared, { leaseMs: tagLeaseMs, observe }),
    waitMs: timeouts.headersMs,
    checkMs: timeouts.headersMs,
  })
  const listing = createListing({
    open: openCall,
    upstreamUrl,
    authorization: upstream.authorization,
    headersMs: timeouts.headersMs,
    bodyMs: timeouts.headersMs,
    observe: {
      walked: (end) => {
        observe.catalogWalked(end)
      },
    },
  })
  const answers = createAnswerPolicy(settings.redirects, credential !== undefined, timeouts.headersMs)
  const respond = createRespond({
    writeInactivityMs: settings.clientWriteInactivityMs,
    sourceInactivityMs: timeouts.inactivityMs,
  })

  async function forward(...[req, res, grant, transfer, about]: Parameters<Proxy['forward']>): Promise<void> {
    const { request } = grant
    // The client may have left while it was being authenticated; its close has been told then, and is not told again.
    if (res.destroyed) {
      transfer.end('aborted-by-client')
      return
    }
    const question = { req, res, request, transfer }
    if (request.kind === 'catalog') {
      await list(question, request, grant)
      return
    }
    const framing = bodyFraming(req)
    if (request.kind === 'manifest' && framing.kind === 'sized' && framing.bytes > maxManifestBytes) {
      throw new RegistryError('manifestTooLarge')
    }
    const callFor = (body: BodyFraming): UpstreamCall => ({
      url: upstreamUrl,
      method: request.method,
      target: printTarget(request),
      headers: upstreamRequestHeaders(req.headers, request, body, about, upstream),
    })
    // A client that leaves takes the connection to the upstream with it, whatever is waited for.
    let current: OpenCall | undefined
    const open: OpenUpstream = (next, fresh) => {
      current = client.open(next, fresh)
      return current
    }
    res.once('close', () => current?.request.destroy())
    const call = callFor(framing)
    const asked =
      request.kind === 'manifest' && isGuarded(grant)
        ? await guarded.ask(question, { ...request, ...grant }, callFor, about)
        : await asking.ask({ ...question, body: framing, call }, (fresh) => open(call, fresh))
    if (asked === undefined) {
      transfer.end('aborted-by-client')
      res.destroy()
      return
    }
    if (asked.kind === 'blob') await respond.blob(question, asked)
    else if (asked.kind === 'whole') await respond.whole(question, asked)
    else {
      if (isNewManifest(request, asked.response.statusCode)) listing.add(request.repository)
      await answer(question, asked, about, open)
    }
  }

  /** Answers for the whole registry from what is known of it; this request costs the upstream nothing. */
  async function list(question: Answerable, { page }: CatalogRequest, grant: Grant): Promise<void> {
    const { res, transfer } = question
    const given = await listing.answer(res, page, grant)
    if (given === undefined) {
      transfer.end('aborted-by-client')
      return
    }
    const { status, headers, text } = given
    await respond.given(question, { status, headers, content: { kind: 'text', text } })
  }

  /** Writes the answer that the client gets for the one the upstream gave. */
  async function answer(question: Answerable, asked: Asked, about: Forwarding, open: OpenUpstream): Promise<void> {
    const { req, res, request, transfer } = question
    const unfinished = asked.request?.writableEnded === false ? asked.request : undefined
    try {
      await respond.given(question, await answers.judge(asked.response, request, req.headers, about.requestId, open))
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
      listing.stop()
    },
  }
}

function isGuarded({ preconditions: { protectedTags, lockedTags } }: Grant): boolean {
  return protectedTags.length > 0 || lockedTags.length > 0
}

/** Whether an answer tells of a manifest that was stored: its repository is there from now on. */
function isNewManifest(
  request: RegistryRequest,
  status: number | undefined,
): request is Extract<RegistryRequest, { kind: 'manifest' }> {
  return request.kind === 'manifest' && request.method === 'PUT' && status === 201
}
