import type { Logger } from './log.ts'
import type { Metrics } from './metrics.ts'

/** What happens to a request while the audit cannot be written: `block` refuses it, `allow` lets it through. */
export type OnAuditFailure = 'block' | 'allow'

export type AuditFailureSettings = { readonly writes: OnAuditFailure; readonly reads: OnAuditFailure }

/** Whether lines reach their destination. Log and gauge hear of changes, not of each line. */
export type AuditCondition = {
  readonly isUp: () => boolean
  readonly failed: (error: unknown) => void
  /** A write has been under way for too long. */
  readonly stalled: () => void
  readonly succeeded: () => void
  /** How full the queue is now: 0 to 1. */
  readonly filled: (fill: number) => void
  readonly dropped: (lines: number) => void
}

/** Far behind at this fill, while there is room for what is in flight; not any more at the lower one. */
const behindAt = 0.5
const caughtUpAt = 0.25

type ConditionDependencies = {
  readonly log: Logger
  readonly metrics: Pick<Metrics, 'auditUp' | 'auditDropped'>
  readonly onFailure: AuditFailureSettings
}

export function createAuditCondition({ log, metrics, onFailure }: ConditionDependencies): AuditCondition {
  let fault: 'write failed' | 'write stands still' | undefined
  let behind = false
  let up = true
  let dropped = 0

  function tellChange(error?: unknown): void {
    const isUp = fault === undefined && !behind
    if (isUp === up) return
    up = isUp
    metrics.auditUp(up)
    if (up) {
      log.warn('the audit is written again', { dropped })
      dropped = 0
    } else {
      const reason = fault ?? 'too many lines wait'
      log.error('the audit cannot be written; it is tried again', { reason, ...onFailure }, error)
    }
  }

  return {
    isUp: () => up,
    failed: (error) => {
      fault = 'write failed'
      tellChange(error)
    },
    stalled: () => {
      fault ??= 'write stands still'
      tellChange()
    },
    succeeded: () => {
      fault = undefined
      tellChange()
    },
    filled: (fill) => {
      behind = fill >= (behind ? caughtUpAt : behindAt)
      tellChange()
    },
    dropped: (lines) => {
      metrics.auditDropped(lines)
      if (dropped === 0) log.error('audit lines are being dropped: the destination is too slow or fails')
      dropped += lines
    },
  }
}
