import type { RegistryRequest } from './route.ts'

/** What a policy gives or withholds on a repository. */
export type Action = 'pull' | 'push' | 'delete'

/**
 * One thing a request needs: any one of `anyOf` on the named resource.
 * `registry`/`base` asks for a known user and nothing else; `registry`/`catalog` is answered by filtering.
 */
export type Access =
  | { readonly type: 'repository'; readonly name: string; readonly anyOf: readonly [Action, ...Action[]] }
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
    case 'blob':
      switch (request.method) {
        case 'GET':
          return [repository(request.repository, 'pull')]
        case 'HEAD':
          return [repository(request.repository, 'pull', 'push')]
        case 'PUT':
          return [repository(request.repository, 'push')]
        case 'DELETE':
          return [repository(request.repository, 'delete')]
      }
  }
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

function repository(name: string, ...anyOf: readonly [Action, ...Action[]]): Access {
  return { type: 'repository', name, anyOf }
}
