import { randomUUID } from 'node:crypto'
import type { Config } from '../config/schema.ts'
import { contains, networkList } from '../listener/client-address.ts'
import { createRateLimit } from '../rate-limit/rate-limit.ts'
import type { RateLimit } from '../rate-limit/rate-limit.ts'
import type { Principal } from '../registry/principal.ts'
import { monotonicClock } from '../store/clock.ts'
import type { Events } from '../telemetry/events.ts'
import type { Stores } from './stores.ts'

/**
 * Builds the stage of limits. Where they are switched off, it admits everything and asks nothing.
 *
 * @param groupsOf all groups of a principal, those of the policies too
 */
export function createLimits(
  { rateLimit: settings }: Pick<Config, 'rateLimit'>,
  { shared, local }: Stores,
  groupsOf: (principal: Principal) => readonly string[],
  events: Events,
): RateLimit {
  return createRateLimit({
    buckets: settings.enabled ? settings.buckets : [],
    store: shared,
    local,
    onStoreError: settings.enabled ? settings.onStoreError : 'allow',
    refusalWaitMs: settings.enabled ? settings.refusalWaitMs : 0,
    groupsOf,
    networksOf: (networks) => {
      const list = networkList(networks)
      return (address) => contains(list, address)
    },
    clock: monotonicClock,
    processId: randomUUID(),
    observe: events,
  })
}
