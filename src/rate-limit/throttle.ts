import type { Clock } from '../store/clock.ts'

export type ThrottleOptions = {
  /** Quota over window; may be less than one. */
  readonly bytesPerSecond: number
  /** How much debt there may be of bytes that nobody waited for; a MiB where it is less. */
  readonly maxDebtBytes: number
  readonly clock: Clock
}

/**
 * Slows the transfers of each identity to one rate that they share, for this process. Bytes are paid for after they have
 * flowed: a transfer goes on at once while the bucket of its identity can pay for them, and else waits until it has.
 */
export type Throttle = {
  /** Joins a transfer to the others of its identity. */
  share(identity: string): ThrottleShare
  /** How many identities are remembered: those in use, and those whose bucket was not full when it was last looked at. */
  readonly identities: number
}

/** What one transfer has of the rate. */
export type ThrottleShare = {
  /**
   * Pays for bytes; a promise is to be waited for before more flow. It never fails, and resolves when the share is left.
   * No bytes at all wait for those that came before, and for what is owed.
   */
  take(bytes: number): void | Promise<void>
  /** Has what comes next pay for bytes that nobody waits for. */
  owe(bytes: number): void
  /** Lets go of a wait too, whose bytes stay owed. Twice is as once; afterwards nothing waits and nothing is counted. */
  leave(): void
}

/** How much of the rate may come at once, in milliseconds of it. */
const burstMs = 250
/** What is paid at once at most: a large chunk is paid in parts, between which small ones have their turn. */
const partBytes = 64 * 1024
/** How far the others may go on while a transfer reads its next chunk, before it loses the place that it had among them. */
const keptPlaceBytes = 1024 * 1024
const minDebtBytes = 1024 * 1024
/** Timers of Node do not last longer than 2^31 ms. */
const maxTimerMs = 2 ** 30
/** Identities out of use that are looked at when a transfer joins; more than one, so that they become fewer. */
const looksAtIdle = 4

/**
 * The bucket of one identity. Its waiting transfers are served by start tags (start-time fair queueing): each transfer has
 * a line of its own on which its bytes follow one another, and the one whose next part begins first is served, so that
 * large chunks get no more than small ones.
 */
type Bucket = {
  readonly identity: string
  /** Bytes; below nothing is what is owed. As of `atMs`. */
  balance: number
  atMs: number
  shares: number
  /** The furthest start tag that was served. */
  servedTag: number
  /** In the order they came. */
  readonly waiting: Waiting[]
  cancelTimer: (() => void) | undefined
}

type Waiting = {
  tag: number
  /** Not paid yet. */
  bytes: number
  readonly turn: Promise<void>
  readonly begin: () => void
}

/** Creates the throttle of one bucket of the configuration. */
export function createThrottle({ bytesPerSecond, maxDebtBytes, clock }: ThrottleOptions): Throttle {
  const bytesPerMs = bytesPerSecond / 1000
  const burstBytes = Math.max(bytesPerMs * burstMs, partBytes)
  const lowestBalance = -Math.max(maxDebtBytes, minDebtBytes)
  const inUse = new Map<string, Bucket>()
  /** Without transfers; forgotten once they are full, since a new bucket would be no different. */
  const idle = new Map<string, Bucket>()

  function refill(bucket: Bucket): void {
    const nowMs = clock.nowMs()
    bucket.balance = Math.min(burstBytes, bucket.balance + (nowMs - bucket.atMs) * bytesPerMs)
    bucket.atMs = nowMs
  }
  /** Pays for those that wait as far as the bucket goes, and comes back when it goes further. */
  function serve(bucket: Bucket): void {
    refill(bucket)
    for (let next = earliest(bucket.waiting); next !== undefined; next = earliest(bucket.waiting)) {
      const part = Math.min(next.bytes, partBytes)
      if (bucket.balance < part) {
        armFor(bucket, part)
        return
      }
      bucket.balance -= part
      bucket.servedTag = Math.max(bucket.servedTag, next.tag)
      next.tag += part
      next.bytes -= part
      if (next.bytes > 0) continue
      bucket.waiting.splice(bucket.waiting.indexOf(next), 1)
      next.begin()
    }
  }
  function armFor(bucket: Bucket, bytes: number): void {
    const delayMs = Math.ceil((bytes - bucket.balance) / bytesPerMs)
    bucket.cancelTimer = clock.after(Math.min(maxTimerMs, delayMs), () => {
      bucket.cancelTimer = undefined
      serve(bucket)
    })
  }
  function owe(bucket: Bucket, bytes: number): void {
    refill(bucket)
    bucket.balance = Math.max(bucket.balance - bytes, Math.min(bucket.balance, lowestBalance))
  }
  function bucketOf(identity: string): Bucket {
    const known = inUse.get(identity) ?? idle.get(identity)
    if (known !== undefined) return known
    return {
      identity,
      balance: burstBytes,
      atMs: clock.nowMs(),
      shares: 0,
      servedTag: 0,
      waiting: [],
      cancelTimer: undefined,
    }
  }
  function forgetFull(): void {
    let looks = looksAtIdle
    for (const [identity, bucket] of idle) {
      if (looks === 0) return
      looks -= 1
      idle.delete(identity)
      refill(bucket)
      if (bucket.balance < burstBytes) idle.set(identity, bucket)
    }
  }
  function join(identity: string): Bucket {
    const bucket = bucketOf(identity)
    idle.delete(identity)
    forgetFull()
    inUse.set(identity, bucket)
    bucket.shares += 1
    return bucket
  }
  function part(bucket: Bucket): void {
    bucket.shares -= 1
    if (bucket.waiting.length === 0) {
      bucket.cancelTimer?.()
      bucket.cancelTimer = undefined
    }
    if (bucket.shares > 0) return
    inUse.delete(bucket.identity)
    idle.set(bucket.identity, bucket)
  }

  function share(identity: string): ThrottleShare {
    const bucket = join(identity)
    /** Where the bytes that this transfer waited for end on its line. */
    let lineEnd = bucket.servedTag
    let waiting: Waiting | undefined
    let isLeft = false

    function wait(bytes: number): Promise<void> {
      const { promise: turn, resolve } = Promise.withResolvers<void>()
      const begin = (): void => {
        waiting = undefined
        lineEnd = own.tag
        resolve()
      }
      // What a transfer did not use while it was away is made up for where it was away for a moment alone.
      const tag = Math.max(lineEnd, bucket.servedTag - keptPlaceBytes)
      const own: Waiting = { tag, bytes, turn, begin }
      waiting = own
      bucket.waiting.push(own)
      if (bucket.cancelTimer === undefined) serve(bucket)
      return turn
    }
    return {
      take: (bytes) => {
        if (isLeft) return undefined
        if (waiting !== undefined) {
          waiting.bytes += bytes
          return waiting.turn
        }
        refill(bucket)
        // Not past those that wait: small chunks would keep a large one from its part for ever.
        if (bucket.waiting.length > 0 || bucket.balance < bytes) return wait(bytes)
        bucket.balance -= bytes
        return undefined
      },
      owe: (bytes) => {
        if (!isLeft) owe(bucket, bytes)
      },
      leave: () => {
        if (isLeft) return
        isLeft = true
        if (waiting !== undefined) {
          bucket.waiting.splice(bucket.waiting.indexOf(waiting), 1)
          owe(bucket, waiting.bytes)
          waiting.begin()
        }
        part(bucket)
      },
    }
  }

  return {
    share,
    get identities() {
      return inUse.size + idle.size
    },
  }
}

/** Of those whose bytes begin alike, the first that came. */
function earliest(waiting: readonly Waiting[]): Waiting | undefined {
  let first = waiting[0]
  for (const other of waiting) {
    if (first !== undefined && other.tag < first.tag) first = other
  }
  return first
}
