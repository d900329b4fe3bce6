/** How a granted request is put to the upstream, until the head of the answer is there. */
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { RegistryError } from '../registry/error.ts'
import type { RegistryRequest, RequestKind } from '../registry/route.ts'
import type { Transfer } from '../registry/transfer.ts'
import type { BlobLane, LaneAnswer } from './blob-stream.ts'
import { sendContinue } from './early-answer.ts'
import { startPump } from './pump.ts'
import type { Gathering } from './pump.ts'
import { uploadFault } from './pump-end.ts'
import type { BodyFraming } from './request-headers.ts'
import { isStaleConnection } from './upstream-client.ts'
import type { OpenCall, UpstreamCall, UpstreamResponse, UpstreamTimeouts } from './upstream-client.ts'

/** The distribution registry's own limit (`MaxManifestBodySize`); the specification asks for at least this much. */
export const maxManifestBytes = 4 * 1024 * 1024

/** An answer whose body is still to come, and the request it came to where that may not have been written to its end. */
export type Asked = { readonly kind: 'response'; readonly response: UpstreamResponse; readonly request?: ClientRequest }
/** A blob that comes by its lane. */
export type AskedBlob = Extract<LaneAnswer, { kind: 'blob' }>
/** Short content that is there already. */
export type AskedWhole = Extract<LaneAnswer, { kind: 'whole' }>

type Answered = Asked | AskedBlob | AskedWhole

/** A request of a client, and what is said upstream for it. */
export type Question = {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly request: RegistryRequest
  readonly transfer: Transfer
  readonly body: BodyFraming
  readonly call: UpstreamCall
  /** The body where it is not read from the client any more: it has been charged, and is there whole. */
  readonly source?: Readable
}

export type AskObserver = {
  /** The head of the answer came after so many seconds. */
  upstreamResponded(kind: RequestKind, seconds: number): void
  upstreamContact(up: boolean): void
  upstreamRetried(): void
  /** Which way a blob was asked for. */
  blobAsked(way: 'lane' | 'ordinary'): void
}

export type AskOptions = {
  readonly lane: BlobLane
  readonly timeouts: UpstreamTimeouts
  /** How long a client may send nothing of a body it has begun, in milliseconds. */
  readonly clientInactivityMs: number
  readonly observe: AskObserver
}

export type Ask = {
  /**
   * Gets the head of the answer: of what a GET asks for by the lane where that understands it, else over `node:http`.
   * Undefined when the client left meanwhile; nothing of the call is left open then.
   *
   * @param open begins the call; `fresh` on a new connection
   * @throws RegistryError when there is no answer, or the client's body cannot be taken
   */
  ask(question: Question, open: (fresh: boolean) => OpenCall): Promise<Answered | undefined>
}

/** Bytes of uploads that are written together: of one at most, and of all. */
const maxGatheredBytes = { ofOne: 1024 * 1024, ofAll: 8 * 1024 * 1024 }

export function createAsk({ lane, timeouts, clientInactivityMs, observe }: AskOptions): Ask {
  let uploads = 0
  function gatheringFor(request: ClientRequest): Gathering {
    let held: Socket | null = null
    return {
      bytes: () => Math.min(maxGatheredBytes.ofOne, Math.floor(maxGatheredBytes.ofAll / uploads)),
      hold: () => {
        held = request.socket
        held?.cork()
        return held !== null
      },
      release: () => {
        held?.uncork()
      },
    }
  }

  async function ask(question: Question, open: (fresh: boolean) => OpenCall): Promise<Answered | undefined> {
    const { res, request, call } = question
    const startedMs = performance.now()
    try {
      const viaLane =
        request.method === 'GET' && request.kind !== 'base' ? await byLane(res, request.kind, call) : undefined
      if (request.kind === 'blob' && request.method === 'GET') {
        observe.blobAsked(viaLane === undefined ? 'ordinary' : 'lane')
      }
      const asked = viaLane ?? (await byRequest(question, open))
      if (asked === undefined) return undefined
      observe.upstreamContact(true)
      observe.upstreamResponded(request.kind, (performance.now() - startedMs) / 1000)
      return asked
    } catch (error) {
      if (res.destroyed) return undefined
      if (error instanceof RegistryError && error.source === 'upstream') observe.upstreamContact(false)
      throw error
    }
  }

  /** Asks by the lane; nothing when it is to be asked for in the ordinary way. */
  async function byLane(res: ServerResponse, kind: RequestKind, call: UpstreamCall): Promise<Answered | undefined> {
    const asking = lane.open({ kind, ...call })
    const cancel = (): void => {
      asking.cancel()
    }
    res.once('close', cancel)
    try {
      const answer = await asking.answer
      if (answer.kind === 'blob' || answer.kind === 'whole') return answer
      return answer.kind === 'short' ? { kind: 'response', response: answer.response } : undefined
    } finally {
      res.off('close', cancel)
    }
  }

  async function byRequest(question: Question, open: (fresh: boolean) => OpenCall): Promise<Asked | undefined> {
    const first = open(false)
    try {
      return await (question.body.kind === 'none' ? withoutBody(question, first, open) : withBody(question, first))
    } catch (error) {
      first.request.destroy()
      throw error
    }
  }

  /** A GET or HEAD that met a connection which the upstream had closed is asked once more. */
  async function withoutBody(
    { res, request }: Question,
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
    return { kind: 'response', response: await open.answer, request: open.request }
  }

  function headLimitMs(request: RegistryRequest): number {
    const commits = request.method === 'PUT' && request.kind === 'upload-session'
    const monolithic = request.kind === 'upload-start' && request.digest !== undefined
    return commits || monolithic ? timeouts.commitHeadersMs : timeouts.headersMs
  }

  /** The upstream may answer before it has all of the body. */
  async function withBody(
    { req, res, request, transfer, source }: Question,
    open: OpenCall,
  ): Promise<Asked | undefined> {
    sendContinue(req, res)
    uploads += 1
    const pump = startPump(source ?? req, open.request, {
      charge: (bytes) => (source === undefined ? transfer.charge('up', bytes) : undefined),
      sourceIdleMs: clientInactivityMs,
      sinkIdleMs: timeouts.inactivityMs,
      gather: gatheringFor(open.request),
      ...(request.kind === 'manifest' && { maxBytes: maxManifestBytes }),
    })
    try {
      const first = await Promise.race([pump.ended, open.answer])
      if (!('kind' in first)) return { kind: 'response', response: first, request: open.request }
      if (first.kind === 'complete') return await headOf(open, request)
      if (first.kind === 'source-failed') {
        open.request.destroy()
        return undefined
      }
      // The connection of the upstream failed; an answer that it had sent before says more than the failure.
      if (first.kind === 'sink-failed') {
        return { kind: 'response', response: await open.answer, request: open.request }
      }
      throw uploadFault(first)
    } finally {
      uploads -= 1
      pump.stop()
    }
  }

  return { ask }
}
