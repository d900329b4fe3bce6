import { createHmac, createSecretKey } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { BindTarget } from './directory.ts'

/**
 * Passwords that the directory has found to be wrong, so that a client that repeats itself does not use up what its user
 * may get wrong. An entry that has changed since may have that password now, so the stamp of the entry is part of it.
 */
export type WrongPasswords = {
  has(account: WrongAccount, password: string): boolean
  put(account: WrongAccount, password: string): void
  clear(): void
}

/** Whose password it is not, and what its entry showed then. */
export type WrongAccount = Pick<BindTarget, 'account' | 'stamp'>

/** Without a stamp nobody can tell whether the password was changed: 10 s, which no person is faster than. */
const unstampedMs = 10_000

/** @param secret at least 32 random bytes, new in every process */
export function createWrongPasswords({
  secret,
  ttlMs,
  capacity,
  clock,
}: {
  readonly secret: Uint8Array
  readonly ttlMs: number
  readonly capacity: number
  readonly clock: Clock
}): WrongPasswords {
  const key = createSecretKey(secret)
  const endsAtMs = new Map<string, number>()

  function nameOf({ account, stamp }: WrongAccount, password: string): string {
    const hmac = createHmac('sha256', key)
    for (const part of ['ldap-wrong', account, stamp, password]) hmac.update(`${Buffer.byteLength(part)} ${part}`)
    return hmac.digest('base64')
  }

  return {
    has(target, password) {
      const name = nameOf(target, password)
      const endMs = endsAtMs.get(name)
      if (endMs === undefined) return false
      if (clock.nowMs() < endMs) return true
      endsAtMs.delete(name)
      return false
    },
    put(target, password) {
      const name = nameOf(target, password)
      endsAtMs.delete(name)
      endsAtMs.set(
        name,
        clock.nowMs() + (target.stamp.replaceAll(';', '') === '' ? Math.min(ttlMs, unstampedMs) : ttlMs),
      )
      const [oldest] = endsAtMs.keys()
      if (endsAtMs.size > capacity && oldest !== undefined) endsAtMs.delete(oldest)
    },
    clear: () => {
      endsAtMs.clear()
    },
  }
}
