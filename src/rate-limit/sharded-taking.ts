/**
 * Asks a Redis Cluster, where the keys of each identity lie on a server of their own: one call each, in one turn of the
 * event loop. What no call can know of the others is mended afterwards: what was charged is given back when another
 * refused, or when the pass, which lies with the principal, says that it was not due.
 */
import type { Adjustment } from './adjust-script.ts'
import { pullPassMs, pushPassMs } from './charges.ts'
import type { Asked, Charge } from './charges.ts'
import type { Identity } from './identity.ts'
import type { LimitStore } from './limit-store.ts'
import type { Taken, TakeItem } from './take-script.ts'
import { leaseTtlMs, passOf, take, takeGroup } from './taking.ts'
import type { Take, Taking } from './taking.ts'

type Group = { readonly identity: Identity; readonly charges: readonly Charge[] }
type Answered = Group & { readonly taken: Taken | undefined }

export const takeSharded: Take = async (store, asked, leaseId, rememberedAgeMs) => {
  const { pass } = asked
  const { own, others } = grouped(asked)
  if (others.length === 0) return take(store, asked, leaseId, rememberedAgeMs)
  const ask = async (group: Group): Promise<Answered> => ({
    ...group,
    taken: await takeGroup(store, group.charges, undefined, leaseId),
  })
  const askOwn = async (marks: boolean): Promise<Answered> => {
    const askedPass = pass && passOf(pass, rememberedAgeMs)
    const taken = await takeGroup(store, own.charges, askedPass && { ...askedPass, marks }, leaseId)
    return { ...own, taken }
  }

  const isKnownPush = pass?.kind === 'part' && rememberedAgeMs !== undefined
  if (pass?.kind === 'part' && !isKnownPush) {
    // A push makes its pass when all else has admitted it: until then, nothing beside it may slip through by that pass.
    const answered = await Promise.all(others.map(ask))
    const isAdmitted = answered.every(({ taken }) => taken?.admitted !== false)
    const mine = isAdmitted ? await askOwn(true) : await askIfPassed(store, pass.key, own, askOwn, leaseId)
    return settle(store, asked, leaseId, mine, answered)
  }
  const [mine, ...answered] = await Promise.all([askOwn(isKnownPush), ...others.map(ask)])
  return settle(store, asked, leaseId, mine, answered)
}

function grouped({ charges, pass }: Pick<Asked, 'charges' | 'pass'>): { own: Group; others: readonly Group[] } {
  const byIdentity = Map.groupBy(charges, ({ identity }) => identity)
  const identity = pass?.identity ?? charges[0]?.identity
  if (identity === undefined) throw new Error('nothing is asked for')
  const own = { identity, charges: byIdentity.get(identity) ?? [] }
  byIdentity.delete(identity)
  return { own, others: [...byIdentity].map(([identity, charges]) => ({ identity, charges })) }
}

/** Another bucket refused, which a push that goes on does not care for. Without one nothing is charged. */
async function askIfPassed(
  store: LimitStore,
  key: string,
  own: Group,
  askOwn: (marks: boolean) => Promise<Answered>,
  leaseId: string,
): Promise<Answered> {
  const look = { kind: 'push', key, marks: false, ttlMs: pushPassMs, againMs: pushPassMs } as const
  const looked = await takeGroup(store, [], { ...look, rememberedAgeMs: undefined }, leaseId)
  if (looked?.passAgeMs !== undefined) return askOwn(true)
  return { ...own, taken: { admitted: false, passAgeMs: undefined, used: [] } }
}

/** Makes one answer of all, and mends what was charged. */
function settle(
  store: LimitStore,
  { charges, pass }: Pick<Asked, 'charges' | 'pass'>,
  leaseId: string,
  own: Answered,
  others: readonly Answered[],
): Taking {
  const passAgeMs = own.taken?.passAgeMs
  const isOld = pass?.kind === 'part' && passAgeMs !== undefined && passAgeMs > pushPassMs
  const isPassed = (item: TakeItem): boolean => passAgeMs !== undefined && item.role !== 'plain'
  const isPaid = (item: TakeItem): boolean => isPassed(item) && item.role === 'free' && !isOld
  const groups = [own, ...others]
  const admitted = own.taken?.admitted !== false && others.every((group) => !refuses(group, (item) => !isPassed(item)))
  for (const group of groups) {
    const { taken } = group
    if (taken === undefined) continue
    const mended = group.charges.flatMap(({ item }) => {
      // The principal's own call knew of the pass, the others did not.
      const isCharged = taken.admitted && !(group === own && isPaid(item))
      const isDue = admitted && !isPaid(item)
      return isDue === isCharged ? [] : mend(item, leaseId, isDue)
    })
    store.adjust(mended)
  }
  const isMarked = pass?.kind === 'pull' || (pass?.kind === 'pull-by-digest' && passAgeMs === undefined)
  if (admitted && isMarked) store.adjust([{ kind: 'pull-pass', key: pass.key, ttlMs: pullPassMs }])
  const used = usedOf(groups)
  return {
    admitted,
    passAgeMs,
    used: charges.map((charge) => used.get(charge)),
    isUncounted: groups.some(({ taken }) => taken === undefined),
  }
}

/** Whether a group refused for one of the items that are asked about. */
function refuses({ charges, taken }: Answered, isAsked: (item: TakeItem) => boolean): boolean {
  if (taken === undefined || taken.admitted) return false
  return charges.some(({ item }, index) => {
    const used = taken.used[index] ?? 0
    const isRefused = item.kind === 'rate' ? item.needUs > 0 && used + item.needUs > item.limitUs : used >= item.quota
    return isRefused && isAsked(item)
  })
}

/** Charges an item that was not, or gives back what was. */
export function mend(item: TakeItem, leaseId: string, isDue: boolean): readonly Adjustment[] {
  const { key } = item
  if (item.kind !== 'rate')
    return [isDue ? { kind: 'hold', key, id: leaseId, ttlMs: leaseTtlMs } : { kind: 'release', key, id: leaseId }]
  if (item.costUs === 0) return []
  return [{ kind: 'charge', key, costUs: isDue ? item.costUs : -item.costUs, ceilingUs: item.ceilingUs }]
}

function usedOf(groups: readonly Answered[]): ReadonlyMap<Charge, number | undefined> {
  return new Map(groups.flatMap(({ charges, taken }) => charges.map((charge, index) => [charge, taken?.used[index]])))
}
