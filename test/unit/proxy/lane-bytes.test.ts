import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { readSizes } from '../../../src/proxy/buffer-pool.ts'
import { downloadMarked } from '../../support/marked-download.ts'
import { markedDigest, seededRandom } from '../../support/marked-bytes.ts'
import { startLaneFront } from '../../support/lane-front.ts'
import type { LaneFront } from '../../support/lane-front.ts'
import { answerMarked, startRawUpstream } from '../../support/raw-upstream.ts'
import type { RawUpstream } from '../../support/raw-upstream.ts'
import { makeUpstreamCertificate } from '../../support/upstream-certificate.ts'

const kibibyte = 1024
const mebibyte = 1024 * kibibyte

/** Sizes of single writes: what a busy registry, a slow one and a broken-up one send. */
const pieceSizes = [1, 7, 100, 4_095, 16_384, 16_385, 65_536, 65_537, 262_144, mebibyte]

function randomPieces(seed: number): () => number {
  const random = seededRandom(seed)
  return () => pieceSizes[Math.floor(random() * pieceSizes.length)] ?? 1
}

describe.each(['http', 'https'])('the bytes of a blob from an upstream with %s', (scheme) => {
  let upstream: RawUpstream
  let front: LaneFront
  let ca: string | undefined

  beforeAll(async () => {
    const certificate = scheme === 'https' ? await makeUpstreamCertificate() : undefined
    upstream = await startRawUpstream(certificate)
    ca = certificate?.ca
    front = await startLaneFront({ upstreamUrl: upstream.url, ca })
  })
  afterEach(() => {
    expect(front.pool.misuses).toEqual([])
    expect(front.pool.shares).toBe(0)
  })
  afterAll(async () => {
    await front.close()
    await upstream.close()
  })

  const edges = [64 * kibibyte, 256 * kibibyte, mebibyte].flatMap((size) =>
    [-200, -1, 0, 1].map((beside) => size + beside),
  )
  test.each([0, 1, 7, 8, 9, 65, ...edges])('are the same: %i', async (bytes) => {
    for (const pieceBytes of [mebibyte, 1_000]) {
      upstream.play(answerMarked({ pieceBytes: () => pieceBytes }))
      const path = `/${markedDigest(bytes, bytes)}`
      expect(await downloadMarked({ port: front.port, path })).toEqual({
        status: 200,
        bytes,
        fault: undefined,
        whole: true,
      })
    }
  })

  test('are the same wherever the head ends within a read', async () => {
    // A head of every length up to the first read's end pushes the body's beginning over its edge.
    for (let beside = -3; beside <= 3; beside += 1) {
      const padding = 'x'.repeat(16_000)
      upstream.play(answerMarked({ pieceBytes: () => 64 * kibibyte - 16_000 + beside, lines: [`X: ${padding}`] }))
      const bytes = 100_000
      const path = `/${markedDigest(beside + 3, bytes)}`
      expect(await downloadMarked({ port: front.port, path })).toMatchObject({ bytes, fault: undefined, whole: true })
    }
  })

  test('are the same in pieces of any size, for clients that stop reading now and then', async () => {
    const downloads = Array.from({ length: 16 }, (_, seed) => {
      const random = seededRandom(seed)
      const bytes = Math.floor(random() * 6 * mebibyte)
      const pauseMs = (): number => (random() < 0.05 ? Math.floor(random() * 20) : 0)
      return { path: `/${markedDigest(seed, bytes)}`, bytes, pauseMs }
    })
    upstream.play(answerMarked({ pieceBytes: randomPieces(1) }))
    const got = await Promise.all(
      downloads.map(({ path, pauseMs }) => downloadMarked({ port: front.port, path, pauseMs })),
    )
    expect(got).toEqual(downloads.map(({ bytes }) => ({ status: 200, bytes, fault: undefined, whole: true })))
  })

  test('are the same for a client that stops for long, while the upstream sends on', async () => {
    // Enough that the kernel's buffers cannot hide the pause.
    const bytes = 24 * mebibyte
    upstream.play(answerMarked({ pieceBytes: randomPieces(2) }))
    let got = 0
    const path = `/${markedDigest(3, bytes)}`
    // Each time for longer than the lane takes a client to be a fast one.
    const pauseMs = (): number => (++got % 40 === 0 ? 80 : 0)
    const reads = await Promise.all([1, 2].map(() => downloadMarked({ port: front.port, path, pauseMs })))
    for (const read of reads) expect(read).toEqual({ status: 200, bytes, fault: undefined, whole: true })
  })

  test('are the same where the answer has ended long before anyone wants its body', async () => {
    const late = await startLaneFront({
      upstreamUrl: upstream.url,
      ca,
      beforeStream: async () => {
        for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))
      },
    })
    // Several records of TLS in one write: all of them come before the connection can be held.
    upstream.play((connection) => {
      answerMarked({ pieceBytes: () => 60_000, lines: ['Connection: close'] })(connection)
      connection.socket.end()
    })
    const path = `/${markedDigest(7, 60_000)}`
    expect(await downloadMarked({ port: late.port, path })).toMatchObject({ fault: undefined, whole: true })
    upstream.play(answerMarked({ pieceBytes: () => 60_000 }))
    const longPath = `/${markedDigest(8, 3 * mebibyte)}`
    expect(await downloadMarked({ port: late.port, path: longPath })).toMatchObject({ fault: undefined, whole: true })
    expect(late.pool.misuses).toEqual([])
    await late.close()
  })

  test('are the same of a part, from an offset that is no edge of anything', async () => {
    upstream.play(answerMarked({ pieceBytes: randomPieces(4) }))
    const range = [1_234_567, 3_456_789] as const
    const path = `/${markedDigest(5, 4 * mebibyte)}`
    expect(await downloadMarked({ port: front.port, path, range })).toEqual({
      status: 206,
      bytes: 3_456_789 - 1_234_567 + 1,
      fault: undefined,
      whole: true,
    })
  })

  test('are the same while reads grow', async () => {
    const bytes = 96 * mebibyte
    upstream.play(answerMarked({ pieceBytes: () => mebibyte }))
    const path = `/${markedDigest(6, bytes)}`
    expect(await downloadMarked({ port: front.port, path })).toEqual({
      status: 200,
      bytes,
      fault: undefined,
      whole: true,
    })
    // Inside TLS a read has never more than a record of 16 KiB, so there is nothing to gain.
    const [small, middle, large] = readSizes
    expect([...front.pool.sizes]).toEqual(scheme === 'http' ? [small, middle, large] : [small])
  })
})
