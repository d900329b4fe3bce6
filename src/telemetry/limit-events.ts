import type { LimitVerdict, LockoutVerdict, StoreErrorVerdict, StoreFault } from './labels.ts'
import type { LimitMetrics } from './limit-metrics.ts'
import type { Logger } from './log.ts'

/** What happens to limits, to the guard before logins, and to the store that both count in. */
export type LimitEvents = {
  /** Redis begins to fail, for this reason, or answers again; told once for each change. */
  readonly storeStateChanged: (
    state: { readonly up: true } | { readonly up: false; readonly fault: StoreFault; readonly reason: string },
  ) => void
  readonly storeFailed: (fault: StoreFault) => void
  readonly storeAnswered: (seconds: number) => void
  readonly limitDecided: (bucket: string, verdict: LimitVerdict) => void
  readonly limitsUncounted: (verdict: StoreErrorVerdict) => void
  readonly lockoutAsked: (verdict: LockoutVerdict) => void
  /** A push to a protected tag goes on with the lock of this gateway alone, since the store does not answer. */
  readonly tagLockNotShared: (fault: StoreFault) => void
  /** The store forgot the lock of a push to a protected tag before it ended, and another gateway has it now. */
  readonly tagLeaseLost: () => void
}

export function limitEvents(log: Logger, metrics: LimitMetrics): LimitEvents {
  return {
    storeStateChanged: (state) => {
      metrics.storeState(state.up)
      if (state.up) log.info('Redis answers again', {})
      else
        log.warn('Redis does not answer; rateLimit.onStoreError decides meanwhile', {
          fault: state.fault,
          reason: state.reason,
        })
    },
    storeFailed: metrics.storeFailed,
    storeAnswered: metrics.storeAnswered,
    limitDecided: metrics.limitDecided,
    limitsUncounted: metrics.limitsUncounted,
    lockoutAsked: metrics.lockoutAsked,
    tagLockNotShared: () => {
      metrics.tagLockUnshared('store')
    },
    tagLeaseLost: () => {
      metrics.tagLockUnshared('lost')
    },
  }
}
