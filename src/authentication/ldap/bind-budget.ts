import { createHash } from 'node:crypto'
import type { Store } from '../../store/store.ts'
import { askBind, settleBind } from './bind-budget-script.ts'
import type { BindBudgetReply } from './bind-budget-script.ts'

/** How a bind ended: `undecided` when the directory did not say whether the password was right. */
export type BindEnd = 'right' | 'wrong' | 'undecided'

export type BindPermit =
  | {
      readonly kind: 'granted'
      /** Must be called once. Until then, and for ever if it is not, the bind counts as wrong. */
      readonly settle: (end: BindEnd) => void
    }
  | { readonly kind: 'withheld'; readonly retryAfterMs: number }

/** Keeps wrong passwords from the directory, whose own lockout would shut out the user they are tried for. */
export type BindBudget = {
  /**
   * Asks whether a password may be sent for an account, which need not exist: unknown ones are counted alike.
   *
   * @param network where it comes from; '' for nowhere in particular
   * @throws StoreError when the store does not answer; then nothing may be sent
   */
  ask(account: string, network: string): Promise<BindPermit>
}

export type BindBudgetOptions = {
  readonly maxFailedBinds: number
  readonly windowMs: number
  /** Shared by all gateways; must answer, from memory where Redis does not. */
  readonly store: Store
}

const reservedEveryMs = 60_000
const knownMs = 86_400_000

/**
 * Creates the budget. Of an account the store gets a digest: who reads it can try whether a name they know is in it, and
 * no more. What it says can withhold a bind and never grant a login.
 */
export function createBindBudget({ maxFailedBinds, windowMs, store }: BindBudgetOptions): BindBudget {
  /** Nobody waits for it. What the store misses here is forgotten with the window. */
  async function settle(key: string, network: string, reply: BindBudgetReply, end: BindEnd): Promise<void> {
    if (end === 'wrong') return
    try {
      await store.run(settleBind, [key], [network, windowMs, knownMs, reply.verdict, reply.atMs, end])
    } catch {
      // The store has told of it.
    }
  }

  return {
    async ask(account, network) {
      const key = `ldap:binds:${digest(account)}`
      const place = digest(network).slice(0, 16)
      const reply = await store.run(askBind, [key], [place, maxFailedBinds, windowMs, reservedEveryMs, knownMs])
      if (reply.verdict === 'withheld') return { kind: 'withheld', retryAfterMs: reply.waitMs }
      return { kind: 'granted', settle: (end) => void settle(key, place, reply, end) }
    },
  }
}

function digest(text: string): string {
  return createHash('sha256').update(`wharfgate ldap ${text}`).digest('hex').slice(0, 32)
}
