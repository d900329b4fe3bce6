/**
 * Grammars of the distribution specification ("Pulling manifests": name, reference, digest) and the branded strings
 * that only these parsers make, so that an unchecked string cannot stand where a name is meant.
 */

declare const brand: unique symbol
type Branded<Name extends string> = string & { readonly [brand]: Name }

export type RepositoryName = Branded<'RepositoryName'>
export type Tag = Branded<'Tag'>
export type Digest = Branded<'Digest'>
/** The last path segment of an upload's Location; the upstream's own, opaque. */
export type UploadSession = Branded<'UploadSession'>

const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const repositoryPattern = new RegExp(`^${component}(?:/${component})*$`)
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const digestPattern = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/
const sessionPattern = /^[A-Za-z0-9_~=-][A-Za-z0-9._~=-]{0,511}$/

const maxRepositoryLength = 255
const maxDigestLength = 255

/** Exact encodings of the registered algorithms; another algorithm is judged by the general grammar alone. */
const registeredEncodings: Readonly<Record<string, RegExp>> = {
  sha256: /^[a-f0-9]{64}$/,
  sha384: /^[a-f0-9]{96}$/,
  sha512: /^[a-f0-9]{128}$/,
}

export function parseRepositoryName(text: string): RepositoryName | undefined {
  return text.length <= maxRepositoryLength && repositoryPattern.test(text) ? (text as RepositoryName) : undefined
}

export function parseTag(text: string): Tag | undefined {
  return tagPattern.test(text) ? (text as Tag) : undefined
}

export function parseDigest(text: string): Digest | undefined {
  if (text.length > maxDigestLength || !digestPattern.test(text)) return undefined
  const colon = text.indexOf(':')
  const encoding = Object.hasOwn(registeredEncodings, text.slice(0, colon))
    ? registeredEncodings[text.slice(0, colon)]
    : undefined
  return encoding === undefined || encoding.test(text.slice(colon + 1)) ? (text as Digest) : undefined
}

export function parseUploadSession(text: string): UploadSession | undefined {
  return sessionPattern.test(text) ? (text as UploadSession) : undefined
}

/** A manifest is named by a tag or by a digest; a colon tells them apart, since no tag has one. */
export type Reference =
  { readonly kind: 'tag'; readonly tag: Tag } | { readonly kind: 'digest'; readonly digest: Digest }

export function parseReference(text: string): Reference | undefined {
  if (text.includes(':')) {
    const digest = parseDigest(text)
    return digest === undefined ? undefined : { kind: 'digest', digest }
  }
  const tag = parseTag(text)
  return tag === undefined ? undefined : { kind: 'tag', tag }
}

export function printReference(reference: Reference): string {
  return reference.kind === 'tag' ? reference.tag : reference.digest
}
