import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { startRawUpstream } from '../support/raw-upstream.ts'
import type { RawUpstream, RawUpstreamConnection } from '../support/raw-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'
import { until } from '../support/until.ts'

/** What happens to an answer whose connection is not kept. */
let upstream: RawUpstream
let gateway: TestGateway

beforeEach(async () => {
  upstream = await startRawUpstream()
})
afterEach(async () => {
  await gateway.stop()
  await upstream.close()
})

const answer = (more = ''): string =>
  `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n${more}Content-Length: 2\r\n\r\n{}`
const pull = () => gateway.as('alice', { path: '/v2/alice/app/manifests/v1' })

test('it arrives, however many come at once and however few connections are kept', async () => {
  gateway = await startGateway({ upstreamUrl: upstream.url })
  const waiting: RawUpstreamConnection[] = []
  upstream.play((connection) => waiting.push(connection))
  const pulls = Array.from({ length: 80 }, pull)
  await until(() => waiting.length === 80, { what: '80 requests are at the upstream' })
  for (const { socket } of waiting) socket.write(answer())
  const statuses = (await Promise.all(pulls)).map(({ status }) => status)
  expect(statuses.filter((status) => status !== 200)).toEqual([])
})

test('it arrives when the upstream ends the connection with it', async () => {
  gateway = await startGateway({ upstreamUrl: upstream.url })
  upstream.play(({ socket }) => void socket.end(answer('Connection: close\r\n')))
  expect(await pull()).toMatchObject({ status: 200, body: '{}' })
})

test('it arrives when its connection is too old to be used again', async () => {
  gateway = await startGateway({ upstreamUrl: upstream.url, settings: { upstream: { timeouts: { keepAliveMs: 2 } } } })
  const waiting: RawUpstreamConnection[] = []
  upstream.play((connection) => waiting.push(connection))
  const pulled = pull()
  await until(() => waiting.length === 1, { what: 'the request is at the upstream' })
  const openedMs = performance.now()
  await until(() => performance.now() - openedMs > 50, { what: 'the connection is old' })
  waiting[0]?.socket.write(answer())
  expect(await pulled).toMatchObject({ status: 200, body: '{}' })
})
