import { mountAccess, requiredAccess } from '../registry/access.ts'
import type { Access } from '../registry/access.ts'
import type { Circumstances, Grant } from '../registry/grant.ts'
import type { Principal } from '../registry/principal.ts'
import type { Mount, RegistryRequest } from '../registry/route.ts'

/** A policy answers for one access at a time; it knows neither requests nor grants. */
export type Policy = {
  readonly name: string
  /** Which version of the policies this is; 0 is the one that is built in. */
  readonly generation: number
  allows(principal: Principal, access: Access): boolean
}

/** What was decided, and on what; the audit line and the client's sentence are both made from it. */
export type Decision =
  | { readonly kind: 'granted'; readonly grant: Grant; readonly trace: Trace }
  | { readonly kind: 'refused'; readonly trace: Trace }

/** The accesses a request needed and the first of them that was not granted. */
export type Trace = {
  readonly policy: string
  readonly policyGeneration: number
  readonly required: readonly Access[]
  readonly missing: Access | undefined
}

/** An authenticated user may do everything, nobody else anything. */
export const authenticatedUsersOnly: Policy = {
  name: 'authenticated-users-only',
  generation: 0,
  allows: (principal) => principal.kind === 'user',
}

/**
 * Decides one request; the only maker of a {@link Grant}. Pure: the same arguments, the same decision.
 * Deny is the default: whatever the policy does not allow by name is refused.
 */
export function evaluate(
  policy: Policy,
  principal: Principal,
  request: RegistryRequest,
  circumstances: Circumstances,
): Decision {
  const required = requiredAccess(request)
  const missing = required.find((access) => !policy.allows(principal, access))
  const trace: Trace = { policy: policy.name, policyGeneration: policy.generation, required, missing }
  if (missing !== undefined) return { kind: 'refused', trace }
  const permitted = withoutForbiddenMount(policy, principal, request, circumstances)
  const grant = { principal, request: permitted, mountRemoved: permitted !== request } as Grant
  return { kind: 'granted', grant, trace }
}

/**
 * Turns a mount that may not be made into an ordinary upload, which the specification allows the registry to do at
 * any time (end-11, 202), so that a push goes on instead of failing. A mount without a source is one too: the
 * registry might look for the blob in every repository.
 */
function withoutForbiddenMount(
  policy: Policy,
  principal: Principal,
  request: RegistryRequest,
  { ownHosts }: Circumstances,
): RegistryRequest {
  if (request.kind !== 'upload-start' || request.mount === undefined) return request
  const source = mountAccess(request)
  const permitted = source !== undefined && isOurs(request.mount, ownHosts) && policy.allows(principal, source)
  return permitted ? request : { ...request, mount: undefined }
}

function isOurs({ origin }: Mount, ownHosts: ReadonlySet<string>): boolean {
  return origin === undefined || ownHosts.has(origin.toLowerCase())
}
