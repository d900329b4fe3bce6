/** The store of limits, and what happens while it does not answer. */
import type { StoreErrorVerdict } from '../telemetry/labels.ts'
import { StoreError } from '../store/store.ts'
import type { Argument, Store, StoreScript } from '../store/store.ts'
import { adjustArguments, adjustScript } from './adjust-script.ts'
import type { Adjustment } from './adjust-script.ts'

export type LimitStore = {
  /** Answers nothing where the store did not, and `onStoreError` is not `local`. */
  ask<Reply>(
    script: StoreScript<Reply>,
    asked: { readonly keys: readonly string[]; readonly args: readonly Argument[] },
  ): Promise<Reply | undefined>
  /** All keys of one identity; nobody waits for it. What the store does not take is lost, and each key has an end. */
  adjust(adjustments: readonly Adjustment[]): void
  /** As `adjust`, for who waits. It rejects as the store does. */
  adjustNow(adjustments: readonly Adjustment[]): Promise<void>
  readonly isSharded: boolean
  /** Resolves when nothing is under way any more. */
  settled(): Promise<void>
}

export type LimitStoreOptions = {
  readonly store: Store
  /** Counts meanwhile, in the memory of this process. */
  readonly local: Store
  readonly onStoreError: StoreErrorVerdict
  readonly uncounted: (verdict: StoreErrorVerdict) => void
}

export function createLimitStore({ store, local, onStoreError, uncounted }: LimitStoreOptions): LimitStore {
  const underWay = new Set<Promise<void>>()

  async function adjustNow(adjustments: readonly Adjustment[]): Promise<void> {
    const { keys, args } = adjustArguments(adjustments)
    try {
      await store.run(adjustScript, keys, args)
    } catch (error) {
      if (!(error instanceof StoreError) || onStoreError !== 'local') throw error
      await local.run(adjustScript, keys, args)
    }
  }

  return {
    isSharded: store.isSharded,
    ask: async (script, { keys, args }) => {
      try {
        return await store.run(script, keys, args)
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
        uncounted(onStoreError)
        return onStoreError === 'local' ? local.run(script, keys, args) : undefined
      }
    },
    adjustNow,
    adjust: (adjustments) => {
      if (adjustments.length === 0) return
      const run = adjustNow(adjustments).catch(() => {
        // The store has told of its own failure; what was not adjusted ends by its time to live.
      })
      underWay.add(run)
      void run.finally(() => underWay.delete(run))
    },
    settled: async () => {
      while (underWay.size > 0) await Promise.all(underWay)
    },
  }
}
