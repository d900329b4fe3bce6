import { RegistryError } from './error.ts'
import {
  parseDigest,
  parseReference,
  parseRepositoryName,
  parseTag,
  parseUploadSession,
  printReference,
} from './name.ts'
import type { Digest, Reference, RepositoryName, Tag, UploadSession } from './name.ts'
import { countParameter, parseQuery, printQuery } from './query.ts'

type Read = 'GET' | 'HEAD'

/**
 * Everything a registry can be asked: the endpoints end-1 to end-14 of the OCI distribution specification 1.1 and
 * Docker's `_catalog`. What does not parse into this union is refused; what is sent upstream is printed from it.
 */
export type RegistryRequest =
  | { readonly kind: 'base'; readonly method: Read }
  | { readonly kind: 'catalog'; readonly method: Read; readonly page: Page }
  | { readonly kind: 'tags'; readonly method: Read; readonly repository: RepositoryName; readonly page: Page }
  | {
      readonly kind: 'manifest'
      readonly method: Read | 'PUT' | 'DELETE'
      readonly repository: RepositoryName
      readonly reference: Reference
      /** end-7b: the tags a PUT by digest sets besides; each is authorized like one in the path. */
      readonly tags: readonly Tag[]
    }
  | {
      readonly kind: 'blob'
      readonly method: Read | 'DELETE'
      readonly repository: RepositoryName
      readonly digest: Digest
    }
  | {
      readonly kind: 'referrers'
      readonly method: Read
      readonly repository: RepositoryName
      readonly digest: Digest
      readonly artifactType: string | undefined
    }
  | {
      readonly kind: 'upload-start'
      readonly method: 'POST'
      readonly repository: RepositoryName
      /** end-4b: the whole blob is the body of this POST. */
      readonly digest: Digest | undefined
      readonly digestAlgorithm: string | undefined
      readonly mount: Mount | undefined
    }
  | {
      readonly kind: 'upload-session'
      readonly method: Read | 'PATCH' | 'PUT' | 'DELETE'
      readonly repository: RepositoryName
      readonly session: UploadSession
      /** The query of the upstream's own Location, without the question mark, byte for byte. */
      readonly query: string
    }

/** A page of a listing: `n` is the size asked for (already clamped), `last` the opaque place to go on from. */
export type Page = { readonly n: number | undefined; readonly last: string | undefined }

/** end-11: mount `digest` from `from`; `origin` is go-containerregistry's name of the host that `from` is on. */
export type Mount = {
  readonly digest: Digest
  readonly from: RepositoryName | undefined
  readonly origin: string | undefined
}

export type RequestKind = RegistryRequest['kind']

const maxPageSize = 1000
const maxOpaqueLength = 512

/** RFC 3986 path characters less the semicolon, whose path parameters nobody behind us reads alike. */
const pathPattern = /^[A-Za-z0-9\-._~!$&'()*+,:=@%/]*$/
/** Visible ASCII less the number sign, which would begin a fragment. */
const queryPattern = /^[!"$-~]*$/

/**
 * Parses method and raw request target (origin-form, as it stood on the wire) into a {@link RegistryRequest}.
 * Routes are matched from the right, as the registry does: a repository may be called `a/blobs/uploads`.
 *
 * @throws RegistryError 400, 404 or 405; nothing of a request that does not parse reaches the upstream
 */
export function parseRegistryRequest(method: string, rawTarget: string): RegistryRequest {
  const question = rawTarget.indexOf('?')
  const path = question === -1 ? rawTarget : rawTarget.slice(0, question)
  const query = question === -1 ? '' : rawTarget.slice(question + 1)
  if (path === '/v2') throw new RegistryError('routeUnknown', { detail: 'the base of the API is /v2/, with its slash' })
  if (!pathPattern.test(path)) throw new RegistryError('targetInvalid')
  if (!queryPattern.test(query)) throw new RegistryError('queryInvalid')
  if (!path.startsWith('/v2/')) throw new RegistryError('routeUnknown')
  const segments = path.slice('/v2/'.length).split('/').map(decodeSegment)
  if (segments.slice(0, -1).includes(''))
    throw new RegistryError('targetInvalid', { detail: 'the path has an empty segment' })
  return parseRoute(method, segments, query)
}

/** Decodes one path segment; one that would read as more than itself to the server behind is refused. */
function decodeSegment(raw: string): string {
  let segment: string
  try {
    segment = decodeURIComponent(raw)
  } catch (error) {
    throw new RegistryError('targetInvalid', { detail: 'a percent escape in the path is not valid', cause: error })
  }
  if (segment === '.' || segment === '..' || !/^[!-$&-.0-:<-[\]-~]*$/.test(segment))
    throw new RegistryError('targetInvalid')
  return segment
}

function parseRoute(method: string, segments: readonly string[], query: string): RegistryRequest {
  const last = segments.at(-1) ?? ''
  const word = segments.at(-2)
  const name = segments.slice(0, -2)
  if (segments.length === 1 && last === '') {
    return { kind: 'base', method: allowed(method, ['GET', 'HEAD']) }
  }
  if (segments.length === 1 && last === '_catalog') {
    return { kind: 'catalog', method: allowed(method, ['GET', 'HEAD']), page: parsePage(query, 1) }
  }
  if (name.length === 0) throw new RegistryError('routeUnknown')
  if (word === 'tags' && last === 'list') {
    const verb = allowed(method, ['GET', 'HEAD'])
    return { kind: 'tags', method: verb, repository: repositoryOf(name), page: parsePage(query, 0) }
  }
  if (word === 'manifests' && last !== '') return parseManifest(method, name, last, query)
  if (word === 'referrers' && last !== '') return parseReferrers(method, name, last, query)
  if (word === 'uploads' && name.length > 1 && name.at(-1) === 'blobs') {
    return last === ''
      ? parseUploadStart(method, name.slice(0, -1), query)
      : parseUpload(method, name.slice(0, -1), last, query)
  }
  if (word === 'blobs' && last !== '' && last !== 'uploads') {
    const verb = allowed(method, ['GET', 'HEAD', 'DELETE'])
    return { kind: 'blob', method: verb, repository: repositoryOf(name), digest: digestOf(last) }
  }
  throw new RegistryError('routeUnknown')
}

function parseManifest(method: string, name: readonly string[], last: string, query: string): RegistryRequest {
  const verb = allowed(method, ['GET', 'HEAD', 'PUT', 'DELETE'])
  const repository = repositoryOf(name)
  const reference = parseReference(last)
  if (reference === undefined) throw new RegistryError(last.includes(':') ? 'digestInvalid' : 'referenceInvalid')
  const names = new Set(verb === 'PUT' && reference.kind === 'digest' ? ['tag'] : [])
  const tags = (parseQuery(query, names, names).get('tag') ?? []).map((text) => {
    const tag = parseTag(text)
    if (tag === undefined) throw new RegistryError('referenceInvalid')
    return tag
  })
  return { kind: 'manifest', method: verb, repository, reference, tags }
}

function parseReferrers(method: string, name: readonly string[], last: string, query: string): RegistryRequest {
  const verb = allowed(method, ['GET', 'HEAD'])
  const artifactType = parseQuery(query, new Set(['artifactType'])).get('artifactType')?.[0]
  return {
    kind: 'referrers',
    method: verb,
    repository: repositoryOf(name),
    digest: digestOf(last),
    artifactType: artifactType === undefined ? undefined : opaque('artifactType', artifactType),
  }
}

const uploadStartKeys = new Set(['mount', 'from', 'origin', 'digest', 'digest-algorithm'])

function parseUploadStart(method: string, name: readonly string[], query: string): RegistryRequest {
  const verb = allowed(method, ['POST'])
  const repository = repositoryOf(name)
  const values = parseQuery(query, uploadStartKeys)
  const value = (key: string): string | undefined => values.get(key)?.[0]
  const [mount, from, origin] = [value('mount'), value('from'), value('origin')]
  const [digest, algorithm] = [value('digest'), value('digest-algorithm')]
  if (algorithm !== undefined && !/^[a-z0-9]+(?:[+._-][a-z0-9]+)*$/.test(algorithm))
    throw new RegistryError('digestInvalid')
  return {
    kind: 'upload-start',
    method: verb,
    repository,
    digest: digest === undefined ? undefined : digestOf(digest),
    digestAlgorithm: algorithm,
    mount:
      mount === undefined
        ? undefined
        : {
            digest: digestOf(mount),
            from: from === undefined ? undefined : repositoryOf(from.split('/')),
            origin: origin === undefined ? undefined : opaque('origin', origin),
          },
  }
}

function parseUpload(method: string, name: readonly string[], last: string, query: string): RegistryRequest {
  const verb = allowed(method, ['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE'])
  const repository = repositoryOf(name)
  const session = parseUploadSession(last)
  if (session === undefined) throw new RegistryError('uploadUnknown')
  if (countParameter(query, 'digest') > 1) {
    throw new RegistryError('queryInvalid', { detail: 'the parameter digest is given twice' })
  }
  return { kind: 'upload-session', method: verb, repository, session, query }
}

function allowed<Method extends string>(method: string, methods: readonly Method[]): Method {
  const found = methods.find((candidate) => candidate === method)
  if (found === undefined) throw new RegistryError('methodNotAllowed', { allow: methods })
  return found
}

function repositoryOf(segments: readonly string[]): RepositoryName {
  const name = parseRepositoryName(segments.join('/'))
  if (name === undefined) throw new RegistryError('nameInvalid')
  return name
}

function digestOf(text: string): Digest {
  const digest = parseDigest(text)
  if (digest === undefined) throw new RegistryError('digestInvalid')
  return digest
}

function parsePage(query: string, smallest: number): Page {
  const values = parseQuery(query, new Set(['n', 'last']))
  const [n, last] = [values.get('n')?.[0], values.get('last')?.[0]]
  if (n !== undefined && !/^(?:0|[1-9][0-9]*)$/.test(n)) throw new RegistryError('paginationInvalid')
  return {
    n: n === undefined ? undefined : Math.min(Math.max(Number(n), smallest), maxPageSize),
    last: last === undefined ? undefined : opaque('last', last),
  }
}

/** A value that only the upstream understands: bounded, and without control characters. */
function opaque(key: string, text: string): string {
  if (text.length > maxOpaqueLength || /\p{Cc}/u.test(text)) {
    throw new RegistryError('queryInvalid', { detail: `the parameter ${key} is not a short printable text` })
  }
  return text
}

/** Prints the upstream target of a request: the canonical form, whatever spelling the client had chosen. */
export function printTarget(request: RegistryRequest): string {
  switch (request.kind) {
    case 'base':
      return '/v2/'
    case 'catalog':
      return `/v2/_catalog${printPage(request.page)}`
    case 'tags':
      return `/v2/${request.repository}/tags/list${printPage(request.page)}`
    case 'manifest': {
      const tags = printQuery(request.tags.map((tag) => ['tag', tag] as const))
      return `/v2/${request.repository}/manifests/${printReference(request.reference)}${tags}`
    }
    case 'blob':
      return `/v2/${request.repository}/blobs/${request.digest}`
    case 'referrers':
      return `/v2/${request.repository}/referrers/${request.digest}${printQuery([['artifactType', request.artifactType]])}`
    case 'upload-start':
      return `/v2/${request.repository}/blobs/uploads/${printQuery([
        ['mount', request.mount?.digest],
        ['from', request.mount?.from],
        ['digest', request.digest],
        ['digest-algorithm', request.digestAlgorithm],
      ])}`
    case 'upload-session':
      return `/v2/${request.repository}/blobs/uploads/${request.session}${request.query === '' ? '' : `?${request.query}`}`
  }
}

function printPage(page: Page): string {
  return printQuery([
    ['n', page.n],
    ['last', page.last],
  ])
}
