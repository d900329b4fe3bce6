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

/** What a check says besides who it is: another password, or a name that is not the backend's. */
export type NotVerified = 'wrong' | 'notMine'

/** Remembers who a credential belongs to, never what they may do, and from which networks it came when it was right. */
export type VerifiedCredentials<Identity extends object> = {
  /** HMAC-SHA-256 under a secret of the process over the length-prefixed parts: `alice`+`bc` is not `aliceb`+`c`. */
  keyOf(parts: CredentialParts): CredentialKey
  /**
   * The identity that was verified for exactly this credential within the time to live, if the network is one that it
   * came from; at once. From elsewhere even the right one has to pass the guard: an answer that needs none would tell
   * who guesses from a locked address which password is right, as fast as they can ask.
   */
  recall(key: CredentialKey, network: string): Identity | undefined
  /** Whether the credential was found to be wrong a moment ago. */
  isWrong(key: CredentialKey): boolean
  /** Whether the credential was right from this network within a day, and no check has said otherwise since. */
  isKnown(key: CredentialKey, network: string): boolean
  /**
   * Answers a credential that may be checked: from memory, by joining a check of the same credential that is under way, or
   * by `check`. What `check` throws, and `notMine`, reaches everybody who joined and is not remembered.
   */
  verify(
    key: CredentialKey,
    network: string,
    check: () => Promise<Identity | NotVerified>,
  ): Promise<Identity | NotVerified>
  /** Forgets who credentials belong to and which are wrong; a check that is under way is answered and not remembered. */
  clear(): void
}

/** How long a network is known for a credential after it was last checked there. */
const knownMs = 86_400_000

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

export function createVerifiedCredentials<Identity extends object>(
  options: VerifiedCredentialsOptions,
): VerifiedCredentials<Identity> {
  const { capacity, clock, events } = options
  // Every request asks; a key that is made once costs a third of one that Node has to make of the bytes each time.
  const secret = createSecretKey(options.secret)
  const right = createMemory<Identity>(options.ttlMs, capacity, clock)
  const wrong = createMemory<true>(options.negativeTtlMs, capacity, clock)
  const known = createMemory<true>(knownMs, capacity, clock)
  const underWay = new Map<CredentialKey, Promise<Identity | NotVerified>>()
  /** How often it was cleared. */
  let generation = 0

  async function run(
    key: CredentialKey,
    check: () => Promise<Identity | NotVerified>,
  ): Promise<Identity | NotVerified> {
    // One turn later, so that whatever `check` does, its end comes after its entry in `underWay`.
    await Promise.resolve()
    const begun = generation
    try {
      const answer = await check()
      if (begun !== generation) return answer
      if (answer === 'wrong') wrong.put(key, true)
      else if (answer !== 'notMine') right.put(key, answer)
      return answer
    } finally {
      if (begun === generation) underWay.delete(key)
    }
  }

  function isWrong(key: CredentialKey): boolean {
    if (wrong.get(key) === undefined) return false
    events.credentialCacheAsked('negative-hit')
    return true
  }

  /** Told once for each question that was not a hit. */
  function answer(key: CredentialKey, check: () => Promise<Identity | NotVerified>): Promise<Identity | NotVerified> {
    const identity = right.get(key)
    if (identity !== undefined) {
      events.credentialCacheAsked('hit')
      return Promise.resolve(identity)
    }
    if (isWrong(key)) return Promise.resolve('wrong')
    const joined = underWay.get(key)
    events.credentialCacheAsked(joined === undefined ? 'miss' : 'joined')
    if (joined !== undefined) return joined
    const started = run(key, check)
    underWay.set(key, started)
    return started
  }

  return {
    keyOf: (parts) => createHmac('sha256', secret).update(lengthPrefixed(parts)).digest('base64') as CredentialKey,

    recall(key, network) {
      const identity = right.get(key)
      if (identity === undefined || known.get(at(key, network)) === undefined) return undefined
      events.credentialCacheAsked('hit')
      return identity
    },

    isWrong,

    isKnown: (key, network) => known.get(at(key, network)) !== undefined,

    async verify(key, network, check) {
      const answered = await answer(key, check)
      if (answered === 'wrong') known.forget(at(key, network))
      else if (answered !== 'notMine') known.put(at(key, network), true)
      return answered
    },

    clear() {
      generation += 1
      underWay.clear()
      right.clear()
      wrong.clear()
    },
  }
}

function at(key: CredentialKey, network: string): CredentialKey {
  return `${key} ${network}` as CredentialKey
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
  forget(key: CredentialKey): void
  clear(): void
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
    forget: (key) => {
      entries.delete(key)
    },
    clear: () => {
      entries.clear()
    },
  }
}
