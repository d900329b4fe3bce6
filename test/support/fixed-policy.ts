import type { Policy } from '../../src/authorization/policy.ts'
import type { Access } from '../../src/registry/access.ts'
import type { Principal } from '../../src/registry/principal.ts'

/** A policy by a function, for tests of what stands around it: what it does not allow no rule matches, no tag is protected. */
export function fixedPolicy(name: string, allows: (principal: Principal, access: Access) => boolean): Policy {
  return {
    name,
    generation: 1,
    judgeFor: (principal) => ({
      judge: ({ repository, action }) =>
        allows(principal, { type: 'repository', name: repository, anyOf: [action] })
          ? { kind: 'allowed', rule: { file: 'fixed', line: 1, index: 0 } }
          : { kind: 'unmatched' },
      listsAnything: allows(principal, { type: 'registry', name: 'catalog', anyOf: ['list'] }),
      messageFor: () => undefined,
    }),
    protectionOf: () => undefined,
    protectionIn: () => undefined,
  }
}

/** A user who has logged in may do everything, nobody else anything. */
export const authenticatedUsersOnly = fixedPolicy('authenticated-users-only', ({ kind }) => kind === 'user')
