import { isWrite } from '../registry/access.ts'
import type { RegistryRequest } from '../registry/route.ts'
import { createAuditCondition } from './audit-condition.ts'
import type { AuditFailureSettings } from './audit-condition.ts'
import { auditLine } from './audit-line.ts'
import { createAuditQueue } from './audit-queue.ts'
import type { AuditLimits } from './audit-queue.ts'
import type { AuditSink } from './audit-sink.ts'
import type { Clock } from './clock.ts'
import type { ExchangeRecord } from './exchange-record.ts'
import type { Logger } from './log.ts'
import type { Metrics } from './metrics.ts'

/** The audit: one line for each exchange, in the order in which they ended. */
export type Audit = {
  record(exchange: ExchangeRecord): void
  /**
   * Whether a request may go on; false while lines do not reach their destination and the settings want such requests
   * refused. To be asked once, before anything is forwarded: what was let in ends as it would have.
   */
  admits(request: RegistryRequest): boolean
  /** Lets go of a destination file that was renamed, and opens its path anew: at the next end of a line. */
  readonly reopen: () => void
  /**
   * Writes what is waiting, for at most `timeoutMs`, and closes the destination. What could not be written is counted
   * as dropped; lines recorded afterwards are too.
   */
  close(timeoutMs: number): Promise<void>
}

type AuditDependencies = {
  readonly sink: AuditSink
  readonly log: Logger
  readonly metrics: Pick<Metrics, 'auditWritten' | 'auditDropped' | 'auditUp' | 'auditFaultRequest'>
  readonly clock: Clock
  readonly onFailure: AuditFailureSettings
  readonly limits?: AuditLimits
}

const defaultLimits: AuditLimits = { maxEvents: 10_000, maxBytes: 16 * 1024 * 1024 }

const retryMs = 250

/**
 * Between two writes, so that a busy gateway writes many lines at once: to write one alone costs a third of the request
 * that it tells of. The first line after a quiet moment does not wait, and neither does a backlog: what did not fit into
 * the chunk, or a quarter of the limits.
 */
const gatherMs = 20
const backlogShare = 0.25

/** A write that takes longer has failed for those who want in, whatever becomes of it. */
const stallMs = 5_000

/** What is left of the queue is kept for pushes and deletes that were let in before the destination failed. */
const shareOfOthers = 0.9

/** An audit that is switched off. */
export const noAudit: Audit = {
  record: () => undefined,
  admits: () => true,
  reopen: () => undefined,
  close: () => Promise.resolve(),
}

/**
 * Creates the audit on a sink. Nobody waits for it: lines queue up to the limits and what does not fit is dropped and
 * counted. A failed write is tried again until it succeeds, from the byte where it stopped, so that a full disk tears
 * no line.
 */
export function createAudit(dependencies: AuditDependencies): Audit {
  const { sink, metrics, clock, onFailure, limits = defaultLimits } = dependencies
  const queue = createAuditQueue(limits)
  const condition = createAuditCondition(dependencies)
  let writing: Promise<void> | undefined
  let wake: (() => void) | undefined
  let forgetStall: (() => void) | undefined
  let closing = false
  let reopening = false

  function record(exchange: ExchangeRecord): void {
    const line = Buffer.from(`${JSON.stringify(auditLine(exchange))}\n`)
    if (closing || !queue.push(line, wasGrantedWrite(exchange) ? 1 : shareOfOthers)) {
      condition.dropped(1)
      return
    }
    condition.filled(queue.fill())
    writing ??= writeAll()
  }

  function admits(request: RegistryRequest): boolean {
    if (condition.isUp()) return true
    const access = isWrite(request) ? 'write' : 'read'
    const admitted = (access === 'write' ? onFailure.writes : onFailure.reads) === 'allow'
    metrics.auditFaultRequest(access, admitted ? 'admitted' : 'refused')
    return admitted
  }

  function reopen(): void {
    reopening = true
    if (!closing) writing ??= writeAll()
  }

  async function writeAll(): Promise<void> {
    while (queue.lines() > 0 || (reopening && !closing)) {
      try {
        const { leavesBacklog } = await writeNext()
        condition.succeeded()
        if (!leavesBacklog && !closing) await pause(gatherMs)
      } catch (error) {
        condition.failed(error)
        if (closing) break
        await pause(retryMs)
      }
    }
    writing = undefined
  }

  /** Writes a chunk; tells whether the next one should not wait. */
  async function writeNext(): Promise<{ readonly leavesBacklog: boolean }> {
    const cancelStall = clock.after(stallMs, condition.stalled)
    forgetStall = cancelStall
    try {
      if (reopening && !closing) {
        await sink.reopen()
        reopening = false
      }
      const waiting = queue.lines()
      if (waiting === 0) return { leavesBacklog: false }
      const taken = await sink.write(queue.chunk(sink.maxChunkBytes))
      if (taken === 0) throw new Error('the destination takes no bytes')
      const written = queue.take(taken)
      metrics.auditWritten(written)
      condition.filled(queue.fill())
      return { leavesBacklog: written < waiting || queue.fill() >= backlogShare }
    } finally {
      cancelStall()
    }
  }

  /** Ends early when the audit closes. */
  async function pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = clock.after(ms, resolve)
      wake = () => {
        cancel()
        resolve()
      }
    })
    wake = undefined
  }

  async function close(timeoutMs: number): Promise<void> {
    closing = true
    wake?.()
    const inTime = await withinTime(writing, timeoutMs)
    forgetStall?.()
    const left = queue.clear()
    if (left > 0) condition.dropped(left)
    // Closing a file waits for its last write, which is what did not end.
    if (inTime) await sink.close()
  }

  async function withinTime(work: Promise<void> | undefined, timeoutMs: number): Promise<boolean> {
    let cancel = (): void => undefined
    const late = new Promise<boolean>((resolve) => {
      cancel = clock.after(timeoutMs, () => {
        resolve(false)
      })
    })
    const inTime = await Promise.race([late, Promise.resolve(work).then(() => true)])
    cancel()
    return inTime
  }

  return { record, admits, reopen, close }
}

function wasGrantedWrite({ request, decision }: ExchangeRecord): boolean {
  return decision?.kind === 'granted' && request !== undefined && isWrite(request)
}
