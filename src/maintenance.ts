import { isWrite } from './registry/access.ts'
import { RegistryError } from './registry/error.ts'
import type { RegistryRequest } from './registry/route.ts'

/** Whether anything may be written at this moment, and what a refused client is told. */
export type Maintenance = { readonly readOnly: boolean; readonly message: string; readonly retryAfterSeconds: number }

/**
 * During maintenance everything but reading is refused. Asked after the policy: who may not push is told that.
 *
 * @throws RegistryError `readOnly` with the operator's sentence
 */
export function refuseWrites(request: RegistryRequest, maintenance: Maintenance): void {
  const { readOnly, message, retryAfterSeconds } = maintenance
  if (!readOnly || !isWrite(request)) return
  throw new RegistryError('readOnly', { sentence: message, retryAfterSeconds })
}
