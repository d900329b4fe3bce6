import { RegistryError } from '../../registry/error.ts'
import type { LdapEvents } from '../../telemetry/ldap-events.ts'
import type { LdapFault, LdapRefusal } from '../../telemetry/ldap-labels.ts'
import type { Answer, Authenticator, LoginAttempt, UserPrincipal } from '../authenticator.ts'
import type { Clock } from '../clock.ts'
import type { NotVerified, VerifiedCredentials } from '../verified-credentials.ts'
import type { BindBudget, BindEnd } from './bind-budget.ts'
import { isPossibleName, isPossiblePassword } from './canonical-name.ts'
import type { BindTarget, Directory, LdapIdentity } from './directory.ts'
import { LdapError } from './ldap-error.ts'
import type { StaleLogins } from './stale-logins.ts'
import type { Turns } from './turns.ts'
import type { WrongAccount, WrongPasswords } from './wrong-passwords.ts'

/** An authenticator over the people of a directory. */
export type LdapAuthenticator = Authenticator & {
  /** Forgets what memory of its own it has of right and wrong passwords. */
  forget(): void
  /** Lets go of connections and of those who wait. */
  close(): void
}

export type LdapOptions = {
  readonly directory: Directory
  /** Made with no memory of wrong passwords: the directory's own changes cannot be seen there. */
  readonly verified: VerifiedCredentials<UserPrincipal>
  readonly wrong: WrongPasswords
  readonly stale: StaleLogins
  readonly turns: Turns
  readonly budget: BindBudget
  /**
   * Whether another backend has a user of that name. Somebody who typed something else must not become that user: a
   * directory in which a person is called as a robot of an htpasswd file, or can call itself so.
   */
  readonly isTaken: (name: string) => boolean
  readonly clock: Clock
  readonly events: LdapEvents
}

/** A check that took this long is as slow as failed logins are ever made to look. */
const slowestMs = 1_000
const headroom = 2
/** How fast a slow check is forgotten: halved by some thirty checks that are faster. */
const fading = 0.98
/** What is said of an account that has had its share, in place of a sentence that speaks of an address. */
const withheld =
  'too many wrong passwords were tried for this user; no password of theirs is checked before the wait is over'
/** When logins may be served from memory; not when the directory answers and something is wrong with what it says. */
const downFaults: ReadonlySet<LdapFault> = new Set<LdapFault>([
  ...(['down', 'connectFailed', 'connectTimeout', 'tlsFailed', 'startTlsRefused'] as const),
  ...(['operationTimeout', 'connectionLost'] as const),
])
/** Why the same password would be refused again, as long as the entry is the same. */
const ofPassword: ReadonlySet<LdapRefusal> = new Set<LdapRefusal>(['wrongPassword', 'noSuchUser', 'noPassword'])
/** The rank of logins whose password was right from there lately. */
const knownRank = 0

/**
 * Creates the authenticator. Unknown names cost what wrong passwords of known ones do: a search, a question to the budget,
 * a bind; what is left is covered by the floor of all failed logins.
 */
export function createLdap(options: LdapOptions): LdapAuthenticator {
  const { directory, verified, wrong, stale, turns, budget, clock, events } = options
  let slowest = 0

  async function measured<Result>(run: () => Promise<Result>): Promise<Result> {
    const startedAtMs = clock.nowMs()
    const result = await run()
    slowest = Math.min(slowestMs, Math.max(clock.nowMs() - startedAtMs, slowest * fading))
    return result
  }

  /** @throws {RegistryError} `loginLocked` when the account, which need not exist, has had its share */
  async function permit(account: string, network: string): Promise<(end: BindEnd) => void> {
    const answer = await budget.ask(account, network)
    if (answer.kind === 'granted') return answer.settle
    events.ldapBindWithheld('budget')
    const retryAfterSeconds = Math.max(1, Math.ceil(answer.retryAfterMs / 1_000))
    throw new RegistryError('loginLocked', { sentence: withheld, retryAfterSeconds })
  }

  /** The directory would say the same again. */
  function isRepeated(account: WrongAccount, password: string): boolean {
    const isWrong = wrong.has(account, password)
    if (isWrong) events.ldapBindWithheld('repeated')
    return isWrong
  }

  /** A bind for nobody, which counts and is remembered by the name as it was typed, as that of an account is. */
  async function bindNobody({ username, network }: LoginAttempt, password: string): Promise<void> {
    const account = `nobody ${username.normalize('NFKC').trim().toLowerCase()}`
    if (isRepeated({ account, stamp: 'none' }, password)) return
    const settle = await permit(account, network)
    try {
      await directory.bindNobody()
      wrong.put({ account, stamp: 'none' }, password)
    } catch (error) {
      settle('undecided')
      throw error
    }
  }

  async function checkKnown(
    { username, network }: LoginAttempt,
    target: BindTarget,
    password: string,
  ): Promise<UserPrincipal | NotVerified> {
    if (isRepeated(target, password)) return 'wrong'
    const settle = await permit(target.account, network)
    let end: BindEnd = 'undecided'
    try {
      const outcome = await directory.bind(username, target, password, (isRight) => {
        end = isRight ? 'right' : 'wrong'
      })
      if (outcome.kind === 'accepted') return principalOf(username, outcome.identity)
      events.ldapUserRefused({ user: target.bindName, reason: outcome.reason })
      // An account that is locked, or has run out, may have this password all the same.
      if (ofPassword.has(outcome.reason)) wrong.put({ account: target.account, stamp: outcome.stamp }, password)
      return 'wrong'
    } finally {
      settle(end)
    }
  }

  function principalOf(username: string, { name, groups }: LdapIdentity): UserPrincipal | NotVerified {
    if (name === username || !options.isTaken(name)) return { kind: 'user', name, groups, method: 'ldap' }
    events.ldapUserRefused({ user: name, reason: 'nameTaken' })
    return 'wrong'
  }

  async function ask(attempt: LoginAttempt, password: string): Promise<UserPrincipal | NotVerified> {
    const found = await directory.find(attempt.username)
    switch (found.kind) {
      case 'found':
        return checkKnown(attempt, found.target, password)
      case 'none':
        return 'notMine'
      case 'ambiguous':
        events.ldapUserRefused({ user: attempt.username, reason: 'ambiguous' })
        await bindNobody(attempt, password)
        return 'wrong'
    }
  }

  /** Whoever was right from there lately may be served from memory while the directory is down; nobody else finds out. */
  async function askOrRemember(
    attempt: LoginAttempt,
    password: string,
    rank: number,
  ): Promise<UserPrincipal | NotVerified> {
    const key = verified.keyOf({ backend: 'ldap', username: attempt.username, password, current: '' })
    try {
      const answer = await turns.take(rank, () => measured(() => ask(attempt, password)))
      if (typeof answer === 'string') stale.forget(key)
      else stale.put(key, answer)
      return answer
    } catch (error) {
      const login = rank === knownRank && isDown(error) ? stale.get(key) : undefined
      if (login === undefined) throw error
      events.ldapServedStale({ ageMs: login.ageMs })
      return login.principal
    }
  }

  return {
    strategy: 'ldapauth',
    backend: 'ldap',
    async check(attempt): Promise<Answer> {
      if (!isPossibleName(attempt.username)) return { kind: 'notMine' }
      try {
        const answer = await attempt.verify({
          ...{ memory: verified, backend: 'ldap', current: '', isPossible: isPossiblePassword },
          check: (password, rank) => askOrRemember(attempt, password, rank),
        })
        if (answer === 'notMine') return { kind: 'notMine' }
        return answer === 'wrong' ? { kind: 'refused' } : { kind: 'authenticated', principal: answer }
      } catch (error) {
        if (error instanceof RegistryError) throw error
        return { kind: 'unavailable', cause: error }
      }
    },
    async checkUnknown(attempt) {
      await attempt.verify({
        ...{ memory: verified, backend: 'ldap', current: 'nobody', isPossible: isPossiblePassword },
        check: async (password, rank) => {
          await turns.take(rank, () => measured(() => bindNobody(attempt, password)))
          return 'wrong'
        },
      })
    },
    slowestCheckMs: () => slowest * headroom,
    forget() {
      stale.clear()
      wrong.clear()
    },
    close() {
      turns.close()
      directory.close()
    },
  }
}

function isDown(error: unknown): boolean {
  return error instanceof LdapError && downFaults.has(error.fault)
}
