import type { StoreFault } from '../telemetry/labels.ts'
import type { Clock } from './clock.ts'

/** Whether Redis is believed to answer, and if not, why. */
export type StoreState = { readonly up: true } | ({ readonly up: false } & StoreFailure)

/** Why Redis does not answer, for a metric, and in words for the log: its own or those of the system. */
export type StoreFailure = { readonly fault: StoreFault; readonly reason: string }

/** Keeps requests from a Redis that does not answer; see {@link createBreaker}. */
export type Breaker = {
  /** Whether requests are kept away. */
  readonly isOpen: () => boolean
  /** A request was answered. */
  readonly succeeded: () => void
  /** A request was not answered. */
  readonly failed: (failure: StoreFailure) => void
  /** It is certain that requests would not be answered: opens at once. */
  readonly trip: (failure: StoreFailure) => void
  /** There is a new reason to hope: while open, does not wait for the time of the next probe. */
  readonly probeNow: () => void
  /** Stops probing. */
  readonly stop: () => void
}

const maxFaults = 5
const faultsWithinMs = 1_000
const probeEveryMs = 1_000

/**
 * Creates a breaker, closed. It opens when 5 requests failed within 1 s, or 5 in a row however slowly they come; then
 * every second one probe is sent, never two at a time, and its success closes it. No request is a probe: none of them
 * has to wait for a Redis that is known to be down, and the return of Redis is noticed where nobody asks.
 *
 * @param probe resolves when Redis does all that requests need of it; rejects within a deadline of its own
 * @param stateChanged told once for each change, and never of the first state
 */
export function createBreaker(parts: {
  readonly clock: Clock
  readonly probe: () => Promise<void>
  readonly stateChanged: (state: StoreState) => void
}): Breaker {
  const { clock, probe, stateChanged } = parts
  /** When the latest faults were, the oldest first. */
  let faultsMs: readonly number[] = []
  let inARow = 0
  let isOpen = false
  let isProbing = false
  let isStopped = false
  let cancelProbe: (() => void) | undefined

  const open = ({ fault, reason }: StoreFailure): void => {
    if (isOpen || isStopped) return
    isOpen = true
    cancelProbe = clock.after(probeEveryMs, sendProbe)
    stateChanged({ up: false, fault, reason })
  }
  const close = (): void => {
    isOpen = false
    faultsMs = []
    inARow = 0
    stateChanged({ up: true })
  }
  const sendProbe = (): void => {
    cancelProbe?.()
    cancelProbe = clock.after(probeEveryMs, sendProbe)
    if (isProbing) return
    isProbing = true
    void probe().then(
      () => {
        isProbing = false
        if (isStopped) return
        cancelProbe?.()
        close()
      },
      () => {
        isProbing = false
      },
    )
  }
  return {
    isOpen: () => isOpen,
    succeeded: () => {
      inARow = 0
    },
    failed: (failure) => {
      if (isOpen) return
      const nowMs = clock.nowMs()
      inARow += 1
      faultsMs = [...faultsMs.slice(1 - maxFaults), nowMs]
      const [oldestMs = nowMs] = faultsMs
      const isBurst = faultsMs.length === maxFaults && nowMs - oldestMs < faultsWithinMs
      if (isBurst || inARow >= maxFaults) open(failure)
    },
    trip: open,
    probeNow: () => {
      if (isOpen && !isStopped) sendProbe()
    },
    stop: () => {
      isStopped = true
      cancelProbe?.()
    },
  }
}
