import { createHash, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'

const content = randomBytes(100_000)
const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`
const compared = [
  'content-length',
  'content-range',
  'content-type',
  'content-encoding',
  'etag',
  'accept-ranges',
  'docker-content-digest',
  'cache-control',
] as const

describeWith(['docker-registry'], 'A-70 ranges and conditions', () => {
  let registry: RealRegistry
  let gateway: TestGateway

  beforeAll(async () => {
    registry = await startRealRegistry()
    gateway = await startGateway({ upstreamUrl: registry.url })
    const opened = await gateway.as('alice', { method: 'POST', path: '/v2/a/blobs/uploads/' })
    const path = `${opened.headers.location ?? ''}&digest=${digest}`
    const put = await gateway.as('alice', {
      method: 'PUT',
      path,
      body: content,
      headers: { 'content-length': content.length },
    })
    expect(put.status).toBe(201)
  })
  afterAll(async () => {
    await gateway.stop()
    await registry.stop()
  })

  test.each([
    ['nothing', {}],
    ['gzip', { 'accept-encoding': 'gzip, br, zstd' }],
    ['an open range', { range: 'bytes=5-' }],
    ['a range', { range: 'bytes=5-9' }],
    ['the last bytes', { range: 'bytes=-7' }],
    ['the first byte', { range: 'bytes=0-0' }],
    ['a range beyond the end', { range: 'bytes=99999-200000' }],
    ['an unsatisfiable range', { range: 'bytes=200000-' }],
    ['a malformed range', { range: 'bytes=x' }],
    ['another unit', { range: 'lines=1-2' }],
    ['a matching tag', { 'if-none-match': `"${digest}"` }],
    ['another tag', { 'if-none-match': '"x"' }],
    ['any tag', { 'if-none-match': '*' }],
    ['If-Match', { 'if-match': '"x"' }],
    ['If-Range', { range: 'bytes=5-9', 'if-range': `"${digest}"` }],
    ['If-Range of another', { range: 'bytes=5-9', 'if-range': '"x"' }],
    ['If-Modified-Since', { 'if-modified-since': 'Sat, 01 Jan 2000 00:00:00 GMT' }],
  ] as readonly (readonly [string, Readonly<Record<string, string>>])[])(
    'with %s the answer is that of the registry, byte for byte',
    async (_what, headers) => {
      const path = `/v2/a/blobs/${digest}`
      for (const method of ['GET', 'HEAD']) {
        const direct = await fetch(registry.url + path, {
          method,
          headers: { 'accept-encoding': 'identity', ...headers },
        })
        const through = await gateway.as('alice', {
          method,
          path,
          headers: { 'accept-encoding': 'identity', ...headers },
        })
        if (direct.status >= 400) {
          // Its refusals are told in the gateway's words: it announces a length that it does not send.
          await direct.body?.cancel().catch(() => undefined)
          expect(through.status).toBe(direct.status)
          continue
        }
        const body = Buffer.from(await direct.arrayBuffer())
        expect({ status: through.status, bytes: through.bytes, digest: through.digest }).toEqual({
          status: direct.status,
          bytes: body.length,
          digest: `sha256:${createHash('sha256').update(body).digest('hex')}`,
        })
        for (const name of compared)
          expect([name, through.headers[name] ?? null]).toEqual([name, direct.headers.get(name)])
      }
    },
  )

  test('100 ranges at once are the registry’s to refuse or to serve', async () => {
    const range = `bytes=${Array.from({ length: 100 }, (_, index) => `${index * 10}-${index * 10 + 1}`).join(',')}`
    const path = `/v2/a/blobs/${digest}`
    const direct = await fetch(registry.url + path, { headers: { range } })
    await direct.arrayBuffer()
    const { status } = await gateway.as('alice', { path, headers: { range } })
    expect([direct.status, 502]).toContain(status)
  })
})
