import type { Socket } from 'node:net'
import { socketsOf } from './redis-client.ts'
import type { RedisClient } from './redis-client.ts'

/**
 * Makes what is sent in one turn of the event loop leave in one write for each server. ioredis's own way,
 * `enableAutoPipelining`, has one pipeline under way at a time and makes the next one wait for all its answers, so that
 * one slow answer holds up everybody.
 *
 * @returns to be called before each command
 */
export function createSharedWrites(client: RedisClient): () => void {
  let held: readonly Socket[] = []
  const release = (): void => {
    for (const socket of held) socket.uncork()
    held = []
  }
  return () => {
    if (held.length > 0) return
    held = socketsOf(client)
    for (const socket of held) socket.cork()
    if (held.length > 0) setImmediate(release)
  }
}
