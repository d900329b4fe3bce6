/**
 * The lane for downloads of blobs: connections of its own to the upstream, read into buffers that are written to the
 * client as they are and then used again. Why, and what it saves: docs/explanation/streaming.md.
 */
import type { OutgoingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import { RegistryError } from '../registry/error.ts'
import type { RequestKind } from '../registry/route.ts'
import { readSizes } from './buffer-pool.ts'
import type { BufferPool } from './buffer-pool.ts'
import type { Piece } from './lane-connection.ts'
import type { LaneConnections } from './lane-connections.ts'
import { createBlobBody } from './lane-body.ts'
import type { BlobBody } from './lane-body.ts'
import { readResponseHead } from './response-head.ts'
import type { ResponseHead } from './response-head.ts'
import type { UpstreamResponse, UpstreamTimeouts } from './upstream-client.ts'
import { upstreamError } from './upstream-fault.ts'

/** A GET without a body, its target and headers as they are to be printed. */
export type LaneCall = {
  /** What is asked for; answers to one kind that the lane cannot read say nothing of another. */
  readonly kind: RequestKind
  readonly target: string
  readonly headers: OutgoingHttpHeaders
}

/** What the upstream answered, as far as the lane understands it. */
export type LaneAnswer =
  /** 200 or 206 with a length: the body is streamed by {@link BlobBody.stream}. */
  | { readonly kind: 'blob'; readonly head: ResponseHead; readonly body: BlobBody }
  /** Another status with a short body, which has been read; the connection is done with. */
  | { readonly kind: 'short'; readonly response: UpstreamResponse }
  /** 200 or 206, and all of a short body came with the head: a manifest, a list of tags; the connection is done with. */
  | { readonly kind: 'whole'; readonly head: ResponseHead; readonly content: Buffer }
  /** The answer, or the request, is for someone who knows all of HTTP: nothing of it was used, and a GET may be repeated. */
  | { readonly kind: 'left'; readonly why: string; readonly isLasting: boolean }

export type OpenLaneCall = {
  /** @throws RegistryError when the upstream cannot be reached, is too slow, or ends the connection without a head */
  readonly answer: Promise<LaneAnswer>
  /**
   * Breaks the call off while its answer is awaited: the connection to the upstream is destroyed at once. Later it does
   * nothing: the connection is the body's then, or may already serve another download.
   */
  cancel(): void
}

export type BlobLane = {
  open(call: LaneCall): OpenLaneCall
  /** Ends idle connections; running downloads go on. */
  close(): void
}

export type BlobLaneOptions = {
  readonly connections: LaneConnections
  readonly buffers: BufferPool
  readonly timeouts: Pick<UpstreamTimeouts, 'connectMs' | 'headersMs'>
  /** Told when a kept connection turned out to be closed and the question is asked once more on a new one. */
  readonly onRetry: () => void
  /**
   * After an answer that it could not read the lane is left alone for this long, in milliseconds, so that not every blob
   * is asked for twice; 30 s unless told.
   */
  readonly restMs?: number
}

/** A longer body of an answer that is no blob leaves the lane; 64 KiB. */
const maxShortBytes = 64 * 1024

/** Creates the lane to one upstream. */
export function createBlobLane(options: BlobLaneOptions): BlobLane {
  const { connections, buffers, timeouts, onRetry, restMs = 30_000 } = options
  const restsUntilMs = new Map<RequestKind, number>()

  function open(call: LaneCall): OpenLaneCall {
    const isResting = performance.now() < (restsUntilMs.get(call.kind) ?? 0)
    const request = isResting ? undefined : printRequest(call)
    if (request === undefined) {
      return {
        answer: Promise.resolve({ kind: 'left', why: 'the lane was not tried', isLasting: false }),
        cancel: () => undefined,
      }
    }
    let current: HeadReading | undefined
    let cancelled = false
    const attempt = (fresh: boolean): Promise<LaneAnswer> => {
      current = readHead(request, fresh)
      return current.answer
    }
    const answer = attempt(false)
      .catch((error: unknown) => {
        if (cancelled || current?.isStale() !== true) throw error
        onRetry()
        return attempt(true)
      })
      .then((given) => {
        if (given.kind === 'left' && given.isLasting) restsUntilMs.set(call.kind, performance.now() + restMs)
        return given
      })
    return {
      answer,
      cancel: () => {
        cancelled = true
        current?.cancel()
      },
    }
  }

  /** Sends the request and reads until it is known what the answer is. */
  function readHead(request: Buffer, fresh: boolean): HeadReading {
    const { promise, resolve, reject } = Promise.withResolvers<LaneAnswer>()
    const kept = fresh ? undefined : connections.takeIdle()
    let received = Buffer.alloc(0)
    let settled = false
    let failedSilent = false
    const connection = kept ?? connections.open(onReady)
    const expire = (limitMs: number, what: string): NodeJS.Timeout =>
      setTimeout(() => {
        fail(new RegistryError('upstreamTimeout', { cause: new Error(`${what} took longer than ${limitMs} ms`) }))
      }, limitMs)
    const awaitHead = (): NodeJS.Timeout => expire(timeouts.headersMs, 'the head of the answer')
    let timer = kept === undefined ? expire(timeouts.connectMs, 'connecting') : awaitHead()

    function onReady(): void {
      clearTimeout(timer)
      if (!settled) timer = awaitHead()
    }
    function settle(answer: LaneAnswer): void {
      if (settled) return
      settled = true
      clearTimeout(timer)
      resolve(answer)
    }
    function fail(error: RegistryError): void {
      if (settled) return
      settled = true
      clearTimeout(timer)
      connection.destroy()
      reject(error)
    }
    /** @param isLasting whether the next answer will probably be like this one */
    function leave(why: string, isLasting = true): void {
      // Settled first: the end of the connection is told to its reader.
      settle({ kind: 'left', why, isLasting })
      connection.destroy()
    }
    function take(piece: Piece): void {
      // The common case is a head in the first piece, followed in it by the beginning of the blob, which is not copied.
      const bytes = piece.buffer.subarray(0, piece.length)
      const whole = received.length === 0 ? bytes : Buffer.concat([received, bytes])
      const read = readResponseHead(whole)
      if (read.kind === 'head' && isContent(read.head) && whole.length - read.bodyStart < read.head.bodyBytes) {
        const start = read.bodyStart - (whole.length - piece.length)
        const body = createBlobBody(connection, { buffers, connections }, read.head, { ...piece, start })
        settle({ kind: 'blob', head: read.head, body })
        return
      }
      if (read.kind === 'unusual') leave(read.why)
      else if (read.kind === 'head') takeShort(read.head, whole, read.bodyStart)
      // What is kept is a copy: the buffer goes back to be read into.
      if (!settled) received = Buffer.from(whole)
      buffers.give(piece.buffer)
    }
    function takeShort(head: ResponseHead, whole: Buffer, bodyStart: number): void {
      const surplus = whole.length - bodyStart - head.bodyBytes
      if (head.bodyBytes > maxShortBytes && !isContent(head)) leave('a long body of an answer that is no content')
      else if (surplus > 0) fail(upstreamError(new Error('the body is longer than its Content-Length')))
      else if (surplus < 0) leave('an answer whose body did not come with its head', false)
      else {
        // A copy: the buffer goes back to be read into.
        const content = Buffer.from(whole.subarray(bodyStart))
        // Settled first: a connection that is not kept ends here, which is told to its reader.
        settle(
          isContent(head) ? { kind: 'whole', head, content } : { kind: 'short', response: responseOf(head, content) },
        )
        connections.keep(connection, head)
      }
    }
    connection.read({
      wantedSize: () => readSizes[0],
      take,
      end: (cause) => {
        // An end of our own making, at a deadline say, tells nothing of the upstream.
        if (settled) return
        failedSilent = kept !== undefined && received.length === 0
        fail(upstreamError(cause))
      },
    })
    connection.write(request)
    return {
      answer: promise,
      isStale: () => failedSilent,
      cancel: () => {
        fail(new RegistryError('upstreamInvalid', { cause: new Error('the call was cancelled') }))
      },
    }
  }

  return {
    open,
    close: () => {
      connections.close()
    },
  }
}

type HeadReading = {
  readonly answer: Promise<LaneAnswer>
  /** Whether it failed on a kept connection before a byte came: the upstream had closed that one. */
  isStale(): boolean
  cancel(): void
}

function isContent({ statusCode }: ResponseHead): boolean {
  return statusCode === 200 || statusCode === 206
}

function responseOf({ statusCode, headers }: ResponseHead, body: Buffer): UpstreamResponse {
  return Object.assign(Readable.from(body.length === 0 ? [] : [body], { objectMode: false }), { statusCode, headers })
}

/** The request as bytes; nothing when a header is not plain text, which is then for `node:http` to judge. */
function printRequest({ target, headers }: LaneCall): Buffer | undefined {
  const lines = [`GET ${target} HTTP/1.1`]
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value !== 'string' || !/^[\t -~]*$/.test(value)) return undefined
    lines.push(`${name}: ${value}`)
  }
  return Buffer.from(`${lines.join('\r\n')}\r\nconnection: keep-alive\r\n\r\n`, 'latin1')
}
