/** What the end of a pump means for the exchange it served. */
import { RegistryError } from '../registry/error.ts'
import type { TransferOutcome } from '../registry/transfer.ts'
import type { PumpEnd } from './pump.ts'

/** The refusal for an upload that ended for another reason than either side's connection. */
export function uploadFault(
  end: Exclude<PumpEnd, { kind: 'complete' | 'source-failed' | 'sink-failed' }>,
): RegistryError {
  switch (end.kind) {
    case 'too-large':
      return new RegistryError('manifestTooLarge')
    case 'source-idle':
      return new RegistryError('requestTimeout', { cause: new Error('the client stopped sending its body') })
    case 'sink-idle':
      return new RegistryError('upstreamTimeout', { cause: new Error('the upstream stopped reading the body') })
    case 'charge-failed':
      return new RegistryError('gatewayFault', { cause: end.cause })
    case 'stopped':
      return new RegistryError('gatewayFault')
  }
}

/** Who broke a download off that did not come to its end. */
export function brokenOffBy({ kind }: Exclude<PumpEnd, { kind: 'complete' }>): TransferOutcome {
  switch (kind) {
    case 'sink-failed':
      return 'aborted-by-client'
    case 'source-failed':
    case 'source-idle':
      return 'aborted-by-upstream'
    case 'sink-idle':
    case 'charge-failed':
    case 'too-large':
    case 'stopped':
      return 'aborted-by-gateway'
  }
}
