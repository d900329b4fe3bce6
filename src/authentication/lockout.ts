import { createHmac, createSecretKey, randomBytes } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { LockoutSettings } from '../config/lockout-settings.ts'
import { clientNetwork } from '../registry/client-network.ts'
import type { Store } from '../store/store.ts'
import type { Clock } from './clock.ts'
import { clearAddress, listLocked, lookAtAddress, noteLocked, shareSecret } from './lockout-list-script.ts'
import { askArguments, askLockout, takeBackArguments, takeBackLockout } from './lockout-script.ts'
import type { Guess, LockoutPolicy, LockoutReply } from './lockout-script.ts'

/** How the check of a login ended, as far as guessing goes: `undecided` when it was not checked after all. */
export type GuessOutcome = 'succeeded' | 'failed' | 'undecided'

export type LockoutAnswer =
  | {
      readonly kind: 'open'
      /** Wrong passwords that came from the address lately. */
      readonly failures: number
      /** Must be called once, when it is known. */
      readonly settle: (outcome: GuessOutcome) => void
    }
  | { readonly kind: 'locked'; readonly retryAfterMs: number }

/** The guard in front of every check of a password. */
export type LoginGuard = {
  /** Asks whether a login may be checked. It is counted as a wrong one until it is settled. */
  ask(address: string, username: string, password: string): Promise<LockoutAnswer>
}

/** An address that has to wait, or some of whose users have to. */
export type LockedAddress = {
  /** `192.0.2.1`, or a network of IPv6, `2001:db8::/64`. */
  readonly address: string
  /** How long every user has to wait there; 0 where only some have to. */
  readonly lockedMs: number
  /** Different wrong passwords that came from it lately. */
  readonly failures: number
  /** Names that have to wait there, counted by the slots they fall into. */
  readonly lockedUsers: number
}

export type Lockout = LoginGuard & {
  /** The addresses that have to wait at this moment, at most 10,000. */
  list(): Promise<readonly LockedAddress[]>
  /**
   * Forgets wrong passwords: all of an address, those for a user at it, or those for a user, or all, at every address that
   * had to wait and is not forgotten yet. It resolves with the number of addresses of which something was forgotten.
   */
  clear(what: { readonly address?: string; readonly user?: string }): Promise<number>
}

export type LockoutOptions = {
  readonly settings: Extract<LockoutSettings, { readonly enabled: true }>
  readonly isExempt: (address: string) => boolean
  /** Must answer, from memory where Redis does not. */
  readonly store: Store
  readonly clock: Pick<Clock, 'nowMs'>
  readonly observe: { lockoutAsked(verdict: 'open' | 'locked'): void }
  /** Given, it is used instead of the one that the replicas share through the store; at least 32 bytes. */
  readonly secret?: Uint8Array
}

const listKey = 'lockout:list'
const secretKey = 'lockout:secret'
const secretTtlMs = 86_400_000
/** A store that comes back may have another secret than the memory that stood in for it. */
const secretAskedAgainMs = 30_000
/** Asked about at one time, for the list. */
const lookedAtOnce = 100

/** The guard that lets everything through, and counts nothing. */
export const openGuard: LoginGuard = {
  ask: () => Promise.resolve({ kind: 'open', failures: 0, settle: () => undefined }),
}

/**
 * Creates the guard. Of names and passwords the store gets only a slot (8 bits) and a fingerprint (12 bits), keyed: who
 * reads it learns no name and too little of a password to know it again, and one distinct password of 4,096 is not counted.
 * Names differ in no more than their slot, so that those which exist are counted as those which do not.
 */
export function createLockout(options: LockoutOptions): Lockout {
  const { isExempt, store, observe } = options
  const policy = policyOf(options.settings)
  const longestMs = policy.windowMs + policy.maxDelayMs
  const secret = createSecret(options)

  async function count(network: string, guess: Guess): Promise<LockoutAnswer> {
    const reply = await store.run(askLockout, [keyOf(network)], askArguments(guess, policy))
    const isLocked = reply.waitMs > 0
    observe.lockoutAsked(isLocked ? 'locked' : 'open')
    if (isLocked) return { kind: 'locked', retryAfterMs: reply.waitMs }
    return { kind: 'open', failures: reply.failures, settle: (outcome) => void settle(network, guess, reply, outcome) }
  }

  /** Nobody waits for it. What the store misses here is forgotten with the window. */
  async function settle(network: string, guess: Guess, reply: LockoutReply, outcome: GuessOutcome): Promise<void> {
    try {
      if (outcome === 'failed') {
        const forgottenInMs = reply.delayMs + policy.windowMs
        if (reply.delayMs > 0) await store.run(noteLocked, [listKey], [network, forgottenInMs, longestMs])
      } else if (outcome === 'succeeded' || reply.isCounted) {
        const args = takeBackArguments(guess, outcome, reply, policy)
        await store.run(takeBackLockout, [keyOf(network)], args)
      }
    } catch {
      // The store has told of it.
    }
  }

  async function look(address: string): Promise<LockedAddress> {
    const { freeAttempts, freeAttemptsPerAddress, windowMs, maxDelayMs } = policy
    const args = [freeAttempts, freeAttemptsPerAddress, windowMs, maxDelayMs]
    const { waitMs, failures, lockedSlots } = await store.run(lookAtAddress, [keyOf(address)], args)
    return { address, lockedMs: waitMs, failures, lockedUsers: lockedSlots }
  }

  async function listed<Found>(ask: (address: string) => Promise<Found>): Promise<readonly Found[]> {
    const addresses = await store.run(listLocked, [listKey], [])
    const found: Found[] = []
    for (let at = 0; at < addresses.length; at += lookedAtOnce) {
      found.push(...(await Promise.all(addresses.slice(at, at + lookedAtOnce).map(ask))))
    }
    return found
  }

  return {
    async ask(address, username, password) {
      if (isExempt(address)) return openGuard.ask(address, username, password)
      return count(clientNetwork(address), guessOf(await secret(), username, password))
    },
    async list() {
      const states = await listed(look)
      return states.filter(({ lockedMs, lockedUsers }) => lockedMs > 0 || lockedUsers > 0)
    },
    async clear({ address, user }) {
      const slot = user === undefined ? [] : [slotOf(await secret(), user)]
      const forget = (network: string) => store.run(clearAddress, [keyOf(network)], slot)
      const cleared = address === undefined ? await listed(forget) : [await forget(clientNetwork(address))]
      return cleared.filter(Boolean).length
    },
  }
}

function policyOf(settings: LockoutOptions['settings']): LockoutPolicy {
  const { freeAttempts, freeAttemptsPerAddress, windowSeconds, maxDelaySeconds } = settings
  return {
    ...{ freeAttempts, freeAttemptsPerAddress },
    ...{ windowMs: windowSeconds * 1_000, maxDelayMs: maxDelaySeconds * 1_000 },
  }
}

function keyOf(network: string): string {
  return `lockout:{${network}}`
}

/** The secret that all replicas have: the store's, which is asked for it again and again; one's own until it answers. */
function createSecret({ store, clock, secret }: LockoutOptions): () => Promise<KeyObject> {
  if (secret !== undefined) {
    const given = createSecretKey(secret)
    return () => Promise.resolve(given)
  }
  let text = randomBytes(32).toString('hex')
  let shared = keyFrom(text)
  let first: Promise<void> | undefined
  let askedAtMs = 0

  async function ask(): Promise<void> {
    try {
      const answer = await store.run(shareSecret, [secretKey], [text, secretTtlMs])
      if (answer !== text) shared = keyFrom(answer)
      text = answer
    } catch {
      // The store has told of it; guesses are counted with the secret there is.
    }
  }

  return async () => {
    if (first === undefined || clock.nowMs() >= askedAtMs + secretAskedAgainMs) {
      askedAtMs = clock.nowMs()
      const asked = ask()
      first ??= asked
    }
    // Nobody counts by a secret that is about to change; later answers are waited for by nobody.
    await first
    return shared
  }
}

function keyFrom(text: string): KeyObject {
  return createSecretKey(Buffer.from(text, 'hex'))
}

function guessOf(secret: KeyObject, username: string, password: string): Guess {
  const named = `guess ${Buffer.byteLength(username)} ${username}`
  const digest = createHmac('sha256', secret).update(named).update(password).digest()
  return { slot: slotOf(secret, username), fingerprint: digest.toString('hex', 0, 2).slice(1) }
}

/** Names that some backend takes for one, since it does not look at capitals, are in one slot. */
function slotOf(secret: KeyObject, username: string): number {
  const name = username.normalize('NFKC').trim().toLowerCase()
  return createHmac('sha256', secret).update(`slot ${name}`).digest().readUInt8(0)
}
