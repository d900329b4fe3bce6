import type { Clock } from './clock.ts'

export type Phase = 'starting' | 'ready' | 'draining'

/** Why the gateway should get no traffic at this moment. */
export type Unreadiness = 'starting' | 'draining' | 'upstream unreachable'

/** What orchestrators ask. The gateway lives as long as it answers; whether it should get traffic is another matter. */
export type Health = {
  phase(): Phase
  /** The configuration is loaded and every listener is up. Has no effect once draining. */
  started(): void
  /** From now on new work should go elsewhere. */
  drain(): void
  /** What the probe of the upstream found; it counts as reachable until told otherwise. */
  upstreamReachable(reachable: boolean): void
  /** Undefined when traffic is welcome. */
  unreadiness(): Unreadiness | undefined
  /** The status of `/healthz` on the public port. */
  publicHealth(): 200 | 503
}

export function createHealth(): Health {
  let phase: Phase = 'starting'
  let reachable = true
  const unreadiness = (): Unreadiness | undefined => {
    if (phase !== 'ready') return phase
    return reachable ? undefined : 'upstream unreachable'
  }
  return {
    phase: () => phase,
    started: () => {
      if (phase === 'starting') phase = 'ready'
    },
    drain: () => {
      phase = 'draining'
    },
    upstreamReachable: (found) => {
      reachable = found
    },
    unreadiness,
    publicHealth: () => (unreadiness() === undefined ? 200 : 503),
  }
}

export type UpstreamProbe = {
  /** Probes now, and then again and again until stopped. */
  start(): void
  stop(): void
}

export type UpstreamProbeOptions = {
  /** Resolves when the upstream answers; has a deadline of its own. */
  readonly probe: () => Promise<void>
  /** From the end of one probe to the begin of the next. */
  readonly intervalMs: number
  /** Called when it becomes known and on changes: false after three failed probes in a row, true after one answer. */
  readonly onChange: (up: boolean) => void
  readonly clock: Clock
}

const failuresUntilDown = 3

/** Creates the probe of the upstream. */
export function createUpstreamProbe({ probe, intervalMs, onChange, clock }: UpstreamProbeOptions): UpstreamProbe {
  let failures = 0
  let known: boolean | undefined
  let cancel: (() => void) | undefined
  let running = false

  async function once(): Promise<void> {
    const up = await probe().then(
      () => true,
      () => false,
    )
    if (!running) return
    failures = up ? 0 : failures + 1
    const found = up || (failures >= failuresUntilDown ? false : known)
    if (found !== undefined && found !== known) onChange(found)
    known = found
    cancel = clock.after(intervalMs, () => void once())
  }

  return {
    start: () => {
      if (running) return
      running = true
      void once()
    },
    stop: () => {
      running = false
      cancel?.()
    },
  }
}
