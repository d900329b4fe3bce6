import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { connectFaultClient, headAs } from '../support/fault-client.ts'
import type { FaultClient } from '../support/fault-client.ts'
import { answerJson, startFaultUpstream } from '../support/fault-upstream.ts'
import type { FaultUpstream, Script } from '../support/fault-upstream.ts'
import { basic } from '../support/personas.ts'
import { headerOf, readAnswers } from '../support/raw-http-client.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'
import { soonMs, until } from '../support/until.ts'

const blob = `/v2/alice/app/blobs/sha256:${'a'.repeat(64)}` as const
const session = '/v2/alice/app/blobs/uploads/session-1?_state=x' as const
const wrong = basic('alice', 'not her password')

/** Reads a body to its end and answers with what came. */
const echo: Script = ({ req, res }) => {
  let body = ''
  req.on('data', (chunk: Buffer) => {
    body += chunk.toString()
  })
  req.on('end', () => {
    answerJson(202, JSON.stringify({ body }), { location: session })({ res })
  })
}

/** Does something again and again, until told to stop. */
function every(intervalMs: number, action: () => void): () => void {
  const timer = setInterval(action, intervalMs)
  return () => {
    clearInterval(timer)
  }
}

function answersOf(client: FaultClient): ReturnType<typeof readAnswers>['answers'] {
  return readAnswers(client.received()).answers
}

describe('a client', () => {
  let upstream: FaultUpstream
  /** With the deadlines of an ordinary gateway: a minute and more, which no test waits for. */
  let gateway: TestGateway
  const impatient: TestGateway[] = []

  /** A gateway with the deadlines that a test is about, until the end of that test. */
  async function startImpatient(settings: Readonly<Record<string, unknown>>): Promise<TestGateway> {
    const started = await startGateway({ upstreamUrl: upstream.url, settings })
    impatient.push(started)
    return started
  }

  beforeAll(async () => {
    upstream = await startFaultUpstream()
    gateway = await startGateway({ upstreamUrl: upstream.url })
  })
  afterEach(async () => {
    await Promise.all(impatient.splice(0).map((started) => started.stop()))
    upstream.reset()
  })
  afterAll(async () => {
    await gateway.stop()
    await upstream.close()
  })

  describe('F-25: that is slow with its headers', () => {
    test.each([
      ['sends nothing', ''],
      ['stops in the request line', 'GET /v2/ HT'],
      ['stops in the headers', headAs(`GET ${blob}`).slice(0, -2)],
    ])('and %s is told 408, and its connection ends', async (_title, bytes) => {
      const { target } = await startImpatient({ client: { requestHeadersMs: 1_000 } })
      const startedMs = performance.now()
      const client = await connectFaultClient(target)
      if (bytes !== '') await client.send(bytes)
      await client.closed
      expect(performance.now() - startedMs).toBeGreaterThanOrEqual(900)
      expect(performance.now() - startedMs).toBeLessThan(soonMs)
      expect(answersOf(client)).toMatchObject([{ status: 408, body: expect.stringContaining('"errors"') }])
      expect(upstream.requests).toEqual([])
    })

    test('a byte now and then does not help it', async () => {
      const { target } = await startImpatient({ client: { requestHeadersMs: 1_000 } })
      const client = await connectFaultClient(target)
      await client.send('GET /v2/ HTTP/1.1\r\nX-Slow: ')
      const stop = every(100, () => void client.send('x'))
      await client.closed
      stop()
      expect(answersOf(client)).toMatchObject([{ status: 408 }])
    })
  })

  describe('F-26: that stops in the middle of its body', () => {
    test.each([
      ['sized', 'Content-Length: 1000', 'some of it'],
      ['chunked', 'Transfer-Encoding: chunked', '5\r\nhello\r\n'],
      ['chunked, within a chunk', 'Transfer-Encoding: chunked', '400\r\nhello'],
      ['not begun', 'Content-Length: 1000', ''],
    ] as const)('%s: is told 408, and nothing is left upstream', async (_title, framing, bytes) => {
      upstream.play(echo)
      const hurried = await startImpatient({ client: { inactivityMs: 500 } })
      const client = await connectFaultClient(hurried.target)
      await client.send(headAs(`PATCH ${session}`, [framing]) + bytes)
      await until(() => answersOf(client)[0], { what: 'the answer' })
      expect(answersOf(client)).toMatchObject([{ status: 408 }])
      expect(headerOf(answersOf(client)[0], 'connection')).toBe('close')
      await until(() => upstream.open() === 0, { what: 'the upstream connection ends' })
      client.leave('end')
      const id = headerOf(answersOf(client)[0], 'x-request-id') ?? ''
      expect(await hurried.auditLineOf(id)).toMatchObject({ status: 408, errorId: 'requestTimeout' })
    })

    test('F-27: but one that is slow and alive goes through, past every limit there is', async () => {
      upstream.play(echo)
      // No machine stalls for as long as the limits: the pause between two bytes is a thirtieth of them.
      const limitMs = 3_000
      const { target } = await startImpatient({
        client: { requestHeadersMs: limitMs, inactivityMs: limitMs, writeInactivityMs: limitMs, keepAliveMs: limitMs },
        upstream: { timeouts: { headersMs: limitMs, inactivityMs: limitMs } },
      })
      const client = await connectFaultClient(target)
      const startedMs = performance.now()
      const bytes = 35
      await client.send(headAs(`PATCH ${session}`, [`Content-Length: ${bytes}`]))
      let sent = 0
      await new Promise<void>((resolve) => {
        const stop = every(limitMs / 30, () => {
          void client.send('x')
          sent += 1
          if (sent < bytes) return
          stop()
          resolve()
        })
      })
      await until(() => answersOf(client)[0], { what: 'the answer' })
      expect(performance.now() - startedMs).toBeGreaterThan(limitMs)
      expect(answersOf(client)).toMatchObject([{ status: 202, body: JSON.stringify({ body: 'x'.repeat(bytes) }) }])
      client.leave('end')
    })
  })

  describe('that takes nothing of its answer', () => {
    test('has its connection ended after the write inactivity limit, and the upstream’s too', async () => {
      upstream.play(({ res }) => {
        res.writeHead(200, { 'content-length': 10 ** 12 })
        const write = (): void => {
          while (!res.destroyed && res.write(Buffer.alloc(64 * 1024))) continue
        }
        res.on('drain', write)
        write()
      })
      const hurried = await startImpatient({ client: { writeInactivityMs: 1_500 } })
      const client = await connectFaultClient(hurried.target)
      await client.send(headAs(`GET ${blob}`))
      await until(() => client.received().length > 1_000, { what: 'the first bytes', intervalMs: 2 })
      client.pause()
      await until(() => upstream.open() === 0, { what: 'the upstream connection ends' })
      const id = /^x-request-id: (\S+)/im.exec(client.received())?.[1] ?? ''
      expect(await hurried.auditLineOf(id)).toMatchObject({ status: 200, outcome: 'aborted-by-gateway' })
      client.leave('reset')
    })
  })

  describe('F-30: with too large a head', () => {
    test.each([
      [431, 'more than 16 KiB of headers', headAs(`GET ${blob}`, [`X-Large: ${'x'.repeat(17 * 1024)}`])],
      [414, 'a target over 8 KiB', headAs(`GET /v2/${'a/'.repeat(4 * 1024)}tags/list`)],
      [
        431,
        'more than 100 headers',
        headAs(
          `GET ${blob}`,
          Array.from({ length: 101 }, (_, at) => `X-${at}: y` as const),
        ),
      ],
    ])('is told %i for %s, and its connection ends', async (status, _title, bytes) => {
      const client = await connectFaultClient(gateway.target)
      await client.send(bytes)
      await client.closed
      expect(answersOf(client)).toMatchObject([{ status, body: expect.stringContaining('"errors"') }])
      expect(upstream.requests).toEqual([])
    })
  })

  describe('that asks before it sends (Expect: 100-continue)', () => {
    const expectation = ['Expect: 100-continue', 'Content-Length: 5000000000'] as const

    test('A-57: with a wrong password reads 401 first, and its body is never read', async () => {
      const client = await connectFaultClient(gateway.target)
      const startedMs = performance.now()
      await client.send(headAs(`PUT ${session}`, expectation, wrong))
      await client.closed
      expect(performance.now() - startedMs).toBeLessThan(soonMs)
      expect(client.received()).toMatch(/^HTTP\/1\.1 401 /)
      expect(answersOf(client)).toMatchObject([{ status: 401 }])
      expect(upstream.requests).toEqual([])
      const id = headerOf(answersOf(client)[0], 'x-request-id') ?? ''
      expect(await gateway.auditLineOf(id)).toMatchObject({ bytesUp: 0, status: 401 })
    })

    test('with a manifest that is too large reads 413 first', async () => {
      const client = await connectFaultClient(gateway.target)
      await client.send(headAs('PUT /v2/alice/app/manifests/1', expectation))
      await client.closed
      expect(client.received()).toMatch(/^HTTP\/1\.1 413 /)
      expect(upstream.requests).toEqual([])
    })

    test('with its own password is told to go on, and then answered', async () => {
      upstream.play(echo)
      const client = await connectFaultClient(gateway.target)
      await client.send(headAs(`PATCH ${session}`, ['Expect: 100-continue', 'Content-Length: 5']))
      await until(() => client.received().endsWith('\r\n\r\n'), { what: '100 Continue' })
      expect(client.received()).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\n$/)
      await client.send('hello')
      await until(() => answersOf(client)[1], { what: 'the answer' })
      expect(answersOf(client)[1]).toMatchObject({ status: 202, body: '{"body":"hello"}' })
      client.leave('end')
    })
  })

  describe('F-10: whose request the gateway refuses while it is still sending', () => {
    test('reads the status of a 401, and its connection ends', async () => {
      const client = await connectFaultClient(gateway.target)
      const startedMs = performance.now()
      await client.send(headAs(`PATCH ${session}`, [`Content-Length: ${64 * 1024 * 1024}`], wrong))
      void client.send(Buffer.alloc(64 * 1024 * 1024))
      await until(() => answersOf(client)[0], { what: 'the answer' })
      expect(answersOf(client)).toMatchObject([{ status: 401 }])
      await client.closed
      expect(performance.now() - startedMs).toBeLessThan(soonMs)
      expect(upstream.requests).toEqual([])
    })

    test('may use its connection again when the whole body had come', async () => {
      upstream.play(echo)
      const client = await connectFaultClient(gateway.target)
      await client.send(`${headAs(`PATCH ${session}`, ['Content-Length: 5'], wrong)}hello`)
      await until(() => answersOf(client)[0], { what: 'the refusal' })
      await client.send(`${headAs(`PATCH ${session}`, ['Content-Length: 5'])}hello`)
      await until(() => answersOf(client)[1] ?? client.isClosed(), { what: 'the answer' })
      // A body that comes in one piece with its head is complete by then; the refusal says otherwise by `close`.
      if (headerOf(answersOf(client)[0], 'connection') !== 'close') {
        expect(answersOf(client)).toMatchObject([{ status: 401 }, { status: 202 }])
      }
      client.leave('end')
    })
  })

  test('F-25: an idle connection is kept for the next request, and then ended', async () => {
    const { target } = await startImpatient({ client: { keepAliveMs: 3_000 } })
    const client = await connectFaultClient(target)
    await client.send(headAs('GET /v2/'))
    await until(() => answersOf(client)[0], { what: 'the first answer' })
    await client.send(headAs('GET /v2/'))
    await until(() => answersOf(client)[1], { what: 'the second answer' })
    await client.closed
    expect(answersOf(client)).toMatchObject([{ status: 200 }, { status: 200 }])
  })
})
