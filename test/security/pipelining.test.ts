import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { connectRaw, headerOf, readAnswers } from '../support/raw-http-client.ts'
import type { RawAnswer } from '../support/raw-http-client.ts'
import { basic, basicOf } from '../support/personas.ts'
import { headsOf } from '../support/recording-upstream.ts'
import { until } from '../support/until.ts'
import { attack, bytesOf, digest, expectAlive, host, mark, receivedSince, startFront } from './attack.ts'
import type { Front } from './attack.ts'

let front: Front

beforeAll(async () => {
  front = await startFront()
  answerWithRepository(front.upstream)
})
afterAll(() => front.stop())

const login = (authorization: string | undefined) =>
  authorization === undefined ? [`Host: ${host}`] : [`Host: ${host}`, `Authorization: ${authorization}`]
const tags = (repository: string, authorization: string | undefined) =>
  bytesOf({ target: `/v2/${repository}/tags/list`, first: login(authorization) })

/** Answers each request with the repository it asked for, so that answers that change places are seen. */
function answerWithRepository(upstream: Front['upstream']): void {
  // Connections that the gateway had opened before have been asked and answered: by its own probes.
  const told = new WeakMap<object, number>(
    upstream.connections.map((connection) => [connection, headsOf(connection.received.toString('latin1')).length]),
  )
  upstream.respondWith((connection, heads) => {
    for (const head of heads.slice(told.get(connection) ?? 0)) {
      const name = /^GET \/v2\/(\S+)\/tags\/list /.exec(head)?.[1] ?? ''
      connection.socket.write(
        `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${name.length}\r\n\r\n${name}`,
      )
    }
    told.set(connection, heads.length)
  })
}

describe('A-53 pipelined requests', () => {
  test('each of 50 is judged by its own credentials, and the answers keep their order', async () => {
    const kinds = [
      { authorization: basicOf('alice'), status: 200 },
      { authorization: undefined, status: 401 },
      { authorization: basicOf('bob'), status: 200 },
      { authorization: basic('bob', 'wrong'), status: 401 },
      { authorization: basic('mallory', 'x'), status: 401 },
    ] as const
    const rows = Array.from({ length: 50 }, (_, index) => ({
      name: `r${index}`,
      ...(kinds[(index * 7) % kinds.length] ?? kinds[0]),
    }))
    const bytes = rows.map(({ name, authorization }) => tags(name, authorization)).join('')
    const { answers, rest, upstreamGot } = await attack(front, bytes, { until: rows.length })
    expect(rest).toBe('')
    expect(answers.map(({ status }) => status)).toEqual(rows.map(({ status }) => status))
    const bodies = answers.map(({ status, body }) => (status === 200 ? body : ''))
    expect(bodies).toEqual(rows.map(({ name, status }) => (status === 200 ? name : '')))
    const asked = [...upstreamGot.matchAll(/^GET \/v2\/(r\d+)\//gm)].map(([, name]) => name)
    expect(asked.toSorted()).toEqual(
      rows
        .filter(({ status }) => status === 200)
        .map(({ name }) => name)
        .toSorted(),
    )
    expect(new Set(answers.map((answer) => headerOf(answer, 'x-request-id'))).size).toBe(rows.length)
  })

  test.each([
    ['a head that is refused', 'GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
    ['a head that cannot be read', 'GET /v2/ HTTP/1.1\r\nHost : a\r\n\r\n'],
    ['a body where none belongs', bytesOf({ lines: ['Content-Length: 5'], body: 'hello' })],
  ])('after %s the rest is discarded', async (_what, bad) => {
    const before = tags('before', basicOf('alice'))
    const after = tags('after', basicOf('alice'))
    const { answers, closed, rest, upstreamGot } = await attack(front, before + bad + after + after)
    expect(answers.map(({ status }) => status)).toEqual([200, 400])
    expect({ closed, rest }).toEqual({ closed: true, rest: '' })
    expect(headerOf(answers[1], 'connection')).toBe('close')
    expect(upstreamGot).toContain('/v2/before/')
    expect(upstreamGot).not.toContain('/v2/after/')
  })

  test('a refused upload does not let its body be read as a request', async () => {
    const inner = tags('inner', basicOf('alice'))
    const upload = bytesOf({
      method: 'PATCH',
      target: '/v2/a/blobs/uploads/s1',
      first: login(basic('bob', 'wrong')),
      lines: [`Content-Length: ${inner.length}`],
      body: inner,
    })
    const { answers, upstreamGot } = await attack(front, upload + tags('after', basicOf('alice')), { until: 2 })
    expect(answers[0]?.status).toBe(401)
    expect(upstreamGot).not.toContain('/v2/inner/')
  })

  test('a request after a close that was asked for is not answered', async () => {
    const first = bytesOf({ target: '/v2/one/tags/list', lines: ['Connection: close'] })
    const { answers, closed } = await attack(front, first + tags('two', basicOf('alice')))
    expect(answers.map(({ body }) => body)).toEqual(['one'])
    expect(closed).toBe(true)
  })

  test('a client that leaves takes with it all that it had asked for', async () => {
    front.upstream.reset()
    front.upstream.respondWith((connection, heads) => {
      // Answers that never end: only the gateway can let go of them.
      if (heads.length === 1) connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegun')
    })
    const socket = await connectRaw(front.gateway.target)
    socket.write(bytesOf({ target: `/v2/a/blobs/${digest}` }).repeat(20))
    const opened = () => front.upstream.connections.filter(({ received }) => received.includes('/blobs/'))
    await until(() => opened().length === 20, { what: 'the requests arrive upstream' })
    socket.destroy()
    await until(() => opened().every(({ closed }) => closed), { what: 'their connections are closed' })
    front.upstream.reset()
    await expectAlive(front)
    answerWithRepository(front.upstream)
  })
})

test('A-54 a connection has no identity: each request has its own', async () => {
  const socket = await connectRaw(front.gateway.target)
  const rows = [
    ['alice', basicOf('alice'), 200],
    ['nobody', undefined, 401],
    ['bob', basicOf('bob'), 200],
    ['wrong', basic('alice', 'x'), 401],
    ['again', undefined, 401],
    ['empty', 'Basic Og==', 401],
  ] as const
  const before = mark(front.upstream)
  const audited: unknown[] = []
  for (const [name, authorization, status] of rows) {
    socket.write(tags(name, authorization))
    const answer = await answerOn(socket)
    expect(answer.status).toBe(status)
    const line = await front.gateway.auditLineOf(headerOf(answer, 'x-request-id') ?? '')
    audited.push(line['user'])
  }
  socket.destroy()
  expect(audited).toEqual(['alice', null, 'bob', null, null, null])
  const asked = [...receivedSince(front.upstream, before).matchAll(/^GET \/v2\/(\w+)\//gm)].map(([, name]) => name)
  expect(asked).toEqual(['alice', 'bob'])
})

/** Reads one answer and leaves the connection open. */
function answerOn(socket: TLSSocket): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    let text = ''
    const onClose = (): void => {
      reject(new Error('the connection closed'))
    }
    const onData = (chunk: Buffer): void => {
      text += chunk.toString('latin1')
      const [answer] = readAnswers(text).answers
      if (answer === undefined) return
      socket.off('data', onData).off('close', onClose)
      resolve(answer)
    }
    socket.on('data', onData).once('close', onClose)
  })
}
