import type { ClientRequest, IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { bodyChunks } from '../body.ts'
import { readBody } from './connection.ts'
import type { Open } from './connection.ts'

export type Push = { readonly repository: string; readonly bytes: number; readonly digest: string }

/**
 * Uploads the blob, one `POST` and one `PUT` with the whole body. The registry hashes what arrived before it says 201,
 * so that answer is the check of the body.
 *
 * @throws Error when the upload is refused or acknowledged with another digest
 */
export async function push(open: Open, { repository, bytes, digest }: Push): Promise<void> {
  const begun = await answerTo(open({ method: 'POST', path: `/v2/${repository}/blobs/uploads/` }).end())
  await expectStatus(begun, 202)
  const location = new URL(begun.headers.location ?? '', 'https://localhost')
  location.searchParams.set('digest', digest)
  const headers = { 'content-type': 'application/octet-stream', 'content-length': bytes }
  const request = open({ method: 'PUT', path: `${location.pathname}${location.search}`, headers })
  // A failure of the connection is told by the answer's promise; the body then has nowhere to go.
  Readable.from(bodyChunks(bytes)).pipe(request)
  const committed = await answerTo(request)
  await expectStatus(committed, 201)
  const acknowledged = committed.headers['docker-content-digest']
  if (acknowledged !== digest) throw new Error(`the upload is acknowledged as ${String(acknowledged)}, not ${digest}`)
}

/** Waits for the head of the answer. The request is the caller's to end. */
export function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve)
    request.once('error', reject)
  })
}

/** Reads the answer to its end. @throws Error with its status and body when it is not the one expected */
export async function expectStatus(response: IncomingMessage, status: number): Promise<Buffer> {
  const body = await readBody(response)
  if (response.statusCode === status) return body
  const answer = `${String(response.statusCode)}: ${body.toString().slice(0, 200)}`
  throw new Error(`expected status ${status}, the answer is ${answer}`)
}
