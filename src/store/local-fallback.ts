import { StoreError } from './store.ts'
import type { Store } from './store.ts'

/**
 * Joins two stores: what the first cannot answer is asked of the second, the twin in memory. Nothing is carried over
 * from one to the other: after an outage, what was counted locally is forgotten, and Redis goes on where it stood.
 */
export function withLocalFallback(store: Store, local: Store): Store {
  return {
    isSharded: store.isSharded,
    run: (script, keys, args) =>
      store.run(script, keys, args).catch((error: unknown) => {
        if (error instanceof StoreError) return local.run(script, keys, args)
        throw error
      }),
    close: async () => {
      await Promise.all([store.close(), local.close()])
    },
  }
}
