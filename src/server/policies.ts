import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { LoadedPolicy } from '../authorization/compile-policy.ts'
import type { Policy } from '../authorization/policy.ts'
import { createPolicyStore, printFault } from '../authorization/policy-store.ts'
import { policyWarnings } from '../authorization/policy-warnings.ts'
import { groupsOf } from '../authorization/subject.ts'
import type { Memberships } from '../authorization/subject.ts'
import { withoutAnonymous } from '../authorization/without-anonymous.ts'
import type { Policies } from '../authorize.ts'
import type { Config } from '../config/schema.ts'
import type { Principal } from '../registry/principal.ts'
import type { Events } from '../telemetry/events.ts'
import type { PolicyRole } from '../telemetry/policy-metrics.ts'

/** The policies in force, and how they are replaced. */
export type LivePolicies = Policies & {
  /**
   * Reads the policies of a configuration again. What is at fault stays as it was, the live and the shadow policy apart.
   *
   * @throws PolicyError
   */
  readonly replace: (settings: Config['authorization']) => Promise<void>
  /** All groups of a principal: those of its login, and those of the live policy. */
  readonly groupsOf: (principal: Principal) => readonly string[]
  /** The files they are made of now. */
  readonly watched: () => readonly string[]
}

type PolicySettings = Pick<Config, 'authorization'> & {
  readonly authentication: Pick<Config['authentication'], 'anonymous'>
}

/**
 * Opens the policies that the configuration names.
 *
 * @throws PolicyError when one is missing, empty or at fault
 */
export async function createPolicies(
  { authorization, authentication }: PolicySettings,
  events: Pick<Events, 'policyLoaded'>,
): Promise<LivePolicies> {
  const view = authentication.anonymous.enabled ? (policy: Policy) => policy : withoutAnonymous
  const open = (role: PolicyRole, path: string): Promise<Role> => openRole(role, path, view, events)
  const openShadow = async (path: string | undefined): Promise<Role | undefined> =>
    path === undefined ? undefined : open('shadow', path)

  const live = await open('live', authorization.policies)
  let shadow = await openShadow(authorization.shadow)
  return {
    current: live.current,
    shadow: () => shadow?.current(),
    replace: async (next) => {
      await live.replace(next.policies)
      if (next.shadow !== undefined && shadow !== undefined) await shadow.replace(next.shadow)
      else if (next.shadow !== undefined) shadow = await openShadow(next.shadow)
      else if (shadow !== undefined) {
        shadow = undefined
        events.policyLoaded({ role: 'shadow', name: '', generation: 0, rules: 0, warnings: [] })
      }
    },
    groupsOf: (principal) => groupsOf(principal, live.memberships()),
    watched: () => [...live.watched(), ...(shadow?.watched() ?? [])],
  }
}

type Role = {
  readonly current: () => Policy
  readonly memberships: () => Memberships
  readonly replace: (path: string) => Promise<void>
  readonly watched: () => readonly string[]
}

const folder = { readFile, listFolder: (path: string) => readdirSync(path) }

/** A store that tells what it puts in force, seen through `view`. */
async function openRole(
  role: PolicyRole,
  path: string,
  view: (policy: Policy) => Policy,
  events: Pick<Events, 'policyLoaded'>,
): Promise<Role> {
  const store = await createPolicyStore(path, folder)
  let loaded = store.current()
  let inForce = view(loaded)
  const tell = (): void => {
    const { name, generation, rules } = loaded
    const warnings = isSmall(loaded) ? policyWarnings(loaded, Date.now()).map(printFault) : undefined
    events.policyLoaded({ role, name, generation, rules: rules.length, warnings })
  }
  tell()
  return {
    current: () => inForce,
    memberships: () => loaded.memberships,
    replace: async (next) => {
      await store.replace(next)
      if (store.current() === loaded) return
      loaded = store.current()
      inForce = view(loaded)
      tell()
    },
    watched: store.watched,
  }
}

/**
 * What doubts are looked for among, at most: the pairs of a subject and a pattern, and the groups. To look takes a tenth of
 * a second for so many, in which nobody is answered; of more it can take many, and is left to `wharfgate check`.
 */
const maxLookedThrough = 500

function isSmall({ rules, groups }: LoadedPolicy): boolean {
  const pairs = rules.map(({ to, except, on }) => (to.length + except.length) * on.length)
  return pairs.reduce((sum, count) => sum + count, groups.size) <= maxLookedThrough
}
