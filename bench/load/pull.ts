import { createHash } from 'node:crypto'
import type { OnReadOpts } from 'node:net'
import { connect } from 'node:tls'
import type { ConnectionOptions } from 'node:tls'
import { createBodyCheck } from '../body.ts'
import { asError, assertCipher, tlsOptions } from './connection.ts'
import type { PullJob } from './job.ts'

const maxHeadBytes = 16 * 1024

/**
 * Downloads the blob over one connection and compares every byte. It reads into one buffer and parses the answer's head
 * itself, because an ordinary client costs more than the fronts that are measured with it.
 *
 * @returns seconds from the request to the last byte; the handshake is not in it
 * @throws Error when anything but `200` with exactly the body comes back
 */
export function pull({ target, path, bytes, digest }: Omit<PullJob, 'kind'>): Promise<number> {
  return new Promise((resolve, reject) => {
    const takeAnswer = createAnswerReader(bytes, digest)
    let beganAt = 0
    const onread: OnReadOpts = {
      buffer: Buffer.alloc(256 * 1024),
      callback: (length, { buffer, byteOffset }) => {
        try {
          if (takeAnswer(Buffer.from(buffer, byteOffset, length))) {
            resolve((performance.now() - beganAt) / 1000)
            socket.destroy()
          }
          return true
        } catch (error) {
          socket.destroy(asError(error))
          return false
        }
      },
    }
    const options: ConnectionOptions & { readonly onread: OnReadOpts } = { ...tlsOptions(target), onread }
    const socket = connect(options)
    socket.once('secureConnect', () => {
      try {
        assertCipher(socket)
      } catch (error) {
        socket.destroy(asError(error))
        return
      }
      beganAt = performance.now()
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${target.authorization}\r\n\r\n`)
    })
    socket.once('error', reject)
    // Once the answer is complete the promise is settled and this says nothing.
    socket.once('close', () => {
      reject(new Error('the front closed the connection before the body was complete'))
    })
  })
}

/**
 * Takes the pieces of an answer, head and body; says when it is complete.
 *
 * @param digest where it is given, of the body besides its bytes
 * @throws Error (the reader) at a head that is not 200 with the blob's length, or at a body that is not the blob's
 */
export function createAnswerReader(bytes: number, digest: string | undefined): (piece: Buffer) => boolean {
  const body = createBodyCheck(bytes)
  const hash = digest === undefined ? undefined : createHash('sha256')
  let head: Buffer | undefined = Buffer.alloc(0)

  function takeBody(piece: Buffer): boolean {
    hash?.update(piece)
    const isComplete = body.take(piece)
    if (isComplete && hash !== undefined && `sha256:${hash.digest('hex')}` !== digest) {
      throw new Error(`the body has not the digest ${digest ?? ''}`)
    }
    return isComplete
  }

  return (piece) => {
    if (head === undefined) return takeBody(piece)
    head = Buffer.concat([head, piece])
    const end = head.indexOf('\r\n\r\n')
    if (end < 0) {
      if (head.length > maxHeadBytes) throw new Error('the head of the answer does not end')
      return false
    }
    assertHead(head.toString('latin1', 0, end), bytes)
    const rest = head.subarray(end + 4)
    head = undefined
    return rest.length > 0 && takeBody(rest)
  }
}

function assertHead(head: string, bytes: number): void {
  const [status = ''] = head.split('\r\n', 1)
  if (!/^HTTP\/1\.[01] 200\b/.test(status)) throw new Error(`the answer is "${status}"`)
  const length = /^content-length: *(\d+) *$/im.exec(head)?.[1]
  if (Number(length) !== bytes) throw new Error(`the answer has Content-Length ${length ?? 'missing'}, not ${bytes}`)
}
