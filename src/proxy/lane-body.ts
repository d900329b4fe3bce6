import type { ServerResponse } from 'node:http'
import { readSizes } from './buffer-pool.ts'
import type { BufferPool, ReadSize } from './buffer-pool.ts'
import { createInactivityTimer } from './inactivity.ts'
import type { LaneConnection, Piece } from './lane-connection.ts'
import type { LaneConnections } from './lane-connections.ts'
import type { PumpEnd, PumpOptions } from './pump.ts'
import type { ResponseHead } from './response-head.ts'

/** The body of a blob on its way: on a connection whose head has been read. */
export type BlobBody = {
  /**
   * Moves the body to the client.
   *
   * Ownership: the response is borrowed; its head is the caller's to set before, and its end the caller's to send after
   * `complete`. The connection to the upstream is the lane's: it goes back to the pool after exactly the announced bytes,
   * and is destroyed after any other end, before this resolves. A buffer belongs to the pool, then to the kernel that
   * fills it, then to the response until the callback of its write, then to the pool again; when either side breaks,
   * what is under way is left to the collector.
   */
  stream(res: ServerResponse, options: BlobStreamOptions): Promise<PumpEnd>
  /** Lets go of a body that nobody wants, and of its connection. */
  discard(): void
}

export type BlobStreamOptions = Pick<PumpOptions, 'charge' | 'sourceIdleMs' | 'sinkIdleMs'>

/** The first piece of a body begins behind the head. */
type FirstPiece = Piece & { readonly start: number }

/** Pieces that the client has not taken yet: at this many the upstream has to wait. */
const maxInFlight = 2
/** So many full reads in a row that the client took at once, and reads become larger. */
const fullReadsToGrow = 4
/** A client for which the upstream had to wait this long gets the smallest reads again, in milliseconds. */
const slowMs = 50

/** Takes over a connection at the end of a head. */
export function createBlobBody(
  connection: LaneConnection,
  { buffers, connections }: { readonly buffers: BufferPool; readonly connections: LaneConnections },
  head: ResponseHead,
  first: FirstPiece,
): BlobBody {
  /** What came before {@link BlobBody.stream} was called. */
  const early: (Piece & { readonly start: number })[] = [first]
  let failed: Error | undefined
  const share = buffers.join()
  let wanted: ReadSize = readSizes[0]
  connection.pause()
  connection.read({
    wantedSize: () => (wanted < share.largest ? wanted : share.largest),
    take: (piece) => {
      early.push({ ...piece, start: 0 })
    },
    end: (cause) => {
      failed = cause
    },
  })

  function stream(res: ServerResponse, options: BlobStreamOptions): Promise<PumpEnd> {
    const { promise, resolve } = Promise.withResolvers<PumpEnd>()
    let remaining = head.bodyBytes
    let inFlight = 0
    let charging = 0
    let fullReads = 0
    let pausedAtMs: number | undefined
    let done = false
    const sourceTimer = createInactivityTimer({
      limitMs: options.sourceIdleMs,
      counts: () => pausedAtMs === undefined,
      onIdle: () => {
        finish({ kind: 'source-idle' })
      },
    })
    const sinkTimer = createInactivityTimer({
      limitMs: options.sinkIdleMs,
      counts: () => inFlight > 0,
      onIdle: () => {
        finish({ kind: 'sink-idle' })
      },
    })

    function finish(end: PumpEnd): void {
      if (done) return
      done = true
      sourceTimer.stop()
      sinkTimer.stop()
      share.leave()
      res.off('close', onClose).off('error', onError).on('error', ignore)
      if (end.kind === 'complete') connections.keep(connection, head)
      else connection.destroy()
      resolve(end)
    }
    function onClose(): void {
      finish({ kind: 'sink-failed', cause: new Error('the client closed before the end of the blob') })
    }
    function onError(cause: unknown): void {
      finish({ kind: 'sink-failed', cause })
    }
    function pause(): void {
      if (pausedAtMs !== undefined) return
      pausedAtMs = performance.now()
      connection.pause()
    }
    function resume(): void {
      if (done || pausedAtMs === undefined || inFlight >= maxInFlight || charging > 0) return
      if (performance.now() - pausedAtMs > slowMs) {
        wanted = readSizes[0]
        fullReads = 0
      }
      pausedAtMs = undefined
      sourceTimer.touch()
      connection.resume()
    }
    function take({ buffer, length, start }: FirstPiece): void {
      const bytes = length - start
      if (done) {
        // Bytes behind the end: whatever they are, the connection carries nothing more.
        connection.destroy()
        return
      }
      if (bytes > remaining) {
        finish({ kind: 'source-failed', cause: new Error('the body is longer than its Content-Length') })
        return
      }
      sourceTimer.touch()
      if (inFlight === 0) sinkTimer.touch()
      remaining -= bytes
      charge(bytes)
      fullReads = length === buffer.length && inFlight < maxInFlight ? fullReads + 1 : 0
      if (fullReads >= fullReadsToGrow) grow()
      if (bytes > 0) write(buffer, start, length)
      else buffers.give(buffer)
      if (remaining === 0) finish({ kind: 'complete' })
      else if (inFlight >= maxInFlight) pause()
    }
    function grow(): void {
      wanted = readSizes.find((size) => size > wanted) ?? wanted
      fullReads = 0
    }
    function write(buffer: Buffer, start: number, length: number): void {
      inFlight += 1
      res.write(buffer.subarray(start, length), (error) => {
        inFlight -= 1
        if ((error !== undefined && error !== null) || res.destroyed) return
        buffers.give(buffer)
        sinkTimer.touch()
        resume()
      })
    }
    function charge(bytes: number): void {
      const charged = options.charge(bytes)
      if (charged === undefined) return
      charging += 1
      pause()
      charged.then(
        () => {
          charging -= 1
          resume()
        },
        (cause: unknown) => {
          finish({ kind: 'charge-failed', cause })
        },
      )
    }

    res.on('close', onClose).on('error', onError)
    if (res.destroyed) onClose()
    pausedAtMs = performance.now()
    connection.read({
      wantedSize: () => (wanted < share.largest ? wanted : share.largest),
      take: (piece) => {
        take({ ...piece, start: 0 })
      },
      end: (cause) => {
        finish({ kind: 'source-failed', cause })
      },
    })
    for (const piece of early.splice(0)) take(piece)
    if (failed !== undefined) finish({ kind: 'source-failed', cause: failed })
    resume()
    return promise
  }

  return {
    stream,
    discard: () => {
      share.leave()
      connection.destroy()
    },
  }
}

/** A late error of a borrowed stream must not kill the process. */
function ignore(): void {
  return undefined
}
