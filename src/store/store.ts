import type { StoreFault } from '../telemetry/labels.ts'

/** What the stages keep beyond one request, and beyond one gateway: counters, leases and marks, each with an end. */

/** A number or text as it goes to a script; numbers are decimal there. */
export type Argument = string | number

/** What a key holds in memory: what Redis would hold as a string, or as a hash or sorted set. */
export type MemoryValue = number | string | Map<string, number | string>

/** The keys of one store in memory. Nothing in it is immortal: every write names its time to live. */
export type MemoryData = {
  /** Nothing when the key is not there or its time is over. */
  get(key: string): MemoryValue | undefined
  /** @param ttlMs from now, more than 0 */
  set(key: string, value: MemoryValue, ttlMs: number): void
  delete(key: string): void
}

/**
 * One atomic step on a few keys, written twice: in Lua for Redis, where the clock is Redis's own, and for the store in
 * memory. Both pass the same tests. Whatever a script writes has a time to live.
 */
export type StoreScript<Reply> = {
  /** Unique among the scripts; names it in errors. */
  readonly name: string
  /** Begins with a comment that lists KEYS, ARGV with their units, and the reply. */
  readonly lua: string
  /** Does the same as `lua` and returns what it would: integers, texts and lists of them. */
  readonly inMemory: (data: MemoryData, keys: readonly string[], args: readonly Argument[], nowMs: number) => unknown
  /** Reads the reply of either. @throws Error when it is none that the script gives */
  readonly parse: (raw: unknown) => Reply
}

/**
 * Where scripts run. What a store says may deny or count, never grant: whoever can write to Redis must not be let in by
 * that.
 */
export interface Store {
  /**
   * Runs a script, at once and whole or not at all. Where `isSharded`, all keys have the same hash tag. Calls of one
   * turn of the event loop share a round trip.
   *
   * @throws StoreError (as a rejection) within the deadline of a command, 50 ms unless configured otherwise
   */
  run<Reply>(script: StoreScript<Reply>, keys: readonly string[], args: readonly Argument[]): Promise<Reply>
  /** Whether the keys of one call must have the same hash tag, since they lie on several servers (Redis Cluster). */
  readonly isSharded: boolean
  /** Lets go of connections and timers; calls that are under way fail. */
  close(): Promise<void>
}

/** The store did not answer, which is not the same as a limit that was reached. */
export class StoreError extends Error {
  readonly fault: StoreFault

  constructor(fault: StoreFault, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'StoreError'
    this.fault = fault
  }
}
