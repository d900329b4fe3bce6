/** What the audit holds in memory at most. */
export type AuditLimits = { readonly maxEvents: number; readonly maxBytes: number }

/** Lines that wait for their turn, in order. */
export type AuditQueue = {
  readonly lines: () => number
  /** How full it is: 0 to 1, by lines or by bytes, whichever is more. */
  readonly fill: () => number
  /** Takes a line unless it would fill more than `share` of the limits; tells whether it was taken. */
  push(line: Buffer, share: number): boolean
  /** What is to be written next: as many lines as `maxBytes` takes, at least one, less what was taken of the first. */
  chunk(maxBytes: number): Uint8Array
  /** The first bytes have been written; tells how many lines that ended. */
  take(bytes: number): number
  /** Forgets everything; tells how many lines that were. */
  clear(): number
}

export function createAuditQueue({ maxEvents, maxBytes }: AuditLimits): AuditQueue {
  const waiting: Buffer[] = []
  let waitingBytes = 0
  /** Bytes of the first line that are written already. */
  let taken = 0

  return {
    lines: () => waiting.length,
    fill: () => Math.max(waiting.length / maxEvents, waitingBytes / maxBytes),
    push(line, share) {
      if (waiting.length + 1 > maxEvents * share || waitingBytes + line.length > maxBytes * share) return false
      waiting.push(line)
      waitingBytes += line.length
      return true
    },
    chunk(maxChunkBytes) {
      let bytes = 0
      const end = waiting.findIndex((line, index) => {
        bytes += line.length
        return index > 0 && bytes > maxChunkBytes
      })
      return Buffer.concat(waiting.slice(0, end === -1 ? waiting.length : end)).subarray(taken)
    },
    take(bytes) {
      let rest = taken + bytes
      const unended = waiting.findIndex(({ length }) => {
        if (rest < length) return true
        rest -= length
        return false
      })
      const ended = waiting.splice(0, unended === -1 ? waiting.length : unended)
      for (const { length } of ended) waitingBytes -= length
      taken = rest
      return ended.length
    },
    clear() {
      waitingBytes = 0
      taken = 0
      return waiting.splice(0).length
    },
  }
}
