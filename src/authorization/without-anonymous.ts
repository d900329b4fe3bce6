import type { Policy } from './policy.ts'

/** The policy for a gateway at which nobody is let in without a login, whatever the rules say of `anonymous`. */
export function withoutAnonymous(policy: Policy): Policy {
  return {
    name: policy.name,
    generation: policy.generation,
    judgeFor: (principal, circumstances) =>
      principal.kind === 'anonymous'
        ? { judge: () => ({ kind: 'unmatched' }), listsAnything: false, messageFor: () => undefined }
        : policy.judgeFor(principal, circumstances),
    protectionOf: (repository, tag) => policy.protectionOf(repository, tag),
    protectionIn: (repository) => policy.protectionIn(repository),
  }
}
