/** Bodies that tell of each eight bytes where they belong, so that a byte that is out of place says where it came from. */
const wordBytes = 8

/** A part of the body `id`: every eight bytes are the body's number and their own place in it. */
export function markedBytes(id: number, from: number, length: number): Buffer {
  const first = Math.floor(from / wordBytes)
  const words = Math.ceil((from + length) / wordBytes) - first
  const numbers = new Uint32Array(2 * words)
  for (let word = 0; word < words; word += 1) {
    numbers[2 * word] = id
    numbers[2 * word + 1] = first + word
  }
  const start = from - first * wordBytes
  return Buffer.from(numbers.buffer).subarray(start, start + length)
}

export type MarkChecker = {
  /** Compares the next bytes of the body. */
  take(chunk: Buffer): void
  readonly bytes: number
  /** Where the first byte out of place is, and what stands there. */
  readonly fault: string | undefined
}

/** Checks a body as it comes; it begins at `from`. */
export function checkMarks(id: number, from = 0): MarkChecker {
  let bytes = 0
  let fault: string | undefined
  return {
    take: (chunk) => {
      const expected = markedBytes(id, from + bytes, chunk.length)
      if (fault === undefined && !chunk.equals(expected)) fault = describeFault(chunk, expected, from + bytes)
      bytes += chunk.length
    },
    get bytes() {
      return bytes
    },
    get fault() {
      return fault
    },
  }
}

function describeFault(chunk: Buffer, expected: Buffer, at: number): string {
  const wrong = chunk.findIndex((byte, index) => byte !== expected[index])
  const aligned = wrong + ((wordBytes - ((at + wrong) % wordBytes)) % wordBytes)
  const there =
    aligned + wordBytes <= chunk.length
      ? `body ${chunk.readUInt32LE(aligned)}, byte ${wordBytes * chunk.readUInt32LE(aligned + 4)}`
      : chunk.toString('hex', wrong)
  return `at byte ${at + wrong}: ${there}`
}

/** A digest that names a body of this number and length to {@link markedBlobOf}; not its SHA-256. */
export function markedDigest(id: number, bytes: number): string {
  const hex = id.toString(16).padStart(8, '0') + bytes.toString(16).padStart(12, '0')
  return `sha256:${hex.padEnd(64, '0')}`
}

/** Which body a request line asks for. */
export function markedBlobOf(text: string): { readonly id: number; readonly bytes: number } | undefined {
  const [, id, bytes] = /sha256:([0-9a-f]{8})([0-9a-f]{12})0{44}/.exec(text) ?? []
  if (id === undefined || bytes === undefined) return undefined
  return { id: Number.parseInt(id, 16), bytes: Number.parseInt(bytes, 16) }
}

/** Numbers from 0 to below 1 that are the same in every run. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
