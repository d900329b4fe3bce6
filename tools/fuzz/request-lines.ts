/**
 * Generates request lines by the grammar of the registry's API: what clients send, and what someone sends who wants the
 * gateway and the registry to read one target in two ways.
 */
import fc from 'fast-check'

/** A method and a request target as they stand on the wire. */
export type RequestLine = { readonly method: string; readonly target: string }

/** The words that targets are made of; what a registry holds, where one is asked. */
export type Vocabulary = {
  readonly repositories: readonly string[]
  readonly tags: readonly string[]
  readonly digests: readonly string[]
  /** Upload sessions by repository: the last path segment and the query of a Location. */
  readonly uploads: readonly { readonly repository: string; readonly session: string; readonly query: string }[]
}

/** Words enough for a parser that is asked alone. */
export const plainVocabulary: Vocabulary = {
  repositories: ['a', 'secret/app', 'a/blobs/uploads', 'manifests/tags', 'tags/list', 'b-c_d.e/f--g__h'],
  tags: ['latest', 'v1', 'list', 'uploads', '_x', `sha256-${'ab'.repeat(32)}`],
  digests: [`sha256:${'ab'.repeat(32)}`, `sha512:${'0f'.repeat(64)}`, 'other+kind:A_b-C='],
  uploads: [{ repository: 'a', session: '0f-1', query: '_state=A%2Bb==' }],
}

/** Requests as ordinary clients spell them: every endpoint, plain names, parameters that the specification knows. */
export function ordinaryLines(vocabulary: Vocabulary): fc.Arbitrary<RequestLine> {
  const repository = fc.constantFrom(...vocabulary.repositories, 'no/such', 'x')
  const digest = fc.constantFrom(...vocabulary.digests)
  const tag = fc.constantFrom(...vocabulary.tags, 'nosuch', 'V2.0_rc-1')
  const read = fc.constantFrom('GET', 'HEAD')
  const page = fc.oneof(
    fc.constant(''),
    fc.constantFrom('?n=1', '?n=100', '?last=a', '?n=2&last=v1', '?last=secret%2Fapp&n=50', '?n=5&last=a/b'),
  )
  const mount = fc
    .tuple(digest, repository, fc.boolean())
    .map(([mounted, from, isEscaped]) =>
      isEscaped
        ? `?mount=${encodeURIComponent(mounted)}&from=${encodeURIComponent(from)}`
        : `?from=${from}&mount=${mounted}`,
    )
  return fc.oneof(
    line(read, fc.constant('/v2/')),
    line(read, text('/v2/_catalog', page)),
    line(read, text('/v2/', repository, '/tags/list', page)),
    line(
      fc.constantFrom('GET', 'HEAD', 'PUT', 'DELETE'),
      text('/v2/', repository, '/manifests/', fc.oneof(tag, digest)),
    ),
    line(fc.constantFrom('GET', 'HEAD', 'DELETE'), text('/v2/', repository, '/blobs/', digest)),
    line(read, text('/v2/', repository, '/referrers/', digest)),
    line(fc.constant('POST'), text('/v2/', repository, '/blobs/uploads/', fc.oneof(fc.constant(''), mount))),
    line(
      fc.constantFrom('GET', 'PATCH', 'PUT', 'DELETE'),
      fc
        .constantFrom(...vocabulary.uploads)
        .map((upload) => `/v2/${upload.repository}/blobs/uploads/${upload.session}?${upload.query}`),
    ),
  )
}

function line(method: fc.Arbitrary<string>, target: fc.Arbitrary<string>): fc.Arbitrary<RequestLine> {
  return fc.record({ method, target })
}

function text(...parts: readonly (string | fc.Arbitrary<string>)[]): fc.Arbitrary<string> {
  return fc
    .tuple(...parts.map((part) => (typeof part === 'string' ? fc.constant(part) : part)))
    .map((all) => all.join(''))
}

/** Requests that nobody sends by chance: route words in every order, and ordinary requests with a few things changed. */
export function hostileLines(vocabulary: Vocabulary): fc.Arbitrary<RequestLine> {
  const ordinary = ordinaryLines(vocabulary)
  const edited = fc
    .tuple(
      ordinary,
      fc.array(edits(vocabulary), { minLength: 1, maxLength: 4 }),
      fc.oneof({ weight: 5, arbitrary: fc.constant('') }, { weight: 1, arbitrary: methods }),
    )
    .map(([{ method, target }, changes, otherMethod]) => ({
      method: otherMethod === '' ? method : otherMethod,
      target: changes.reduce((changed, change) => change(changed), target),
    }))
  return fc.oneof({ weight: 2, arbitrary: edited }, { weight: 1, arbitrary: wordLines(vocabulary) })
}

const methods = fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE')
const routeWords = ['blobs', 'uploads', 'manifests', 'tags', 'list', 'referrers', '_catalog', 'v2'] as const
const escapes = [
  '%2f',
  '%2F',
  '%2e',
  '%2e%2e',
  '%5c',
  '%3f',
  '%23',
  '%00',
  '%0a',
  '%20',
  '%252f',
  '%c0%af',
  '%zz',
  '%',
] as const
const oddities = [
  '//',
  '/./',
  '/../',
  '/..;/',
  ';a=b',
  '\\',
  '#x',
  '@',
  '..',
  '.',
  '%3A',
  '+',
  '~',
  '!',
  "'",
  '*',
  ',',
] as const
const parameters = [
  'mount=sha256:x',
  'from=secret/app',
  '%66rom=secret/app',
  'from=a;mount=b',
  'digest=sha256:x',
  'digest=a&digest=b',
  'n=5',
  'n=-1',
  'last=%2e%2e%2f',
  'tag=v1',
  '_state=x',
  '_method=DELETE',
  '=',
  '%zz',
] as const

/** Paths of route words and names without any order but, mostly, an ending that some route has. */
function wordLines({ repositories, tags, digests }: Vocabulary): fc.Arbitrary<RequestLine> {
  const word = fc.constantFrom(...routeWords, ...repositories, ...tags, ...digests)
  const ending = fc.oneof(
    fc.constantFrom('/tags/list', '/blobs/uploads/', '/blobs/uploads/x', '/list', '/', ''),
    fc.constantFrom(...tags, ...digests).map((reference) => `/manifests/${reference}`),
    fc.constantFrom(...digests).map((digest) => `/blobs/${digest}`),
  )
  const target = fc
    .tuple(fc.array(word, { minLength: 1, maxLength: 5 }), ending)
    .map(([words, end]) => `/v2/${words.join('/')}${end}`)
  return line(methods, target)
}

type Edit = (target: string) => string

function edits({ repositories, tags, digests }: Vocabulary): fc.Arbitrary<Edit> {
  // Even over the whole target: by itself it would prefer the ends.
  const place = fc.noBias(fc.nat({ max: 999 })).map((thousandth) => thousandth / 1_000)
  const segment = fc.constantFrom(...routeWords, ...repositories, ...tags, ...digests, '', '.', '..')
  const piece = fc.constantFrom(...escapes, ...oddities)
  return fc.oneof(
    fc.tuple(place, piece).map(([at, inserted]) => splice(at, 0, inserted)),
    fc
      .tuple(place, segment)
      .map(([at, inserted]) => atSegment(at, (segments, index) => segments.toSpliced(index, 0, inserted))),
    fc.tuple(place, segment).map(([at, other]) => atSegment(at, (segments, index) => segments.with(index, other))),
    place.map((at) => atSegment(at, (segments, index) => segments.toSpliced(index, 1))),
    place.map((at) => atCharacter(at, (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`)),
    place.map((at) =>
      atCharacter(at, (character) =>
        character.toUpperCase() === character ? character.toLowerCase() : character.toUpperCase(),
      ),
    ),
    place.map((at) => splice(at, 1, '')),
    fc
      .constantFrom(...parameters)
      .map((parameter) => (target: string) => `${target}${target.includes('?') ? '&' : '?'}${parameter}`),
    fc.constantFrom(...routeWords, '', '.').map((end) => (target: string) => `${target}/${end}`),
  )
}

/** Takes `count` characters away somewhere behind the first slash, and puts `inserted` there. */
function splice(at: number, count: number, inserted: string): Edit {
  return (target) => {
    const index = 1 + Math.floor(at * (target.length - 1))
    return target.slice(0, index) + inserted + target.slice(index + count)
  }
}

function atCharacter(at: number, change: (character: string) => string): Edit {
  return (target) => {
    const index = 1 + Math.floor(at * (target.length - 1))
    return target.slice(0, index) + change(target.charAt(index)) + target.slice(index + 1)
  }
}

/** Changes the segments behind `/v2/`, up to the query. */
function atSegment(at: number, change: (segments: readonly string[], index: number) => readonly string[]): Edit {
  return (target) => {
    const [path = '', ...query] = target.split('?')
    const segments = path.split('/').slice(2)
    if (segments.length === 0) return target
    const changed = ['', 'v2', ...change(segments, Math.floor(at * segments.length))].join('/')
    return [changed, ...query].join('?')
  }
}
