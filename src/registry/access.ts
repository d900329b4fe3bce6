import type { Tag } from './name.ts'
import type { RegistryRequest } from './route.ts'

/**
 * Everything that a policy gives or withholds on a repository. `list` is its name in the catalog, `overwrite` the moving
 * or deleting of a protected tag.
 */
export const actions = ['pull', 'push', 'delete', 'list', 'overwrite'] as const

export type Action = (typeof actions)[number]

/** The tags that an access touches: those that it names, or any of the repository, since what it deletes may bear them. */
export type TagReach = { readonly kind: 'named'; readonly tags: readonly [Tag, ...Tag[]] } | { readonly kind: 'any' }

/**
 * One thing a request needs: any one of `anyOf` on the named resource.
 * `registry`/`base` asks for a known user and nothing else; `registry`/`catalog` is answered by filtering.
 */
export type Access =
  | {
      readonly type: 'repository'
      readonly name: string
      readonly anyOf: readonly [Action, ...Action[]]
      /** Absent where the access touches no tag that it could name: blobs, uploads, listings, manifests by digest. */
      readonly tags?: TagReach
    }
  | { readonly type: 'registry'; readonly name: 'base'; readonly anyOf: readonly ['ping'] }
  | { readonly type: 'registry'; readonly name: 'catalog'; readonly anyOf: readonly ['list'] }

/**
 * The access that a request needs, computed from the request alone; every element must be granted.
 * A mount's source is not among them: who may not pull it gets an ordinary upload instead ({@link mountAccess}).
 *
 * HEAD of a manifest or blob needs pull or push, because clients HEAD what they push (Docker after each blob,
 * containerd before each manifest) and abort on a refusal.
 */
export function requiredAccess(request: RegistryRequest): readonly [Access, ...Access[]] {
  switch (request.kind) {
    case 'base':
      return [{ type: 'registry', name: 'base', anyOf: ['ping'] }]
    case 'catalog':
      return [{ type: 'registry', name: 'catalog', anyOf: ['list'] }]
    case 'tags':
    case 'referrers':
      return [repository(request.repository, 'pull')]
    case 'upload-start':
    case 'upload-session':
      return [repository(request.repository, 'push')]
    case 'manifest':
      return [{ ...repository(request.repository, ...actionsOn(request.method)), ...reachOf(request) }]
    case 'blob': {
      // An image whose blob is gone is gone too, under whatever tag it is known.
      const reach = request.method === 'DELETE' ? { tags: { kind: 'any' } as const } : {}
      return [{ ...repository(request.repository, ...actionsOn(request.method)), ...reach }]
    }
  }
}

function actionsOn(method: 'GET' | 'HEAD' | 'PUT' | 'DELETE'): readonly [Action, ...Action[]] {
  switch (method) {
    case 'GET':
      return ['pull']
    case 'HEAD':
      return ['pull', 'push']
    case 'PUT':
      return ['push']
    case 'DELETE':
      return ['delete']
  }
}

/** A manifest that is deleted by its digest goes with all its tags, whichever those are. */
function reachOf({ method, reference, tags }: RegistryRequest & { readonly kind: 'manifest' }): {
  readonly tags?: TagReach
} {
  if (reference.kind === 'tag') return { tags: { kind: 'named', tags: [reference.tag] } }
  if (method === 'DELETE') return { tags: { kind: 'any' } }
  const [first, ...others] = tags
  return first === undefined ? {} : { tags: { kind: 'named', tags: [first, ...others] } }
}

/** What the request is for, in one word: what it needs, `pull` for what needs pull or push. */
export function actionOf(request: RegistryRequest): Access['anyOf'][number] {
  return requiredAccess(request)[0].anyOf[0]
}

/** Whether the request changes the registry; asking how far an upload has come does not. */
export function isWrite({ method }: RegistryRequest): boolean {
  return method !== 'GET' && method !== 'HEAD'
}

/** The access a mount needs on its source; nothing when the request mounts nothing or names no source. */
export function mountAccess(request: RegistryRequest): Access | undefined {
  const from = request.kind === 'upload-start' ? request.mount?.from : undefined
  return from === undefined ? undefined : repository(from, 'pull')
}

function repository(name: string, ...anyOf: readonly [Action, ...Action[]]): Access & { readonly type: 'repository' } {
  return { type: 'repository', name, anyOf }
}
