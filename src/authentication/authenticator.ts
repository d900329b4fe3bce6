import type { AuthenticationMethod, Principal } from '../registry/principal.ts'
import type { NotVerified, VerifiedCredentials } from './verified-credentials.ts'

/** Somebody with a name; the only thing an authenticator can vouch for. */
export type UserPrincipal = Extract<Principal, { readonly kind: 'user' }>

/** What a backend wants to know of a login's password. */
export type PasswordQuestion = {
  /** Where the backend's answers are remembered. */
  readonly memory: VerifiedCredentials<UserPrincipal>
  readonly backend: AuthenticationMethod
  /** What the backend holds for the name at this moment, such as its hash; '' where it cannot tell. */
  readonly current: string
  /** Whether a password could be right at all; one that could not is refused without a check, and counts nothing. */
  readonly isPossible: (password: string) => boolean
  /**
   * Whose password it is. Called only when memory has no answer and everything that guards a check has let it pass.
   *
   * @param rank whose turn comes first where many wait: 0 first, 7 last
   */
  readonly check: (password: string, rank: number) => Promise<UserPrincipal | NotVerified>
}

/**
 * One login under way. An authenticator gets the password in the `check` of a question and nowhere else, so none can hash
 * it or send it anywhere before memory, the lockout, the limits of logins and the bound on pending ones were asked.
 */
export type LoginAttempt = {
  /** Not empty; the password is not either. */
  readonly username: string
  /** Where it comes from, as guesses are counted: an address, or the /64 of one of IPv6. */
  readonly network: string
  /**
   * @throws {RegistryError} `loginsOverloaded`, `loginLocked`, `rateLimited` or `limitsUnavailable` when it must not be
   * checked now; and what `check` throws
   */
  verify(question: PasswordQuestion): Promise<UserPrincipal | NotVerified>
}

/**
 * What an authenticator says of a login. A name belongs to the first one that knows it: `refused` ends the login,
 * `notMine` and `unavailable` go on to the next authenticator, and with an `unavailable` among them nobody is refused.
 */
export type Answer =
  | { readonly kind: 'authenticated'; readonly principal: UserPrincipal }
  | { readonly kind: 'notMine' }
  | { readonly kind: 'refused' }
  | { readonly kind: 'unavailable'; readonly cause: unknown }

/** A backend that knows names and their passwords. */
export interface Authenticator {
  /** Name of its Passport strategy; unique among the authenticators. */
  readonly strategy: string
  readonly backend: AuthenticationMethod
  /**
   * Whose password this is. What it throws counts as `unavailable`, except a `RegistryError`, which ends the login.
   */
  check(attempt: LoginAttempt): Promise<Answer>
  /**
   * Does for a name that nobody knows what {@link Authenticator.check} does for a known name with a wrong password:
   * the same work in the same queue, so that neither time nor overload tells the two apart.
   */
  checkUnknown(attempt: LoginAttempt): Promise<void>
  /** What a check of the costliest password takes here, with headroom, in milliseconds. */
  slowestCheckMs(): number
}

/**
 * How a login ended. `unknown`: no backend knows the name. `malformed`: the header could not be read as a login. Not
 * checked: `overloaded`, since too many were; `locked`, for wrong passwords before it; `limited`, by a rate limit.
 */
export type LoginOutcome =
  'authenticated' | 'refused' | 'unknown' | 'malformed' | 'unavailable' | 'overloaded' | 'locked' | 'limited'

/** Who answered a question for a credential: memory (`hit`, `negative-hit`), a check under way (`joined`), or a new one. */
export type CacheResult = 'hit' | 'miss' | 'negative-hit' | 'joined'

/** What this stage tells about itself. Values of closed sets and numbers only: fit for metric labels. */
export type AuthenticationEvents = {
  /** Once for every request that brought credentials. `durationMs` includes the floor of a failed login. */
  loginChecked(login: {
    readonly backend: AuthenticationMethod | 'none'
    readonly outcome: LoginOutcome
    readonly durationMs: number
  }): void
  credentialCacheAsked(result: CacheResult): void
  /** One turn of hashing ended: a check of a password, after a mismatch with the padding that makes all refusals alike. */
  passwordHashed(check: { readonly queuedMs: number; readonly durationMs: number }): void
  /** A bcrypt check was turned away because the queue was full, or because its turn did not come in time. */
  hashTurnedAway(reason: 'queueFull' | 'queueWait'): void
}
