/** Time as an argument. It never runs backwards: wall-clock changes must not lengthen a cached login. */
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

/** Resolves at `atMs` or later, never earlier: a timer of Node may fire a fraction of a millisecond too soon. */
export async function waitUntil(clock: Clock, atMs: number): Promise<void> {
  for (let restMs = atMs - clock.nowMs(); restMs > 0; restMs = atMs - clock.nowMs()) {
    const delayMs = Math.ceil(restMs)
    await new Promise<void>((resolve) => {
      clock.after(delayMs, resolve)
    })
  }
}
