import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { alice, attack, bytesOf, expectAlive, expectRefused, host, startFront } from './attack.ts'
import type { Front } from './attack.ts'

let front: Front
/** Gives up soon on a client that stops in the middle. */
let hurried: Front

beforeAll(async () => {
  front = await startFront()
  hurried = await startFront({ client: { requestHeadersMs: 1_000, inactivityMs: 1_000 } })
})
afterAll(() => Promise.all([front.stop(), hurried.stop()]))
afterEach(() => expectAlive(front))

const smuggled = bytesOf({ target: '/v2/smuggled/tags/list' })
const uploads = '/v2/a/blobs/uploads/'
const honest = `Host: ${host}\r\n${alice}\r\n`

describe('A-46 a head with other line ends than CR LF', () => {
  test.each([
    ['bare LF everywhere', bytesOf({}).replaceAll('\r\n', '\n')],
    ['bare LF behind the request line', `GET /v2/ HTTP/1.1\n${honest}\r\n`],
    ['bare LF behind a header', `GET /v2/ HTTP/1.1\r\nX: y\n${honest}\r\n`],
    ['bare LF as the last line end', `GET /v2/ HTTP/1.1\r\n${honest}\n`],
    ['bare CR behind the request line', `GET /v2/ HTTP/1.1\r${honest}\r\n`],
    ['bare CR behind a header', `GET /v2/ HTTP/1.1\r\nX: y\r${honest}\r\n`],
    ['bare CR in a value', `GET /v2/ HTTP/1.1\r\nX: y\rz\r\n${honest}\r\n`],
    ['bare LF in a value', `GET /v2/ HTTP/1.1\r\nX: y\nTransfer-Encoding: chunked\r\n${honest}\r\n`],
    ['CR CR LF', `GET /v2/ HTTP/1.1\r\nX: y\r\r\n${honest}\r\n`],
    ['an end of CR LF CR X', `GET /v2/ HTTP/1.1\r\n${honest}\rX: y\r\n\r\n`],
    ['an end of CR LF CR G', `GET /v2/ HTTP/1.1\r\n${honest}\r${smuggled}`],
    ['NUL in a value', `GET /v2/ HTTP/1.1\r\nX: y\0z\r\n${honest}\r\n`],
    ['NUL in a name', `GET /v2/ HTTP/1.1\r\nX\0Y: z\r\n${honest}\r\n`],
    ['a length behind bare CR', `POST ${uploads} HTTP/1.1\r\n${honest}X: y\rContent-Length: 5\r\n\r\nhello`],
    [
      'chunked behind bare LF',
      `POST ${uploads} HTTP/1.1\r\n${honest}X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    ['DEL in a value', `GET /v2/ HTTP/1.1\r\nX: y\x7f\r\n${honest}\r\n`],
  ])('%s is refused', async (_what, bytes) => {
    await expectRefused(front, bytes + smuggled, [400])
  })
})

describe('A-46 a chunked body with a line that two readers end differently', () => {
  test.each([
    ['bare LF behind the size', '5\nhello\r\n0\r\n\r\n'],
    ['bare CR behind the size', '5\rhello\r\n0\r\n\r\n'],
    ['CR X behind the size', '5\rX\r\nhello\r\n0\r\n\r\n'],
    ['bare LF behind the data', '5\r\nhello\n0\r\n\r\n'],
    ['bare LF in an extension', '5;a\nhello\r\n0\r\n\r\n'],
    ['bare CR in an extension', '5;a\rX\r\nhello\r\n0\r\n\r\n'],
    ['bare LF at the last chunk', '5\r\nhello\r\n0\n\r\n'],
    ['bare LF as the last line', '5\r\nhello\r\n0\r\n\n'],
    ['no line end behind the data', '5\r\nhello0\r\n\r\n'],
    ['data longer than told', '3\r\nhello\r\n0\r\n\r\n'],
    ['a size that is no number', 'xyz\r\nhello\r\n0\r\n\r\n'],
    ['a size with 0x', '0x5\r\nhello\r\n0\r\n\r\n'],
    ['a size with a minus', '-5\r\nhello\r\n0\r\n\r\n'],
    ['a size with a plus', '+5\r\nhello\r\n0\r\n\r\n'],
    ['an empty size', '\r\nhello\r\n0\r\n\r\n'],
    ['a size with an underscore', '1_0\r\n0123456789abcdef\r\n0\r\n\r\n'],
    ['a size beyond 64 bits', '10000000000000005\r\nhello\r\n0\r\n\r\n'],
    ['a space before the size', ' 5\r\nhello\r\n0\r\n\r\n'],
    ['a bare NUL in an extension', '5;\0\r\nhello\r\n0\r\n\r\n'],
  ])('%s ends the connection, and never ends the upload', async (_what, body) => {
    hurried.upstream.respondWith(() => undefined)
    const bytes = bytesOf({ method: 'PATCH', target: `${uploads}s1`, lines: ['Transfer-Encoding: chunked'], body })
    const { answers, closed, upstreamGot, text } = await attack(hurried, bytes + smuggled)
    hurried.upstream.reset()
    expect(closed).toBe(true)
    expect(answers.length).toBeLessThanOrEqual(1)
    expect(text).not.toContain('HTTP/1.1 2')
    expect(upstreamGot).not.toContain('smuggled')
    expect(upstreamGot).not.toMatch(/(?:^|\r\n)0\r\n\r\n$/)
  })

  test.each([
    ['an extension', '5;name=value\r\nhello\r\n0;x\r\n\r\n'],
    ['a trailer', '5\r\nhello\r\n0\r\nX-Trailer: y\r\n\r\n'],
    [
      'a trailer that is a credential',
      '5\r\nhello\r\n0\r\nAuthorization: Basic eDp5\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n',
    ],
    ['a trailer that is framing', '5\r\nhello\r\n0\r\nContent-Length: 3\r\nTransfer-Encoding: x\r\n\r\n'],
    ['leading zeros', '00000005\r\nhello\r\n000\r\n\r\n'],
  ])('%s is dropped: outgoing bytes are plain chunks', async (_what, body) => {
    const lines = ['Transfer-Encoding: chunked', 'Trailer: X-Trailer', 'TE: trailers', 'Connection: close, TE']
    const bytes = bytesOf({ method: 'PATCH', target: `${uploads}s1`, lines, body })
    const { answers, upstreamGot } = await attack(front, bytes)
    const [answer] = answers
    expect(answers).toHaveLength(1)
    if (answer?.status === 400) return
    expect(answer?.status).toBe(200)
    expect(upstreamGot.slice(upstreamGot.indexOf('\r\n\r\n') + 4)).toBe('5\r\nhello\r\n0\r\n\r\n')
    expect(upstreamGot).not.toMatch(/(?<!\r)\n|\r(?!\n)|trailer|\r\nte:/i)
  })
})

describe('A-48 a header line that is not NAME: VALUE', () => {
  test.each([
    ['a space before the first', `GET /v2/ HTTP/1.1\r\n Content-Length: 5\r\n${honest}\r\n`],
    ['a tab before the first', `GET /v2/ HTTP/1.1\r\n\tX: y\r\n${honest}\r\n`],
    ['a folded line', `GET /v2/ HTTP/1.1\r\nX: y\r\n z\r\n${honest}\r\n`],
    ['a folded Host', `GET /v2/ HTTP/1.1\r\nHost:\r\n ${host}\r\n${alice}\r\n\r\n`],
    ['a folded length', `POST ${uploads} HTTP/1.1\r\n${honest}Content-Length: 1\r\n 0\r\n\r\n0123456789`],
    ['a space before the colon', `GET /v2/ HTTP/1.1\r\nHost : a\r\n${honest}\r\n`],
    ['a space within the name', `GET /v2/ HTTP/1.1\r\nX Y: z\r\n${honest}\r\n`],
    ['no colon', `GET /v2/ HTTP/1.1\r\nnonsense\r\n${honest}\r\n`],
    ['no name', `GET /v2/ HTTP/1.1\r\n: y\r\n${honest}\r\n`],
    ['a quote in the name', `GET /v2/ HTTP/1.1\r\n"X": y\r\n${honest}\r\n`],
    ['a slash in the name', `GET /v2/ HTTP/1.1\r\nX/Y: y\r\n${honest}\r\n`],
    ['a letter over 127 in the name', `GET /v2/ HTTP/1.1\r\nX\xe9: y\r\n${honest}\r\n`],
    ['a colon as the name of a pseudo-header', `GET /v2/ HTTP/1.1\r\n:path: /v2/x\r\n${honest}\r\n`],
  ])('%s is refused', async (_what, bytes) => {
    await expectRefused(front, bytes + smuggled, [400])
  })
})

describe('a request line that is not METHOD TARGET VERSION', () => {
  test.each([
    'GET /v2/ HTTP/1.2',
    'GET /v2/ HTTP/2.0',
    'GET /v2/ HTTP/0.9',
    'GET /v2/ HTTP/1.1 x',
    'GET /v2/ HTTP/11',
    'GET /v2/ http/1.1',
    'GET /v2/ ICAP/1.0',
    'SOURCE /v2/ ICE/1.0',
    'GET\t/v2/ HTTP/1.1',
    ' GET /v2/ HTTP/1.1',
    'GET /v2/',
    'GET',
  ])('A-48 %j is refused', async (line) => {
    await expectRefused(front, `${line}\r\n${honest}\r\n${smuggled}`, [400, 405])
  })

  test.each(['GET  /v2/a/tags/list HTTP/1.1', 'GET /v2/a/tags/list  HTTP/1.1'])(
    'A-48 %j is read as the specification allows, and printed with one space',
    async (line) => {
      const { answers, upstreamGot } = await attack(front, `${line}\r\n${honest}Connection: close\r\n\r\n`)
      expect(answers.map(({ status }) => status)).toEqual([200])
      expect(upstreamGot).toMatch(/^GET \/v2\/a\/tags\/list HTTP\/1\.1\r\n/)
    },
  )
})
