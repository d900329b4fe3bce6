import type { Tag } from './name.ts'
import type { Principal } from './principal.ts'
import type { RegistryRequest } from './route.ts'

declare const grantBrand: unique symbol

/**
 * Leave to forward one request. Only `authorization/evaluate.ts` makes one, and `forward` accepts nothing else, so
 * a way past authorization does not compile.
 *
 * `request` is what is printed upstream; a mount that the principal may not make is already removed from it.
 */
export type Grant = {
  readonly [grantBrand]: true
  readonly principal: Principal
  readonly request: RegistryRequest
  /** Whether the client asked for a mount and is sent on an ordinary upload instead. */
  readonly mountRemoved: boolean
  readonly preconditions: Preconditions
  /** What of the catalog the principal may see; present where the request is for it. */
  readonly listFilter: ((repository: string) => boolean) | undefined
}

/** What must hold at the upstream before the request may be forwarded. */
export type Preconditions = {
  /** Tags that the request may create but not move: each must be absent, or already name what is pushed. */
  readonly protectedTags: readonly Tag[]
  /** Protected tags that the principal may move; nobody who may not is pushing to them meanwhile. */
  readonly lockedTags: readonly Tag[]
  /** What the client is told where one of them is there with other content. */
  readonly refusal: (tag: Tag) => string
}

/** Where a rule of a policy stands; what a decision names as its reason. */
export type RuleReference = {
  /** The file, as it was given to the loader. */
  readonly file: string
  /** From 1. */
  readonly line: number
  /** In its list (`rules` or `protectedTags`) of the file, from 0. */
  readonly index: number
}

/** What a decision may depend on besides principal and request. */
export type Circumstances = {
  /** The client's address, after trusted proxies. */
  readonly address: string
  /** Milliseconds since the epoch. */
  readonly now: number
  /** Names (host or host:port, lower case) under which this gateway is known; a mount's `origin` is compared with them. */
  readonly ownHosts: ReadonlySet<string>
}
