/**
 * A deadline that moves on with every sign of life. `touch` only takes the time: one timer, re-armed when it finds
 * that there was activity, serves however many bytes flow.
 */
export type InactivityTimer = {
  /** Tells of activity now. */
  touch(): void
  /** Ends the timer; `onIdle` will not be called any more. */
  stop(): void
}

export type InactivityOptions = {
  /** How long nothing may happen, in milliseconds; 0 means no limit. */
  readonly limitMs: number
  /** Whether silence counts at this moment; while it does not, the deadline keeps moving on. */
  readonly counts: () => boolean
  /** Called once, `limitMs` (and at most as long again) after the last activity. */
  readonly onIdle: () => void
}

export function createInactivityTimer({ limitMs, counts, onIdle }: InactivityOptions): InactivityTimer {
  if (limitMs <= 0) return { touch: () => undefined, stop: () => undefined }
  let lastMs = performance.now()
  let timer = setTimeout(check, limitMs)
  function check(): void {
    if (!counts()) lastMs = performance.now()
    const restMs = lastMs + limitMs - performance.now()
    if (restMs > 0) timer = setTimeout(check, restMs)
    else onIdle()
  }
  return {
    touch: () => {
      lastMs = performance.now()
    },
    stop: () => {
      clearTimeout(timer)
    },
  }
}
