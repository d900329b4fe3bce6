/** One request before its buckets: asked, perhaps held and asked again, admitted or refused. */
import { RegistryError } from '../registry/error.ts'
import type { LimitEvents } from '../telemetry/limit-events.ts'
import type { LimitVerdict, StoreErrorVerdict } from '../telemetry/labels.ts'
import { bucketState } from './bucket-state.ts'
import type { BucketState } from './bucket-state.ts'
import { pushPassMs } from './charges.ts'
import type { Asked, Charge } from './charges.ts'
import { refusalHeaders } from './limit-headers.ts'
import type { LimitStore } from './limit-store.ts'
import { refusalSentence } from './limit-words.ts'
import type { PushPasses } from './push-passes.ts'
import { mend, takeSharded } from './sharded-taking.ts'
import { take } from './taking.ts'
import type { Taking } from './taking.ts'
import type { Leaving, WaitingRoom } from './waiting-room.ts'

export type Decide = (
  asked: Asked,
  client: Leaving | undefined,
  setHeader: (name: string, value: string) => void,
) => Promise<Admitted>

export type Admitted = {
  /** How the buckets that were counted stand now. */
  readonly states: () => readonly BucketState[]
  /** The id of all leases that were taken. */
  readonly leaseId: string
}

export type DecideOptions = {
  readonly limits: LimitStore
  readonly passes: PushPasses
  readonly room: WaitingRoom
  readonly onStoreError: StoreErrorVerdict
  /** How long a request is held before it is refused. */
  readonly refusalWaitMs: number
  readonly processId: string
  readonly observe: Pick<LimitEvents, 'limitDecided'>
}

/** `Retry-After` where nobody knows when a transfer will end. */
const unknownWaitSeconds = 5

export function createDecide(options: DecideOptions): Decide {
  const { limits, passes, room, onStoreError, refusalWaitMs, processId, observe } = options
  const takeAll = limits.isSharded ? takeSharded : take
  let leasesTaken = 0

  /** Holds a request that was refused, and asks once more where its turn can have come. */
  async function askAgain(
    first: Taking,
    ask: () => Promise<Taking>,
    asked: Asked,
    client: Leaving | undefined,
  ): Promise<{ readonly taking: Taking; readonly heldMs: number }> {
    const waitMs = longestWait(refusedStates(asked, first))
    const isSoon = waitMs === undefined || waitMs <= refusalWaitMs
    const heldMs = waitMs === undefined ? refusalWaitMs : Math.min(refusalWaitMs, Math.ceil(waitMs) + 1)
    if (!(await room.wait(heldMs, client))) return { taking: first, heldMs: 0 }
    // On a cluster the pass of a push that began beside this request may be there by now.
    const mayBePassed = limits.isSharded && asked.pass?.kind === 'part'
    return isSoon || mayBePassed ? { taking: await ask(), heldMs: 0 } : { taking: first, heldMs }
  }

  return async (asked, client, setHeader) => {
    const { pass, charges } = asked
    leasesTaken += 1
    const leaseId = `${processId}-${leasesTaken}`
    if (charges.length === 0) return { states: () => [], leaseId }
    const ask = (): Promise<Taking> => {
      const isPush = pass?.kind === 'part' || pass?.kind === 'beside'
      return takeAll(limits, asked, leaseId, isPush ? passes.ageMs(pass.key) : undefined)
    }
    let taking = await ask()
    let heldMs = 0
    if (!taking.admitted) ({ taking, heldMs } = await askAgain(taking, ask, asked, client))
    if (!taking.admitted) throw refusal(asked, taking, heldMs, setHeader, observe)
    if (taking.isUncounted && onStoreError === 'deny') refuseUncounted(asked, taking, leaseId)
    tellAdmitted(asked, taking, observe)
    if (pass?.kind === 'part') rememberPass(pass.key, taking)
    return { states: () => statesOf(charges, taking), leaseId }
  }

  /** Nobody could count, and the operator wants none of that; but what is free is, and a push that goes on is not cut. */
  function refuseUncounted({ charges, pass }: Asked, taking: Taking, leaseId: string): void {
    if (charges.every(({ item }) => item.kind === 'rate' && item.needUs === 0)) return
    if (pass !== undefined && passes.ageMs(pass.key) !== undefined) return
    for (const [index, { item }] of charges.entries()) {
      if (taking.used[index] !== undefined) limits.adjust(mend(item, leaseId, false))
    }
    throw new RegistryError('limitsUnavailable')
  }

  function rememberPass(key: string, { passAgeMs, isUncounted }: Taking): void {
    if (isUncounted && passAgeMs === undefined) passes.admitted(key, passes.ageMs(key) ?? 0)
    else passes.admitted(key, passAgeMs === undefined || passAgeMs > pushPassMs ? 0 : passAgeMs)
  }
}

function refusal(
  asked: Asked,
  taking: Taking,
  heldMs: number,
  setHeader: (name: string, value: string) => void,
  observe: Pick<LimitEvents, 'limitDecided'>,
): RegistryError {
  const refused = refusedStates(asked, taking).map((state) => later(state, heldMs))
  for (const { bucket } of refused) observe.limitDecided(bucket.name, 'refused')
  for (const [name, value] of refusalHeaders(statesOf(asked.charges, taking), refused)) setHeader(name, value)
  const [first, ...others] = refused
  // A store that refuses and does not say why is believed all the same.
  if (first === undefined) return new RegistryError('rateLimited')
  const worst = others.reduce((one, other) => ((other.waitMs ?? 0) > (one.waitMs ?? 0) ? other : one), first)
  return new RegistryError('rateLimited', {
    sentence: refusalSentence(worst, worst.waitMs),
    sentenceInReason: true,
    bucket: worst.bucket.name,
    retryAfterSeconds: Math.max(...refused.map(({ waitMs }) => retryAfterSeconds(waitMs))),
  })
}

/** The wait for a byte ends a microsecond after the second, which is no second more. */
function retryAfterSeconds(waitMs: number | undefined): number {
  return waitMs === undefined ? unknownWaitSeconds : Math.max(1, Math.ceil((waitMs - 0.01) / 1000))
}

/** A state that was told some time ago. */
function later(state: BucketState, ms: number): BucketState {
  const rest = (waitMs: number | undefined): number | undefined => waitMs && Math.max(0, waitMs - ms)
  return { ...state, nextMs: rest(state.nextMs), waitMs: rest(state.waitMs) }
}

/** Those that refused; what a pass lets through is none of them. */
function refusedStates({ charges }: Asked, taking: Taking): readonly BucketState[] {
  const asked = charges.map((charge, index) => [charge, taking.used[index]] as const)
  return asked.flatMap(([charge, used]) => {
    const isPassed = taking.passAgeMs !== undefined && charge.item.role !== 'plain'
    if (used === undefined || isPassed) return []
    const state = bucketState(charge, used)
    return state.waitMs === 0 ? [] : [state]
  })
}

/** The longest wait of those that refused; nothing when nobody knows. */
function longestWait(refused: readonly BucketState[]): number | undefined {
  const known = refused.map(({ waitMs }) => waitMs).filter((waitMs) => waitMs !== undefined)
  return known.length === 0 ? undefined : Math.max(...known)
}

function statesOf(charges: readonly Charge[], { used }: Taking): readonly BucketState[] {
  const states: BucketState[] = []
  for (const [index, charge] of charges.entries()) {
    const usedNow = used[index]
    if (usedNow !== undefined) states.push(bucketState(charge, usedNow))
  }
  return states
}

function tellAdmitted(
  { charges, pass }: Asked,
  { passAgeMs, used }: Taking,
  observe: Pick<LimitEvents, 'limitDecided'>,
): void {
  const isOld = pass?.kind === 'part' && passAgeMs !== undefined && passAgeMs > pushPassMs
  for (const [index, { bucket, item }] of charges.entries()) {
    const isFree = passAgeMs !== undefined && item.role === 'free' && !isOld
    if (used[index] === undefined || isFree || (item.kind === 'rate' && item.needUs === 0)) continue
    const verdict: LimitVerdict = passAgeMs !== undefined && item.role !== 'plain' ? 'forced' : 'admitted'
    observe.limitDecided(bucket.settings.name, verdict)
  }
}
