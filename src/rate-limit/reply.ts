import type { Argument } from '../store/store.ts'

/**
 * Reads a reply that is a list of integers.
 *
 * @throws Error when it is anything else, so that a reply that was tampered with counts as the store's failure
 */
export function integersOf(script: string, raw: unknown): readonly number[] {
  if (!Array.isArray(raw)) throw new Error(`${script}: the reply is no list`)
  return raw.map((value: unknown) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value))
      throw new Error(`${script}: the reply holds no integers`)
    return value
  })
}

/** A number among the arguments of a script in memory. */
export function numberAt(args: readonly Argument[], index: number): number {
  return Number(args[index])
}
