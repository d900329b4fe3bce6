import { setTimeout as delay } from 'node:timers/promises'
import type { OnReadOpts } from 'node:net'
import { connect } from 'node:tls'
import type { ConnectionOptions } from 'node:tls'
import { residentBytes } from '../measure.ts'
import { asError, assertCipher, tlsOptions } from './connection.ts'
import type { SlowPullJob } from './job.ts'
import { createAnswerReader } from './pull.ts'

/** How many of the clients shake hands at a time: the row is about those that read, not about those that come. */
const arrivingAtOnce = 20

const samplingMs = 100

export type SlowPull = {
  /** The most that was resident at any time, beyond what was before the first client came. */
  readonly growthBytes: number
  /** What the slowest of the clients got during the window. */
  readonly slowestBytesPerSecond: number
}

/**
 * Downloads the blob with many clients at once, each of which takes no more than its rate, and watches what the front
 * keeps in memory for them. Every byte is compared. None of the downloads is finished: the clients leave.
 *
 * @param pids processes of the front
 * @throws Error when a download breaks, a byte is wrong, or a client is all but starved
 */
export async function slowPull(job: Omit<SlowPullJob, 'kind'>, pids: readonly number[]): Promise<SlowPull> {
  const idle = residentBytes(pids)
  let most = idle
  const clients: SlowClient[] = []
  const breaks = Promise.withResolvers<never>()
  const sampling = setInterval(() => {
    try {
      most = Math.max(most, residentBytes(pids))
    } catch (error) {
      breaks.reject(error)
    }
  }, samplingMs)
  try {
    for (let begun = 0; begun < job.clients; begun += arrivingAtOnce) {
      const some = Array.from({ length: Math.min(arrivingAtOnce, job.clients - begun) }, () => openSlowClient(job))
      clients.push(...some)
      for (const { broken } of some) broken.catch(breaks.reject)
      await Promise.race([Promise.all(some.map(({ answered }) => answered)), breaks.promise])
    }
    const before = clients.map(({ received }) => received())
    const beganAt = performance.now()
    await Promise.race([delay(job.windowMs), breaks.promise])
    const seconds = (performance.now() - beganAt) / 1000
    const rates = clients.map(({ received }, index) => (received() - (before[index] ?? 0)) / seconds)
    // One that was given more than its due before may well wait.
    const isStarved = clients.some(({ aheadMs }, index) => rates[index] === 0 && aheadMs() < 0)
    if (isStarved) throw new Error('a client got nothing at all while it waited for the rest')
    return { growthBytes: most - idle, slowestBytesPerSecond: Math.min(...rates) }
  } finally {
    clearInterval(sampling)
    for (const { leave } of clients) leave()
  }
}

type SlowClient = {
  /** Resolves when the answer begins to come. */
  readonly answered: Promise<void>
  /** Rejects when the download breaks before the client leaves. */
  readonly broken: Promise<never>
  readonly received: () => number
  /** How long it would take at its rate until it is due what it has; below zero where it waits for the front. */
  readonly aheadMs: () => number
  readonly leave: () => void
}

/** One client. It asks the kernel for no more than it is due, so that what is in flight backs up to the front. */
function openSlowClient({ target, path, bytes, bytesPerSecond }: Omit<SlowPullJob, 'kind'>): SlowClient {
  const takeAnswer = createAnswerReader(bytes, undefined)
  const answered = Promise.withResolvers<void>()
  const broken = Promise.withResolvers<never>()
  let answeredAt: number | undefined
  let received = 0
  let resuming: NodeJS.Timeout | undefined

  const aheadMs = (): number =>
    (received / bytesPerSecond) * 1000 - (performance.now() - (answeredAt ?? performance.now()))

  /** Whether to go on at once; otherwise it goes on when the time has come. */
  function take(piece: Buffer): boolean {
    takeAnswer(piece)
    received += piece.length
    answeredAt ??= performance.now()
    answered.resolve()
    const waitMs = aheadMs()
    if (waitMs <= 0) return true
    clearTimeout(resuming)
    resuming = setTimeout(() => socket.resume(), waitMs)
    return false
  }

  const onread: OnReadOpts = {
    buffer: Buffer.alloc(16 * 1024),
    callback: (length, { buffer, byteOffset }) => {
      try {
        return take(Buffer.from(buffer, byteOffset, length))
      } catch (error) {
        socket.destroy(asError(error))
        return false
      }
    },
  }
  const options: ConnectionOptions & { readonly onread: OnReadOpts } = { ...tlsOptions(target), onread }
  const socket = connect(options)
  socket.once('secureConnect', () => {
    try {
      assertCipher(socket)
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${target.authorization}\r\n\r\n`)
    } catch (error) {
      socket.destroy(asError(error))
    }
  })
  socket.once('error', broken.reject)
  socket.once('close', () => {
    clearTimeout(resuming)
    broken.reject(new Error(`the front closed the connection of a slow client behind byte ${received}`))
  })
  return {
    answered: answered.promise,
    broken: broken.promise,
    received: () => received,
    aheadMs,
    leave: () => {
      socket.destroy()
    },
  }
}
