import { digestOf, streamOf } from './fault-bytes.ts'
import type { ClientRequest, ClientResponse } from './http-client.ts'

/** Asks the gateway as somebody who may push. */
export type Ask = (request: ClientRequest) => Promise<ClientResponse>

/** How the bytes of a blob reach the registry (end-4a, end-4b, end-5 and end-6 of the distribution specification). */
export type PushWay = 'POST monolithic' | 'PATCH, then PUT' | 'PUT with body'
export type Framing = 'sized' | 'chunked'

/** Pushes `bytes` bytes of known content; resolves with the digest and the last answer. */
export async function pushBlob(
  ask: Ask,
  repository: string,
  bytes: number,
  { way = 'PATCH, then PUT', framing = 'sized' }: { readonly way?: PushWay; readonly framing?: Framing } = {},
): Promise<{ readonly digest: string; readonly answer: ClientResponse }> {
  const digest = await digestOf(bytes)
  const uploads = `/v2/${repository}/blobs/uploads/`
  const content = (): Pick<ClientRequest, 'body' | 'headers'> => ({
    headers: framing === 'sized' ? { 'content-length': bytes } : {},
    body: streamOf(bytes),
  })
  if (way === 'POST monolithic') {
    const answer = await ask({ method: 'POST', path: `${uploads}?digest=${digest}`, ...content() })
    if (answer.status !== 202) return { digest, answer }
    // A registry may decline to take the blob with the POST: the client goes on with a PUT (end-4b).
    const path = withDigest(answer.headers.location ?? '', digest)
    return { digest, answer: await ask({ method: 'PUT', path, ...content() }) }
  }
  let location = await startUpload(ask, repository)
  if (way === 'PUT with body') {
    return { digest, answer: await ask({ method: 'PUT', path: withDigest(location, digest), ...content() }) }
  }
  const patched = await ask({ method: 'PATCH', path: location, ...content() })
  if (patched.status !== 202) return { digest, answer: patched }
  location = patched.headers.location ?? ''
  return { digest, answer: await ask({ method: 'PUT', path: withDigest(location, digest) }) }
}

/** Begins an upload; resolves with its path. */
export async function startUpload(ask: Ask, repository: string): Promise<string> {
  const started = await ask({ method: 'POST', path: `/v2/${repository}/blobs/uploads/` })
  const { location } = started.headers
  if (started.status !== 202 || location === undefined)
    throw new Error(`no upload was begun: ${started.status} ${started.body}`)
  return location
}

export function withDigest(location: string, digest: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`
}
