/** What a compiled policy is: the answer to one question about one repository, and where that answer is written. */
import type { Access, Action, TagReach } from '../registry/access.ts'
import type { Tag } from '../registry/name.ts'
import type { Circumstances, RuleReference } from '../registry/grant.ts'
import type { Principal } from '../registry/principal.ts'

/** May the principal do this, in this repository, to these tags? */
export type Question = {
  readonly repository: string
  readonly action: Action
  /** Absent where no tag is touched that could be named. */
  readonly tags?: TagReach | undefined
}

/** The answer, and the rule that gave it; deny beats allow, and no rule is a refusal. */
export type Verdict =
  | { readonly kind: 'allowed'; readonly rule: RuleReference }
  | { readonly kind: 'denied'; readonly rule: RuleReference; readonly message: string | undefined }
  | { readonly kind: 'unmatched' }

/** What one policy answers one principal under given circumstances. */
export interface Judge {
  judge(question: Question): Verdict
  /** Whether anything may be listed anywhere, so that a catalog is worth asking for. */
  readonly listsAnything: boolean
  /** The sentence of the rule that almost matched, where it has one; for a question that no rule matched. */
  messageFor(question: Question): string | undefined
}

/** An entry of `protectedTags` that meets. */
export type Protection = { readonly rule: RuleReference; readonly message: string | undefined }

/**
 * A policy as evaluation sees it. A value that is replaced whole when the files change; asking it changes nothing.
 */
export interface Policy {
  /** What the audit calls it. */
  readonly name: string
  /** Which version of the policies this is; 0 is the one that is built in. */
  readonly generation: number
  judgeFor(principal: Principal, circumstances: Circumstances): Judge
  /** The protection that a tag stands under. */
  protectionOf(repository: string, tag: Tag): Protection | undefined
  /** A protection that some tags of the repository may stand under. */
  protectionIn(repository: string): Protection | undefined
}

/** What was found for one access that a request needed. */
export type Judgement = {
  readonly access: Access
  /** Of the actions of the access, the one that decided; absent where no repository is asked for. */
  readonly action?: Action
  /** `filtered`: granted, and what may not be seen is left out of the answer. */
  readonly verdict: Verdict | { readonly kind: 'login-suffices' | 'login-missing' | 'filtered' }
}
