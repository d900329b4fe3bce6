import http from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import { Duplex } from 'node:stream'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { maxHeadBytes, readResponseHead } from '../../../src/proxy/response-head.ts'
import type { ReadHead } from '../../../src/proxy/response-head.ts'

type NodeReading = {
  readonly statusCode: number | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** Whether the body came to its announced end. */
  readonly complete: boolean
  /** Whether Node would send another request over the connection. */
  readonly keepAlive: boolean
}

/** A connection whose other side is the test. */
class Wire extends Duplex {
  override _read(): void {
    return undefined
  }
  override _write(_chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    done()
  }
  setTimeout(): this {
    return this
  }
  setKeepAlive(): this {
    return this
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }
}

/** What Node's own client makes of these bytes as the answer to a GET; nothing when it reads no head in them. */
function readByNode(bytes: Buffer): Promise<NodeReading | undefined> {
  const wire = new Wire()
  const agent = Object.assign(new http.Agent({ keepAlive: true }), { createConnection: () => wire })
  const request = http.request({ agent, path: '/', headers: { host: 'upstream' } })
  return new Promise((resolve) => {
    let answered = false
    request.on('error', () => {
      if (!answered) resolve(undefined)
    })
    request.on('response', (response) => {
      answered = true
      const keepAlive = request.shouldKeepAlive
      const { statusCode, headers } = response
      let body = ''
      response.on('error', () => undefined)
      response.on('data', (chunk: Buffer) => {
        body += chunk.toString('latin1')
      })
      response.on('close', () => {
        resolve({ statusCode, headers, body, complete: response.complete, keepAlive })
      })
    })
    request.on('socket', () => {
      wire.push(bytes)
      wire.push(null)
    })
    request.end()
  })
}

function read(text: string): ReadHead {
  return readResponseHead(Buffer.from(text, 'latin1'))
}

/** Says how our reading differs from Node's; the answer is followed by nothing but `bytes`. */
async function difference(bytes: Buffer): Promise<string | undefined> {
  const ours = readResponseHead(bytes)
  if (ours.kind !== 'head') return undefined
  const { head, bodyStart } = ours
  const node = await readByNode(bytes)
  if (node === undefined) return 'Node reads no answer'
  const behind = bytes.toString('latin1', bodyStart)
  const expected: NodeReading = {
    statusCode: head.statusCode,
    headers: { ...head.headers },
    body: behind.slice(0, head.bodyBytes),
    complete: behind.length >= head.bodyBytes,
    keepAlive: head.keepAlive,
  }
  try {
    expect(node).toEqual(expected)
    // `toEqual` looks past a name that stands in one of them alone with no value, and past inherited ones.
    expect(Object.keys(node.headers).sort()).toEqual(Object.keys(head.headers).sort())
    return undefined
  } catch (error) {
    return String(error)
  }
}

const oddNames = [
  ...['Age', 'Authorization', 'Connection', 'Content-Length', 'Content-Type', 'Cookie', 'ETag', 'Expires', 'From'],
  ...['Host', 'If-Modified-Since', 'If-Unmodified-Since', 'Last-Modified', 'Location', 'Max-Forwards', 'Referer'],
  ...['Proxy-Authorization', 'Retry-After', 'Server', 'User-Agent', 'Set-Cookie', 'Date', 'Vary', 'Warning', 'Link'],
  ...['Keep-Alive', 'Proxy-Connection', 'Upgrade', 'Trailer', 'Transfer-Encoding', 'TE', 'HTTP2-Settings', 'Accept'],
  ...['__proto__', 'constructor', 'toString', 'hasOwnProperty', '', ' ', 'X Y', 'X\t', 'X(', 'é', 'x', 'X', '~', '"x"'],
  ...['Content-Length ', 'Transfer-Encoding ', ' Content-Length', 'Content_Length', 'Access-Control-Allow-Origin'],
]
const oddValues = [
  ...['', ' ', 'x', 'a b', 'a\tb', '  padded  ', '\t', 'é', '\x00', '\x7f', 'a\x01b', 'a\rb', 'a\nb', '\x0b', '\xa0'],
  ...['0', '1', '5', '05', '+5', '-5', '0x10', '1e1', '5 ', '5,5', '5, 5', '5 5', '1.0', '９'],
  ...['99999999999999', '999999999999999', '1000000000000000', '9007199254740993', '18446744073709551621'],
  ...['chunked', 'gzip', 'gzip, chunked', 'identity', 'keep-alive', 'close', 'Close', 'KEEP-ALIVE', 'upgrade'],
  ...['close, keep-alive', 'keep-alive, x', 'close,', 'websocket', 'timeout=5', 'timeout=0', 'W/"tag"', 'a:b', ':'],
]
const statusLines = [
  ...['HTTP/1.1 200 OK', 'HTTP/1.1 206 Partial Content', 'HTTP/1.1 404 ', 'HTTP/1.1 204 No Content', 'HTTP/1.1 200'],
  ...['HTTP/1.1 304 Not Modified', 'HTTP/1.1 100 Continue', 'HTTP/1.1 101 Switching', 'HTTP/1.1 103 Early Hints'],
  ...[
    'HTTP/1.1 205 Reset',
    'HTTP/1.0 200 OK',
    'HTTP/1.2 200 OK',
    'HTTP/2.0 200 OK',
    'HTTP/1.1 600 x',
    'HTTP/1.1  200 x',
  ],
  ...[
    'HTTP/1.1 20 OK',
    'HTTP/1.1 2000 OK',
    'http/1.1 200 OK',
    'HTTP/1.1 200 O\tK',
    'HTTP/1.1 200 Ö',
    'HTTP/1.1 200 O\rK',
  ],
  ...['HTTP/1.1 099 x', 'HTTP/1.1 500 ~', 'HTTP/1.1\t200 OK', ' HTTP/1.1 200 OK', '', 'ICY 200 OK', 'HTTP/1.1 307 x:y'],
]

const plainLine = fc
  .tuple(fc.stringMatching(/^[A-Za-z-]{1,12}$/), fc.stringMatching(/^[!-~]{0,20}$/))
  .map(([name, value]) => `${name}: ${value}`)
const oddLine = fc
  .tuple(fc.constantFrom(...oddNames), fc.constantFrom(': ', ':', ' : ', ':\t', ''), fc.constantFrom(...oddValues))
  .map((parts) => parts.join(''))
const lengthLine = fc.nat(12).map((bytes) => `Content-Length: ${bytes}`)
/** Mostly heads that could be meant well: an odd line or two among plain ones, nearly always a length. */
const heads = fc
  .record({
    statusLine: fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom('HTTP/1.1 200 OK', 'HTTP/1.1 206 Partial Content', 'HTTP/1.1 404 No') },
      { weight: 1, arbitrary: fc.constantFrom(...statusLines) },
    ),
    lines: fc.array(
      fc.oneof(
        { weight: 3, arbitrary: plainLine },
        { weight: 2, arbitrary: oddLine },
        { weight: 1, arbitrary: lengthLine },
      ),
      { maxLength: 5 },
    ),
    length: fc.option(lengthLine, { freq: 8, nil: undefined }),
    at: fc.nat(5),
    lineEnd: fc.oneof(
      { weight: 12, arbitrary: fc.constant('\r\n') },
      { weight: 1, arbitrary: fc.constantFrom('\n', '\r', '\n\r', '\r\r\n', '\r\n ', '\r\n\t') },
    ),
  })
  .map(({ statusLine, lines, length, at, lineEnd }) => {
    const all = length === undefined ? lines : lines.toSpliced(at, 0, length)
    const last = lineEnd === '\n' ? '\n\n' : '\r\n\r\n'
    return [statusLine, ...all].join(lineEnd) + last
  })
/** A byte here or there changed, put in or left out. */
const edits = fc.array(
  fc.record({
    at: fc.nat(300),
    what: fc.constantFrom('replace', 'insert', 'delete'),
    byte: fc.oneof(fc.constantFrom(0, 9, 10, 11, 13, 32, 44, 58, 127, 128, 255), fc.nat(255)),
  }),
  { maxLength: 2 },
)
const answers = fc
  .tuple(heads, fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: edits }))
  .map(([head, changes]) => {
    let text = head
    for (const { at, what, byte } of changes) {
      const put = what === 'delete' ? '' : String.fromCharCode(byte)
      text = text.slice(0, at) + put + text.slice(what === 'insert' ? at : at + 1)
    }
    return text
  })
const bodies = fc.stringMatching(/^[ -~]{0,14}$/)

describe('a head that is accepted', () => {
  test('is one that Node reads alike: status, headers, length of the body, and whether the connection goes on', async () => {
    const kinds = { head: 0, unusual: 0, incomplete: 0 }
    await fc.assert(
      fc.asyncProperty(answers, bodies, async (head, body) => {
        const bytes = Buffer.from(head + body, 'latin1')
        kinds[readResponseHead(bytes).kind] += 1
        expect(await difference(bytes)).toBeUndefined()
      }),
      { numRuns: 6_000, interruptAfterTimeLimit: 8_000 },
    )
    // The property says nothing of what is left alone, so it must not be most of it.
    expect(kinds.head).toBeGreaterThan(kinds.unusual / 4)
    expect(kinds.unusual).toBeGreaterThan(100)
  })

  const odd = oddNames.flatMap((name) => oddValues.map((value) => [name, value] as const))
  test('is one that Node reads alike with each odd name and each odd value once, and twice', async () => {
    for (const [name, value] of odd) {
      const line = `${name}: ${value}\r\n`
      for (const lines of [line, line + line, `Content-Length: 3\r\n${line}`, `Content-Length: 3\r\n${line}${line}`]) {
        const bytes = Buffer.from(`HTTP/1.1 200 OK\r\n${lines}\r\nabc`, 'latin1')
        const differs = readResponseHead(bytes).kind === 'head' ? await difference(bytes) : undefined
        expect([name, value, differs]).toEqual([name, value, undefined])
      }
    }
  })

  test.each(statusLines)('is one that Node reads alike after the status line %j', async (line) => {
    const bytes = Buffer.from(`${line}\r\nContent-Length: 3\r\n\r\nabc`, 'latin1')
    expect(await difference(bytes)).toBeUndefined()
  })

  test('is the same however much of what follows has been read, and nothing before its last byte', () => {
    fc.assert(
      fc.property(answers, bodies, (head, body) => {
        const bytes = Buffer.from(head + body, 'latin1')
        const whole = readResponseHead(bytes)
        for (let length = 0; length < bytes.length; length += 1) {
          const early = readResponseHead(bytes.subarray(0, length))
          if (early.kind === 'head') expect(early).toEqual(whole)
          // Once it is called unusual no further byte can make it usual again.
          if (early.kind === 'unusual') expect(whole.kind).toBe('unusual')
          if (whole.kind === 'head') expect(early.kind).toBe(length < whole.bodyStart ? 'incomplete' : 'head')
        }
      }),
      { numRuns: 1_000, interruptAfterTimeLimit: 5_000 },
    )
  })

  test.each([
    [200, '5', 5],
    [206, '999999999999999', 999_999_999_999_999],
    [404, '0', 0],
    [204, undefined, 0],
    [304, '1234', 0],
  ])('tells the length of the body of a %i with Content-Length %s', (status, length, bodyBytes) => {
    const line = length === undefined ? '' : `Content-Length: ${length}\r\n`
    expect(read(`HTTP/1.1 ${status} x\r\n${line}\r\n`)).toMatchObject({ kind: 'head', head: { bodyBytes } })
  })

  test.each([
    ['', true],
    ['Connection: keep-alive\r\n', true],
    ['connection: Close\r\n', false],
  ])('tells whether the connection goes on behind %j', (line, keepAlive) => {
    expect(read(`HTTP/1.1 200 x\r\nContent-Length: 1\r\n${line}\r\n`)).toMatchObject({ head: { keepAlive } })
  })

  test('that is as long as is allowed is read, and one that is a byte longer is unusual', () => {
    const start = 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX: '
    const longest = start + 'x'.repeat(maxHeadBytes - start.length)
    expect(read(`${longest}\r\n\r\n`)).toMatchObject({ kind: 'head', bodyStart: maxHeadBytes + 4 })
    expect(read(`${longest}x\r\n\r\n`)).toMatchObject({ kind: 'unusual' })
    expect(read('HTTP/1.1 200 OK\r\nX: '.padEnd(maxHeadBytes, 'x'))).toEqual({ kind: 'incomplete' })
    expect(read('HTTP/1.1 200 OK\r\nX: '.padEnd(maxHeadBytes + 8, 'x'))).toMatchObject({ kind: 'unusual' })
  })

  test('has at most a hundred header lines', () => {
    const lines = (count: number): string =>
      `HTTP/1.1 200 OK\r\nContent-Length: 1\r\n${'X: y\r\n'.repeat(count - 1)}\r\n`
    expect(read(lines(100))).toMatchObject({ kind: 'head' })
    expect(read(lines(101))).toMatchObject({ kind: 'unusual' })
  })
})

describe('an answer is unusual', () => {
  const sized = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n'
  test.each([
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n'],
    ['an interim answer', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['no length', 'HTTP/1.1 200 OK\r\n\r\n'],
    ['a transfer encoding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['a length and a transfer encoding', `${sized}Transfer-Encoding: chunked\r\n\r\n`],
    ['two lengths', `${sized}Content-Length: 6\r\n\r\n`],
    ['the same length twice', `${sized}Content-Length: 5\r\n\r\n`],
    ...['+5', '05', '0x5', '5,5', '5 5', '-1', '', '1000000000000000'].map(
      (length) => [`the length ${length}`, `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`] as const,
    ),
    ['a folded line', `${sized}X: a\r\n b\r\n\r\n`],
    ['a space before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n'],
    ['no name', `${sized}: x\r\n\r\n`],
    ['NUL', `${sized}X: \x00\r\n\r\n`],
    ['obs-text', `${sized}X: \xe9\r\n\r\n`],
    ['a bare LF', `${sized}X: a\nY: b\r\n\r\n`],
    ['a bare CR', `${sized}X: a\rY: b\r\n\r\n`],
    ['a Connection that names a header', `${sized}Connection: close, X\r\n\r\n`],
    ['two Connections', `${sized}Connection: close\r\nConnection: keep-alive\r\n\r\n`],
    ['a Proxy-Connection, which Node takes for a Connection', `${sized}Proxy-Connection: close\r\n\r\n`],
    ['a name that no object of headers can hold', `${sized}__proto__: x\r\n\r\n`],
    ['an upgrade', `${sized}Upgrade: h2c\r\n\r\n`],
    ['an empty line before it', `\r\n${sized}\r\n`],
    ['the rest of another answer before it', `rest of a body${sized}\r\n`],
  ] as const)('with %s', (_title, text) => {
    expect(read(text)).toMatchObject({ kind: 'unusual' })
  })

  test.each([
    ['lines that end with LF alone', 'HTTP/1.1 200 OK\nContent-Length: 5\n\nhello'],
    ['something that is not HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['HTTP/1.0 in its first line', 'HTTP/1.0 200 OK\r\n'],
  ])('as soon as it shows %s, without waiting for the end of its head', (_title, text) => {
    expect(read(text)).toMatchObject({ kind: 'unusual' })
  })
})
