import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Policy } from '../authorization/policy.ts'
import { createPolicyStore, printFault } from '../authorization/policy-store.ts'
import { policyWarnings } from '../authorization/policy-warnings.ts'
import { withoutAnonymous } from '../authorization/without-anonymous.ts'
import type { Policies } from '../authorize.ts'
import type { Config } from '../config/schema.ts'
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
  /** The files they are made of now. */
  readonly watched: () => readonly string[]
}

/**
 * Opens the policies that the configuration names.
 *
 * @throws PolicyError when one is missing, empty or at fault
 */
export async function createPolicies(
  { authorization, authentication }: Pick<Config, 'authorization' | 'authentication'>,
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
    watched: () => [...live.watched(), ...(shadow?.watched() ?? [])],
  }
}

type Role = {
  readonly current: () => Policy
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
    const warnings = policyWarnings(loaded, Date.now()).map(printFault)
    events.policyLoaded({ role, name, generation, rules: rules.length, warnings })
  }
  tell()
  return {
    current: () => inForce,
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
