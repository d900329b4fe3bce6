import { clientNetwork } from '../registry/client-network.ts'
import { RegistryError } from '../registry/error.ts'
import type { LoginAttempt, PasswordQuestion, UserPrincipal } from './authenticator.ts'
import type { BasicCredentials } from './credentials.ts'
import type { GuessOutcome, LoginGuard } from './lockout.ts'
import type { Place } from './places.ts'
import type { RecentAttempts } from './recent-attempts.ts'
import type { NotVerified } from './verified-credentials.ts'

/** What a login has to pass before its password is checked. */
export type Admission = {
  readonly guard: LoginGuard
  /** Throws a `RegistryError` for an address that has had its share of logins. */
  readonly admitLogin: (address: string) => Promise<void>
  readonly recent: RecentAttempts
}

/** A login as the stage sees it: with the end that only the stage knows. */
export type OpenAttempt = LoginAttempt & {
  /** Tells the guard how it ended, if it was asked; the first call counts. */
  readonly settle: (outcome: GuessOutcome) => void
}

/** Better than any that the guard says, since its password was right from there before. */
const knownRank = 0
/** The last to be checked where many wait. */
export const worstRank = 7

/** Makes a login to be asked about; `place` is taken before anything is waited for. */
export function openAttempt(
  { username, password }: BasicCredentials,
  address: string,
  place: Place,
  { guard, admitLogin, recent }: Admission,
): OpenAttempt {
  const network = clientNetwork(address)
  let admitted: Promise<number> | undefined
  let settleAdmitted: ((outcome: GuessOutcome) => void) | undefined

  /** Once for each login, however many backends are asked; resolves with its rank. */
  async function admit(): Promise<number> {
    place.take()
    const answer = await guard.ask(address, username, password)
    if (answer.kind === 'locked') {
      throw new RegistryError('loginLocked', { retryAfterSeconds: Math.max(1, Math.ceil(answer.retryAfterMs / 1_000)) })
    }
    const attempts = recent.add(network)
    settleAdmitted = (outcome) => {
      answer.settle(outcome)
      if (outcome === 'succeeded') recent.takeBack(network)
    }
    // A limit may hold an answer back, and has places of its own for that.
    place.leave()
    await admitLogin(address)
    place.take()
    // Those that were turned away are no failures, so failures alone would not tell who makes the crowd.
    return rankOf(Math.max(answer.failures, attempts))
  }

  async function verify(question: PasswordQuestion): Promise<UserPrincipal | NotVerified> {
    const { memory, backend, current, isPossible, check } = question
    if (!isPossible(password)) return 'wrong'
    const key = memory.keyOf({ backend, username, password, current })
    const remembered = memory.recall(key, network)
    if (remembered !== undefined) return remembered
    if (memory.isWrong(key)) return 'wrong'
    if (memory.isKnown(key, network)) {
      place.take()
      return memory.verify(key, network, () => check(password, knownRank))
    }
    admitted ??= admit()
    const rank = await admitted
    return memory.verify(key, network, () => check(password, rank))
  }

  return {
    ...{ username, network },
    verify,
    settle: (outcome) => {
      settleAdmitted?.(outcome)
      settleAdmitted = undefined
    },
  }
}

/** One rank worse for each doubling of what came from the address lately: 0, 1, 2-3, 4-7, ... */
function rankOf(count: number): number {
  return Math.min(worstRank, 1 + 32 - Math.clz32(count))
}
