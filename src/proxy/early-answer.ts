import type { IncomingMessage, ServerResponse } from 'node:http'

const lingerMs = 2_000
const lingerBytes = 256 * 1024

/**
 * Prepares a response that may go out while the client is still sending its body: the connection will be closed
 * after it, because what is left of the body would otherwise be read as the next request.
 */
export function closeUnlessComplete(req: IncomingMessage, res: ServerResponse): void {
  if (isSending(req)) res.setHeader('connection', 'close')
}

/** Whether some of a body that the request declares, rightly or not, has not arrived. */
function isSending({ complete, headers }: IncomingMessage): boolean {
  return !complete && (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? '0') > 0)
}

/**
 * Ends a response whose head and content are written. A client that is still sending is read for a short while
 * (RFC 9112 section 9.6), since closing at once could reset the connection before it has read the answer. A client that
 * asked first (`Expect: 100-continue`) and was not told to go on has nothing under way.
 */
export async function endAnswer(req: IncomingMessage, res: ServerResponse, content?: string | Buffer): Promise<void> {
  if (!isSending(req) || expectsContinue(req)) {
    res.end(content)
    return
  }
  if (content === undefined) res.flushHeaders()
  else res.write(content)
  // A pump leaves it corked; the client is to have its answer before it is waited for.
  while (res.writableCorked > 0) res.uncork()
  await drain(req)
  res.end()
}

/** Whether the client waits for a `100 Continue` that has not been sent; HTTP/1.0 knows none (RFC 9110 section 10.1.1). */
export function expectsContinue(req: IncomingMessage): boolean {
  return req.headers.expect !== undefined && req.httpVersion !== '1.0' && !continued.has(req)
}

const continued = new WeakSet<IncomingMessage>()

/** Tells a client that asked to go on and send its body; called when the body is about to be read, never before. */
export function sendContinue(req: IncomingMessage, res: ServerResponse): void {
  if (!expectsContinue(req)) return
  continued.add(req)
  res.writeContinue()
}

function drain(req: IncomingMessage): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  let rest = lingerBytes
  const timer = setTimeout(finish, lingerMs)
  function onData(chunk: Buffer): void {
    rest -= chunk.length
    if (rest <= 0) finish()
  }
  function finish(): void {
    clearTimeout(timer)
    req.off('data', onData).off('end', finish).off('close', finish).off('error', finish)
    req.on('error', () => undefined).pause()
    resolve(undefined)
  }
  if (req.destroyed) finish()
  else req.on('end', finish).on('close', finish).on('error', finish).on('data', onData).resume()
  return promise
}
