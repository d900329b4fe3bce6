import { hash, verify } from '@node-rs/bcrypt'
import { RegistryError } from '../registry/error.ts'
import type { AuthenticationEvents } from './authenticator.ts'
import type { Clock } from './clock.ts'

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
   * @throws {RegistryError} `loginsOverloaded` when the queue is full or the turn does not come in time
   */
  matches(password: string, hash: string, padding: readonly string[]): Promise<boolean>
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

/** Bounds the work that guessed passwords can cause: so many checks at one time, so many waiting, so long. */
export function createPasswordHashing(options: PasswordHashingOptions): PasswordHashing {
  const { maxConcurrent, maxQueued, maxQueueWaitMs, clock, events, bcrypt } = options
  const queue = new Set<() => void>()
  let running = 0

  async function enter(): Promise<void> {
    if (running < maxConcurrent) {
      running += 1
      return
    }
    if (queue.size >= maxQueued) throw turnedAway('queueFull')
    await new Promise<void>((resolve, reject) => {
      const start = () => {
        cancel()
        resolve()
      }
      const cancel = clock.after(maxQueueWaitMs, () => {
        queue.delete(start)
        reject(turnedAway('queueWait'))
      })
      queue.add(start)
    })
  }

  function leave(): void {
    const [next] = queue
    if (next === undefined) {
      running -= 1
      return
    }
    // The place goes over to the next in line without becoming free, so that nobody can slip in between.
    queue.delete(next)
    next()
  }

  function turnedAway(reason: 'queueFull' | 'queueWait'): RegistryError {
    events.hashTurnedAway(reason)
    return new RegistryError('loginsOverloaded')
  }

  return {
    async matches(password, hash, padding) {
      const askedAtMs = clock.nowMs()
      await enter()
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
    load: () => ({ running, queued: queue.size }),
  }
}
