import type { Answer, Authenticator, LoginAttempt, UserPrincipal } from './authenticator.ts'
import type { Clock } from './clock.ts'
import { decoyHash } from './decoy-hash.ts'
import { costOf, costRange, HtpasswdError, nobodySentence } from './htpasswd.ts'
import type { HtpasswdTable } from './htpasswd.ts'
import { isHashable } from './password-hashing.ts'
import type { PasswordHashing } from './password-hashing.ts'
import type { NotVerified, VerifiedCredentials } from './verified-credentials.ts'

/** An authenticator over the users of a file, which can be replaced while it works. */
export type HtpasswdAuthenticator = Authenticator & {
  /**
   * Puts other users in the place of those before, whole and at once; a check under way is decided by the users of its
   * end. It resolves when that is done: a new highest cost has to be measured first. Of overlapping calls the last wins.
   *
   * @throws {HtpasswdError} when the table has nobody who could log in; the users before stay
   */
  replace(table: HtpasswdTable): Promise<void>
  /** Whether the file has a user of that name. */
  has(username: string): boolean
}

export type HtpasswdOptions = {
  readonly table: HtpasswdTable
  readonly hashing: PasswordHashing
  readonly verified: VerifiedCredentials<UserPrincipal>
  readonly clock: Clock
}

/** What all answers are made from; replaced as one value. */
type Users = {
  readonly table: HtpasswdTable
  /** What names that are not there are compared with; of the highest cost. */
  readonly decoy: string
  /** What a check of the highest cost took when it was measured. */
  readonly costliestCheckMs: number
}

/** A busy machine hashes slower than it did when it was measured. */
const headroom = 2

/** A hash that no password matches, for every cost; the cost is its index. */
const paddings: readonly string[] = Array.from({ length: costRange.highest + 1 }, (_, cost) => decoyHash(cost))

/**
 * What a refused password is compared with besides its own hash, so that every refusal is the work of the highest cost:
 * checks of the costs c, c+1, ... up to one below the highest. Each step doubles the work, so with the check of cost c
 * that went before they make exactly one of the highest: 2^c + (2^c + 2^(c+1) + ... + 2^(h-1)) = 2^h.
 */
function paddingOf(hash: string, maxCost: number): readonly string[] {
  return paddings.slice(costOf(hash), maxCost)
}

/**
 * Creates the authenticator; it resolves when the highest cost of the table has been measured on this machine, and
 * rejects with an {@link HtpasswdError} when nobody could log in by the table.
 *
 * In a file of several costs, time would tell which names exist. So every refusal does the same work in the same turn of
 * the queue, for a cheap hash, a costly one, or a name that is not there; on a busy machine too, where no fixed delay
 * would cover the difference.
 */
export async function createHtpasswd(options: HtpasswdOptions): Promise<HtpasswdAuthenticator> {
  const { hashing, verified, clock } = options
  let users = await prepare(options.table, undefined)
  let latestReplacement = 0

  async function prepare(table: HtpasswdTable, before: Users | undefined): Promise<Users> {
    if (table.hashes.size === 0) throw new HtpasswdError('HTPASSWD_UNUSABLE', nobodySentence)
    if (before !== undefined && before.table.maxCost === table.maxCost) return { ...before, table }
    const decoy = decoyHash(table.maxCost)
    const startedAtMs = clock.nowMs()
    await hashing.matchesAtOnce('', decoy)
    return { table, decoy, costliestCheckMs: clock.nowMs() - startedAtMs }
  }

  /** @param identity who it is if the password matches; nobody for a decoy, which therefore never verifies */
  function compare(
    attempt: LoginAttempt,
    hash: string,
    identity: UserPrincipal | undefined,
  ): Promise<UserPrincipal | NotVerified> {
    return attempt.verify({
      ...{ memory: verified, backend: 'htpasswd', current: hash, isPossible: isHashable },
      check: async (password, rank) => {
        const padding = paddingOf(hash, users.table.maxCost)
        return (await hashing.matches(password, hash, padding, rank)) ? (identity ?? 'wrong') : 'wrong'
      },
    })
  }

  async function check(attempt: LoginAttempt): Promise<Answer> {
    const { username } = attempt
    const hash = users.table.hashes.get(username)
    if (hash === undefined) return { kind: 'notMine' }
    const identity: UserPrincipal = { kind: 'user', name: username, groups: [], method: 'htpasswd' }
    const answer = await compare(attempt, hash, identity)
    // The users were replaced meanwhile, and this one is gone or has another password: only the new file counts.
    if (users.table.hashes.get(username) !== hash) return check(attempt)
    return typeof answer === 'string' ? { kind: 'refused' } : { kind: 'authenticated', principal: answer }
  }

  return {
    strategy: 'basic',
    backend: 'htpasswd',
    check,
    async checkUnknown(attempt) {
      await compare(attempt, users.decoy, undefined)
    },
    slowestCheckMs: () => users.costliestCheckMs * headroom,
    has: (username) => users.table.hashes.has(username),
    async replace(table) {
      latestReplacement += 1
      const replacement = latestReplacement
      const next = await prepare(table, users)
      if (replacement === latestReplacement) users = next
    },
  }
}
