import net from 'node:net'
import type { Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { downloadMarked } from '../../support/marked-download.ts'
import { markedBytes, markedDigest } from '../../support/marked-bytes.ts'
import { leftStatus, startLaneFront } from '../../support/lane-front.ts'
import type { LaneFront, LaneFrontOptions } from '../../support/lane-front.ts'
import { answerMarked, startRawUpstream } from '../../support/raw-upstream.ts'
import type { RawScript, RawUpstream, RawUpstreamConnection } from '../../support/raw-upstream.ts'
import { makeUpstreamCertificate } from '../../support/upstream-certificate.ts'
import type { UpstreamCertificate } from '../../support/upstream-certificate.ts'
import { until } from '../../support/until.ts'

/** What is promised is a second; a busy machine gets two. */
const soonMs = 20_000
const bytes = 1_000
const id = 77
const path = `/${markedDigest(id, bytes)}`
const head = `HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`
const body = markedBytes(id, 0, bytes)
const marked = answerMarked({ pieceBytes: () => 64 * 1024 })
const neverAnswer: RawScript = () => undefined
const endless: RawScript = ({ socket }) => {
  const block = Buffer.alloc(64 * 1024)
  const write = (): void => {
    while (!socket.destroyed && socket.write(block));
  }
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${10 ** 12}\r\n\r\n`)
  socket.on('drain', write)
  write()
}

describe.each(['http', 'https'])('the lane to an upstream with %s', (scheme) => {
  let certificate: UpstreamCertificate | undefined
  let upstream: RawUpstream
  let front: LaneFront

  beforeAll(async () => {
    certificate = scheme === 'https' ? await makeUpstreamCertificate() : undefined
    upstream = await startRawUpstream(certificate)
    front = await start()
  })
  afterEach(() => {
    upstream.reset()
    front.limit({})
    expect(own.flatMap(({ pool }) => pool.misuses)).toEqual([])
    expect(own.map(({ pool }) => pool.shares)).toEqual(own.map(() => 0))
  })
  afterAll(async () => {
    await Promise.all(own.map((each) => each.close()))
    await upstream.close()
  })

  const own: LaneFront[] = []
  async function start(options: Partial<LaneFrontOptions> = {}): Promise<LaneFront> {
    const started = await startLaneFront({ upstreamUrl: upstream.url, ca: certificate?.ca, ...options })
    own.push(started)
    return started
  }
  function download(at = front, of = path): ReturnType<typeof downloadMarked> {
    return downloadMarked({ port: at.port, path: of })
  }
  /** A lane with a kept connection, which the next download will take. */
  async function warm(at: LaneFront): Promise<RawUpstreamConnection> {
    upstream.play(marked)
    expect(await download(at)).toMatchObject({ status: 200, whole: true })
    const connection = upstream.connections.at(-1)
    if (connection === undefined) throw new Error('no connection')
    return connection
  }

  const ways: readonly (readonly [string, (connection: RawUpstreamConnection) => void])[] = [
    ['FIN', ({ socket }) => socket.end()],
    ['RST', (connection) => connection.reset()],
  ]
  const stages: readonly (readonly [string, string | Buffer])[] = [
    ['before its head', ''],
    ['within its head', head.slice(0, 20)],
    ['one byte before the end of its head', head.slice(0, -1)],
    ['behind its head', head],
    ['within its body', Buffer.concat([Buffer.from(head), body.subarray(0, 500)])],
    ['one byte before its end', Buffer.concat([Buffer.from(head), body.subarray(0, -1)])],
  ]
  const endings = stages.flatMap(([stage, sent]) => ways.map(([how, end]) => ({ stage, sent, how, end })))

  test.each(endings)('an answer that ends $stage by $how is no whole blob', async ({ sent, end, stage }) => {
    upstream.play((connection) => {
      if (sent.length === 0) end(connection)
      // Sent before the end, so that a reset does not overtake it.
      else connection.socket.write(sent, () => setImmediate(() => void end(connection)))
    })
    const got = await download().catch(() => undefined)
    expect(got?.whole === true && got.status === 200).toBe(false)
    const inBody = stage === 'behind its head' || stage.endsWith('body') || stage.endsWith('its end')
    if (!inBody) expect(got?.status).toBe(502)
    expect(got?.fault).toBeUndefined()
    await until(() => upstream.open() === 0, { what: 'the upstream connection ends', deadlineMs: soonMs })
    expect(upstream.requests).toHaveLength(1)
  })

  test('a byte more than was announced, in the same read, is no whole blob', async () => {
    upstream.play(({ socket }) => void socket.write(Buffer.concat([Buffer.from(head), body, Buffer.from('!')])))
    const got = await download().catch(() => undefined)
    expect(got?.status === 200 && got.whole).toBe(false)
    // A short body that came at once is refused; a blob that has begun is broken off.
    expect(['upstreamInvalid', 'source-failed']).toContain(front.ends.at(-1))
    await until(() => upstream.open() === 0, { what: 'the upstream connection ends', deadlineMs: soonMs })
  })

  test('a byte more than was announced, in the read of a body’s end, is no whole blob', async () => {
    upstream.play(({ socket }) => {
      socket.write(Buffer.concat([Buffer.from(head), body.subarray(0, 500)]))
      setImmediate(() => socket.write(Buffer.concat([body.subarray(500), Buffer.from('!')])))
    })
    const got = await download().catch(() => undefined)
    expect(got?.status === 200 && got.whole).toBe(false)
    // A short body that came at once is refused; a blob that has begun is broken off.
    expect(['upstreamInvalid', 'source-failed']).toContain(front.ends.at(-1))
    await until(() => upstream.open() === 0, { what: 'the upstream connection ends', deadlineMs: soonMs })
  })

  test.each(['!', 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil', '\0'.repeat(100_000)])(
    'what comes behind a whole blob ends its connection, and the next blob comes fresh (%#)',
    async (surplus) => {
      const lane = await start()
      const connection = await warm(lane)
      connection.socket.write(surplus)
      await until(() => connection.isClosed, { what: 'the connection ends', deadlineMs: soonMs })
      expect(await download(lane)).toEqual({ status: 200, bytes, fault: undefined, whole: true })
      expect(upstream.connections).toHaveLength(2)
      expect(lane.retries).toBe(0)
    },
  )

  test('what comes behind a short answer ends its connection as well', async () => {
    upstream.play(({ socket }) => void socket.write('HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n{}'))
    const lane = await start()
    expect(await download(lane)).toMatchObject({ status: 404 })
    const [connection] = upstream.connections
    connection?.socket.write('!')
    await until(() => connection?.isClosed, { what: 'the connection ends', deadlineMs: soonMs })
  })

  test('a short answer with a byte more is refused', async () => {
    upstream.play(({ socket }) => void socket.write('HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n{}!'))
    expect(await download()).toMatchObject({ status: 502 })
    await until(() => upstream.open() === 0, { what: 'the upstream connection ends', deadlineMs: soonMs })
  })

  test('an answer that comes byte by byte is read like any other', async () => {
    const all = Buffer.concat([Buffer.from(head), body.subarray(0, 40)])
    upstream.play(({ socket }) => {
      let at = 0
      const next = (): void => {
        if (at < all.length) socket.write(all.subarray(at, (at += 1)), () => setImmediate(next))
        else socket.write(body.subarray(40))
      }
      next()
    })
    expect(await download()).toEqual({ status: 200, bytes, fault: undefined, whole: true })
  })

  test('a short answer that comes in pieces is left to the ordinary way, and the lane goes on', async () => {
    const all = 'HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\n12345678'
    upstream.play(({ socket }) => {
      let at = 0
      const next = (): void => {
        if (at < all.length) socket.write(all.charAt(at++), () => setImmediate(next))
      }
      next()
    })
    expect(await download()).toMatchObject({ status: leftStatus })
    upstream.play(marked)
    expect(await download()).toMatchObject({ status: 200, whole: true })
  })

  describe('with a deadline for heads', () => {
    const limitMs = 300
    let hurried: LaneFront
    beforeAll(async () => {
      hurried = await start({ timeouts: { connectMs: 10_000, headersMs: limitMs } })
    })

    test.each([
      ['nothing comes', ''],
      ['only a part of it comes', head.slice(0, 30)],
    ])('gives up when %s', async (_title, sent) => {
      upstream.play(({ socket }) => void (sent !== '' && socket.write(sent)))
      const startedMs = performance.now()
      expect(await download(hurried)).toMatchObject({ status: 504 })
      expect(performance.now() - startedMs).toBeGreaterThanOrEqual(limitMs - 10)
      await until(() => upstream.open() === 0, { what: 'the upstream connection ends', deadlineMs: soonMs })
    })

    test('gives up on a kept connection too, and does not ask again', async () => {
      await warm(hurried)
      upstream.play(neverAnswer)
      const startedMs = performance.now()
      expect(await download(hurried)).toMatchObject({ status: 504 })
      expect(performance.now() - startedMs).toBeLessThan(2 * limitMs - 10)
      expect(upstream.requests).toHaveLength(2)
      expect(hurried.retries).toBe(0)
    })
  })

  describe('keeps a connection', () => {
    test('for the next blob', async () => {
      const lane = await start()
      const connection = await warm(lane)
      for (let round = 0; round < 5; round += 1) expect(await download(lane)).toMatchObject({ whole: true })
      upstream.play(({ socket }) => void socket.write('HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n{}'))
      expect(await download(lane)).toMatchObject({ status: 404 })
      upstream.play(({ socket }) => void socket.write('HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n'))
      expect(await download(lane)).toMatchObject({ status: 304 })
      upstream.play(marked)
      expect(await download(lane)).toMatchObject({ whole: true, fault: undefined })
      expect(connection.requests).toHaveLength(9)
      lane.lane.close()
      await until(() => connection.isClosed, { what: 'the idle connection ends with the lane', deadlineMs: soonMs })
    })

    test.each(ways)('that the upstream then closes by %s: nobody notices', async (_how, end) => {
      const lane = await start()
      const connection = await warm(lane)
      end(connection)
      await until(() => connection.isClosed, { what: 'the connection ends', deadlineMs: soonMs })
      expect(await download(lane)).toMatchObject({ status: 200, whole: true })
    })

    test.each(ways)('that the upstream closes when it is asked (%s): it is asked once more', async (_how, end) => {
      const lane = await start()
      const kept = await warm(lane)
      upstream.play((connection) => {
        if (connection === kept) end(connection)
        else marked(connection)
      })
      expect(await download(lane)).toEqual({ status: 200, bytes, fault: undefined, whole: true })
      expect(lane.retries).toBe(1)
      expect(upstream.requests).toHaveLength(3)
    })

    test.each(ways)('but asks no third time (%s)', async (_how, end) => {
      const lane = await start()
      await warm(lane)
      upstream.play(end)
      expect(await download(lane)).toMatchObject({ status: 502 })
      expect(upstream.requests).toHaveLength(3)
    })

    test('but does not ask again once a byte of the answer has come', async () => {
      const lane = await start()
      await warm(lane)
      upstream.play(({ socket }) => {
        socket.end('H')
      })
      expect(await download(lane)).toMatchObject({ status: 502 })
      expect(upstream.requests).toHaveLength(2)
      expect(lane.retries).toBe(0)
    })

    test('but not when the upstream says that it closes', async () => {
      const lane = await start()
      upstream.play(answerMarked({ pieceBytes: () => 4096, lines: ['Connection: close'] }))
      expect(await download(lane)).toMatchObject({ whole: true })
      await until(() => upstream.open() === 0, { what: 'the connection ends', deadlineMs: soonMs })
      expect(await download(lane)).toMatchObject({ whole: true })
      expect(upstream.connections).toHaveLength(2)
    })

    test('idle for half of its life only', async () => {
      const lane = await start({ keepAliveMs: 400 })
      const connection = await warm(lane)
      expect(connection.isClosed).toBe(false)
      await until(() => connection.isClosed, { what: 'the idle connection expires', deadlineMs: soonMs })
    })

    test('not once half of its life has passed, however busy it was', async () => {
      const lane = await start({ keepAliveMs: 400 })
      const connection = await warm(lane)
      await until(
        async () => {
          expect(await download(lane)).toMatchObject({ whole: true })
          return connection.isClosed
        },
        { what: 'the connection is given up for its age', deadlineMs: soonMs },
      )
    })

    test('not after the lane was closed', async () => {
      const lane = await start()
      const goOn = Promise.withResolvers<undefined>()
      upstream.play(
        (connection) =>
          void goOn.promise.then(() => {
            marked(connection)
          }),
      )
      const downloading = download(lane)
      await until(() => upstream.requests.length === 1, { what: 'the request' })
      lane.lane.close()
      goOn.resolve(undefined)
      expect(await downloading).toMatchObject({ whole: true })
      await until(() => upstream.open() === 0, { what: 'the connection ends', deadlineMs: soonMs })
    })
  })

  describe('with a client that leaves', () => {
    function ask(target: string, of = front): Socket {
      const client = net.connect(of.port, '127.0.0.1')
      client.on('error', () => undefined)
      client.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
      return client
    }
    const asked = (): boolean => upstream.requests.length === 1
    const phases: readonly (readonly [string, RawScript, (client: Socket) => boolean])[] = [
      ['before a head', neverAnswer, asked],
      ['within a head', ({ socket }) => void socket.write(head.slice(0, 20)), asked],
      ['behind a head', ({ socket }) => void socket.write(head), asked],
      ['within a body that stands', ({ socket }) => void socket.write(`${head}x`), ({ bytesRead }) => bytesRead > 0],
      ['within a body that flows', endless, ({ bytesRead }) => bytesRead > 5_000_000],
      [
        'within a short body',
        ({ socket }) => void socket.write('HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\n1'),
        asked,
      ],
    ]
    const leavings = phases.flatMap(([phase, script, reached]) =>
      (['end', 'reset'] as const).map((how) => ({ phase, script, reached, how })),
    )
    test.each(leavings)('$phase ($how), the upstream connection ends', async ({ script, reached, how }) => {
      upstream.play(script)
      const client = ask(path)
      client.resume()
      await until(() => reached(client), { what: 'the moment to leave', intervalMs: 2 })
      if (how === 'end') client.destroy()
      else client.resetAndDestroy()
      await until(() => upstream.open() === 0, { what: 'the upstream connection ends', deadlineMs: soonMs })
      expect(upstream.requests).toHaveLength(1)
    })

    test('that does not read, the upstream waits, and its connection ends too', async () => {
      const lane = await start()
      upstream.play(endless)
      const client = ask(path, lane)
      client.pause()
      const held = (): boolean => upstream.connections[0]?.socket.writableNeedDrain === true
      await until(() => held() && lane.pool.out > 2, { what: 'the upstream is held' })
      client.resetAndDestroy()
      await until(() => upstream.open() === 0, { what: 'the upstream connection ends', deadlineMs: soonMs })
      // Two under way to the client, what TLS had read before it stopped, and the one to be read into.
      expect(lane.pool.mostOut).toBeLessThanOrEqual(6)
    })
  })

  describe('leaves', () => {
    test.each([
      ['a chunked body', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
      ['an interim answer', `HTTP/1.1 103 Early Hints\r\n\r\n${head}`],
      ['no length', 'HTTP/1.1 200 OK\r\n\r\nbody'],
      ['a head of 20 KiB', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`],
      ['a long error', 'HTTP/1.1 500 No\r\nContent-Length: 1000000\r\n\r\n'],
      ['what is not HTTP/1.1', '220 mail.example ESMTP\r\n'],
    ])('%s: its connection is ended, and the lane rests', async (_title, answer) => {
      const lane = await start()
      upstream.play(({ socket }) => void socket.write(answer))
      expect(await download(lane)).toMatchObject({ status: leftStatus })
      await until(() => upstream.open() === 0, { what: 'the upstream connection ends', deadlineMs: soonMs })
      expect(await download(lane)).toMatchObject({ status: leftStatus })
      expect(upstream.requests).toHaveLength(1)
    })

    test('and is back after its rest', async () => {
      const lane = await start({ restMs: 100 })
      upstream.play(({ socket }) => void socket.write('HTTP/1.0 200 OK\r\n\r\n'))
      expect(await download(lane)).toMatchObject({ status: leftStatus })
      upstream.play(marked)
      const isBack = async (): Promise<boolean> => (await download(lane)).whole && lane.ends.includes('complete')
      await until(isBack, { what: 'the lane is tried again', deadlineMs: soonMs })
    })
  })

  describe('passes on nothing of an answer', () => {
    const ok = 'HTTP/1.1 200 OK\r\n'
    const end = 'Content-Length: 2\r\n\r\n{}'
    let restless: LaneFront
    beforeAll(async () => {
      restless = await start({ restMs: 0 })
    })
    test.each([
      ['bare LF everywhere', `${ok}${end}`.replaceAll('\r\n', '\n')],
      ['bare LF behind the status line', `HTTP/1.1 200 OK\n${end}`],
      ['bare LF in a value', `${ok}ETag: a\nSet-Cookie: b\r\n${end}`],
      ['bare CR in a value', `${ok}ETag: a\rSet-Cookie: b\r\n${end}`],
      ['NUL in a value', `${ok}ETag: a\0b\r\n${end}`],
      ['a folded line', `${ok}ETag: a\r\n b\r\n${end}`],
      ['a space before the colon', `${ok}Content-Length : 1\r\n${end}`],
      ['300 headers, the framing last', `${ok}${'Docker-X: y\r\n'.repeat(300)}${end}`],
      ['a header of 64 KiB', `${ok}ETag: ${'a'.repeat(65_536)}\r\n${end}`],
      ['two lengths', `${ok}Content-Length: 3\r\n${end}`],
      ['a list of lengths', `${ok}Content-Length: 2, 2\r\n\r\n{}`],
      ['a length with a plus', `${ok}Content-Length: +2\r\n\r\n{}`],
      ['a length in hexadecimal', `${ok}Content-Length: 0x2\r\n\r\n{}`],
      ['length and chunked', `${ok}Transfer-Encoding: chunked\r\n${end}`],
      ['101', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nPRI'],
      ['status 600', `HTTP/1.1 600 High\r\n${end}`],
      ['HTTP/2 in words', `HTTP/2 200 OK\r\n${end}`],
      ['a flood of 1xx', `${'HTTP/1.1 102 Processing\r\n\r\n'.repeat(5_000)}${ok}${end}`],
    ])('with %s', async (_title, answer) => {
      upstream.play(({ socket }) => void socket.write(Buffer.from(answer, 'latin1')))
      expect(await download(restless)).toMatchObject({ status: leftStatus })
      await until(() => upstream.open() === 0, { what: 'the upstream connection ends', deadlineMs: soonMs })
    })
  })

  describe('with a charge', () => {
    const large = 16 * 1024 * 1024
    const largePath = `/${markedDigest(9, large)}`

    test('counts every byte of the body and none of the head', async () => {
      let charged = 0
      front.limit({ charge: (count) => void (charged += count) })
      upstream.play(marked)
      expect(await download(front, largePath)).toMatchObject({ bytes: large, fault: undefined, whole: true })
      expect(charged).toBe(large)
    })

    test('that is not settled holds the upstream back', async () => {
      const bills: PromiseWithResolvers<undefined>[] = []
      let charged = 0
      front.limit({
        charge: (count) => {
          charged += count
          const bill = Promise.withResolvers<undefined>()
          bills.push(bill)
          return bill.promise
        },
      })
      upstream.play(marked)
      const downloading = download(front, largePath)
      for (let round = 0; round < 2; round += 1) {
        const before = charged
        for (const bill of bills.splice(0)) bill.resolve(undefined)
        const startedMs = performance.now()
        await until(() => charged > before && performance.now() - startedMs > 200, { what: 'a while with a bill' })
        // One read, and what TLS had read before it could be told to stop.
        expect(charged - before).toBeLessThanOrEqual(scheme === 'http' ? 64 * 1024 : 128 * 1024)
      }
      expect(upstream.connections[0]?.socket.writableNeedDrain).toBe(true)
      let settled = 0
      await until(
        () => {
          for (const bill of bills.splice(0)) {
            bill.resolve(undefined)
            settled += 1
          }
          return charged === large
        },
        { what: 'all is charged', intervalMs: 1 },
      )
      for (const bill of bills.splice(0)) bill.resolve(undefined)
      expect(settled).toBeGreaterThan(1)
      expect(await downloading).toMatchObject({ bytes: large, fault: undefined, whole: true })
    })

    test('that fails ends the download, visibly, and its connection', async () => {
      front.limit({ charge: () => Promise.reject(new Error('the limiter is gone')) })
      upstream.play(marked)
      expect((await download(front, largePath).catch(() => undefined))?.whole ?? false).toBe(false)
      expect(front.ends.at(-1)).toBe('charge-failed')
      await until(() => upstream.open() === 0, { what: 'the upstream connection ends', deadlineMs: soonMs })
    })

    test('that is not settled is not the upstream’s silence', async () => {
      const bill = Promise.withResolvers<undefined>()
      const limitMs = 400
      front.limit({ charge: () => bill.promise, sourceIdleMs: limitMs })
      upstream.play(marked)
      const ended = front.ends.length
      const downloading = download(front, `/${markedDigest(8, 300_000)}`)
      const startedMs = performance.now()
      await until(() => performance.now() - startedMs > 2.5 * limitMs, { what: 'more than twice the limit' })
      expect(front.ends).toHaveLength(ended)
      bill.resolve(undefined)
      expect(await downloading).toMatchObject({ whole: true, fault: undefined })
    })
  })

  describe('with limits of inactivity', () => {
    test('ends a blob whose upstream falls silent', async () => {
      front.limit({ sourceIdleMs: 200 })
      upstream.play(({ socket }) => void socket.write(Buffer.concat([Buffer.from(head), body.subarray(0, 9)])))
      expect(await download()).toMatchObject({ bytes: 9, fault: undefined, whole: false })
      expect(front.ends.at(-1)).toBe('source-idle')
      await until(() => upstream.open() === 0, { what: 'the upstream connection ends', deadlineMs: soonMs })
    })

    test('ends a blob whose client takes nothing', async () => {
      front.limit({ sourceIdleMs: 1_500, sinkIdleMs: 2_000 })
      upstream.play(endless)
      const client = net.connect(front.port, '127.0.0.1')
      client.on('error', () => undefined)
      client.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
      client.pause()
      await until(() => upstream.requests.length === 1, { what: 'the request upstream' })
      await until(() => upstream.open() === 0, { what: 'the upstream connection ends', deadlineMs: soonMs })
      expect(front.ends.at(-1)).toBe('sink-idle')
      client.destroy()
    })
  })
})
