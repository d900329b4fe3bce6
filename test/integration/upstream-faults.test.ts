import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { connectFaultClient, headAs } from '../support/fault-client.ts'
import { blackHole, refusingPort } from '../support/fault-listener.ts'
import { answerJson, neverAnswer, startFaultUpstream } from '../support/fault-upstream.ts'
import type { FaultUpstream, Script, UpstreamRequest } from '../support/fault-upstream.ts'
import { sendRaw } from '../support/raw-http-client.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'
import { soonMs, until } from '../support/until.ts'

const blob = `/v2/alice/app/blobs/sha256:${'a'.repeat(64)}` as const
const manifest = '/v2/alice/app/manifests/v1'
const session = '/v2/alice/app/blobs/uploads/session-1?_state=x' as const
const commit = `${session}&digest=sha256:${'a'.repeat(64)}` as const

function elapsedSince(startedMs: number): number {
  return performance.now() - startedMs
}

describe('an upstream that cannot be reached', () => {
  test('F-01: refused connections are 503 at once, with Retry-After', async () => {
    const nobody = await refusingPort()
    const gateway = await startGateway({ upstreamUrl: nobody.url })
    try {
      const startedMs = performance.now()
      const answer = await gateway.as('alice', { path: blob })
      expect(elapsedSince(startedMs)).toBeLessThan(soonMs)
      expect(answer).toMatchObject({ status: 503, body: expect.stringContaining('"UNAVAILABLE"') })
      expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1)
      const upload = await gateway.as('alice', { method: 'PATCH', path: session, body: 'hello' })
      expect(upload.status).toBe(503)
      const line = await gateway.auditLineOf(String(upload.headers['x-request-id']))
      expect(line).toMatchObject({ status: 503, errorId: 'upstreamUnreachable', outcome: 'complete' })
    } finally {
      await gateway.stop()
    }
  })

  test('F-02: a connection that does not come about is 504 after the connect deadline', async () => {
    const hole = await blackHole()
    const gateway = await startGateway({
      upstreamUrl: hole.url,
      settings: { upstream: { timeouts: { connectMs: 400, headersMs: 60_000 } } },
    })
    try {
      const startedMs = performance.now()
      const [download, upload] = await Promise.all([
        gateway.as('alice', { path: blob }),
        gateway.as('alice', { method: 'PATCH', path: session, body: 'hello' }),
      ])
      expect(elapsedSince(startedMs)).toBeGreaterThanOrEqual(390)
      expect(elapsedSince(startedMs)).toBeLessThan(400 + soonMs)
      expect([download.status, upload.status]).toEqual([504, 504])
    } finally {
      await gateway.stop()
      await hole.stop()
    }
  })
})

describe('an upstream that is reached', () => {
  let upstream: FaultUpstream
  /** With the deadlines of an ordinary gateway: a minute and more, which no test waits for. */
  let gateway: TestGateway
  const impatient: TestGateway[] = []

  /** A gateway of which one deadline is short, and no other, so that it alone can be what ended something. */
  async function startImpatient(timeouts: Readonly<Record<string, number>>): Promise<TestGateway> {
    const started = await startGateway({ upstreamUrl: upstream.url, settings: { upstream: { timeouts } } })
    impatient.push(started)
    return started
  }

  beforeAll(async () => {
    upstream = await startFaultUpstream()
    gateway = await startGateway({ upstreamUrl: upstream.url })
  })
  afterEach(() => {
    upstream.reset()
  })
  afterAll(async () => {
    await Promise.all([gateway, ...impatient].map((started) => started.stop()))
    await upstream.close()
  })

  describe('F-03: and never answers', () => {
    let hurried: TestGateway
    let hurriedToCommit: TestGateway
    beforeAll(async () => {
      hurried = await startImpatient({ headersMs: 400 })
      hurriedToCommit = await startImpatient({ commitHeadersMs: 400 })
    })

    test.each([
      ['a download', { path: blob }],
      ['a chunk of an upload', { method: 'PATCH', path: session, body: 'hello' }],
      ['the start of an upload', { method: 'POST', path: '/v2/alice/app/blobs/uploads/' }],
    ])('%s is 504 after the headers deadline', async (_title, request) => {
      upstream.play(neverAnswer)
      const startedMs = performance.now()
      const answer = await hurried.as('alice', request)
      expect(answer.status).toBe(504)
      expect(elapsedSince(startedMs)).toBeGreaterThanOrEqual(390)
      expect(elapsedSince(startedMs)).toBeLessThan(soonMs)
      await until(() => upstream.open() === 0, { what: 'the upstream connection ends' })
    })

    test.each([
      ['with a body', 'hello'],
      ['without one', undefined],
    ])('a PUT that commits a blob %s waits for a deadline of its own', async (_title, body) => {
      upstream.play(({ req, res }) => {
        req.resume()
        // Later than the headers deadline of other requests.
        setTimeout(() => {
          answerJson(201, '')({ res })
        }, 600)
      })
      const slow = await hurried.as('alice', { method: 'PUT', path: commit, ...(body !== undefined && { body }) })
      expect(slow.status).toBe(201)
      upstream.play(neverAnswer)
      const startedMs = performance.now()
      const put = { method: 'PUT', path: commit, ...(body !== undefined && { body }) }
      const never = await hurriedToCommit.as('alice', put)
      expect(never.status).toBe(504)
      expect(elapsedSince(startedMs)).toBeGreaterThanOrEqual(390)
      expect(elapsedSince(startedMs)).toBeLessThan(soonMs)
    })
  })

  const sizedHead = 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n'
  const chunkedHead = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
  /** A blob comes by its own lane, a manifest with everything else; chunked bodies have no lane. */
  const cuts: readonly (readonly [string, string, string])[] = [
    ['a sized blob short of its length', blob, `${sizedHead}hello`],
    ['a sized manifest short of its length', manifest, `${sizedHead}hello`],
    ['a chunked body without its last chunk', manifest, `${chunkedHead}5\r\nhello\r\n`],
    ['a chunked body within a chunk', manifest, `${chunkedHead}400\r\nhello`],
    ['a chunked body at the last chunk but before its end', manifest, `${chunkedHead}5\r\nhello\r\n0\r\n`],
  ]
  const ends = [
    ['FIN', ({ connection }: UpstreamRequest) => connection.socket.end()],
    ['RST', ({ connection }: UpstreamRequest) => connection.socket.resetAndDestroy()],
  ] as const
  const endings = cuts.flatMap(([cut, path, bytes]) => ends.map(([how, end]) => ({ cut, path, bytes, how, end })))

  describe('F-04 to F-06: and ends', () => {
    test.each(endings)('$cut with a $how: the client sees it broken', async ({ path, bytes, end }) => {
      const cut = Promise.withResolvers<undefined>()
      upstream.play((request) => {
        request.raw(bytes)
        // The bytes are on their way to the client before the fault, or a reset would overtake them.
        void cut.promise.then(() => end(request))
      })
      const client = await connectFaultClient(gateway.target)
      await client.send(headAs(`GET ${path}`))
      await until(() => client.received().includes('hello'), { what: 'the first bytes of the body' })
      const startedMs = performance.now()
      cut.resolve(undefined)
      await client.closed
      expect(elapsedSince(startedMs)).toBeLessThan(soonMs)
      const [head = '', body = ''] = client.received().split('\r\n\r\n')
      expect(head).toMatch(/^HTTP\/1\.1 200 /)
      if (/^content-length: 1000$/im.test(head)) expect(body).toBe('hello')
      else expect(body).not.toMatch(/(?:^|\r\n)0\r\n/)
      const id = /^x-request-id: (\S+)/im.exec(head)?.[1] ?? ''
      expect(await gateway.auditLineOf(id)).toMatchObject({
        status: 200,
        outcome: 'aborted-by-upstream',
        bytesDown: 5,
      })
    })

    test('before the head of its answer: 502, and the cause is told as the upstream', async () => {
      upstream.play(({ connection }) => connection.socket.resetAndDestroy())
      const answer = await gateway.as('alice', { method: 'DELETE', path: blob })
      expect(answer.status).toBe(502)
      const line = await gateway.auditLineOf(String(answer.headers['x-request-id']))
      expect(line).toMatchObject({ errorId: 'upstreamInvalid', outcome: 'complete' })
    })

    test('in the middle of an upload: 502 while the client is still sending', async () => {
      upstream.play(({ req, connection }) => {
        req.once('data', () => connection.socket.resetAndDestroy())
      })
      const client = await connectFaultClient(gateway.target)
      await client.send(`${headAs(`PATCH ${session}`, ['Transfer-Encoding: chunked'])}5\r\nhello\r\n`)
      await until(() => client.received().includes('\r\n\r\n'), { what: 'the answer' })
      expect(client.received()).toMatch(/^HTTP\/1\.1 502 /)
      client.leave('end')
    })
  })

  describe('F-08: and falls silent', () => {
    let listening: TestGateway
    beforeAll(async () => {
      listening = await startImpatient({ inactivityMs: 400 })
    })

    test.each([blob, manifest])('in the middle of %s: the client sees it broken after the limit', async (path) => {
      upstream.play(({ raw }) => {
        raw(`${sizedHead}hello`)
      })
      const answer = await sendRaw(listening.target, headAs(`GET ${path}`))
      expect(answer.closed).toBe(true)
      expect(answer.text.split('\r\n\r\n')[1]).toBe('hello')
      const id = /^x-request-id: (\S+)/im.exec(answer.text)?.[1] ?? ''
      expect(await listening.auditLineOf(id)).toMatchObject({ outcome: 'aborted-by-upstream' })
      await until(() => upstream.open() === 0, { what: 'the upstream connection ends' })
    })

    test('in the middle of an upload, reading nothing: 504 after the inactivity limit', async () => {
      const read = Promise.withResolvers<undefined>()
      upstream.play(({ req }) => void read.promise.then(() => req.resume()))
      const client = await connectFaultClient(listening.target)
      await client.send(headAs(`PATCH ${session}`, [`Content-Length: ${64 * 1024 * 1024}`]))
      void client.send(Buffer.alloc(64 * 1024 * 1024))
      await until(() => client.received().includes('\r\n\r\n'), { what: 'the answer' })
      expect(client.received()).toMatch(/^HTTP\/1\.1 504 /)
      // What was under way is read first; only then can the upstream see that the connection has ended.
      read.resolve(undefined)
      await until(() => upstream.open() === 0, { what: 'the upstream connection ends' })
      client.leave('reset')
    })

    test('in the middle of an upload whose client then leaves: both end by the inactivity limit', async () => {
      // The client's end waits behind bytes that the upstream does not take, where nobody can see it.
      upstream.play(() => undefined)
      const client = await connectFaultClient(listening.target)
      const head = headAs(`PATCH ${session}`, ['Content-Length: 100000000', 'User-Agent: leaves-meanwhile'])
      await client.send(head)
      void client.send(Buffer.alloc(64 * 1024 * 1024))
      await until(() => upstream.requests.length === 1, { what: 'the request upstream' })
      client.leave('reset')
      const isAudited = () => listening.auditLines().some(({ userAgent }) => userAgent === 'leaves-meanwhile')
      await until(isAudited, { what: 'the audit line' })
    })

    test('but a download that is slow and alive comes whole, however long it takes', async () => {
      // No machine stalls for as long as the limit: the pause between two bytes is a thirtieth of it.
      const limitMs = 3_000
      const patient = await startImpatient({ inactivityMs: limitMs })
      const bytes = 35
      upstream.play(({ res }) => {
        res.writeHead(200, { 'content-length': bytes })
        let sent = 0
        const timer = setInterval(() => {
          sent += 1
          if (sent < bytes) res.write('x')
          else {
            res.end('x')
            clearInterval(timer)
          }
        }, limitMs / 30)
      })
      const startedMs = performance.now()
      const answer = await patient.as('alice', { path: blob })
      expect(answer).toMatchObject({ status: 200, body: 'x'.repeat(bytes) })
      expect(elapsedSince(startedMs)).toBeGreaterThan(limitMs)
    })
  })

  describe('F-10: and answers before it has the whole body', () => {
    test('the client reads the status while it is sending, and the connection is not used again', async () => {
      upstream.play((request) => {
        answerJson(Number(/uploads\/(\d+)/.exec(request.req.url ?? '')?.[1]), '{"errors":[]}', { location: session })(
          request,
        )
      })
      const startedMs = performance.now()
      const clients = await Promise.all(
        [413, 404, 503, 202].map(async (status) => {
          const client = await connectFaultClient(gateway.target)
          const head = headAs(`PATCH /v2/alice/app/blobs/uploads/${status}`, ['Content-Length: 1000000'])
          await client.send(`${head}some of it`)
          await until(() => client.received().endsWith('{"errors":[]}'), { what: 'the answer' })
          expect(client.received()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
          expect(client.received()).toMatch(/^connection: close$/im)
          return client
        }),
      )
      await Promise.all(clients.map(({ closed }) => closed))
      expect(elapsedSince(startedMs)).toBeLessThan(2_000 + soonMs)
      await until(() => upstream.open() === 0, { what: 'the upstream connections end' })
    })

    test('a client that sends all the same is read for a while only', async () => {
      upstream.play(answerJson(413, '{"errors":[]}'))
      const client = await connectFaultClient(gateway.target)
      await client.send(headAs(`PATCH ${session}`, [`Content-Length: ${64 * 1024 * 1024}`]))
      void client.send(Buffer.alloc(64 * 1024 * 1024))
      await client.closed
      const id = /^x-request-id: (\S+)/im.exec(client.received())?.[1] ?? ''
      expect(client.received()).toMatch(/^HTTP\/1\.1 413 /)
      expect(await gateway.auditLineOf(id)).toMatchObject({ status: 413 })
    })

    test('an answer with the connection closed behind it is still read', async () => {
      upstream.play(({ connection }) => {
        connection.socket.end('HTTP/1.1 413 Too Large\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}')
      })
      const client = await connectFaultClient(gateway.target)
      await client.send(`${headAs(`PATCH ${session}`, ['Content-Length: 1000000'])}some of it`)
      await until(() => client.received().endsWith('{}'), { what: 'the answer' })
      expect(client.received()).toMatch(/^HTTP\/1\.1 413 /)
      client.leave('end')
    })
  })

  describe('F-16: and is in trouble itself', () => {
    test.each([502, 503, 429, 500])('%i passes with its body and Retry-After', async (status) => {
      const body = '{"errors":[{"code":"TOOMANYREQUESTS","message":"later"}]}'
      upstream.play(answerJson(status, body, { 'retry-after': '7' }))
      const answer = await gateway.as('alice', { path: blob })
      expect(answer).toMatchObject({ status, body, headers: { 'retry-after': '7' } })
      expect(answer.headers['www-authenticate']).toBeUndefined()
    })

    test('a page of HTML becomes our JSON; status and Retry-After stay', async () => {
      upstream.play(answerJson(503, '<html>nginx</html>', { 'content-type': 'text/html', 'retry-after': '7' }))
      const answer = await gateway.as('alice', { path: blob })
      expect(answer).toMatchObject({ status: 503, headers: { 'content-type': 'application/json', 'retry-after': '7' } })
      expect(answer.body).not.toContain('nginx')
      expect(JSON.parse(answer.body)).toHaveProperty('errors.0.code', 'UNAVAILABLE')
    })
  })

  describe('and has closed a connection of the pool', () => {
    /** Answers the first request of a connection and hangs up on the second one without a byte. */
    const onlyOnce: Script = (request) => {
      if (request.connection.requests === 1) answerJson(200, '{"once":1}')(request)
      else request.connection.socket.destroy()
    }

    /** Leaves a connection in a pool for the next request to find: GETs have their lane, everything else another one. */
    async function warmPool(method: 'GET' | 'HEAD'): Promise<void> {
      upstream.play(onlyOnce)
      await gateway.as('alice', { method, path: blob })
      await until(() => upstream.connections.some(({ requests, closed }) => requests === 1 && !closed), {
        what: 'a connection in the pool',
      })
    }

    test.each([
      ['GET', blob],
      ['GET', '/v2/alice/app/tags/list'],
      ['HEAD', blob],
    ] as const)('a %s of %s is asked once more, on a new connection, and nobody notices', async (method, path) => {
      await warmPool(method)
      const before = upstream.requests.length
      const answer = await gateway.as('alice', { method, path })
      expect(answer.status).toBe(200)
      expect(upstream.requests.slice(before)).toEqual([`${method} ${path}`, `${method} ${path}`])
      const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
      expect(metrics).toMatch(/^wharfgate_upstream_retries_total [1-9]/m)
    })

    test.each([
      ['POST', '/v2/alice/app/blobs/uploads/', undefined],
      ['DELETE', blob, undefined],
      ['PATCH', session, 'hello'],
    ])('a %s is not repeated: 502', async (method, path, body) => {
      await warmPool('HEAD')
      const before = upstream.requests.length
      const answer = await gateway.as('alice', { method, path, ...(body !== undefined && { body }) })
      expect(answer.status).toBe(502)
      expect(upstream.requests.slice(before)).toEqual([`${method} ${path}`])
    })

    test('a GET is asked twice at most', async () => {
      await warmPool('GET')
      upstream.play(({ connection }) => connection.socket.destroy())
      const before = upstream.requests.length
      expect((await gateway.as('alice', { path: blob })).status).toBe(502)
      expect(upstream.requests.length - before).toBe(2)
    })
  })
})
