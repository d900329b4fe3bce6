/** What telemetry needs of time; tests hand in one that they move themselves. */
export type Clock = {
  /** Milliseconds since the epoch. */
  now(): number
  /** Calls `run` once after a delay; the answer cancels it. The process stays until it ran or was cancelled. */
  after(delayMs: number, run: () => void): () => void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs)
    return () => {
      clearTimeout(timer)
    }
  },
}
