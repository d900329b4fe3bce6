import type { Registry } from 'prom-client'
import { labelValues } from './labels.ts'
import type { LimitVerdict, LockoutVerdict, StoreErrorVerdict, StoreFault, UnsharedLock } from './labels.ts'
import { counter, counterBy, gauge, histogram, remembered } from './metric-children.ts'
import { definitions } from './metric-definitions.ts'

/** What is counted of limits, of the guard before logins, and of the store that both count in. */
export type LimitMetrics = {
  readonly storeState: (up: boolean) => void
  readonly storeFailed: (fault: StoreFault) => void
  readonly storeAnswered: (seconds: number) => void
  /** @param bucket its name in the configuration */
  readonly limitDecided: (bucket: string, verdict: LimitVerdict) => void
  /** A request whose limits could not be counted in Redis. */
  readonly limitsUncounted: (verdict: StoreErrorVerdict) => void
  readonly lockoutAsked: (verdict: LockoutVerdict) => void
  /** A push to a protected tag went on with the lock of this gateway alone. */
  readonly tagLockUnshared: (reason: UnsharedLock) => void
}

export function limitMetrics(registry: Registry): LimitMetrics {
  const up = gauge(registry, definitions.storeUp)
  up.set(1)
  const failures = counterBy(registry, definitions.storeErrors, 'fault', labelValues.fault)
  const durations = histogram(registry, definitions.storeDuration)
  const decisionCounter = counter(registry, definitions.limitDecisions)
  const decisions = remembered((bucket: string) =>
    remembered((decision: LimitVerdict) => decisionCounter.labels({ bucket, decision })),
  )
  const uncounted = counterBy(registry, definitions.limitsUncounted, 'verdict', labelValues.onStoreError)
  const unshared = counterBy(registry, definitions.tagLocksUnshared, 'reason', labelValues.unshared)
  const lockouts = counterBy(registry, definitions.lockouts, 'decision', labelValues.lockout)
  return {
    storeState: (isUp) => {
      up.set(isUp ? 1 : 0)
    },
    storeFailed: (fault) => {
      failures(fault).inc()
    },
    storeAnswered: (seconds) => {
      durations.observe(seconds)
    },
    limitDecided: (bucket, verdict) => {
      decisions(bucket)(verdict).inc()
    },
    limitsUncounted: (verdict) => {
      uncounted(verdict).inc()
    },
    lockoutAsked: (verdict) => {
      lockouts(verdict).inc()
    },
    tagLockUnshared: (reason) => {
      unshared(reason).inc()
    },
  }
}
