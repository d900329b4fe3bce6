/** The blob of the benchmark: its bytes are known everywhere without being kept anywhere. */
import { createCipheriv, createHash } from 'node:crypto'

/**
 * The body repeats this many random bytes. The length is a prime, so that a front that loses, repeats or swaps a buffer
 * of any usual size shifts the bytes behind it to where they do not fit.
 */
const periodBytes = 1_048_573

/** The repeated bytes: the key stream of AES-CTR under a key of zeroes, so that nothing compresses it. */
const period = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(periodBytes))

/** The body of the given length, in chunks that nobody may write to. */
export function* bodyChunks(bytes: number): Generator<Buffer> {
  for (let sent = 0; sent < bytes; sent += periodBytes) yield period.subarray(0, Math.min(periodBytes, bytes - sent))
}

/** `sha256:` and the hexadecimal digest of the body. */
export function bodyDigest(bytes: number): string {
  const hash = createHash('sha256')
  for (const chunk of bodyChunks(bytes)) hash.update(chunk)
  return `sha256:${hash.digest('hex')}`
}

export type BodyCheck = {
  /**
   * Compares the next bytes with the body's.
   *
   * @returns whether the body is complete
   * @throws Error at the first piece that is wrong or too long
   */
  take(piece: Buffer): boolean
}

/** Follows a body of the given length; comparing costs a tenth of hashing, so the load generator stays out of the way. */
export function createBodyCheck(bytes: number): BodyCheck {
  let offset = 0
  return {
    take(piece) {
      if (offset + piece.length > bytes) throw new Error(`the body is longer than its ${bytes} bytes`)
      for (let done = 0; done < piece.length;) {
        const at = (offset + done) % periodBytes
        const length = Math.min(piece.length - done, periodBytes - at)
        if (piece.compare(period, at, at + length, done, done + length) !== 0) {
          throw new Error(`the body is wrong behind byte ${offset + done}`)
        }
        done += length
      }
      offset += piece.length
      return offset === bytes
    },
  }
}
