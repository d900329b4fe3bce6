import { createHash } from 'node:crypto'
import { RegistryError } from '../registry/error.ts'
import type { Preconditions } from '../registry/grant.ts'
import { parseDigest } from '../registry/name.ts'
import type { Digest, RepositoryName, Tag } from '../registry/name.ts'
import { printTarget } from '../registry/route.ts'
import { upstreamRequestHeaders } from './request-headers.ts'
import type { Forwarding } from './request-headers.ts'
import type { TagLock } from './tag-lock.ts'
import { isStaleConnection } from './upstream-client.ts'
import type { OpenUpstream, UpstreamResponse } from './upstream-client.ts'

export type TagGuardSettings = {
  readonly upstreamUrl: URL
  /** What the gateway shows the upstream of itself, as everywhere. */
  readonly upstream: { readonly host: string; readonly authorization: string | undefined }
  readonly lock: TagLock
  /** How long a push waits for others of the same tag, in milliseconds. */
  readonly waitMs: number
  /** How long the upstream may take to tell of all tags of one push, in milliseconds. */
  readonly checkMs: number
}

/** A push of a manifest that names protected tags. */
export type GuardedPush = Preconditions & {
  readonly repository: RepositoryName
  /** The manifest, whole: its digest is made of it and never taken from the client's word. */
  readonly body: Buffer
  readonly about: Forwarding
  /** Ends the waiting for the tags' turn when the client has left. */
  readonly signal?: AbortSignal
}

export type TagGuard = {
  /**
   * Calls `put`, once, where each protected tag is absent upstream or already names this manifest; the tags are locked
   * from before the question until `put` has settled. `put` sends the manifest and is done with the head of the
   * answer; it has deadlines of its own, and it should not be given up because the client leaves: the upstream would go
   * on with what it has, behind the back of the lock.
   *
   * What it cannot see, and a push can therefore still lose by milliseconds: pushes through another replica (where the
   * lock is not shared, or its lease was lost), writes that go past the gateway, and what an upstream does after it let
   * the deadline of its answer pass. `docs/explanation/protected-tags.md` tells more.
   *
   * @param open opens requests to the upstream; whoever gives it may end them
   * @throws RegistryError `tagProtected` when a tag names something else; `tagCheckFailed` when the upstream does not say
   *   clearly what it names; `tagBusy`; `targetTooLong` for too many tags; and whatever `put` throws
   */
  guard<Result>(push: GuardedPush, open: OpenUpstream, put: () => Promise<Result>): Promise<Result>
}

/** Tags of one push that are asked for; the specification wants at least ten to be possible. */
const maxTags = 16

/**
 * All that a tag can name. A registry may convert a manifest whose type is not listed (and then tell the digest of
 * something else), or deny that it is there at all: registry 2.8.2 answers 404 for an OCI manifest that is asked for
 * with no more than the last.
 */
const accept = [
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.oci.image.index.v1+json',
  '*/*',
].join(', ')

const algorithms = ['sha256', 'sha512'] as const
type Algorithm = (typeof algorithms)[number]

/** Creates the guard of protected tags for one upstream. */
export function createTagGuard(settings: TagGuardSettings): TagGuard {
  const { lock, upstream, upstreamUrl } = settings

  async function check(push: GuardedPush, open: OpenUpstream): Promise<void> {
    const endsAtMs = performance.now() + settings.checkMs
    const digests = new Map<Algorithm, string>()
    for (const tag of push.protectedTags) {
      const current = await currentDigest(push, tag, open, endsAtMs)
      if (current === undefined) continue
      const algorithm = algorithmOf(current)
      if (algorithm === undefined) throw checkFailed(tag, 'named it by a digest that is neither sha256 nor sha512')
      const digest = digests.get(algorithm) ?? `${algorithm}:${createHash(algorithm).update(push.body).digest('hex')}`
      digests.set(algorithm, digest)
      if (current !== digest) throw moveRefused(push, tag, current)
    }
  }

  /** What a tag names; nothing when the registry says that it is absent. Every other answer is none. */
  async function currentDigest(
    push: GuardedPush,
    tag: Tag,
    open: OpenUpstream,
    endsAtMs: number,
  ): Promise<Digest | undefined> {
    const { statusCode, headers } = await ask(push, tag, open, endsAtMs)
    if (statusCode === 404) {
      // A load balancer that has lost the registry says 404 too, and the next request may find the registry again.
      if (!isRegistrys(headers['content-type'])) throw checkFailed(tag, 'answered 404 with what no registry sends')
      return undefined
    }
    if (statusCode !== 200) throw checkFailed(tag, `answered ${statusCode ?? 0}`)
    const value = headers['docker-content-digest']
    // Given twice it is an array or has a comma, and neither is a digest.
    const digest = typeof value === 'string' ? parseDigest(value) : undefined
    if (digest === undefined) throw checkFailed(tag, 'did not say which digest it names')
    return digest
  }

  async function ask(push: GuardedPush, tag: Tag, open: OpenUpstream, endsAtMs: number): Promise<UpstreamResponse> {
    const request = {
      kind: 'manifest',
      method: 'HEAD',
      repository: push.repository,
      reference: { kind: 'tag', tag },
      tags: [],
    } as const
    const headers = upstreamRequestHeaders({ accept }, request, { kind: 'none' }, push.about, upstream)
    const call = {
      url: upstreamUrl,
      method: request.method,
      target: printTarget(request),
      // What a cache in between remembers of the tag is not what the tag names.
      headers: { ...headers, 'cache-control': 'no-cache' },
    }
    try {
      return await headOf(open, call, endsAtMs)
    } catch (error) {
      throw checkFailed(tag, 'did not answer', error)
    }
  }

  return {
    guard: (push, open, put) => {
      const { repository } = push
      const tags = [...push.protectedTags, ...push.lockedTags]
      if (tags.length > maxTags) {
        return Promise.reject(
          new RegistryError('targetTooLong', { sentence: `one push names at most ${maxTags} protected tags` }),
        )
      }
      // A repository name has no colon, so that no two pairs make one key.
      const keys = tags.map((tag) => `${repository}:${tag}`)
      const work = async () => {
        await check(push, open)
        return put()
      }
      const { waitMs } = settings
      return lock.run(keys, work, { waitMs, ...(push.signal && { signal: push.signal }) })
    },
  }
}

/** Asks once more when the pooled connection had been closed by the upstream: a HEAD may be repeated. */
async function headOf(
  open: OpenUpstream,
  call: Parameters<OpenUpstream>[0],
  endsAtMs: number,
  isSecond = false,
): Promise<UpstreamResponse> {
  const opened = open(call, isSecond)
  const { request, answer } = opened
  request.end()
  opened.awaitHead(Math.max(1, Math.ceil(endsAtMs - performance.now())))
  try {
    const response = await answer
    // It has no body; reading that gives its connection back.
    response.resume()
    return response
  } catch (error) {
    request.destroy()
    if (isSecond || !isStaleConnection(request, error)) throw error
    return headOf(open, call, endsAtMs, true)
  }
}

/** Whether an error may come from a registry: those are JSON ("Error Codes" of the specification) or say nothing. */
function isRegistrys(contentType: string | undefined): boolean {
  return contentType === undefined || /^application\/(?:[a-z0-9.-]+\+)?json\s*(?:;|$)/i.test(contentType)
}

function algorithmOf(digest: Digest): Algorithm | undefined {
  return algorithms.find((algorithm) => digest.startsWith(`${algorithm}:`))
}

function moveRefused({ repository, refusal }: GuardedPush, tag: Tag, current: Digest): RegistryError {
  return new RegistryError('tagProtected', {
    sentence: refusal(tag),
    sentenceInReason: true,
    detail: `the tag ${tag} of ${repository} already names ${current}`,
  })
}

function checkFailed(tag: Tag, what: string, cause?: unknown): RegistryError {
  const why = new Error(`asked for the protected tag ${tag}, the upstream ${what}`, { cause })
  return new RegistryError('tagCheckFailed', { cause: why })
}
