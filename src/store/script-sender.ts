import { createHash } from 'node:crypto'
import type { Clock } from './clock.ts'
import type { RedisClient } from './redis-client.ts'
import { createSharedWrites } from './shared-writes.ts'
import { isUnknownScript, reasonOf, storeFaultOf } from './store-fault.ts'
import { StoreError } from './store.ts'
import type { Argument } from './store.ts'

/** What Redis needs of a script. */
export type Lua = { readonly name: string; readonly lua: string }

/**
 * Runs a script on a connection that stands, and resolves with its reply as ioredis gives it.
 *
 * @throws StoreError within the deadline; what Redis answers later goes unheard
 */
export type SendScript = (script: Lua, keys: readonly string[], args: readonly Argument[]) => Promise<unknown>

/** Sends scripts by their hash, and whole to a Redis that does not know them: one that is new or has started again. */
export function createScriptSender(parts: {
  readonly client: RedisClient
  readonly clock: Clock
  readonly keyPrefix: string
  readonly timeoutMs: number
}): SendScript {
  const { client, clock, keyPrefix, timeoutMs } = parts
  const shareWrite = createSharedWrites(client)
  const hashes = new WeakMap<Lua, string>()
  const hashOf = (script: Lua): string => {
    const known = hashes.get(script)
    if (known !== undefined) return known
    const hash = createHash('sha1').update(script.lua).digest('hex')
    hashes.set(script, hash)
    return hash
  }
  return (script, keys, args) =>
    new Promise((resolve, reject) => {
      let isOver = false
      const end = (): void => {
        isOver = true
        cancel()
      }
      const cancel = clock.after(timeoutMs, () => {
        // This process may itself have stood still so long: an answer that lies there already is read first.
        setImmediate(() => {
          isOver = true
          reject(new StoreError('timeout', `Redis did not answer within ${timeoutMs} ms`))
        })
      })
      const fail = (error: unknown): void => {
        end()
        reject(new StoreError(storeFaultOf(error), reasonOf(error)))
      }
      const succeed = (reply: unknown): void => {
        end()
        resolve(reply)
      }
      const keysAndArgs = [...keys.map((key) => keyPrefix + key), ...args]
      shareWrite()
      client.evalsha(hashOf(script), keys.length, ...keysAndArgs).then(succeed, (error: unknown) => {
        // Once the deadline is over, somebody else has decided, and nothing more must be counted.
        if (isOver || !isUnknownScript(error)) fail(error)
        else client.eval(script.lua, keys.length, ...keysAndArgs).then(succeed, fail)
      })
    })
}
