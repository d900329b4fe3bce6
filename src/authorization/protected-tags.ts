import type { Tag } from '../registry/name.ts'
import type { Policy, Protection } from './policy.ts'

/**
 * Tags that clients make of a digest, for what refers to it: the referrers tag schema (OCI distribution specification
 * 1.1, "Referrers Tag Schema") and cosign's signatures, attestations and bills of materials.
 */
const tagOfDigest = /^sha256-[0-9a-f]{64}(?:\.(?:sig|att|sbom))?$/

/** The protection that a tag stands under; none for a tag made of a digest, which every new referrer must move. */
export function protectionOfTag(policy: Policy, repository: string, tag: Tag): Protection | undefined {
  return tagOfDigest.test(tag) ? undefined : policy.protectionOf(repository, tag)
}
