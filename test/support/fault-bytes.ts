import { createHash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'

/** Content of any size that costs no memory: one random block, repeated. Its length is odd so that no edge falls on it. */
const block = randomBytes(1_048_573)

/** `bytes` bytes as pieces that are never larger than `pieceBytes`. */
export function* piecesOf(bytes: number, pieceBytes = 64 * 1024): Generator<Buffer> {
  for (let at = 0; at < bytes;) {
    const start = at % block.length
    const piece = block.subarray(start, Math.min(start + pieceBytes, start + bytes - at, block.length))
    at += piece.length
    yield piece
  }
}

/** The same bytes as a stream that is read at the speed of its reader. */
export function streamOf(bytes: number, pieceBytes?: number): Readable {
  return Readable.from(piecesOf(bytes, pieceBytes), { objectMode: false })
}

export function bytesOf(bytes: number): Buffer {
  return Buffer.concat([...piecesOf(bytes)])
}

/** `sha256:...` of these bytes; lets others run in between, as a gigabyte takes a while. */
export async function digestOf(bytes: number): Promise<string> {
  const hash = createHash('sha256')
  let count = 0
  for (const piece of piecesOf(bytes, block.length)) {
    hash.update(piece)
    count += 1
    if (count % 16 === 0) await nextTurn()
  }
  return `sha256:${hash.digest('hex')}`
}

export function sha256(bytes: string | Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}
