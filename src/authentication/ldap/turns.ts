import type { LdapEvents } from '../../telemetry/ldap-events.ts'
import type { Clock } from '../clock.ts'
import { LdapError } from './ldap-error.ts'

/** Bounds how many logins ask the directory at one time, how many wait, and how long. */
export type Turns = {
  /**
   * Runs when its turn has come.
   *
   * @param rank whose turn comes first where many wait, 0 to 7, the lower the sooner; where the queue is full, one of the
   *   highest rank there makes room for a lower one
   * @throws LdapError `overloaded`
   */
  take<Result>(rank: number, run: () => Promise<Result>): Promise<Result>
  /** Turns away everybody who waits. */
  close(): void
}

export type TurnsOptions = {
  readonly maxConcurrent: number
  readonly maxQueued: number
  readonly maxWaitMs: number
  readonly clock: Clock
  readonly events: Pick<LdapEvents, 'ldapTurnedAway'>
}

type Waiting = { readonly start: () => void; readonly turnAway: (reason: 'queueFull' | 'queueWait') => void }

const ranks = 8

export function createTurns({ maxConcurrent, maxQueued, maxWaitMs, clock, events }: TurnsOptions): Turns {
  const lines = Array.from({ length: ranks }, () => new Set<Waiting>())
  let running = 0
  let queued = 0

  function wait(line: Set<Waiting>): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        cancel()
        line.delete(waiting)
        queued -= 1
      }
      const waiting: Waiting = {
        start: () => {
          leave()
          resolve()
        },
        turnAway: (reason) => {
          leave()
          reject(turnedAway(reason))
        },
      }
      const cancel = clock.after(maxWaitMs, () => {
        waiting.turnAway('queueWait')
      })
      line.add(waiting)
      queued += 1
    })
  }

  function turnedAway(reason: 'queueFull' | 'queueWait'): LdapError {
    events.ldapTurnedAway(reason)
    const limit =
      reason === 'queueFull'
        ? `more than ${maxQueued} wait (authentication.ldap.maxQueuedLogins)`
        : `none came within ${maxWaitMs} ms (authentication.ldap.maxQueueWaitMs)`
    return new LdapError('overloaded', `a login got no turn at the directory: ${limit}`)
  }

  /** Of those whose rank is worse, the one that has waited longest, whose time is over soonest. */
  function makeRoom(rank: number): boolean {
    const [first] = lines.findLast((line, other) => other > rank && line.size > 0) ?? []
    first?.turnAway('queueFull')
    return first !== undefined
  }

  async function enter(rank: number): Promise<void> {
    if (running < maxConcurrent) {
      running += 1
      return
    }
    if (queued >= maxQueued && !makeRoom(rank)) throw turnedAway('queueFull')
    await wait(lines[Math.min(rank, ranks - 1)] ?? new Set())
  }

  function leave(): void {
    const [next] = lines.find((line) => line.size > 0) ?? []
    // The turn goes over to the next in line without becoming free, so that nobody can slip in between.
    if (next === undefined) running -= 1
    else next.start()
  }

  return {
    async take(rank, run) {
      await enter(rank)
      try {
        return await run()
      } finally {
        leave()
      }
    },
    close: () => {
      for (const line of lines) for (const waiting of line) waiting.turnAway('queueWait')
    },
  }
}
