import { mountAccess, requiredAccess } from '../registry/access.ts'
import type { Access, Action, TagReach } from '../registry/access.ts'
import type { Circumstances, Grant, Preconditions } from '../registry/grant.ts'
import { parseRepositoryName } from '../registry/name.ts'
import type { Tag } from '../registry/name.ts'
import type { Principal } from '../registry/principal.ts'
import type { RegistryRequest } from '../registry/route.ts'
import type { Judge, Judgement, Policy } from './policy.ts'
import { protectionOfTag } from './protected-tags.ts'
import { overwriteSentence, refusalSentence } from './refusal.ts'

/** What was decided, and on what; the audit line and the client's sentence are both made from it. */
export type Decision =
  | { readonly kind: 'granted'; readonly grant: Grant; readonly trace: Trace }
  | {
      readonly kind: 'refused'
      readonly trace: Trace
      /** What a known user is told: who, what, where, and the policy's message. Made when it is asked for. */
      readonly sentence: () => string
    }

/** The accesses a request needed, what was found for each, and the first of them that was not granted. */
export type Trace = {
  readonly policy: string
  readonly policyGeneration: number
  readonly required: readonly Access[]
  /** In the order of `required`, up to the first that refuses. */
  readonly judgements: readonly Judgement[]
  readonly missing: Access | undefined
  /** What was found for the source of a mount; absent where nothing is mounted, or from elsewhere. */
  readonly mount: Judgement | undefined
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
  const judge = policy.judgeFor(principal, circumstances)
  const required = [...requiredAccess(request), ...furtherAccess(policy, request)]
  const judgements: Judgement[] = []
  for (const access of required) {
    const judgement = judgeAccess(judge, principal, access)
    judgements.push(judgement)
    if (!isGranted(judgement)) {
      const trace = { ...traceOf(policy, required, judgements), missing: access, mount: undefined }
      return { kind: 'refused', trace, sentence: () => refusalSentence({ policy, principal, judge }, judgement) }
    }
  }
  const mount = judgeMount(judge, principal, request, circumstances)
  const trace = { ...traceOf(policy, required, judgements), missing: undefined, mount }
  const permitted = withoutForbiddenMount(request, mount)
  const grant = {
    principal,
    request: permitted,
    mountRemoved: permitted !== request,
    preconditions: preconditionsOf(policy, principal, request, judge),
    listFilter: request.kind === 'catalog' ? listFilter(judge) : undefined,
  } as Grant
  return { kind: 'granted', grant, trace }
}

function traceOf(policy: Policy, required: readonly Access[], judgements: readonly Judgement[]) {
  return { policy: policy.name, policyGeneration: policy.generation, required, judgements }
}

/** Judges one access of a principal; any one of its actions is enough, for all tags that it touches. */
export function judgeAccess(judge: Judge, principal: Principal, access: Access): Judgement {
  if (access.type === 'registry') return { access, verdict: judgeRegistry(judge, principal, access.name) }
  const { name: repository, anyOf, tags } = access
  const judgementOf = (action: Action): Judgement => ({
    access,
    action,
    verdict: judge.judge({ repository, action, tags }),
  })
  const [action, ...others] = anyOf
  const first = judgementOf(action)
  const all = [first, ...others.map(judgementOf)]
  return all.find(isGranted) ?? all.find(({ verdict }) => verdict.kind === 'denied') ?? first
}

/**
 * The base tells a login that it works, whatever the policies say. The catalog is answered by filtering, for whom there
 * can be something to see.
 */
function judgeRegistry(judge: Judge, principal: Principal, name: 'base' | 'catalog'): Judgement['verdict'] {
  if (name === 'base') return { kind: principal.kind === 'user' ? 'login-suffices' : 'login-missing' }
  return judge.listsAnything ? { kind: 'filtered' } : { kind: 'unmatched' }
}

/** Whether a judgement lets its access through. */
export function isGranted({ verdict }: Judgement): boolean {
  return letsThrough[verdict.kind]
}

const letsThrough: Readonly<Record<Judgement['verdict']['kind'], boolean>> = {
  allowed: true,
  denied: false,
  unmatched: false,
  'login-suffices': true,
  'login-missing': false,
  filtered: true,
}

/** What a request needs besides what is seen in itself: deleting, where tags are protected. */
function furtherAccess(policy: Policy, request: RegistryRequest): readonly Access[] {
  if (request.method !== 'DELETE' || (request.kind !== 'manifest' && request.kind !== 'blob')) return []
  const tag = request.kind === 'manifest' && request.reference.kind === 'tag' ? request.reference.tag : undefined
  return overwriteAccess(policy, request.repository, tag)
}

/**
 * What deleting needs besides `delete` where tags are protected. A manifest by its digest goes with all its tags, and an
 * image whose blob is gone is gone too; nobody can tell which tags those are.
 *
 * @param tag nothing where a manifest is deleted by its digest, or a blob
 */
export function overwriteAccess(policy: Policy, name: string, tag: Tag | undefined): readonly Access[] {
  const protection = tag === undefined ? policy.protectionIn(name) : protectionOfTag(policy, name, tag)
  if (protection === undefined) return []
  const tags: TagReach = tag === undefined ? { kind: 'any' } : { kind: 'named', tags: [tag] }
  return [{ type: 'repository', name, anyOf: ['overwrite'], tags }]
}

/** The protected tags that a PUT sets: those that the principal may only create, and those that it may move too. */
function preconditionsOf(policy: Policy, principal: Principal, request: RegistryRequest, judge: Judge): Preconditions {
  if (request.kind !== 'manifest' || request.method !== 'PUT') return noPreconditions
  const { repository, reference, tags } = request
  const set = reference.kind === 'tag' ? [reference.tag] : tags
  const mayOverwrite = (tag: Tag): boolean =>
    judge.judge({ repository, action: 'overwrite', tags: { kind: 'named', tags: [tag] } }).kind === 'allowed'
  const guarded = set.filter((tag) => protectionOfTag(policy, repository, tag) !== undefined)
  if (guarded.length === 0) return noPreconditions
  const lockedTags = guarded.filter(mayOverwrite)
  return {
    protectedTags: guarded.filter((tag) => !lockedTags.includes(tag)),
    lockedTags,
    refusal: (tag) => overwriteSentence({ policy, principal, judge }, repository, tag),
  }
}

const noPreconditions: Preconditions = { protectedTags: [], lockedTags: [], refusal: () => '' }

/** The names come from the upstream; what is none is not shown. */
function listFilter(judge: Judge): (repository: string) => boolean {
  return (repository) =>
    parseRepositoryName(repository) !== undefined && judge.judge({ repository, action: 'list' }).kind === 'allowed'
}

/** Nothing where nothing is mounted, or the mount names no source here: it cannot be judged, and is not made. */
function judgeMount(
  judge: Judge,
  principal: Principal,
  request: RegistryRequest,
  { ownHosts }: Circumstances,
): Judgement | undefined {
  const source = mountAccess(request)
  return source !== undefined && isMountedHere(request, ownHosts) ? judgeAccess(judge, principal, source) : undefined
}

/**
 * Turns a mount that may not be made into an ordinary upload, which the specification allows the registry to do at
 * any time (end-11, 202), so that a push goes on instead of failing. A mount without a source is one too: the
 * registry might look for the blob in every repository.
 */
function withoutForbiddenMount(request: RegistryRequest, mount: Judgement | undefined): RegistryRequest {
  if (request.kind !== 'upload-start' || request.mount === undefined) return request
  return mount !== undefined && isGranted(mount) ? request : { ...request, mount: undefined }
}

/** Whether the source of a mount is in this registry. */
function isMountedHere(request: RegistryRequest, ownHosts: ReadonlySet<string>): boolean {
  const origin = request.kind === 'upload-start' ? request.mount?.origin : undefined
  return origin === undefined || ownHosts.has(origin.toLowerCase())
}
