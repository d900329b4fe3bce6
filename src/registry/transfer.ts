/** `up` is from the client to the upstream, `down` from the upstream to the client. */
export type Direction = 'up' | 'down'

/** How the bytes of an exchange came to their end. */
export type TransferOutcome = 'complete' | 'aborted-by-client' | 'aborted-by-upstream' | 'aborted-by-gateway'

/**
 * The only counter of bytes, in every lane; limits, audit and metrics read it.
 * `charge` may return a promise: the lane then pauses its source until it settles (a throttle).
 * `end` is called once, when no more bytes will flow.
 */
export type Transfer = {
  charge(direction: Direction, bytes: number): void | Promise<void>
  end(outcome: TransferOutcome): void
}
