import type { Readable, Writable } from 'node:stream'
import { createInactivityTimer } from './inactivity.ts'

/** How a pump came to its end; only `complete` means that the sink has been handed every byte of the source. */
export type PumpEnd =
  | { readonly kind: 'complete' }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'too-large' }
  | { readonly kind: 'source-idle' }
  | { readonly kind: 'sink-idle' }
  | { readonly kind: 'charge-failed'; readonly cause: unknown }
  | { readonly kind: 'source-failed'; readonly cause: unknown }
  | { readonly kind: 'sink-failed'; readonly cause: unknown }

export type PumpOptions = {
  /** Counts bytes before they are written; a promise holds the source until it settles, and ends the pump when it fails. */
  readonly charge: (bytes: number) => void | Promise<void>
  /** Milliseconds the source may be silent while the sink is ready for more; 0 means no limit. */
  readonly sourceIdleMs: number
  /** Milliseconds the sink may take nothing while bytes wait for it; 0 means no limit. */
  readonly sinkIdleMs: number
  /** More bytes than this end the pump with `too-large`; the surplus is not written. */
  readonly maxBytes?: number
  readonly gather?: Gathering
}

/**
 * Chunks that reach the kernel together, once so many bytes have come or after {@link gatherMs}; without it each goes at
 * once. A client's TLS records come one by one, and a write for each is a good part of what an upload costs.
 *
 * It is the socket below the sink that is held: an `OutgoingMessage` that is corked itself puts the end of a chunked
 * message before chunks that it holds, and does not tell when it has room again.
 */
export type Gathering = {
  readonly bytes: () => number
  /** Holds what is written from now on; false where there is nothing yet that could hold it. */
  readonly hold: () => boolean
  /** Sends what was held. */
  readonly release: () => void
}

/** How long a chunk waits for others at most, in milliseconds. */
const gatherMs = 2

export type Pump = {
  readonly ended: Promise<PumpEnd>
  /** Lets go of both streams, the source paused, without ending or destroying either. */
  stop(): void
}

/**
 * Moves bytes from source to sink with backpressure and inactivity limits both ways.
 *
 * Ownership: the pump borrows both streams. It never ends or destroys them; whoever started it decides by the
 * {@link PumpEnd} what becomes of them. At `complete` the sink is left corked, so that `end()`, which undoes that, goes out
 * with the last bytes; whoever does not end it at once uncorks it. After its end the pump listens to neither, save for an
 * idle `error` listener that keeps a late error of a borrowed stream from killing the process.
 */
export function startPump(source: Readable, sink: Writable, options: PumpOptions): Pump {
  const { promise: ended, resolve } = Promise.withResolvers<PumpEnd>()
  let isHolding = false
  let gathered = 0
  /** Whether the sink has room for more. */
  let hasRoom = true
  let gatherTimer: NodeJS.Timeout | undefined
  let draining = false
  let charging = 0
  let done = false
  let total = 0
  const sourceTimer = createInactivityTimer({
    limitMs: options.sourceIdleMs,
    counts: () => !draining && charging === 0,
    onIdle: () => {
      finish({ kind: 'source-idle' })
    },
  })
  const sinkTimer = createInactivityTimer({
    limitMs: options.sinkIdleMs,
    counts: () => draining,
    onIdle: () => {
      finish({ kind: 'sink-idle' })
    },
  })

  function finish(end: PumpEnd): void {
    if (done) return
    done = true
    sourceTimer.stop()
    sinkTimer.stop()
    clearTimeout(gatherTimer)
    source.off('data', onData).off('end', onEnd).off('error', onSourceError).off('close', onSourceClose)
    sink.off('drain', onDrain).off('error', onSinkError).off('close', onSinkClose)
    source.on('error', ignore).pause()
    sink.on('error', ignore)
    resolve(end)
  }
  function resume(): void {
    if (draining || charging > 0 || done) return
    sourceTimer.touch()
    source.resume()
  }
  function onData(chunk: Buffer): void {
    total += chunk.length
    if (options.maxBytes !== undefined && total > options.maxBytes) {
      finish({ kind: 'too-large' })
      return
    }
    sourceTimer.touch()
    const charged = options.charge(chunk.length)
    if (charged !== undefined) {
      charging += 1
      source.pause()
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
    write(chunk)
  }
  function write(chunk: Buffer): void {
    if (!isHolding && options.gather?.hold() === true) {
      isHolding = true
      gatherTimer = setTimeout(release, gatherMs)
    }
    gathered += chunk.length
    hasRoom = sink.write(chunk)
    if (!isHolding || gathered >= (options.gather?.bytes() ?? 0)) release()
  }
  /** Sends what was gathered; only then is the sink's measure of room the kernel's, and waited for. */
  function release(): void {
    clearTimeout(gatherTimer)
    gathered = 0
    if (isHolding) options.gather?.release()
    isHolding = false
    if (hasRoom) return
    draining = true
    sinkTimer.touch()
    source.pause()
  }
  function onDrain(): void {
    draining = false
    resume()
  }
  function onEnd(): void {
    sink.cork()
    finish({ kind: 'complete' })
  }
  function onSourceError(cause: unknown): void {
    finish({ kind: 'source-failed', cause })
  }
  function onSourceClose(): void {
    finish({ kind: 'source-failed', cause: new Error('the source closed before its end') })
  }
  function onSinkError(cause: unknown): void {
    finish({ kind: 'sink-failed', cause })
  }
  function onSinkClose(): void {
    finish({ kind: 'sink-failed', cause: new Error('the sink closed before the end of the source') })
  }

  if (sink.destroyed) onSinkClose()
  else if (source.readableEnded) onEnd()
  else if (source.destroyed) onSourceClose()
  else {
    sink.on('drain', onDrain).on('error', onSinkError).on('close', onSinkClose)
    source.on('end', onEnd).on('error', onSourceError).on('close', onSourceClose).on('data', onData)
  }
  return {
    ended,
    stop: () => {
      finish({ kind: 'stopped' })
    },
  }
}

function ignore(): void {
  return undefined
}
