import type { Clock } from '../store/clock.ts'

/** Gathers the bytes of transfers, so that the store is told of them in steps and not of each chunk. */
export type ByteSteps = {
  /**
   * @param charge is called with each step; it must neither throw nor be waited for: what the store says of it is the
   *   caller's to observe
   */
  join(charge: (bytes: number) => void): ByteStep
}

/** The bytes of one direction of one transfer. */
export type ByteStep = {
  /** Charges all that was gathered once it is a MiB; what is less is charged within a second. */
  add(bytes: number): void
  /** Charges the rest. Twice is as once; what is added afterwards is not charged. */
  end(): void
}

const stepBytes = 1024 * 1024
const stepMs = 1000

/**
 * One timer serves all transfers, while any of them has bytes: all that is due by time is charged in one turn of the event
 * loop, which is one round trip to the store.
 */
export function createByteSteps(clock: Clock): ByteSteps {
  const gathering = new Set<() => void>()
  let isArmed = false

  function arm(): void {
    if (isArmed) return
    isArmed = true
    clock.after(stepMs, () => {
      isArmed = false
      for (const flush of gathering) flush()
    })
  }

  return {
    join: (charge) => {
      let gathered = 0
      let isEnded = false
      function flush(): void {
        const bytes = gathered
        gathered = 0
        gathering.delete(flush)
        if (bytes > 0) charge(bytes)
      }
      return {
        add: (bytes) => {
          if (isEnded || bytes === 0) return
          gathered += bytes
          if (gathered >= stepBytes) {
            flush()
            return
          }
          gathering.add(flush)
          arm()
        },
        end: () => {
          isEnded = true
          flush()
        },
      }
    },
  }
}
