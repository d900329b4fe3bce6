/** Asks the store for everything that a request is asked for, in one call. */
import { pullPassMs, pushPassMs } from './charges.ts'
import type { Asked, AskedPass, Charge } from './charges.ts'
import type { LimitStore } from './limit-store.ts'
import { takeArguments, takeScript } from './take-script.ts'
import type { Pass, Taken } from './take-script.ts'

/** How long a lease lasts unless it is renewed, in milliseconds. */
export const leaseTtlMs = 30_000

export type Taking = {
  readonly admitted: boolean
  /** How long ago the pass was charged that the request found; nothing when it found none. */
  readonly passAgeMs: number | undefined
  /** For each charge what is used; nothing where the store did not answer. */
  readonly used: readonly (number | undefined)[]
  /** Whether a store did not answer, so that something was not counted. */
  readonly isUncounted: boolean
}

export type Take = (
  store: LimitStore,
  asked: Pick<Asked, 'charges' | 'pass'>,
  leaseId: string,
  /** Of the push that the request belongs to, as this process knows it. */
  rememberedAgeMs: number | undefined,
) => Promise<Taking>

export const take: Take = async (store, { charges, pass }, leaseId, rememberedAgeMs) => {
  const taken = await takeGroup(store, charges, pass && passOf(pass, rememberedAgeMs), leaseId)
  return taken === undefined
    ? { admitted: true, passAgeMs: undefined, used: charges.map(() => undefined), isUncounted: true }
    : { ...taken, isUncounted: false }
}

/** One call for charges whose keys lie together, and perhaps a pass. */
export function takeGroup(
  store: LimitStore,
  charges: readonly Charge[],
  pass: Pass | undefined,
  leaseId: string,
): Promise<Taken | undefined> {
  const lease = { id: leaseId, ttlMs: leaseTtlMs }
  const items = charges.map(({ item }) => item)
  return store.ask(takeScript, takeArguments(pass, lease, items))
}

export function passOf({ kind, key }: AskedPass, rememberedAgeMs: number | undefined): Pass {
  switch (kind) {
    case 'pull':
    case 'pull-by-digest':
      return { kind: 'pull', key, mayBeFree: kind === 'pull-by-digest', marks: true, ttlMs: pullPassMs }
    case 'part':
    case 'beside':
      return { kind: 'push', key, marks: kind === 'part', ttlMs: pushPassMs, againMs: pushPassMs, rememberedAgeMs }
  }
}
