import { hash, verify } from '@node-rs/bcrypt'
import { RegistryError } from '../registry/error.ts'
import type { AuthenticationEvents } from './authenticator.ts'
import type { Clock } from './clock.ts'
import { worstRank } from './login-attempt.ts'

/** bcrypt that does not block the event loop. */
export type Bcrypt = {
  verify(password: string, hash: string): Promise<boolean>
}

export const nativeBcrypt: Bcrypt = { verify }

/** bcrypt reads this many bytes and ignores the rest, so longer passwords are refused instead of cut. */
export const maxPasswordBytes = 72

/** Whether bcrypt would see all of a password: at most 72 bytes of UTF-8, and no NUL, which ends it in some versions. */
export function isHashable(password: string): boolean {
  return Buffer.byteLength(password) <= maxPasswordBytes && !password.includes('\0')
}

/**
 * Ten, not more: the gateway hashes the password of every active user once a minute, and every step doubles that work.
 * Guessing passwords of a stolen file costs some 60 ms a try, which protects all but common ones.
 */
export const defaultCost = 10

/**
 * Hashes a password for an htpasswd file, in the form that Apache's `htpasswd -B` writes: `$2y$COST$...`.
 *
 * @param password one that {@link isHashable} takes
 */
export async function hashPassword(password: string, cost: number = defaultCost): Promise<string> {
  const written = await hash(password, cost)
  // $2b$ and $2y$ name the same algorithm; the latter is known to every server that reads such files.
  return `$2y$${written.slice('$2b$'.length)}`
}

export type ConcurrencyOptions = {
  /** What the operator asked for, if anything. */
  readonly setting: number | undefined
  /** Processors that this process may use. */
  readonly processors: number
  /** Threads of libuv's pool: `UV_THREADPOOL_SIZE`, 4 by default. */
  readonly threadPoolSize: number
}

/**
 * How many hashes may run at one time: what was asked for, else all processors but one; at least 1. The native bcrypt
 * runs on libuv's thread pool, which file reads and DNS look-ups need too: with 4 hashes on 4 threads a `stat` waited
 * 355 ms. Therefore two threads always stay free, whatever was asked for.
 */
export function hashingConcurrency({ setting, processors, threadPoolSize }: ConcurrencyOptions): number {
  return Math.max(1, Math.min(setting ?? processors - 1, threadPoolSize - 2))
}

export type HashingLimits = {
  readonly maxConcurrent: number
  /** Checks that may wait for their turn. */
  readonly maxQueued: number
  readonly maxQueueWaitMs: number
}

export type PasswordHashing = {
  /**
   * Says whether a password matches a bcrypt hash, in turn. If it does not, it is compared with every hash of `padding`
   * too before the answer is given and the turn is over: work that no password can pass, for the sake of its duration.
   *
   * @param rank whose turn comes first where many wait, 0 to 7, the lower the sooner; where the queue is full, one of the
   * highest rank there makes room for a lower one
   * @throws {RegistryError} `loginsOverloaded` when the queue is full or the turn does not come in time
   */
  matches(password: string, hash: string, padding: readonly string[], rank: number): Promise<boolean>
  /** Compares beside the queue: to measure when users are loaded, never for a request. */
  matchesAtOnce(password: string, hash: string): Promise<boolean>
  /** How many checks run and wait at this moment. */
  load(): { readonly running: number; readonly queued: number }
}

export type PasswordHashingOptions = HashingLimits & {
  readonly clock: Clock
  readonly events: Pick<AuthenticationEvents, 'passwordHashed' | 'hashTurnedAway'>
  readonly bcrypt: Bcrypt
}

/** A check that waits for its turn. */
type Waiting = { readonly start: () => void; readonly turnAway: (reason: 'queueFull' | 'queueWait') => void }

/** Bounds the work that guessed passwords can cause: so many checks at one time, so many waiting, so long. */
export function createPasswordHashing(options: PasswordHashingOptions): PasswordHashing {
  const { maxConcurrent, maxQueued, maxQueueWaitMs, clock, events, bcrypt } = options
  const lastLine = new Set<Waiting>()
  const lines: readonly Set<Waiting>[] = [...Array.from({ length: worstRank }, () => new Set<Waiting>()), lastLine]
  let running = 0
  let queued = 0

  async function enter(rank: number): Promise<void> {
    if (running < maxConcurrent) {
      running += 1
      return
    }
    if (queued >= maxQueued && !makeRoom(rank)) throw turnedAway('queueFull')
    await new Promise<void>((resolve, reject) => {
      const line = lines[rank] ?? lastLine
      const leaveLine = (): void => {
        cancel()
        line.delete(waiting)
        queued -= 1
      }
      const waiting: Waiting = {
        start: () => {
          leaveLine()
          resolve()
        },
        turnAway: (reason) => {
          leaveLine()
          reject(turnedAway(reason))
        },
      }
      const cancel = clock.after(maxQueueWaitMs, () => {
        waiting.turnAway('queueWait')
      })
      line.add(waiting)
      queued += 1
    })
  }

  /** Turns away one whose rank is worse: the one that has waited longest, whose time is over soonest. */
  function makeRoom(rank: number): boolean {
    const worst = lines.findLast((line, other) => other > rank && line.size > 0)
    const [first] = worst ?? []
    first?.turnAway('queueFull')
    return first !== undefined
  }

  function leave(): void {
    const [next] = lines.find((line) => line.size > 0) ?? []
    // The place goes over to the next in line without becoming free, so that nobody can slip in between.
    if (next === undefined) running -= 1
    else next.start()
  }

  function turnedAway(reason: 'queueFull' | 'queueWait'): RegistryError {
    events.hashTurnedAway(reason)
    return new RegistryError('loginsOverloaded')
  }

  return {
    async matches(password, hash, padding, rank) {
      const askedAtMs = clock.nowMs()
      await enter(rank)
      const startedAtMs = clock.nowMs()
      try {
        if (await bcrypt.verify(password, hash)) return true
        for (const other of padding) await bcrypt.verify(password, other)
        return false
      } finally {
        leave()
        events.passwordHashed({ queuedMs: startedAtMs - askedAtMs, durationMs: clock.nowMs() - startedAtMs })
      }
    },
    matchesAtOnce: (password, hash) => bcrypt.verify(password, hash),
    load: () => ({ running, queued }),
  }
}
