import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { collect, connectRaw, headerOf } from '../support/raw-http-client.ts'
import type { Responder } from '../support/recording-upstream.ts'
import { soonMs, until } from '../support/until.ts'
import { bytesOf, mark, receivedSince } from './attack.ts'
import { chunked, headersOf, manifestType, newManifest, startPolicyFront } from './policies-front.ts'
import type { PolicyFront } from './policies-front.ts'

const policy = `
rules:
  - { allow: maintainer, to: user:alice, on: '**' }
protectedTags:
  - { on: prod/**, tags: [v*] }
`
const absent = 'HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n'
const created = 'HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n'

/** Has no tag, and takes every manifest whose body is whole. */
const emptyRegistry: Responder = ({ socket, received }, heads) => {
  const head = heads.at(-1) ?? ''
  if (socket.writableEnded) return
  if (head.startsWith('HEAD ')) socket.end(absent)
  else if (head.startsWith('PUT ')) {
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1])
    if (received.length >= received.lastIndexOf('\r\n\r\n') + 4 + length) socket.end(created)
  } else if (head !== '') socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
}

describe('a push to a protected tag that does not come to its end', () => {
  const maxManifest = 4 * 1024 * 1024
  const target = '/v2/prod/api/manifests/v1'
  let front: PolicyFront

  beforeAll(async () => {
    front = await startPolicyFront({ policy })
  })
  beforeEach(() => {
    front.upstream.respondWith(emptyRegistry)
  })
  afterAll(() => front.stop())

  const headOf = (...lines: readonly string[]): string =>
    bytesOf({ method: 'PUT', target, first: headersOf('alice'), lines: [`Content-Type: ${manifestType}`, ...lines] })

  /** Whoever holds memory or the lock for ever would keep this from going through. */
  async function expectFree(): Promise<void> {
    expect(await pushTo(front)).toBe(201)
  }
  async function pushTo({ ask }: PolicyFront): Promise<number> {
    const body = newManifest()
    const lines = [`Content-Type: ${manifestType}`, `Content-Length: ${body.length}`]
    return (await ask('alice', { method: 'PUT', target, lines, body })).status
  }

  test.each([
    ['by its length', [`Content-Length: ${maxManifest + 1}`], ''],
    ['by its length, although it would wait', [`Content-Length: ${maxManifest + 1}`, 'Expect: 100-continue'], ''],
    ['by what comes', ['Transfer-Encoding: chunked'], chunked('x'.repeat(maxManifest + 1))],
  ])('is too large %s, and the registry is not asked', async (_name, lines, body) => {
    const before = mark(front.upstream)
    const socket = await connectRaw(front.gateway.target)
    socket.write(headOf(...lines) + body)
    const { answers } = await collect(socket, 1, soonMs)
    expect(answers.at(-1)).toMatchObject({ status: 413 })
    expect(receivedSince(front.upstream, before)).toBe('')
    socket.destroy()
    await expectFree()
  })

  test('leaves nothing behind when the client leaves in the middle, again and again', async () => {
    const before = mark(front.upstream)
    const half = Buffer.alloc(maxManifest / 2, 'x')
    // 64 MiB are held at most: forty halves that were not given back would be more.
    for (let round = 0; round < 40; round += 1) {
      const socket = await connectRaw(front.gateway.target)
      socket.write(headOf(`Content-Length: ${maxManifest}`))
      // Everything is there before the end is.
      socket.resume().end(half)
      await new Promise((resolve) => socket.once('close', resolve))
    }
    const left = (): number =>
      front.gateway.auditLines().filter(({ outcome }) => outcome === 'aborted-by-client').length
    await until(() => left() >= 40, { what: 'all have left' })
    expect(receivedSince(front.upstream, before)).toBe('')
    await expectFree()
  })

  test('leaves nothing behind when it comes to its end, and be it large', async () => {
    const body = 'x'.repeat(maxManifest / 2 + 1)
    const lines = [`Content-Type: ${manifestType}`, `Content-Length: ${body.length}`]
    // Each takes 4 MiB of the 64 MiB that are held at most.
    for (let round = 0; round < 18; round += 1) {
      const { status } = await front.ask('alice', { method: 'PUT', target, lines, body })
      expect({ round, status }).toEqual({ round, status: 201 })
    }
  })

  test('is given up when nothing more comes, and holds nobody else up meanwhile', async () => {
    const client = { inactivityMs: 500, handshakeMs: 60_000, requestHeadersMs: 60_000 }
    const impatient = await startPolicyFront({ policy, settings: { client } })
    impatient.upstream.respondWith(emptyRegistry)
    const sockets = await Promise.all(Array.from({ length: 12 }, () => connectRaw(impatient.gateway.target)))
    const ends = sockets.map((socket) => {
      socket.write(`${headOf('Content-Length: 1234')}{`)
      return collect(socket, 1, soonMs)
    })
    // A machine that stalls makes anybody impatient: once is enough.
    await until(async () => (await pushTo(impatient)) === 201, { what: 'somebody else gets through' })
    const statuses = (await Promise.all(ends)).map(({ answers }) => answers.map(({ status }) => status))
    expect(statuses).toEqual(sockets.map(() => [408]))
    expect(impatient.upstream.received()).not.toMatch(/content-length: 1234/i)
    await until(async () => (await pushTo(impatient)) === 201, { what: 'and after that' })
    await impatient.stop()
  })

  test.each([
    ['says 500', 'HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n'],
    ['says 401', 'HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n'],
    ['redirects', 'HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n'],
    ['says 200 without a digest', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
    ['says 404 as a page', 'HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n'],
    ['says what is no HTTP', 'hello\r\n\r\n'],
    ['says nothing and closes', ''],
  ])('is not sent where the registry, asked for the tag, %s', async (_name, response) => {
    front.upstream.respondWith((connection, heads) => {
      if (heads.at(-1)?.startsWith('HEAD ') !== true) emptyRegistry(connection, heads)
      else if (!connection.socket.writableEnded) connection.socket.end(response)
    })
    const before = mark(front.upstream)
    const body = newManifest()
    const lines = [`Content-Type: ${manifestType}`, `Content-Length: ${body.length}`]
    const answer = await front.ask('alice', { method: 'PUT', target, lines, body })
    expect({ status: answer.status, retryAfter: headerOf(answer, 'retry-after') }).toEqual({
      status: 503,
      retryAfter: '5',
    })
    expect(receivedSince(front.upstream, before)).not.toMatch(/^PUT /m)
    front.upstream.respondWith(emptyRegistry)
    await expectFree()
  })
})
