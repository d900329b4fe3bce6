import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { connectRaw, headerOf, sendRaw } from '../support/raw-http-client.ts'
import { answerEach, startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'
import { until } from '../support/until.ts'
import { bytesOf, digest } from './attack.ts'

type Settings = Readonly<Record<string, unknown>>

const pulls = { name: 'pulls', scope: 'user', class: 'pull', quota: 1, windowSeconds: 3_600 }
const manifest = '/v2/team/app/manifests/v1'

let upstream: RecordingUpstream
let gateway: TestGateway

beforeEach(async () => {
  upstream = await startRecordingUpstream()
})
afterEach(async () => {
  await gateway.stop()
  await upstream.close()
  expect(gateway.faults()).toEqual([])
})

async function start(buckets: readonly Settings[], refusalWaitMs = 0): Promise<void> {
  const rateLimit = { enabled: true, refusalWaitMs, buckets }
  gateway = await startGateway({ upstreamUrl: upstream.url, settings: { rateLimit } })
}

async function metrics(): Promise<string> {
  return (await fetch(`${gateway.adminUrl}/metrics`)).text()
}

async function refusals(): Promise<number> {
  const all = (await metrics()).matchAll(/^wharfgate_rate_limit_decisions_total\{[^}]*decision="refused"\} (\d+)$/gm)
  return [...all].reduce((sum, [, count]) => sum + Number(count), 0)
}

describe('who leaves, or says half of it,', () => {
  test('is not held any longer, nor what it had asked for on the same connection', async () => {
    await start([pulls], 10_000)
    await gateway.as('alice', { path: manifest })
    const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
    const before = timers()
    const socket = await connectRaw(gateway.target)
    const begunMs = performance.now()
    socket.write(bytesOf({ target: manifest }).repeat(20))
    await until(async () => /^wharfgate_http_requests_in_flight 20$/m.test(await metrics()), {
      what: 'they are held',
    })
    expect(await refusals()).toBe(0)
    socket.destroy()
    await until(async () => (await refusals()) === 20, { what: 'they are let go' })
    expect(performance.now() - begunMs).toBeLessThan(10_000)
    await until(() => timers() < before + 10, { what: 'nothing waits for them' })
  })

  test('gives back the place of a transfer', async () => {
    await start([{ name: 'one', scope: 'user', class: 'push', unit: 'concurrent', quota: 1 }])
    const lines = ['Content-Type: application/json', 'Content-Length: 1000']
    const socket = await connectRaw(gateway.target)
    socket.write(bytesOf({ method: 'PUT', target: manifest, lines, body: 'half' }))
    const other = { method: 'POST', path: '/v2/team/other/blobs/uploads/' }
    await until(async () => (await gateway.as('alice', other)).status === 429, { what: 'it has the place' })
    socket.destroy()
    await until(async () => (await gateway.as('alice', other)).status === 200, { what: 'the place is free' })
  })

  test('and asks first is not told to go on where it is refused', async () => {
    await start([{ ...pulls, class: 'push' }])
    expect((await gateway.as('alice', { method: 'POST', path: '/v2/team/one/blobs/uploads/' })).status).toBe(200)
    const lines = ['Content-Length: 100000', 'Expect: 100-continue']
    const target = `/v2/team/two/blobs/uploads/?digest=${digest}`
    const { answers } = await sendRaw(gateway.target, bytesOf({ method: 'POST', target, lines }), { until: 1 })
    expect(answers.map(({ status }) => status)).toEqual([429])
    expect(headerOf(answers[0], 'connection')).toBe('close')
  })
})

test('an end waits no longer than it is told for who is held and who is slowed', async () => {
  const slow = { ...pulls, name: 'slow', unit: 'bytes', quota: 1, onExceeded: 'slow' }
  await start([pulls, slow], 10_000)
  const content = Buffer.alloc(1_000_000)
  upstream.respondWith((connection, heads) => {
    answerEach(
      connection,
      heads,
      `HTTP/1.1 200 OK\r\nContent-Length: ${content.length}\r\n\r\n${content.toString('latin1')}`,
    )
  })
  const blob = bytesOf({ target: `/v2/team/app/blobs/${digest}` })
  const sockets = await Promise.all(
    [blob, blob, bytesOf({ target: manifest }).repeat(3)].map(async (bytes) => {
      const socket = await connectRaw(gateway.target)
      socket.resume().write(bytes)
      return socket
    }),
  )
  await until(() => upstream.requestLines().filter((line) => line.includes('/blobs/')).length === 2, {
    what: 'they flow',
  })
  const begunMs = performance.now()
  await gateway.server.stop()
  expect(performance.now() - begunMs).toBeLessThan(9_000)
  for (const socket of sockets) socket.destroy()
})
