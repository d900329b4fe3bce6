import type { Logger } from './log.ts'
import type { PolicyMetrics, PolicyReport } from './policy-metrics.ts'

/** How reading the list of repositories from the upstream ended. */
export type CatalogWalk =
  | {
      readonly kind: 'complete'
      readonly seconds: number
      readonly names: number
      readonly pages: number
      /** Entries that are no names of repositories. */
      readonly ignored: number
    }
  | { readonly kind: 'failed'; readonly seconds: number; readonly error: unknown }

/** What happens to policies, and to the catalog that they filter. */
export type PolicyEvents = {
  /** A policy was put in force; without `warnings` they were not looked for, because there is so much of it. */
  readonly policyLoaded: (policy: PolicyReport & { readonly warnings: readonly string[] | undefined }) => void
  /** The list of repositories was read from the upstream, or could not be. */
  readonly catalogWalked: (walk: CatalogWalk) => void
}

const maxWarningsLogged = 20

export function policyEvents(log: Logger, metrics: PolicyMetrics): PolicyEvents {
  return {
    policyLoaded: ({ warnings, ...policy }) => {
      metrics.policyLoaded(policy)
      log.info('a policy is in force', { ...policy, doubtsSought: warnings !== undefined })
      for (const warning of (warnings ?? []).slice(0, maxWarningsLogged))
        log.warn('a policy says something doubtful', { warning })
    },
    catalogWalked: (walk) => {
      if (walk.kind === 'complete') {
        const { seconds, names, pages, ignored } = walk
        metrics.catalogWalked('success', names)
        log.info('the list of repositories was read from the upstream registry', { seconds, names, pages, ignored })
        return
      }
      metrics.catalogWalked('error', undefined)
      const { seconds, error } = walk
      log.warn('the list of repositories could not be read from the upstream registry', { seconds }, error)
    },
  }
}
