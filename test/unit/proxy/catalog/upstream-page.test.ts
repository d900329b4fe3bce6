import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { createUpstreamPages } from '../../../../src/proxy/catalog/upstream-page.ts'
import type { FetchPage } from '../../../../src/proxy/catalog/walk.ts'
import { createUpstreamClient } from '../../../../src/proxy/upstream-client.ts'
import type { UpstreamClient } from '../../../../src/proxy/upstream-client.ts'
import { answerJson, neverAnswer, startFaultUpstream } from '../../../support/fault-upstream.ts'
import type { FaultUpstream, Script } from '../../../support/fault-upstream.ts'
import { until } from '../../../support/until.ts'

const never = new AbortController().signal
const second = '/v2/_catalog?last=b&n=1000'

let upstream: FaultUpstream
let client: UpstreamClient
let fetchPage: FetchPage

beforeAll(async () => {
  upstream = await startFaultUpstream()
  client = createUpstreamClient(
    { connectMs: 5_000, headersMs: 400, commitHeadersMs: 400, inactivityMs: 400, keepAliveMs: 60_000 },
    undefined,
  )
  const url = new URL(upstream.url)
  fetchPage = createUpstreamPages({
    open: client.open,
    url,
    authorization: 'Basic Z2F0ZQ==',
    headersMs: 400,
    bodyMs: 400,
  })
})
afterEach(() => {
  upstream.reset()
})
afterAll(async () => {
  client.close()
  await upstream.close()
})

/** A page with a `Link` header. */
function linking(link: string): Script {
  return answerJson(200, '{"repositories":["a","b"]}', { link })
}

describe('a page of the upstream', () => {
  test('is asked for with the credential of the gateway, a thousand names at a time', async () => {
    const heads: unknown[] = []
    upstream.play(({ req, res }) => {
      heads.push([req.method, req.url, req.headers.host, req.headers.authorization, req.headers['accept-encoding']])
      answerJson(200, '{"repositories":["a","b/c"]}\n')({ res })
    })
    expect(await fetchPage(undefined, never)).toEqual({ names: ['a', 'b/c'], ignored: 0, next: undefined })
    await fetchPage(second, never)
    const rest = [new URL(upstream.url).host, 'Basic Z2F0ZQ==', undefined]
    expect(heads).toEqual([
      ['GET', '/v2/_catalog?n=1000', ...rest],
      ['GET', second, ...rest],
    ])
    // A page that was read to its end leaves its connection to the next.
    expect(upstream.connections).toHaveLength(1)
  })

  test.each([
    ['null, as Go prints an empty list', '{"repositories":null}', [], 0],
    ['with names that nobody could ask for', '{"repositories":["a","B","../c","","a//b","d"]}', ['a', 'd'], 4],
    ['with more beside the names', '{"repositories":["a"],"next":"x"}', ['a'], 0],
  ])('may be %s', async (_title, body, names, ignored) => {
    upstream.play(answerJson(200, body))
    expect(await fetchPage(undefined, never)).toEqual({ names, ignored, next: undefined })
  })

  test.each([
    ['an absolute path', '</v2/_catalog?last=b&n=1000>; rel="next"', second],
    ['a URL of whatever host', '<http://evil.example:81/v2/_catalog?last=b&n=1000>; rel="next"', second],
    ['a query alone', '<?last=b&n=1000>; rel="next"', second],
    ['without quotes', '</v2/_catalog?last=b&n=1000>;rel=next', second],
    ['one of two', '</v2/_catalog?n=1>; rel="first", </v2/_catalog?last=b&n=1000>; rel="next"', second],
    ['a token of the registry', '</v2/_catalog?next_page=gAAA%3D%3D>; rel="next"', '/v2/_catalog?next_page=gAAA%3D%3D'],
    ['another relation', '</v2/_catalog?n=1>; rel="first"', undefined],
    ['a longer relation', '</v2/_catalog?n=1>; rel="nextly"', undefined],
  ])('names the next one by a Link that is %s', async (_title, link, next) => {
    upstream.play(linking(link))
    expect(await fetchPage(undefined, never)).toEqual({ names: ['a', 'b'], ignored: 0, next })
  })

  test('is asked for once more where its pooled connection was closed before', async () => {
    upstream.play(answerJson(200, '{"repositories":["a"]}'))
    await fetchPage(undefined, never)
    upstream.play(({ req, res, connection }) => {
      if (connection.requests > 1) req.socket.resetAndDestroy()
      else answerJson(200, '{"repositories":["b"]}')({ res })
    })
    expect(await fetchPage(undefined, never)).toMatchObject({ names: ['b'] })
  })

  test('is asked for without a size where the registry refuses a thousand', async () => {
    upstream.play(({ req, res }) => {
      const body = '{"repositories":["a"]}'
      answerJson(req.url === '/v2/_catalog' ? 200 : 400, body)({ res })
    })
    expect(await fetchPage(undefined, never)).toMatchObject({ names: ['a'] })
    await expect(fetchPage(second, never)).rejects.toMatchObject({ id: 'upstreamInvalid' })
    expect(upstream.requests).toEqual(['GET /v2/_catalog?n=1000', 'GET /v2/_catalog', `GET ${second}`])
  })
})

describe('a page that cannot be used', () => {
  const long = `</v2/_catalog?last=${'b'.repeat(4_100)}>; rel="next"`
  test.each<[string, Script, string, string]>([
    ['links elsewhere', linking('</v2/a/tags/list?last=b>; rel="next"'), 'upstreamInvalid', 'Link leads to no page'],
    ['links below itself', linking('</v2/_catalog/x?last=b>; rel="next"'), 'upstreamInvalid', 'Link leads to no page'],
    ['links to the beginning', linking('</v2/_catalog>; rel="next"'), 'upstreamInvalid', 'Link leads to no page'],
    ['links to no URL', linking('<http://[>; rel="next"'), 'upstreamInvalid', 'Link leads to no page'],
    ['has a link without an end', linking(long), 'upstreamInvalid', 'Link leads to no page'],
    ['is no JSON', answerJson(200, '<html>'), 'upstreamInvalid', 'no JSON'],
    ['is another JSON', answerJson(200, '{"errors":[]}'), 'upstreamInvalid', 'lists no repositories'],
    ['is null', answerJson(200, 'null'), 'upstreamInvalid', 'lists no repositories'],
    ['has no list', answerJson(200, '{"repositories":{"a":1}}'), 'upstreamInvalid', 'no list'],
    ['lists numbers', answerJson(200, '{"repositories":["a",1]}'), 'upstreamInvalid', 'no string'],
  ])('because it %s is a fault of the upstream', async (_title, script, id, why) => {
    upstream.play(script)
    await expect(fetchPage(undefined, never)).rejects.toMatchObject({
      id,
      cause: { message: expect.stringContaining(why) },
    })
  })

  test.each<[string, Script, string, string]>([
    ['is unknown to the registry', answerJson(404, '{}'), 'upstreamInvalid', 'answered 404'],
    ['is a redirect', answerJson(307, '', { location: 'http://127.0.0.1:1/' }), 'upstreamInvalid', 'answered 307'],
    ['needs a login', answerJson(401, '{}'), 'upstreamRefusedGateway', 'answered 401'],
    ['is not for the gateway', answerJson(403, '{}'), 'upstreamRefusedGateway', 'answered 403'],
    ['never begins', neverAnswer, 'upstreamTimeout', '400 ms'],
    [
      'never ends',
      ({ res }) => {
        res.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 })
        res.write('{"repositories":')
      },
      'upstreamTimeout',
      'longer than 400 ms',
    ],
    [
      'is cut short',
      ({ raw, req }) => {
        raw('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"repositories":["a"]}')
        req.socket.end()
      },
      'upstreamInvalid',
      'aborted',
    ],
    [
      'is too large',
      ({ res }) => {
        res.writeHead(200)
        res.write(Buffer.alloc(8 * 1024 * 1024 + 1, ' '))
      },
      'upstreamInvalid',
      'larger than 8388608 bytes',
    ],
    [
      'is compressed',
      ({ res }) => {
        const body = gzipSync('{"repositories":["a"]}')
        res.writeHead(200, { 'content-encoding': 'gzip', 'content-length': body.length })
        res.end(body)
      },
      'upstreamInvalid',
      'compressed',
    ],
  ])('because it %s is not read to its end, and its connection is given up', async (_title, script, id, why) => {
    upstream.play(script)
    await expect(fetchPage(undefined, never)).rejects.toMatchObject({
      id,
      cause: { message: expect.stringContaining(why) },
    })
    await until(() => upstream.open() === 0, { what: 'the connection is given up' })
  })
})

describe('a page that nobody waits for any more', () => {
  test.each<[string, Script]>([
    ['before its head', neverAnswer],
    [
      'in its body',
      ({ res }) => {
        res.writeHead(200, { 'content-length': 100 })
        res.write('{"repositories":')
      },
    ],
  ])('ends its connection: %s', async (_title, script) => {
    const giveUp = new AbortController()
    upstream.play(script)
    const page = fetchPage(undefined, giveUp.signal)
    await until(() => upstream.requests.length === 1, { what: 'the upstream is asked' })
    giveUp.abort()
    await expect(page).rejects.toMatchObject({ source: 'upstream' })
    await until(() => upstream.open() === 0, { what: 'the connection is ended' })
  })
})
