import { createHmac, createSecretKey } from 'node:crypto'
import type { AuthenticationEvents } from './authenticator.ts'
import type { Clock } from './clock.ts'

/** Everything that the answer to "is this the password" depends on. */
export type CredentialParts = {
  readonly backend: string
  readonly username: string
  readonly password: string
  /** What the backend holds for the name at this moment, such as its hash: a change of it makes the memory useless. */
  readonly current: string
}

declare const credentialKey: unique symbol
/** Stands for one credential; made by {@link VerifiedCredentials.keyOf}, and tells nothing about it. */
export type CredentialKey = string & { readonly [credentialKey]: true }

/** Remembers who a credential belongs to, never what they may do. */
export type VerifiedCredentials<Identity> = {
  /** HMAC-SHA-256 under a secret of the process over the length-prefixed parts: `alice`+`bc` is not `aliceb`+`c`. */
  keyOf(parts: CredentialParts): CredentialKey
  /** The identity that was verified for exactly this credential within the time to live; at once. */
  recall(key: CredentialKey): Identity | undefined
  /**
   * Answers a credential that is not remembered: from the memory of wrong ones, by joining a check of the same
   * credential that is under way, or by `check`, which says who it is or nobody. What `check` throws reaches everybody who joined and is not remembered.
   */
  verify(key: CredentialKey, check: () => Promise<Identity | undefined>): Promise<Identity | undefined>
}

export type VerifiedCredentialsOptions = {
  /** At least 32 random bytes, new in every process. */
  readonly secret: Uint8Array
  /** How long a right credential is remembered after its check; 0 is never. */
  readonly ttlMs: number
  /**
   * How long a wrong one is, so that a client that repeats itself costs one check; 0 is never, which is for backends
   * where `current` cannot tell that a password has changed.
   */
  readonly negativeTtlMs: number
  /** How many of each are remembered; those used longest ago are forgotten first. */
  readonly capacity: number
  readonly clock: Clock
  readonly events: Pick<AuthenticationEvents, 'credentialCacheAsked'>
}

export function createVerifiedCredentials<Identity>(
  options: VerifiedCredentialsOptions,
): VerifiedCredentials<Identity> {
  const { capacity, clock, events } = options
  // Every request asks; a key that is made once costs a third of one that Node has to make of the bytes each time.
  const secret = createSecretKey(options.secret)
  const right = createMemory<Identity>(options.ttlMs, capacity, clock)
  const wrong = createMemory<true>(options.negativeTtlMs, capacity, clock)
  const underWay = new Map<CredentialKey, Promise<Identity | undefined>>()

  async function run(key: CredentialKey, check: () => Promise<Identity | undefined>): Promise<Identity | undefined> {
    // One turn later, so that whatever `check` does, its end comes after its entry in `underWay`.
    await Promise.resolve()
    try {
      const identity = await check()
      if (identity === undefined) wrong.put(key, true)
      else right.put(key, identity)
      return identity
    } finally {
      underWay.delete(key)
    }
  }

  return {
    keyOf: (parts) => createHmac('sha256', secret).update(lengthPrefixed(parts)).digest('base64') as CredentialKey,

    recall(key) {
      const identity = right.get(key)
      if (identity !== undefined) events.credentialCacheAsked('hit')
      return identity
    },

    verify(key, check) {
      if (wrong.get(key) === true) {
        events.credentialCacheAsked('negative-hit')
        return Promise.resolve(undefined)
      }
      const joined = underWay.get(key)
      events.credentialCacheAsked(joined === undefined ? 'miss' : 'joined')
      if (joined !== undefined) return joined
      const started = run(key, check)
      underWay.set(key, started)
      return started
    },
  }
}

function lengthPrefixed({ backend, username, password, current }: CredentialParts): Buffer {
  const parts = [backend, username, password, current]
  const prefixed = Buffer.alloc(parts.reduce((bytes, part) => bytes + 4 + Buffer.byteLength(part), 0))
  let end = 0
  for (const part of parts) {
    const written = prefixed.write(part, end + 4)
    prefixed.writeUInt32BE(written, end)
    end += 4 + written
  }
  return prefixed
}

type Memory<Value> = {
  get(key: CredentialKey): Value | undefined
  put(key: CredentialKey, value: Value): void
}

/** The order of a Map is the order of use: what is read or written goes to its end, what must go is at its beginning. */
function createMemory<Value>(ttlMs: number, capacity: number, clock: Clock): Memory<Value> {
  const entries = new Map<CredentialKey, { readonly value: Value; readonly expiresAtMs: number }>()
  return {
    get(key) {
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      entries.delete(key)
      if (clock.nowMs() >= entry.expiresAtMs) return undefined
      entries.set(key, entry)
      return entry.value
    },
    put(key, value) {
      if (ttlMs <= 0) return
      entries.delete(key)
      entries.set(key, { value, expiresAtMs: clock.nowMs() + ttlMs })
      if (entries.size <= capacity) return
      const [oldest] = entries.keys()
      if (oldest !== undefined) entries.delete(oldest)
    },
  }
}
