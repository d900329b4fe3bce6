/** One line of the audit as a question that can be asked of another policy. */
import type { Circumstances } from '../registry/grant.ts'
import { parseDigest, parseReference, parseRepositoryName, parseTag, parseUploadSession } from '../registry/name.ts'
import { authenticationMethods } from '../registry/principal.ts'
import type { Principal } from '../registry/principal.ts'
import type { Page, RegistryRequest, RequestKind } from '../registry/route.ts'

/**
 * What a line says. `undecided`: the exchange ended before a policy was asked. `unreadable`: no line of the audit, or one
 * that lacks what a decision depends on.
 */
export type ReplayLine =
  | { readonly kind: 'decided'; readonly decided: Decided }
  | { readonly kind: 'undecided' }
  | { readonly kind: 'unreadable' }

export type Decided = {
  readonly principal: Principal
  readonly request: RegistryRequest
  readonly circumstances: Circumstances
  /** `held`: granted, and then refused because a protected tag was there with other content. */
  readonly was: 'granted' | 'refused' | 'held'
  /** Whether protected tags were looked at and found as they had to be; absent where the line does not tell. */
  readonly passedProtection: boolean | undefined
  /** Whether a mount was made; absent where none was asked for, or from a source that no policy is asked about. */
  readonly mounted: boolean | undefined
}

type Fields = Readonly<Record<string, unknown>>

const unreadable: ReplayLine = { kind: 'unreadable' }
const noHosts: ReadonlySet<string> = new Set()

/** Reads one line, as docs/reference/audit.md describes it. */
export function parseReplayLine(line: string): ReplayLine {
  const fields = parseObject(line)
  if (fields === undefined) return unreadable
  const decision = textOf(fields, 'decision')
  if (decision === 'none') return { kind: 'undecided' }
  if (decision !== 'granted' && decision !== 'refused') return unreadable
  const now = Date.parse(textOf(fields, 'time') ?? '')
  const address = textOf(fields, 'clientAddress')
  const principal = principalOf(fields)
  const request = requestOf(fields)
  if (Number.isNaN(now) || address === undefined || principal === undefined || request === undefined) return unreadable
  return {
    kind: 'decided',
    decided: {
      principal,
      request,
      circumstances: { address, now, ownHosts: noHosts },
      was: textOf(fields, 'errorId') === 'tagProtected' ? 'held' : decision,
      passedProtection: Object.hasOwn(fields, 'protectedTags')
        ? textsOf(fields, 'protectedTags').length > 0
        : undefined,
      mounted: mountedOf(fields),
    },
  }
}

function parseObject(line: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined
  } catch {
    return undefined
  }
}

function textOf(fields: Fields, name: string): string | undefined {
  const value = fields[name]
  return typeof value === 'string' ? value : undefined
}

function textsOf(fields: Fields, name: string): readonly string[] {
  const value = fields[name]
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}

/** Where a decision was made and no user is named, somebody asked who had not logged in. */
function principalOf(fields: Fields): Principal | undefined {
  const name = textOf(fields, 'user')
  if (name === undefined) return fields['user'] === null ? { kind: 'anonymous' } : undefined
  const method = authenticationMethods.find((known) => known === fields['authentication'])
  return method === undefined ? undefined : { kind: 'user', name, groups: textsOf(fields, 'groups'), method }
}

/** A mount whose source is said to be on another host is never made, whatever a policy says. */
function mountedOf(fields: Fields): boolean | undefined {
  if (textOf(fields, 'mountFrom') === undefined || textOf(fields, 'mountOrigin') !== undefined) return undefined
  return fields['mountRemoved'] !== true
}

function requestOf(fields: Fields): RegistryRequest | undefined {
  const route = textOf(fields, 'route') ?? ''
  return isRoute(route) ? readers[route](fields, textOf(fields, 'method') ?? '') : undefined
}

function isRoute(route: string): route is RequestKind {
  return Object.hasOwn(readers, route)
}

type Reader = (fields: Fields, method: string) => RegistryRequest | undefined

const wholeList: Page = { n: undefined, last: undefined }

/** How each kind of request is made of its line again; what the line leaves out decides nothing. */
const readers: Readonly<Record<RequestKind, Reader>> = {
  base: (_, method) => {
    const verb = oneOf(['GET', 'HEAD'], method)
    return verb === undefined ? undefined : { kind: 'base', method: verb }
  },
  catalog: (_, method) => {
    const verb = oneOf(['GET', 'HEAD'], method)
    return verb === undefined ? undefined : { kind: 'catalog', method: verb, page: wholeList }
  },
  tags: (fields, method) => {
    const verb = oneOf(['GET', 'HEAD'], method)
    const repository = repositoryOf(fields)
    if (verb === undefined || repository === undefined) return undefined
    return { kind: 'tags', method: verb, repository, page: wholeList }
  },
  manifest: (fields, method) => {
    const verb = oneOf(['GET', 'HEAD', 'PUT', 'DELETE'], method)
    const repository = repositoryOf(fields)
    const reference = parseReference(textOf(fields, 'reference') ?? '')
    if (verb === undefined || repository === undefined || reference === undefined) return undefined
    const tags = textsOf(fields, 'tags').flatMap((text) => parseTag(text) ?? [])
    return { kind: 'manifest', method: verb, repository, reference, tags }
  },
  blob: (fields, method) => {
    const verb = oneOf(['GET', 'HEAD', 'DELETE'], method)
    const repository = repositoryOf(fields)
    const digest = digestOf(fields)
    if (verb === undefined || repository === undefined || digest === undefined) return undefined
    return { kind: 'blob', method: verb, repository, digest }
  },
  referrers: (fields, method) => {
    const verb = oneOf(['GET', 'HEAD'], method)
    const repository = repositoryOf(fields)
    const digest = digestOf(fields)
    if (verb === undefined || repository === undefined || digest === undefined) return undefined
    return { kind: 'referrers', method: verb, repository, digest, artifactType: undefined }
  },
  'upload-start': (fields, method) => {
    const verb = oneOf(['POST'], method)
    const repository = repositoryOf(fields)
    if (verb === undefined || repository === undefined) return undefined
    const digest = digestOf(fields)
    const from = parseRepositoryName(textOf(fields, 'mountFrom') ?? '')
    const start = { kind: 'upload-start', method: verb, repository, digestAlgorithm: undefined } as const
    if (digest === undefined || from === undefined) return { ...start, digest, mount: undefined }
    return { ...start, digest: undefined, mount: { digest, from, origin: undefined } }
  },
  'upload-session': (fields, method) => {
    const verb = oneOf(['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE'], method)
    const repository = repositoryOf(fields)
    const session = parseUploadSession('replayed')
    if (verb === undefined || repository === undefined || session === undefined) return undefined
    return { kind: 'upload-session', method: verb, repository, session, query: '' }
  },
}

function oneOf<Method extends string>(methods: readonly Method[], method: string): Method | undefined {
  return methods.find((known) => known === method)
}

function repositoryOf(fields: Fields) {
  return parseRepositoryName(textOf(fields, 'repository') ?? '')
}

function digestOf(fields: Fields) {
  return parseDigest(textOf(fields, 'digest') ?? '')
}
