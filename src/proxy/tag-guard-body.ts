import type { IncomingMessage } from 'node:http'
import { Writable } from 'node:stream'
import { RegistryError } from '../registry/error.ts'
import type { Transfer } from '../registry/transfer.ts'
import { startPump } from './pump.ts'
import { uploadFault } from './pump-end.ts'

/** How much memory all bodies that are held may take together. Nobody waits for it: a hold that waits holds the others up. */
export type BodyBudget = {
  /** Takes so many bytes of it, or none when they are not there. */
  take(bytes: number): boolean
  give(bytes: number): void
}

export function createBodyBudget(maxBytes: number): BodyBudget {
  let taken = 0
  return {
    take: (bytes) => {
      if (taken + bytes > maxBytes) return false
      taken += bytes
      return true
    },
    give: (bytes) => {
      taken -= bytes
    },
  }
}

/** A body that has been read to its end. */
export type HeldBody = {
  readonly bytes: Buffer
  /** Gives its memory back to the budget; to be called once it has been sent or is not wanted. Twice is as once. */
  release(): void
}

export type ReadBodyOptions = {
  /** More than this is refused with `manifestTooLarge`. */
  readonly maxBytes: number
  /** How long the client may send nothing, in milliseconds. */
  readonly idleMs: number
  /**
   * How long the whole may take, in milliseconds, a throttle's pauses included: a client that sends a byte now and then
   * is never idle, and would hold its memory for as long as it likes.
   */
  readonly totalMs: number
  readonly budget: BodyBudget
}

const firstCapacity = 16 * 1024

/**
 * Reads a manifest to its end before anything of it is sent on, for the pushes whose outcome depends on its digest.
 * The one place where a body is held; nothing where the client left before its end.
 *
 * Ownership: `req` is borrowed, and left paused, neither ended nor destroyed. The caller has told a client that asked
 * (`Expect: 100-continue`) to go on. Every byte is charged `up` here, and must not be again when it is sent.
 *
 * @throws RegistryError `manifestTooLarge`, `requestTimeout`, `tagBusy` when the budget is used up, or `gatewayFault`
 *   when counting fails; nothing is held then
 */
export async function readBody(
  req: IncomingMessage,
  transfer: Transfer,
  { maxBytes, idleMs, totalMs, budget }: ReadBodyOptions,
): Promise<HeldBody | undefined> {
  const store = createStore(budget, maxBytes)
  const pump = startPump(req, store.sink, {
    charge: (bytes) => transfer.charge('up', bytes),
    sourceIdleMs: idleMs,
    sinkIdleMs: 0,
    maxBytes,
  })
  const deadline = setTimeout(() => {
    pump.stop()
  }, totalMs)
  try {
    const end = await pump.ended
    switch (end.kind) {
      case 'complete':
        return { bytes: store.bytes(), release: store.release }
      case 'source-failed':
        store.release()
        return undefined
      case 'sink-failed':
        throw end.cause
      case 'stopped':
        throw new RegistryError('requestTimeout', { cause: new Error(`the body took longer than ${totalMs} ms`) })
      case 'too-large':
      case 'source-idle':
      case 'sink-idle':
      case 'charge-failed':
        throw uploadFault(end)
    }
  } catch (error) {
    store.release()
    throw error
  } finally {
    clearTimeout(deadline)
  }
}

/**
 * Collects bytes in one buffer that doubles as it fills: many small pieces kept as they come would take a hundred times
 * their length. What is taken from the budget is its capacity, as it grows, and not what a client announces.
 */
function createStore(budget: BodyBudget, maxBytes: number) {
  let held = Buffer.alloc(0)
  let length = 0
  let isReleased = false
  let fault: RegistryError | undefined

  function hasRoomFor(bytes: number): boolean {
    if (length + bytes <= held.length) return true
    const capacity = Math.min(maxBytes, Math.max(firstCapacity, held.length * 2, length + bytes))
    if (isReleased || !budget.take(capacity - held.length)) return false
    const grown = Buffer.allocUnsafeSlow(capacity)
    held.copy(grown, 0, 0, length)
    held = grown
    return true
  }

  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      if (!hasRoomFor(chunk.length)) {
        fault ??= new RegistryError('tagBusy', { cause: new Error('the memory for held bodies is used up') })
        done(fault)
        return
      }
      chunk.copy(held, length)
      length += chunk.length
      done()
    },
  })
  return {
    sink,
    /** The end of the source can be told before the error of the sink is; what is cut must not look whole. */
    bytes: () => {
      if (fault !== undefined) throw fault
      return held.subarray(0, length)
    },
    release: () => {
      if (isReleased) return
      isReleased = true
      budget.give(held.length)
    },
  }
}
