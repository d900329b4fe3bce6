import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { connectFaultClient, headAs } from '../support/fault-client.ts'
import { pushBlob } from '../support/fault-push.ts'
import type { Ask } from '../support/fault-push.ts'
import { basicOf } from '../support/personas.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'
import { until } from '../support/until.ts'

const kibibyte = 1024

/** Shorter than any chunk waits for its turn below, and longer than a busy machine stalls. */
const idleMs = 500

function pace(direction: 'up' | 'down', user: string, bytesPerSecond: number) {
  const at = { unit: 'bytes', quota: bytesPerSecond, windowSeconds: 1, onExceeded: 'slow', direction }
  return { name: `${user}-${direction}`, scope: 'user', users: [user], ...at }
}

describeWith(['docker-registry'], 'bytes that flow at the pace of a limit', () => {
  let registry: RealRegistry
  let gateway: TestGateway
  const blobs = new Map<number, string>()

  beforeAll(async () => {
    registry = await startRealRegistry()
    gateway = await startGateway({
      upstreamUrl: registry.url,
      settings: {
        client: { inactivityMs: idleMs, writeInactivityMs: idleMs },
        upstream: { timeouts: { inactivityMs: idleMs } },
        rateLimit: {
          enabled: true,
          buckets: [
            // A read of a lane, 64 KiB, takes a second; a record of TLS, 16 KiB, the same.
            { ...pace('down', 'alice', 64 * kibibyte), class: 'pull' },
            { ...pace('up', 'alice', 16 * kibibyte), class: 'push' },
            { ...pace('down', 'bob', 1), class: 'pull' },
          ],
        },
      },
    })
    for (const bytes of [256 * kibibyte, 4096 * kibibyte]) {
      const { digest, answer } = await pushBlob(as('ci'), 'team/app', bytes)
      expect(answer.status).toBe(201)
      blobs.set(bytes, digest)
    }
  })
  afterAll(async () => {
    expect(gateway.faults()).toEqual([])
    await gateway.stop()
    await registry.stop()
  })

  const as =
    (persona: 'alice' | 'bob' | 'ci'): Ask =>
    (request) =>
      gateway.as(persona, request)
  const pathOf = (bytes: number): string => `/v2/team/app/blobs/${blobs.get(bytes) ?? ''}`

  async function timed<T>(act: () => Promise<T>): Promise<{ readonly result: T; readonly tookMs: number }> {
    const startedMs = performance.now()
    const result = await act()
    return { result, tookMs: performance.now() - startedMs }
  }

  test('go down whole, however long each chunk waits', async () => {
    const bytes = 256 * kibibyte
    const { result, tookMs } = await timed(() => gateway.as('alice', { path: pathOf(bytes) }))
    expect([result.status, result.bytes, result.digest]).toEqual([200, bytes, blobs.get(bytes)])
    // 64 KiB come at once, and nobody waits for the end of the last chunk.
    expect(tookMs).toBeGreaterThan(1_500)
  })

  test('go up whole, however long each chunk waits', async () => {
    const { result, tookMs } = await timed(() => pushBlob(as('alice'), 'team/up', 128 * kibibyte))
    expect(result.answer.status).toBe(201)
    expect(tookMs).toBeGreaterThan(2_500)
  })

  test('are not slowed for others', async () => {
    const slowed = gateway.as('alice', { path: pathOf(256 * kibibyte) })
    const { result, tookMs } = await timed(() => gateway.as('ci', { path: pathOf(4096 * kibibyte) }))
    expect([result.status, result.bytes]).toEqual([200, 4096 * kibibyte])
    // At the pace of alice it would be a minute.
    expect(tookMs).toBeLessThan(20_000)
    expect((await slowed).status).toBe(200)
  })

  test('end at once with a client that leaves while its turn is far, before its answer too', async () => {
    const left = () =>
      gateway.auditLines().filter(({ user, outcome }) => user === 'bob' && outcome === 'aborted-by-client').length
    const get = headAs(`GET ${pathOf(4096 * kibibyte)}`, [], basicOf('bob'))
    const first = await connectFaultClient(gateway.target)
    await first.send(get)
    await until(() => first.received().length > 0, { what: 'the download begins' })
    // Until it has left it owes its chunk, for which bob waits most of a day: not even a head comes.
    const second = await connectFaultClient(gateway.target)
    await second.send(get)
    first.leave('reset')
    await until(() => left() === 1, { what: 'the first exchange has ended' })
    expect(second.received()).toBe('')
    second.leave('reset')
    await until(() => left() === 2, { what: 'the second exchange has ended' })
  })
})
