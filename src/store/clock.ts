/** Time as an argument. It never runs backwards: a step of the wall clock must not lengthen what is kept. */
export type Clock = {
  /** Milliseconds since some fixed moment. */
  nowMs(): number
  /** Calls `run` once, `delayMs` from now; the function that is returned cancels it. */
  after(delayMs: number, run: () => void): () => void
}

export const monotonicClock: Clock = {
  nowMs: () => performance.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs)
    return () => {
      clearTimeout(timer)
    }
  },
}
