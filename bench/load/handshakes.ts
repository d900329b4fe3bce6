import { connect, createSecureContext } from 'node:tls'
import type { ConnectionOptions } from 'node:tls'
import { asError, assertCipher, tlsOptions } from './connection.ts'
import type { HandshakesJob } from './job.ts'

/** A connection that is not there or not gone after this long has been forgotten by the front. */
const connectionTimeoutMs = 30_000

export type Handshakes = {
  /** Seconds until the last connection was closed. */
  readonly seconds: number
  readonly count: number
}

/**
 * Makes TLS connections as fast as the front takes them, several at once, asks nothing and closes them. No session is
 * ever offered, so each is a full handshake. `measured` is called between the unmeasured and the measured part.
 *
 * @throws Error at the first connection that fails, resumes a session or agrees on another cipher
 */
export async function handshakes(job: Omit<HandshakesJob, 'kind'>, measured: () => void): Promise<Handshakes> {
  const options = tlsOptions(job.target)
  // Made once: to read the certificates of the authority again for each connection would cost more than the handshake.
  const all = async (forMs: number): Promise<number> => {
    const shake = { ...options, secureContext: createSecureContext(options) }
    const until = performance.now() + forMs
    const counts = await Promise.all(Array.from({ length: job.connections }, () => shakeUntil(shake, until)))
    return counts.reduce((sum, count) => sum + count, 0)
  }
  await all(job.warmUpMs)
  measured()
  const beganAt = performance.now()
  const count = await all(job.windowMs)
  return { seconds: (performance.now() - beganAt) / 1000, count }
}

/** At least one connection, then more until the time has come. */
async function shakeUntil(options: ConnectionOptions, until: number): Promise<number> {
  let count = 0
  do {
    await shakeHands(options)
    count += 1
  } while (performance.now() < until)
  return count
}

/** Resolves when the front has closed its side, too: by then it has done all its work for the connection. */
function shakeHands(options: ConnectionOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(options)
    socket.setTimeout(connectionTimeoutMs, () => {
      socket.destroy(new Error(`a connection stood still for ${connectionTimeoutMs / 1000} s`))
    })
    let isShaken = false
    socket.once('secureConnect', () => {
      try {
        assertCipher(socket)
        if (socket.isSessionReused()) throw new Error('the front resumed a session')
        isShaken = true
        // Reads what the front still says, its session tickets, and with them that it closes.
        socket.resume().end()
      } catch (error) {
        socket.destroy(asError(error))
      }
    })
    socket.once('error', reject)
    socket.once('close', () => {
      if (isShaken) resolve()
      else reject(new Error('the front closed a connection in the middle of its handshake'))
    })
  })
}
