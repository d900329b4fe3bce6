/** The pushes that were admitted, as this process remembers them: no store that forgets may cut one. */
import type { Clock } from '../store/clock.ts'

export type PushPasses = {
  /** How long ago the push was charged, in whole milliseconds; nothing when no push goes on that this process knows of. */
  ageMs(key: string): number | undefined
  /** A request of the push was admitted, which was charged so long ago; it lasts from now on. */
  admitted(key: string, ageMs: number): void
  /** A transfer of the push has begun, and lets it last; the function that is returned ends it and answers the age. */
  hold(key: string): () => number
  close(): void
}

export type PushPassesOptions = {
  /** How long a push may pause. */
  readonly ttlMs: number
  /** How many are remembered; those whose last request is longest ago are forgotten first. */
  readonly capacity: number
  readonly clock: Clock
  /** Called from time to time for each push of which a transfer is under way, so that others remember it too. */
  readonly onLasting: (key: string, ageMs: number) => void
}

type Remembered = { readonly chargedAtMs: number; readonly untilMs: number }

export function createPushPasses({ ttlMs, capacity, clock, onLasting }: PushPassesOptions): PushPasses {
  const remembered = new Map<string, Remembered>()
  const held = new Map<string, { count: number; chargedAtMs: number }>()
  let cancel: (() => void) | undefined

  const chargedAt = (key: string): number | undefined => {
    const holding = held.get(key)
    if (holding !== undefined) return holding.chargedAtMs
    const pass = remembered.get(key)
    if (pass === undefined || pass.untilMs > clock.nowMs()) return pass?.chargedAtMs
    remembered.delete(key)
    return undefined
  }
  const remember = (key: string, chargedAtMs: number): void => {
    remembered.delete(key)
    remembered.set(key, { chargedAtMs, untilMs: clock.nowMs() + ttlMs })
    const [eldest] = remembered.size > capacity ? remembered.keys() : []
    if (eldest !== undefined) remembered.delete(eldest)
  }
  const tellLasting = (): void => {
    cancel = held.size === 0 ? undefined : clock.after(ttlMs / 3, tellLasting)
    for (const [key, { chargedAtMs }] of held) onLasting(key, Math.round(clock.nowMs() - chargedAtMs))
  }

  return {
    ageMs: (key) => {
      const atMs = chargedAt(key)
      return atMs === undefined ? undefined : Math.round(clock.nowMs() - atMs)
    },
    admitted: (key, ageMs) => {
      const chargedAtMs = clock.nowMs() - ageMs
      remember(key, chargedAtMs)
      const holding = held.get(key)
      if (holding !== undefined) holding.chargedAtMs = chargedAtMs
    },
    hold: (key) => {
      const holding = held.get(key) ?? { count: 0, chargedAtMs: chargedAt(key) ?? clock.nowMs() }
      holding.count += 1
      held.set(key, holding)
      cancel ??= clock.after(ttlMs / 3, tellLasting)
      let isOver = false
      return () => {
        if (!isOver) {
          isOver = true
          holding.count -= 1
          if (holding.count === 0) held.delete(key)
          if (held.size === 0) {
            cancel?.()
            cancel = undefined
          }
          remember(key, holding.chargedAtMs)
        }
        return Math.round(clock.nowMs() - holding.chargedAtMs)
      }
    },
    close: () => {
      cancel?.()
      cancel = undefined
      held.clear()
    },
  }
}
