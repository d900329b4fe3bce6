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
