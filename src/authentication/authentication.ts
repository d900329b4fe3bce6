import { RegistryError } from '../registry/error.ts'
import { anonymous } from '../registry/principal.ts'
import type { AuthenticationMethod, Principal } from '../registry/principal.ts'
import type { RegistryRequest } from '../registry/route.ts'
import type { AuthenticationEvents, Authenticator, LoginAttempt, UserPrincipal } from './authenticator.ts'
import type { Challenges } from './challenge.ts'
import { waitUntil } from './clock.ts'
import type { Clock } from './clock.ts'
import { parseAuthorization } from './credentials.ts'
import type { AuthorizationHeader, BasicCredentials } from './credentials.ts'
import { createStrategies } from './passport-strategies.ts'

/** All that is read of a request. Cookies, query, body and `Proxy-Authorization` are no place for credentials here. */
export type LoginRequest = {
  readonly headers: { readonly authorization?: string | undefined }
}

export type Authentication = {
  /**
   * Says who is calling. `registryRequest` is what they want to do, for the challenges that name it.
   *
   * @throws {RegistryError} `credentialsMissing` or `credentialsInvalid` with the challenge (401), `headersTooLarge`
   * (431), `loginsOverloaded` or `authenticationUnavailable` (503)
   */
  authenticate(request: LoginRequest, registryRequest: RegistryRequest): Promise<Principal>
}

export type AuthenticationOptions = {
  /** In the order in which they are asked. */
  readonly authenticators: readonly Authenticator[]
  readonly challenges: Challenges
  /** Every failed login takes at least this long, and at least as long as the slowest check of any authenticator. */
  readonly failureFloorMs: number
  /** Logins that may be checked or held back at one time; {@link defaultMaxPendingLogins} where it is not given. */
  readonly maxPendingLogins?: number
  /** Whether the policies decide about a request without a login; it is asked for one where this is not given. */
  readonly anonymousEnabled?: boolean
  readonly clock: Clock
  readonly events: Pick<AuthenticationEvents, 'loginChecked'>
}

/** Some ten KiB are held for each, so this is a bound of some twenty MiB. */
export const defaultMaxPendingLogins = 2_048

/** How a login ended, and by whose word. */
type Result =
  | { readonly outcome: 'authenticated'; readonly backend: AuthenticationMethod; readonly principal: UserPrincipal }
  | { readonly outcome: 'refused'; readonly backend: AuthenticationMethod; readonly username: string }
  | { readonly outcome: 'unknown' }
  | { readonly outcome: 'malformed'; readonly sentence: string }
  | { readonly outcome: 'unavailable'; readonly cause: unknown }
  | { readonly outcome: 'overloaded'; readonly error: RegistryError }

/** A header that is, or means to be, a login. */
type Login = Exclude<AuthorizationHeader, { readonly kind: 'none' | 'tooLong' }>

const headerTooLong = 'the Authorization header is longer than 8 KiB'

/**
 * Creates the stage that says who is calling.
 *
 * Failed logins look alike, in bytes and in time: whatever was wrong, they are answered no earlier than the floor, which
 * counts from their start. Their number is bounded: a login that memory cannot answer takes a place before anything is
 * found out about it, and where none is left it gets 503, whoever it is for.
 */
export function createAuthentication(options: AuthenticationOptions): Authentication {
  const { authenticators, challenges, anonymousEnabled = false, clock, events } = options
  const ask = createStrategies(authenticators)
  const openPlace = createPlaces(options.maxPendingLogins ?? defaultMaxPendingLogins)
  const floorMs = () => Math.max(options.failureFloorMs, ...authenticators.map((one) => one.slowestCheckMs()))

  async function identify(credentials: BasicCredentials, place: Place): Promise<Result> {
    // An empty password must not reach a backend: LDAP takes it for an anonymous bind, which succeeds (RFC 4513 5.1.2).
    if (credentials.username === '' || credentials.password === '') {
      return { outcome: 'malformed', sentence: 'the user name and the password must not be empty' }
    }
    const attempt: LoginAttempt = { credentials, takePlace: place.take }
    const failures: unknown[] = []
    for (const { strategy, backend } of authenticators) {
      const answer = await ask(strategy, attempt)
      if (answer.kind === 'authenticated') return { outcome: 'authenticated', backend, principal: answer.principal }
      if (answer.kind === 'refused') return { outcome: 'refused', backend, username: attempt.credentials.username }
      if (answer.kind === 'unavailable') failures.push(answer.cause)
    }
    if (failures.length > 0) return { outcome: 'unavailable', cause: failures[0] }
    await authenticators[0]?.checkUnknown(attempt)
    return { outcome: 'unknown' }
  }

  function decide(header: Login, place: Place): Promise<Result> {
    switch (header.kind) {
      case 'basic':
        return identify(header, place)
      case 'bearer':
        return Promise.resolve({ outcome: 'malformed', sentence: 'tokens are not taken here, only name and password' })
      case 'malformed':
        return Promise.resolve({ outcome: 'malformed', sentence: header.sentence })
    }
  }

  async function settle(header: Login, startedAtMs: number): Promise<Result> {
    const place = openPlace()
    try {
      const result = await decide(header, place)
      if (result.outcome === 'authenticated' || result.outcome === 'unavailable') return result
      place.take()
      await waitUntil(clock, startedAtMs + floorMs())
      return result
    } catch (error) {
      return error instanceof RegistryError
        ? { outcome: 'overloaded', error }
        : { outcome: 'unavailable', cause: error }
    } finally {
      place.leave()
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
        throw result.error
    }
  }

  return {
    async authenticate(request) {
      const startedAtMs = clock.nowMs()
      const header = parseAuthorization(request.headers.authorization)
      if (header.kind === 'none' && anonymousEnabled) return anonymous
      if (header.kind === 'none') throw new RegistryError('credentialsMissing', { challenge: challenges.missing })
      if (header.kind === 'tooLong') throw new RegistryError('headersTooLarge', { sentence: headerTooLong })
      const result = await settle(header, startedAtMs)
      const backend = 'backend' in result ? result.backend : 'none'
      events.loginChecked({ backend, outcome: result.outcome, durationMs: clock.nowMs() - startedAtMs })
      return principalOf(result)
    },
  }
}

/** One login's claim on the bounded number of those that may be pending. */
type Place = {
  /** @throws {RegistryError} `loginsOverloaded` */
  readonly take: () => void
  readonly leave: () => void
}

function createPlaces(limit: number): () => Place {
  let taken = 0
  return () => {
    let mine = 0
    return {
      take: () => {
        if (mine === 1) return
        if (taken >= limit) throw new RegistryError('loginsOverloaded')
        mine = 1
        taken += 1
      },
      leave: () => {
        taken -= mine
        mine = 0
      },
    }
  }
}
