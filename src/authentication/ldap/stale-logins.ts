import type { UserPrincipal } from '../authenticator.ts'
import type { Clock } from '../clock.ts'
import type { CredentialKey } from '../verified-credentials.ts'

/** Logins that were right, for while the directory cannot say so. */
export type StaleLogins = {
  put(key: CredentialKey, principal: UserPrincipal): void
  /** Only while it is young enough. */
  get(key: CredentialKey): { readonly principal: UserPrincipal; readonly ageMs: number } | undefined
  /** For a credential that the directory does not take any more. */
  forget(key: CredentialKey): void
  clear(): void
}

/** @param maxAgeMs since the directory last took the credential; 0 keeps nothing */
export function createStaleLogins({
  maxAgeMs,
  capacity,
  clock,
}: {
  readonly maxAgeMs: number
  readonly capacity: number
  readonly clock: Clock
}): StaleLogins {
  // In the order of their last check, so that the oldest is the first.
  const logins = new Map<CredentialKey, { readonly principal: UserPrincipal; readonly atMs: number }>()
  return {
    put(key, principal) {
      if (maxAgeMs <= 0) return
      logins.delete(key)
      logins.set(key, { principal, atMs: clock.nowMs() })
      const [oldest] = logins.keys()
      if (logins.size > capacity && oldest !== undefined) logins.delete(oldest)
    },
    get(key) {
      const login = logins.get(key)
      if (login === undefined) return undefined
      const ageMs = clock.nowMs() - login.atMs
      if (ageMs < maxAgeMs) return { principal: login.principal, ageMs }
      logins.delete(key)
      return undefined
    },
    forget: (key) => {
      logins.delete(key)
    },
    clear: () => {
      logins.clear()
    },
  }
}
