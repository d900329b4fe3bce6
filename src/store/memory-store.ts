import type { Clock } from './clock.ts'
import { createExpiryQueue } from './expiry-queue.ts'
import type { Expiring } from './expiry-queue.ts'
import { StoreError } from './store.ts'
import type { MemoryData, MemoryValue, Store } from './store.ts'

type Entry = Expiring & { readonly key: string; value: MemoryValue }

/** How long keys that nobody asks for may stay after their end. */
const sweepEveryMs = 30_000
/** A sweep that finds more than this goes on after a pause, so that requests are served in between. */
const maxSweptAtOnce = 1_000
const sweepPauseMs = 10

/**
 * Creates a store that lives in this process: what gateways use that have no Redis, and every gateway while Redis does
 * not answer. Its answers come at once. One timer runs while it holds anything, every 30 s.
 *
 * @param limits.maxKeys beyond it, the keys that would end first make room: whoever can make keys takes from others at
 *   most the end of what they had counted
 */
export function createMemoryStore({ clock, maxKeys }: { readonly clock: Clock; readonly maxKeys: number }): Store {
  const memory = createMemory(clock, maxKeys)
  let isClosed = false
  return {
    isSharded: false,
    run(script, keys, args) {
      if (isClosed) return Promise.reject(new StoreError('down', 'the store is closed'))
      // What a script throws becomes the rejection.
      return new Promise((resolve) => {
        const nowMs = clock.nowMs()
        resolve(script.parse(script.inMemory(memory.at(nowMs), keys, args, nowMs)))
      })
    },
    close: () => {
      isClosed = true
      memory.clear()
      return Promise.resolve()
    },
  }
}

type Memory = {
  /** The keys as they stand at this time, which is one for a whole script; good until asked for again. */
  readonly at: (nowMs: number) => MemoryData
  readonly clear: () => void
}

function createMemory(clock: Clock, maxKeys: number): Memory {
  const entries = new Map<string, Entry>()
  let queue = createExpiryQueue<Entry>()
  let nowMs = 0
  let stopSweeping: (() => void) | undefined

  const remove = (entry: Entry): void => {
    queue.remove(entry)
    entries.delete(entry.key)
  }
  const add = (key: string, value: MemoryValue, expiresAtMs: number): void => {
    const first = entries.size < maxKeys ? undefined : queue.first()
    if (first !== undefined) remove(first)
    const entry = { key, value, expiresAtMs, dueMs: expiresAtMs, index: -1 }
    entries.set(key, entry)
    queue.add(entry)
    stopSweeping ??= clock.after(sweepEveryMs, sweep)
  }
  const sweep = (): void => {
    const endedMs = clock.nowMs()
    let left = maxSweptAtOnce
    for (let first = queue.first(); first !== undefined && first.expiresAtMs <= endedMs; first = queue.first()) {
      if (left === 0) break
      left -= 1
      remove(first)
    }
    stopSweeping = entries.size === 0 ? undefined : clock.after(left === 0 ? sweepPauseMs : sweepEveryMs, sweep)
  }
  const data: MemoryData = {
    get: (key) => {
      const entry = entries.get(key)
      return entry === undefined || entry.expiresAtMs <= nowMs ? undefined : entry.value
    },
    set: (key, value, ttlMs) => {
      if (!(ttlMs > 0)) throw new RangeError(`the time to live of a key must be more than 0 ms; got ${ttlMs}`)
      const expiresAtMs = nowMs + ttlMs
      const entry = entries.get(key)
      // The queue follows an end that moves later by itself; one that moves sooner needs a new place in it.
      if (entry !== undefined && entry.expiresAtMs <= expiresAtMs) {
        entry.value = value
        entry.expiresAtMs = expiresAtMs
        return
      }
      if (entry !== undefined) remove(entry)
      add(key, value, expiresAtMs)
    },
    delete: (key) => {
      const entry = entries.get(key)
      if (entry !== undefined) remove(entry)
    },
  }
  return {
    at: (ms) => {
      nowMs = ms
      return data
    },
    clear: () => {
      stopSweeping?.()
      stopSweeping = undefined
      entries.clear()
      queue = createExpiryQueue()
    },
  }
}
