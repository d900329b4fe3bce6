import type { Access } from '../registry/access.ts'
import type { RegistryError } from '../registry/error.ts'
import type { Principal } from '../registry/principal.ts'
import type { RegistryRequest } from '../registry/route.ts'
import type { TransferOutcome } from '../registry/transfer.ts'

/**
 * Everything that is known about an exchange when it ends. The audit line, the metrics and the log entry are all made
 * from this one value, so they cannot disagree.
 */
export type ExchangeRecord = {
  readonly requestId: string
  /** Milliseconds since the epoch. */
  readonly startedAtMs: number
  readonly durationMs: number
  /** As the client sent it; may be any text. */
  readonly method: string
  /** What {@link printablePath} makes of the raw target: without its query. */
  readonly path: string
  /** After trusted proxies. */
  readonly clientAddress: string
  /** As the client sent it; bounded and cleaned where it is printed. */
  readonly userAgent: string | undefined
  /** Absent when the target did not parse. */
  readonly request: RegistryRequest | undefined
  /** Absent when the exchange ended before the client was known. */
  readonly principal: Principal | undefined
  readonly decision: ExchangeDecision | undefined
  /** Absent when the connection broke before the head of a response was sent. */
  readonly status: number | undefined
  readonly error: RegistryError | undefined
  /** Bytes of the bodies, as the transfer counted them. */
  readonly bytesUp: number
  readonly bytesDown: number
  readonly outcome: TransferOutcome
}

/** What authorization decided; absent from a record when the exchange ended before it was asked. */
export type ExchangeDecision = {
  readonly kind: 'granted' | 'refused'
  /** Name of the policy that decided. */
  readonly policy: string
  /** Which version of the policies that was, counted since the start. */
  readonly policyGeneration: number
  readonly required: readonly Access[]
  /** The rule that decided, as `file:line`; absent where none met. */
  readonly rule: string | undefined
  /** What the shadow policy would have decided; absent without one. */
  readonly shadowDecision: 'granted' | 'refused' | undefined
  /** Whether a mount that may not be made was turned into an ordinary upload. */
  readonly mountRemoved: boolean
  /** The tags that a granted PUT may create but not move; empty for everything else. */
  readonly protectedTags: readonly string[]
}
