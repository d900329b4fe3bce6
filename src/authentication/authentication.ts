import { RegistryError } from '../registry/error.ts'
import { anonymous } from '../registry/principal.ts'
import type { AuthenticationMethod, Principal } from '../registry/principal.ts'
import type { RegistryRequest } from '../registry/route.ts'
import type { AuthenticationEvents, Authenticator, UserPrincipal } from './authenticator.ts'
import type { Challenges } from './challenge.ts'
import { waitUntil } from './clock.ts'
import type { Clock } from './clock.ts'
import { parseAuthorization } from './credentials.ts'
import type { AuthorizationHeader, BasicCredentials } from './credentials.ts'
import { openGuard } from './lockout.ts'
import type { GuessOutcome } from './lockout.ts'
import { openAttempt } from './login-attempt.ts'
import type { Admission, OpenAttempt } from './login-attempt.ts'
import { createStrategies } from './passport-strategies.ts'
import { createPlaces } from './places.ts'
import type { Place } from './places.ts'
import { createRecentAttempts } from './recent-attempts.ts'

/** All that is read of a request. Cookies, query, body and `Proxy-Authorization` are no place for credentials here. */
export type LoginRequest = {
  readonly headers: { readonly authorization?: string | undefined }
}

export type Authentication = {
  /**
   * Says who is calling. `registryRequest` is what they want to do, for the challenges that name it.
   *
   * @param address of the client, after trusted proxies
   * @throws {RegistryError} `credentialsMissing` or `credentialsInvalid` with the challenge (401), `headersTooLarge`
   * (431), `loginLocked` or `rateLimited` (429), `loginsOverloaded`, `limitsUnavailable` or `authenticationUnavailable`
   * (503)
   */
  authenticate(request: LoginRequest, registryRequest: RegistryRequest, address: string): Promise<Principal>
}

export type AuthenticationOptions = Partial<Pick<Admission, 'guard' | 'admitLogin'>> & {
  /** In the order in which they are asked. */
  readonly authenticators: readonly Authenticator[]
  readonly challenges: Challenges
  /** Every failed login takes at least this long, and at least as long as the slowest check of any authenticator. */
  readonly failureFloorMs: number
  /** Logins that may be checked at one time, and as many that may be held back; {@link defaultMaxPendingLogins} if absent. */
  readonly maxPendingLogins?: number
  /** Whether the policies decide about a request without a login; it is asked for one where this is not given. */
  readonly anonymousEnabled?: boolean
  readonly clock: Clock
  readonly events: Pick<AuthenticationEvents, 'loginChecked'>
}

/** Some ten KiB are held for each of twice as many, so this is a bound of some twenty MiB. */
export const defaultMaxPendingLogins = 1_024

/** How a login ended, and by whose word. */
type Result =
  | { readonly outcome: 'authenticated'; readonly backend: AuthenticationMethod; readonly principal: UserPrincipal }
  | { readonly outcome: 'refused'; readonly backend: AuthenticationMethod; readonly username: string }
  | { readonly outcome: 'unknown' }
  | { readonly outcome: 'malformed'; readonly sentence: string }
  | { readonly outcome: 'unavailable'; readonly cause: unknown }
  | { readonly outcome: 'overloaded' | 'locked' | 'limited'; readonly error: RegistryError }

/** A header that is, or means to be, a login. */
type Login = Exclude<AuthorizationHeader, { readonly kind: 'none' | 'tooLong' }>

const headerTooLong = 'the Authorization header is longer than 8 KiB'

/**
 * Creates the stage that says who is calling.
 *
 * Failed logins look alike, in bytes and in time: whatever was wrong, they are answered no earlier than the floor, which
 * counts from their start. Their number is bounded: a login that has to be checked takes a place before anything is found
 * out about it, and where none is left it gets 503, whoever it is for. Logins that fail without a check are as free as
 * asking, so they are held back in places of their own, and a flood of them takes none from those that may be right.
 */
export function createAuthentication(options: AuthenticationOptions): Authentication {
  const { authenticators, challenges, anonymousEnabled = false, clock, events } = options
  const {
    guard = openGuard,
    admitLogin = () => Promise.resolve(),
    maxPendingLogins = defaultMaxPendingLogins,
  } = options
  const ask = createStrategies(authenticators)
  const admission: Admission = { guard, admitLogin, recent: createRecentAttempts(clock) }
  const openPlace = createPlaces(maxPendingLogins)
  const openPlaceToWait = createPlaces(maxPendingLogins)
  const floorMs = () => Math.max(options.failureFloorMs, ...authenticators.map((one) => one.slowestCheckMs()))

  async function identify(attempt: OpenAttempt): Promise<Result> {
    const failures: unknown[] = []
    for (const { strategy, backend } of authenticators) {
      const answer = await ask(strategy, attempt)
      if (answer.kind === 'authenticated') return { outcome: 'authenticated', backend, principal: answer.principal }
      if (answer.kind === 'refused') return { outcome: 'refused', backend, username: attempt.username }
      if (answer.kind === 'unavailable') failures.push(answer.cause)
    }
    if (failures.length > 0) return { outcome: 'unavailable', cause: failures[0] }
    await authenticators[0]?.checkUnknown(attempt)
    return { outcome: 'unknown' }
  }

  /** Asks the backends, and tells the guard how it ended, whatever happened. */
  async function check(credentials: BasicCredentials, address: string, place: Place): Promise<Result> {
    const attempt = openAttempt(credentials, address, place, admission)
    let guessed: GuessOutcome = 'undecided'
    try {
      const result = await identify(attempt)
      if (result.outcome === 'authenticated') guessed = 'succeeded'
      if (result.outcome === 'refused' || result.outcome === 'unknown') guessed = 'failed'
      return result
    } finally {
      attempt.settle(guessed)
    }
  }

  function decide(header: Login, address: string, place: Place): Promise<Result> {
    switch (header.kind) {
      case 'basic':
        // An empty password must not reach a backend: LDAP takes it for an anonymous bind, which succeeds (RFC 4513 5.1.2).
        if (header.username === '' || header.password === '')
          return malformed('the user name and the password must not be empty')
        return check(header, address, place)
      case 'bearer':
        return malformed('tokens are not taken here, only name and password')
      case 'malformed':
        return malformed(header.sentence)
    }
  }

  async function settle(header: Login, address: string, startedAtMs: number): Promise<Result> {
    const place = openPlace()
    const placeToWait = openPlaceToWait()
    try {
      const result = await decide(header, address, place)
      if (result.outcome === 'authenticated' || result.outcome === 'unavailable') return result
      if (!place.isTaken()) placeToWait.take()
      await waitUntil(clock, startedAtMs + floorMs())
      return result
    } catch (error) {
      return error instanceof RegistryError
        ? { outcome: outcomeOf(error), error }
        : { outcome: 'unavailable', cause: error }
    } finally {
      place.leave()
      placeToWait.leave()
    }
  }

  function principalOf(result: Result): Principal {
    switch (result.outcome) {
      case 'authenticated':
        return result.principal
      case 'refused':
        throw new RegistryError('credentialsInvalid', { challenge: challenges.invalid, attemptedUser: result.username })
      case 'unknown':
        throw new RegistryError('credentialsInvalid', { challenge: challenges.invalid })
      case 'malformed':
        throw new RegistryError('credentialsInvalid', { challenge: challenges.invalid, detail: result.sentence })
      case 'unavailable':
        throw new RegistryError('authenticationUnavailable', { cause: result.cause })
      case 'overloaded':
      case 'locked':
      case 'limited':
        throw result.error
    }
  }

  return {
    async authenticate(request, _registryRequest, address) {
      const startedAtMs = clock.nowMs()
      const header = parseAuthorization(request.headers.authorization)
      if (header.kind === 'none' && anonymousEnabled) return anonymous
      if (header.kind === 'none') throw new RegistryError('credentialsMissing', { challenge: challenges.missing })
      if (header.kind === 'tooLong') throw new RegistryError('headersTooLarge', { sentence: headerTooLong })
      const result = await settle(header, address, startedAtMs)
      const backend = 'backend' in result ? result.backend : 'none'
      events.loginChecked({ backend, outcome: result.outcome, durationMs: clock.nowMs() - startedAtMs })
      return principalOf(result)
    },
  }
}

function malformed(sentence: string): Promise<Result> {
  return Promise.resolve({ outcome: 'malformed', sentence })
}

function outcomeOf({ id }: RegistryError): 'overloaded' | 'locked' | 'limited' {
  if (id === 'loginLocked') return 'locked'
  return id === 'rateLimited' || id === 'limitsUnavailable' ? 'limited' : 'overloaded'
}
