/** Which buckets a request is asked for, and how; prepared once for every shape of request. */
import type { RegistryRequest } from '../registry/route.ts'
import { costUs } from './bucket.ts'
import type { Asker, Bucket, Rate } from './bucket.ts'
import { passKey } from './identity.ts'
import type { Identity } from './identity.ts'
import { requestUses, shapeOf, transfersOf } from './request-uses.ts'
import type { RequestShape, RequestUse } from './request-uses.ts'
import type { PassRole, TakeItem } from './take-script.ts'

/** How long manifests by digest are free after a charged pull: an index and its platforms are one pull. */
export const pullPassMs = 60_000
/** How long a push may pause, and how often one that goes on is counted again. */
export const pushPassMs = 600_000

export type Charge = { readonly bucket: Bucket; readonly identity: Identity; readonly item: TakeItem }

/** One identity's share of a bucket of bytes. */
export type ByteCharge = {
  readonly bucket: Bucket
  readonly identity: Identity
  readonly key: string
  readonly rate: Rate
}

export type AskedPass = {
  readonly identity: Identity
  readonly key: string
  /** `pull` may be free, or is charged and marks; `part` begins or goes on with a push; `beside` is let through by one. */
  readonly kind: 'pull' | 'pull-by-digest' | 'part' | 'beside'
}

/** Everything that a request is asked for. */
export type Asked = {
  readonly charges: readonly Charge[]
  readonly pass: AskedPass | undefined
  /** Whether the answer tells the state of the buckets in headers. */
  readonly isShown: boolean
  /** Which way content flows, for the two below; nothing when none does. */
  readonly direction: 'down' | 'up' | undefined
  /** Buckets that are charged while content flows. */
  readonly flowing: readonly ByteCharge[]
  /** Buckets that slow it down. */
  readonly slowed: readonly ByteCharge[]
}

type Step = { readonly bucket: Bucket } & (
  | { readonly kind: 'lease'; readonly role: PassRole }
  | { readonly kind: 'slow'; readonly rate: Rate }
  | { readonly kind: 'bytes'; readonly rate: Rate; readonly role: PassRole }
  | { readonly kind: 'requests'; readonly rate: Rate; readonly role: PassRole; readonly costUs: number }
)

/** Says what a request is asked for; nothing when no bucket applies to it. */
export type ChargesOf = (asker: Asker, request: RegistryRequest) => Asked | undefined

export function compileCharges(buckets: readonly Bucket[]): ChargesOf {
  const plans = new Map<RequestShape, readonly Step[]>()
  for (const shape of shapes)
    plans.set(
      shape,
      buckets.flatMap((bucket) => stepsOf(bucket, requestUses[shape])),
    )
  return (asker, request) => {
    const shape = shapeOf(request)
    const steps = plans.get(shape) ?? []
    return steps.length === 0 ? undefined : askedOf(steps, requestUses[shape], asker, request)
  }
}

const shapes = Object.keys(requestUses).filter((name): name is RequestShape => name in requestUses)

function askedOf(steps: readonly Step[], use: RequestUse, asker: Asker, request: RegistryRequest): Asked | undefined {
  const charges: Charge[] = []
  const flowing: ByteCharge[] = []
  const slowed: ByteCharge[] = []
  for (const step of steps) {
    const { bucket } = step
    for (const identity of bucket.identitiesOf(asker)) {
      const key = bucket.keyOf(identity)
      if (step.kind === 'slow') slowed.push({ bucket, identity, key, rate: step.rate })
      else charges.push({ bucket, identity, item: itemOf(step, key) })
      if (step.kind === 'bytes') flowing.push({ bucket, identity, key, rate: step.rate })
    }
  }
  if (charges.length === 0 && slowed.length === 0) return undefined
  const direction = use.content === 'no' ? undefined : use.content
  const pass = passOf(charges, use, asker, request)
  return { charges, pass, isShown: use.pull !== 'no', direction, flowing, slowed }
}

function itemOf(step: Exclude<Step, { kind: 'slow' }>, key: string): TakeItem {
  const { role } = step
  switch (step.kind) {
    case 'lease':
      return { kind: 'lease', key, role, quota: step.bucket.settings.quota }
    case 'bytes':
      // A bucket that is not empty lets the whole transfer through, which is charged while it flows.
      return {
        kind: 'rate',
        key,
        role,
        costUs: 0,
        needUs: 1,
        limitUs: step.rate.limitUs,
        ceilingUs: step.rate.ceilingUs,
      }
    case 'requests': {
      const { limitUs, ceilingUs } = step.rate
      return { kind: 'rate', key, role, costUs: step.costUs, needUs: step.costUs, limitUs, ceilingUs }
    }
  }
}

function passOf(
  charges: readonly Charge[],
  use: RequestUse,
  { own: identity }: Asker,
  request: RegistryRequest,
): AskedPass | undefined {
  // Only requests on a repository have a use that a pass matters to.
  if (!('repository' in request)) return undefined
  const wanted = use.push === 'part' ? charges.length > 0 : charges.some(({ item }) => item.role !== 'plain')
  if (!wanted) return undefined
  if (use.push !== 'no') return { identity, key: passKey(identity, 'push', request.repository), kind: use.push }
  const isByDigest = request.kind === 'manifest' && request.reference.kind === 'digest'
  const key = passKey(identity, 'pull', request.repository)
  return { identity, key, kind: isByDigest ? 'pull-by-digest' : 'pull' }
}

/** How a bucket is asked for requests of one use: once, or not at all. */
function stepsOf(bucket: Bucket, use: RequestUse): readonly Step[] {
  const { settings, rate } = bucket
  const inPush: PassRole = use.push === 'no' ? 'plain' : 'forced'
  const counted = settings.class
  if (settings.unit === 'requests') {
    if (rate === undefined) return []
    const step = { bucket, kind: 'requests', rate, role: 'plain', costUs: costUs(rate, 1) } as const
    if (counted === 'requests') return [{ ...step, role: inPush }]
    if (counted === 'push') return use.push === 'part' ? [{ ...step, role: 'free' }] : []
    if (counted === 'api') return use.isListing ? [step] : []
    if (counted !== 'pull' || use.pull === 'no') return []
    return [use.pull === 'counted' ? { ...step, role: 'free' } : { ...step, costUs: 0 }]
  }
  if (!transfersOf(counted, use)) return []
  if (settings.unit === 'concurrent') return [{ bucket, kind: 'lease', role: inPush }]
  if (rate === undefined || settings.direction !== use.content) return []
  if (settings.onExceeded === 'slow') return [{ bucket, kind: 'slow', rate }]
  return [{ bucket, kind: 'bytes', rate, role: inPush }]
}

/** What a login is asked for that has to be checked. */
export function loginCharges(buckets: readonly Bucket[]): (asker: Asker) => Asked | undefined {
  const counted = buckets.filter(({ settings }) => settings.class === 'login')
  return (asker) => {
    const charges = counted.flatMap((bucket): readonly Charge[] => {
      const { rate } = bucket
      if (rate === undefined) return []
      const step = { bucket, kind: 'requests', rate, role: 'plain', costUs: costUs(rate, 1) } as const
      return bucket
        .identitiesOf(asker)
        .map((identity) => ({ bucket, identity, item: itemOf(step, bucket.keyOf(identity)) }))
    })
    if (charges.length === 0) return undefined
    return { charges, pass: undefined, isShown: false, direction: undefined, flowing: [], slowed: [] }
  }
}
