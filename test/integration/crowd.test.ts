import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import {
  garbage,
  idleConnections,
  manyTimes,
  serviceOf,
  shakeHands,
  slowHeaders,
  stalledHandshakes,
} from '../support/crowd.ts'
import type { Crowd } from '../support/crowd.ts'
import { createGatewaySite } from '../support/gateway-site.ts'
import type { GatewaySite, ServedGateway } from '../support/gateway-site.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { soonMs, until } from '../support/until.ts'

describe('a crowd', () => {
  let upstream: RecordingUpstream
  let site: GatewaySite
  let gateway: ServedGateway
  const crowds: Crowd[] = []
  const hold = async (gathered: Promise<Crowd>): Promise<Crowd> => {
    const crowd = await gathered
    crowds.push(crowd)
    return crowd
  }
  const askOnce = () => gateway.asAlice({ path: '/v2/alice/app/tags/list' })

  beforeAll(async () => {
    upstream = await startRecordingUpstream()
    site = await createGatewaySite({ upstream: { url: upstream.url } })
    // No deadline ends a crowd before the tests are done with it.
    gateway = await site.serve({
      settings: { client: { handshakeMs: 120_000, requestHeadersMs: 120_000, keepAliveMs: 120_000 } },
    })
    await askOnce()
  })
  afterEach(() => {
    for (const crowd of crowds.splice(0)) crowd.leave()
  })
  afterAll(async () => {
    await site.remove()
    await upstream.close()
  })

  test('F-25: of 300 stalled handshakes and 500 slow heads leaves good clients unaffected', async () => {
    const stalled = await hold(stalledHandshakes(gateway.target, 300))
    const slow = await hold(slowHeaders(gateway.target, 500))
    const service = await serviceOf(40, askOnce)
    expect(service.failed).toBe(0)
    // A request takes some milliseconds; this tells only whether somebody stood in its way.
    expect(service.slowestMs).toBeLessThan(soonMs)
    expect(stalled.open() + slow.open()).toBe(800)
  })

  test('F-25: of stalled handshakes and slow heads is gone at its deadline', async () => {
    const short = await site.serve({ settings: { client: { handshakeMs: 4_000, requestHeadersMs: 2_000 } } })
    const stalled = await hold(stalledHandshakes(short.target, 300))
    const slow = await hold(slowHeaders(short.target, 300))
    await until(() => stalled.open() + slow.open() === 0, { what: 'all of them are closed' })
    expect((await short.asAlice({ path: '/v2/' })).status).toBe(200)
  })

  test('F-31: of 300 idle connections is cheap, and stands when others are served', async () => {
    const before = gateway.memory().residentMiB
    const idle = await hold(idleConnections(gateway.target, 300))
    expect((await serviceOf(20, askOnce)).failed).toBe(0)
    expect(idle.open()).toBe(300)
    // 60 KiB each are promised; the garbage of the handshakes comes on top of so few.
    expect(gateway.memory().residentMiB - before).toBeLessThan(100)
  })

  test('F-31: beyond the cap is refused at the door, and those inside are unharmed', async () => {
    const small = await site.serve({ settings: { listen: { host: '127.0.0.1', port: 0, maxConnections: 20 } } })
    const inside = await hold(idleConnections(small.target, 20))
    const refused = await manyTimes(30, () => shakeHands(small.target))
    expect(refused.filter((each) => 'serial' in each)).toEqual([])
    expect(inside.open()).toBe(20)
    const metrics = await (await fetch(`${small.adminUrl}/metrics`)).text()
    expect(metrics).toMatch(/reason="too_many"\} 30$/m)
    inside.leave()
    await until(async () => (await small.asAlice({ path: '/v2/' })).status === 200, { what: 'there is room again' })
  })

  test('F-32: of 600 that come and go leaves no descriptor behind', async () => {
    const before = gateway.descriptors()
    const hands = await manyTimes(600, () => shakeHands(gateway.target))
    expect(hands.filter((each) => 'failure' in each)).toEqual([])
    await until(() => gateway.descriptors() <= before + 2, { what: 'the descriptors are closed' })
  })

  test('F-34: that talks garbage is closed at once, and fills no log', async () => {
    const lines = gateway.log().split('\n').length
    const startedMs = performance.now()
    await garbage(gateway.target, 400)
    expect(performance.now() - startedMs).toBeLessThan(soonMs)
    expect((await askOnce()).status).toBe(200)
    expect(gateway.log().split('\n').length - lines).toBeLessThanOrEqual(10)
  })
})
