import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import type { ClientResponse } from '../support/http-client.ts'
import { downloadMarked } from '../support/marked-download.ts'
import { checkMarks, markedBytes, markedDigest, seededRandom } from '../support/marked-bytes.ts'
import { answerMarked, startRawUpstream } from '../support/raw-upstream.ts'
import type { RawScript, RawUpstream } from '../support/raw-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { StartGatewayOptions, TestGateway } from '../support/start-gateway.ts'
import { makeUpstreamCertificate, writeUpstreamCa } from '../support/upstream-certificate.ts'
import type { UpstreamCertificate } from '../support/upstream-certificate.ts'
import { until } from '../support/until.ts'

const kibibyte = 1024
const mebibyte = 1024 * kibibyte

function pathOf(id: number, bytes: number): string {
  return `/v2/alice/app/blobs/${markedDigest(id, bytes)}`
}

/** How many blobs each way was asked for. */
async function waysOf(gateway: TestGateway): Promise<{ readonly lane: number; readonly ordinary: number }> {
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
  const of = (way: string): number =>
    Number(new RegExp(`^wharfgate_\\w*blobs?\\w*\\{[^}]*way="${way}"[^}]*\\} (\\d+)`, 'm').exec(text)?.[1] ?? 0)
  return { lane: of('lane'), ordinary: of('ordinary') }
}

describe.each(['http', 'https'])('with an upstream that speaks %s', (scheme) => {
  let certificate: UpstreamCertificate | undefined
  let trusted: ReturnType<typeof writeUpstreamCa> | undefined
  let upstream: RawUpstream
  const gateways: TestGateway[] = []

  beforeAll(async () => {
    certificate = scheme === 'https' ? await makeUpstreamCertificate() : undefined
    trusted = certificate && writeUpstreamCa(certificate)
    upstream = await startRawUpstream(certificate)
  })
  afterEach(() => {
    expect(gateways.flatMap((gateway) => gateway.faults())).toEqual([])
  })
  afterAll(async () => {
    await Promise.all(gateways.map((gateway) => gateway.stop()))
    await upstream.close()
    trusted?.remove()
  })

  async function start(settings: Readonly<Record<string, unknown>> = {}): Promise<TestGateway> {
    const options: StartGatewayOptions = {
      upstreamUrl: upstream.url,
      settings: { upstream: { ...(trusted && { caFile: trusted.caFile }), ...settings } },
    }
    const gateway = await startGateway(options)
    gateways.push(gateway)
    return gateway
  }

  describe('the bytes of a blob', () => {
    let gateway: TestGateway
    beforeAll(async () => {
      gateway = await start()
    })
    afterEach(async () => {
      expect((await waysOf(gateway)).ordinary).toBe(0)
    })

    test('are the same for many clients at once that stop reading now and then', async () => {
      const pieces = seededRandom(1)
      upstream.play(answerMarked({ pieceBytes: () => 1 + Math.floor(pieces() ** 4 * mebibyte) }))
      const wanted = Array.from({ length: 12 }, (_, seed) => {
        const random = seededRandom(seed)
        const bytes = Math.floor(random() * 6 * mebibyte)
        return { id: seed, bytes, pauseMs: () => (random() < 0.02 ? Math.floor(random() * 30) : 0) }
      })
      const got = await Promise.all(
        wanted.map(({ id, bytes, pauseMs }) => downloadMarked({ ...gateway.target, path: pathOf(id, bytes), pauseMs })),
      )
      expect(got).toEqual(wanted.map(({ bytes }) => ({ status: 200, bytes, fault: undefined, whole: true })))
      expect((await waysOf(gateway)).lane).toBeGreaterThanOrEqual(12)
    })

    test('are the same for a client that stops for long, while the upstream sends on', async () => {
      const bytes = 24 * mebibyte
      upstream.play(answerMarked({ pieceBytes: () => 256 * kibibyte }))
      let reads = 0
      const pauseMs = (): number => ((reads += 1) % 200 === 0 ? 70 : 0)
      expect(await downloadMarked({ ...gateway.target, path: pathOf(99, bytes), pauseMs })).toEqual({
        status: 200,
        bytes,
        fault: undefined,
        whole: true,
      })
    })

    test('are the same of a part', async () => {
      upstream.play(answerMarked({ pieceBytes: () => 64 * kibibyte }))
      const range = [777_777, 2_222_222] as const
      const got = await downloadMarked({ ...gateway.target, path: pathOf(98, 3 * mebibyte), range })
      expect(got).toEqual({ status: 206, bytes: range[1] - range[0] + 1, fault: undefined, whole: true })
    })

    const large = (scheme === 'http' ? 96 : 32) * mebibyte
    test(`are the same of ${large} of them, as fast as they go`, async () => {
      upstream.play(answerMarked({ pieceBytes: () => mebibyte }))
      expect(await downloadMarked({ ...gateway.target, path: pathOf(97, large) })).toEqual({
        status: 200,
        bytes: large,
        fault: undefined,
        whole: true,
      })
      await until(() => gateway.auditLines().some(({ bytesDown }) => bytesDown === large), {
        what: 'every byte counted',
      })
    })
  })

  describe('what an upstream sends beyond a blob', () => {
    const poison = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'
    const [bytes, path] = [500, pathOf(4, 500)]
    const whole = Buffer.concat([
      Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`),
      markedBytes(4, 0, bytes),
    ])
    let gateway: TestGateway
    beforeAll(async () => {
      gateway = await start()
    })

    test.each([
      ['in the same read', [Buffer.concat([whole, Buffer.from(poison)])]],
      ['at once behind it', [whole, Buffer.from(poison)]],
      ['after the client has it', [whole]],
    ])('%s never answers the next request', async (when, pieces) => {
      upstream.reset()
      upstream.play(({ socket }) => {
        for (const piece of pieces) socket.write(piece)
      })
      const got = await downloadMarked({ ...gateway.target, path }).catch(() => undefined)
      if (when === 'after the client has it') expect(got).toMatchObject({ whole: true, fault: undefined })
      // Either nothing of it is passed on, or no wrong byte.
      if (got?.status !== 502) expect(got?.fault).toBeUndefined()
      const [connection] = upstream.connections
      if (pieces.length === 1) connection?.socket.write(poison)
      await until(() => connection?.isClosed, { what: 'the connection is given up' })
      upstream.play(answerMarked({ pieceBytes: () => 64 * kibibyte }))
      expect(await downloadMarked({ ...gateway.target, path })).toEqual({
        status: 200,
        bytes,
        fault: undefined,
        whole: true,
      })
    })
  })

  describe('an answer that the lane leaves', () => {
    const bytes = 200_000
    const [id, path] = [5, pathOf(5, bytes)]
    const body = markedBytes(id, 0, bytes)
    const chunked = (): string => {
      const random = seededRandom(6)
      let text = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
      for (let at = 0; at < bytes;) {
        const piece = body.subarray(at, at + 1 + Math.floor(random() * 20_000))
        text += `${piece.length.toString(16)}\r\n${piece.toString('latin1')}\r\n`
        at += piece.length
      }
      return `${text}0\r\n\r\n`
    }
    const sized = `HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n`
    test.each([
      ['a chunked body', chunked()],
      ['an interim answer', `HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${sized}\r\n${body.toString('latin1')}`],
      ['obs-text in a header', `${sized}X: \xe9\r\n\r\n${body.toString('latin1')}`],
      ['a head of 20 KiB', `${sized}X: ${'x'.repeat(20_000)}\r\n\r\n${body.toString('latin1')}`],
    ])('%s, comes by the ordinary way to the byte, and so do the next blobs', async (_title, answer) => {
      const gateway = await start()
      upstream.reset()
      upstream.play(({ socket }) => void socket.write(Buffer.from(answer, 'latin1')))
      for (const asked of [2, 3]) {
        const got = await downloadMarked({ ...gateway.target, path })
        expect(got).toEqual({ status: 200, bytes, fault: undefined, whole: true })
        expect(upstream.requests).toHaveLength(asked)
      }
      expect(await waysOf(gateway)).toEqual({ lane: 0, ordinary: 2 })
      await until(() => gateway.auditLines().length === 2, { what: 'two audit lines' })
      expect(gateway.auditLines()).toMatchObject([
        { bytesDown: bytes, outcome: 'complete' },
        { bytesDown: bytes, outcome: 'complete' },
      ])
    })
  })

  describe('an answer that is no blob', () => {
    const envelope = '{"errors":[{"code":"BLOB_UNKNOWN","message":"not here"}]}'
    const html = '<html>no</html>'
    const json = 'Content-Type: application/json\r\n'
    const sized = (status: string, lines: string, body: string): RawScript => {
      return ({ socket }) =>
        void socket.write(`HTTP/1.1 ${status}\r\n${lines}Content-Length: ${body.length}\r\n\r\n${body}`)
    }
    const answers: readonly (readonly [string, RawScript])[] = [
      ['404 in JSON', sized('404 Not Found', json, envelope)],
      ['404 in HTML', sized('404 Not Found', 'Content-Type: text/html\r\n', html)],
      ['404 without a body', sized('404 Not Found', '', '')],
      ['416', sized('416 Range Not Satisfiable', `${json}Content-Range: bytes */10\r\n`, envelope)],
      ['416 in text', sized('416 Range Not Satisfiable', 'Content-Range: bytes */10\r\n', 'invalid range\n')],
      ['401', sized('401 Unauthorized', `WWW-Authenticate: Basic realm="x"\r\n${json}`, envelope)],
      ['403 in JSON', sized('403 Forbidden', json, envelope)],
      ['403 in HTML', sized('403 Forbidden', 'Content-Type: text/html\r\n', html)],
      ['429', sized('429 Too Many Requests', `Retry-After: 7\r\n${json}`, envelope)],
      ['503 in HTML', sized('503 Unavailable', 'Content-Type: text/html\r\nRetry-After: 9\r\n', html)],
      ['304', sized('304 Not Modified', 'ETag: "x"\r\n', '')],
      ['304 that tells a length', ({ socket }) => void socket.write('HTTP/1.1 304 No\r\nContent-Length: 99\r\n\r\n')],
      ['204', ({ socket }) => void socket.write('HTTP/1.1 204 No Content\r\n\r\n')],
      ['203', sized('203 Other', 'Content-Type: text/plain\r\n', 'some content')],
      ['307 to https', sized('307 Temporary Redirect', 'Location: https://store.example/x?y=z\r\n', html)],
      ['302 to https', sized('302 Found', 'Location: https://store.example/x?y=z\r\n', '')],
      ['307 to http', sized('307 Temporary Redirect', 'Location: http://store.example/x\r\n', '')],
      ['307 to nowhere', sized('307 Temporary Redirect', '', '')],
    ]
    const chosen = scheme === 'http' ? [undefined, { username: 'gateway', password: 'gateway-secret' }] : [undefined]

    describe.each(chosen)('with the credential %j', (credential) => {
      let byLane: TestGateway
      let byRequest: TestGateway
      beforeAll(async () => {
        const settings = credential === undefined ? {} : { credential }
        byLane = await start(settings)
        byRequest = await start(settings)
        // Its lane rests behind this one.
        upstream.play(
          ({ socket }) => void socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
        )
        expect((await byRequest.as('alice', { path: pathOf(1, 0) })).status).toBe(200)
      })
      afterAll(async () => {
        expect((await waysOf(byLane)).ordinary).toBe(0)
        expect((await waysOf(byRequest)).lane).toBe(0)
      })

      const shown = ({ status, reason, headers, body }: ClientResponse): unknown => {
        const { 'x-request-id': requestId, ...others } = headers
        return { status, reason, headers: { ...others, date: '' }, body: body.replaceAll(String(requestId), 'ID') }
      }

      test.each(answers)('%s: the client is told the same as by the ordinary way', async (_title, script) => {
        upstream.play(script)
        const [one, other] = [
          await byLane.as('alice', { path: pathOf(2, 10) }),
          await byRequest.as('alice', { path: pathOf(2, 10) }),
        ]
        expect(shown(one)).toEqual(shown(other))
        const lines = await Promise.all([
          byLane.auditLineOf(String(one.headers['x-request-id'])),
          byRequest.auditLineOf(String(other.headers['x-request-id'])),
        ])
        const told = lines.map(({ status, outcome, errorId, bytesDown }) => ({ status, outcome, errorId, bytesDown }))
        expect(told[0]).toEqual(told[1])
      })
    })
  })
})

test('a blob’s checker tells where a body has another’s bytes', () => {
  const checker = checkMarks(1)
  checker.take(markedBytes(1, 0, 1_003))
  checker.take(Buffer.concat([markedBytes(1, 1_003, 5), markedBytes(2, 64, 20)]))
  expect(checker.fault).toBe('at byte 1008: body 2, byte 64')
})
