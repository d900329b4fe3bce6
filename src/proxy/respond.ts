import { validateHeaderValue } from 'node:http'
import { RegistryError } from '../registry/error.ts'
import type { GivenAnswer } from './answer.ts'
import type { AskedBlob, AskedWhole, Question } from './ask.ts'
import { closeUnlessComplete, endAnswer } from './early-answer.ts'
import { createInactivityTimer } from './inactivity.ts'
import type { BlobStreamOptions } from './lane-body.ts'
import { startPump } from './pump.ts'
import { brokenOffBy } from './pump-end.ts'
import { clientResponseHeaders } from './response-headers.ts'

/** A request of a client that is answered. */
export type Answerable = Pick<Question, 'req' | 'res' | 'request' | 'transfer'>

export type RespondOptions = {
  /** How long a client may take nothing of an answer, in milliseconds. */
  readonly writeInactivityMs: number
  /** How long the upstream may send nothing of a body while the client waits for it, in milliseconds. */
  readonly sourceInactivityMs: number
}

/**
 * Writes answers to clients. Each call ends the response and the transfer, or breaks the client's connection so that a
 * cut body never looks whole. When it throws, nothing has been written.
 */
export type Respond = {
  /** An answer that was judged, or made here. @throws RegistryError `upstreamInvalid` */
  given(to: Answerable, answer: GivenAnswer): Promise<void>
  /** Content that is there already. @throws RegistryError `upstreamInvalid` */
  whole(to: Answerable, asked: AskedWhole): Promise<void>
  /** A blob that comes by its lane; head and end are written as for any other answer. @throws RegistryError `upstreamInvalid` */
  blob(to: Answerable, asked: AskedBlob): Promise<void>
}

export function createRespond({ writeInactivityMs, sourceInactivityMs }: RespondOptions): Respond {
  /** How a download is counted, and how long either side may keep it standing still. */
  const limits = ({ transfer }: Answerable): BlobStreamOptions => ({
    charge: (bytes) => transfer.charge('down', bytes),
    sourceIdleMs: sourceInactivityMs,
    sinkIdleMs: writeInactivityMs,
  })

  /** Ends the response and waits until the client has taken it. */
  async function finish({ req, res, transfer }: Answerable, content?: string | Buffer): Promise<void> {
    const { promise: taken, resolve } = Promise.withResolvers<undefined>()
    const timer = createInactivityTimer({
      limitMs: writeInactivityMs,
      counts: () => true,
      onIdle: () => {
        transfer.end('aborted-by-gateway')
        res.destroy()
      },
    })
    const onEnd = (): void => {
      resolve(undefined)
    }
    res.once('finish', onEnd).once('close', onEnd)
    await endAnswer(req, res, content)
    if (!res.destroyed && !res.writableFinished) await taken
    timer.stop()
    transfer.end(res.writableFinished ? 'complete' : 'aborted-by-client')
  }

  async function given(to: Answerable, { status, headers, content }: GivenAnswer): Promise<void> {
    const { res, request, transfer } = to
    writeHead(to, status, headers)
    if (content.kind === 'text') {
      const text = request.method === 'HEAD' ? undefined : content.text
      if (text !== undefined) void transfer.charge('down', Buffer.byteLength(text))
      await finish(to, text)
      return
    }
    if (content.kind === 'none') {
      content.discard.resume()
      await finish(to)
      return
    }
    const end = await startPump(content.stream, res, limits(to)).ended
    if (end.kind === 'complete') {
      await finish(to)
      return
    }
    transfer.end(brokenOffBy(end))
    content.stream.destroy()
    res.destroy()
  }

  async function whole(to: Answerable, { head, content }: AskedWhole): Promise<void> {
    const { res, request, transfer } = to
    const headers = clientResponseHeaders(head.headers, head.statusCode, request)
    await transfer.charge('down', content.length)
    if (res.destroyed) {
      transfer.end('aborted-by-client')
      return
    }
    writeHead(to, head.statusCode, headers)
    await finish(to, content)
  }

  async function blob(to: Answerable, { head, body }: AskedBlob): Promise<void> {
    const { res, request, transfer } = to
    try {
      writeHead(to, head.statusCode, clientResponseHeaders(head.headers, head.statusCode, request))
    } catch (error) {
      body.discard()
      throw error
    }
    const end = await body.stream(res, limits(to))
    if (end.kind === 'complete') {
      await finish(to)
      return
    }
    transfer.end(brokenOffBy(end))
    res.destroy()
  }

  return { given, whole, blob }
}

/** Sets status and headers; nothing of them when one cannot be sent. */
function writeHead({ req, res }: Answerable, status: number, headers: ReadonlyMap<string, string>): void {
  for (const [name, value] of headers) checkHeader(name, value)
  closeUnlessComplete(req, res)
  res.statusCode = status
  for (const [name, value] of headers) {
    // A warning of the registry stands beside one of ours.
    if (name === 'warning' && res.hasHeader(name)) res.appendHeader(name, value)
    else res.setHeader(name, value)
  }
}

function checkHeader(name: string, value: string): void {
  try {
    validateHeaderValue(name, value)
  } catch (error) {
    throw new RegistryError('upstreamInvalid', { cause: error })
  }
}
