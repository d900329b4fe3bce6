import { sha256 } from './fault-bytes.ts'
import { startUpload, withDigest } from './fault-push.ts'
import type { Ask } from './fault-push.ts'
import type { ClientResponse } from './http-client.ts'
import { until } from './until.ts'

export type ResumedUpload = {
  /** Of what a pull gives back. */
  readonly digest: string
  /** How many requests failed on the way. */
  readonly broken: number
  /** How often it was begun anew, as the registry did not know it any more. */
  readonly begunAnew: number
}

const pieces = 8
const mostTries = 50

/**
 * Pushes a blob in pieces as a stubborn client does: what fails is begun again where the registry says that the upload
 * is, for as long as it takes. `onPiece` is told of each piece that is about to be sent.
 */
export async function resumeUpload(
  ask: Ask,
  repository: string,
  content: Buffer,
  onPiece: () => void = () => undefined,
): Promise<ResumedUpload> {
  let broken = 0
  let begunAnew = 0
  /** Undefined where there was no answer, or one that says that a later attempt may do better. */
  const attempt: (...request: Parameters<Ask>) => Promise<ClientResponse | undefined> = async (request) => {
    const answer = await ask(request).catch(() => undefined)
    const isAnswered = answer !== undefined && answer.status < 500
    if (!isAnswered) broken += 1
    return isAnswered ? answer : undefined
  }
  const stubbornly = <Value>(what: string, action: () => Promise<Value | undefined>) =>
    until(action, { what: `${what} of ${repository}`, deadlineMs: 60_000 })

  const begin = () =>
    stubbornly('the begin', () =>
      startUpload(ask, repository).catch(() => {
        broken += 1
        return undefined
      }),
    )
  let location = await begin()
  /** Asks where the upload is. The range of one of which nothing has come is `0-0`, as it would be for a byte. */
  const status = async (): Promise<{ readonly at: number } | undefined> => {
    const answer = await attempt({ path: location })
    if (answer?.status === 404) {
      // A registry that is killed at the wrong moment leaves an upload that it cannot read.
      begunAnew += 1
      location = await begin()
      return { at: 0 }
    }
    if (answer?.status !== 204) return undefined
    location = answer.headers.location ?? location
    const last = Number(/^0-(\d+)$/.exec(String(answer.headers.range))?.[1])
    return { at: last === 0 ? 0 : last + 1 }
  }

  const digest = sha256(content)
  const pieceBytes = Math.ceil(content.length / pieces)
  let at = 0
  for (let tries = 0; tries < mostTries; tries += 1) {
    let isWhole = true
    while (isWhole && at < content.length) {
      onPiece()
      const body = content.subarray(at, at + pieceBytes)
      const headers = { 'content-range': `${at}-${at + body.length - 1}`, 'content-type': 'application/octet-stream' }
      const answer = await attempt({ method: 'PATCH', path: location, headers, body })
      isWhole = answer?.status === 202
      location = answer?.headers.location ?? location
      if (isWhole) at += body.length
    }
    // A commit whose answer is lost may have been done: the blob is then there.
    if (isWhole) await attempt({ method: 'PUT', path: withDigest(location, digest) })
    const blob = isWhole ? await attempt({ path: `/v2/${repository}/blobs/${digest}` }) : undefined
    if (blob?.status === 200) return { digest: blob.digest, broken, begunAnew }
    at = (await stubbornly('the status', status)).at
  }
  throw new Error(`${repository} could not be pushed in ${mostTries} tries`)
}
