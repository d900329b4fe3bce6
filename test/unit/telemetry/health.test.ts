import { describe, expect, test } from '@jest/globals'
import { createHealth, createUpstreamProbe } from '../../../src/telemetry/health.ts'
import { createManualClock } from './manual-clock.ts'

describe('health', () => {
  test('welcomes traffic from the start of its listeners until it drains', () => {
    const health = createHealth()
    expect([health.phase(), health.unreadiness(), health.publicHealth()]).toEqual(['starting', 'starting', 503])
    health.started()
    expect([health.phase(), health.unreadiness(), health.publicHealth()]).toEqual(['ready', undefined, 200])
    health.drain()
    expect([health.phase(), health.unreadiness(), health.publicHealth()]).toEqual(['draining', 'draining', 503])
  })

  test('never leaves draining', () => {
    const health = createHealth()
    health.drain()
    health.started()
    expect(health.phase()).toBe('draining')
  })

  test('wants no traffic while the upstream is unreachable', () => {
    const health = createHealth()
    health.started()
    health.upstreamReachable(false)
    expect([health.unreadiness(), health.publicHealth()]).toEqual(['upstream unreachable', 503])
    health.upstreamReachable(true)
    expect(health.publicHealth()).toBe(200)
  })
})

/** Lets everything that is ready to go on do so. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function probing(answers: readonly boolean[]) {
  const clock = createManualClock()
  const changes: boolean[] = []
  let asked = 0
  const probe = createUpstreamProbe({
    probe: () => (answers[asked++] === true ? Promise.resolve() : Promise.reject(new Error('unreachable'))),
    intervalMs: 5_000,
    onChange: (up) => changes.push(up),
    clock,
  })
  const run = async (probes: number): Promise<void> => {
    for (let count = 0; count < probes; count++) {
      await settled()
      clock.advance(5_000)
    }
    await settled()
  }
  return { probe, clock, changes, run, asked: () => asked }
}

describe('the probe of the upstream', () => {
  test('calls it up after one answer, and down after three failures in a row', async () => {
    const { probe, changes, run } = probing([true, false, false, true, false, false, false, false, true])
    probe.start()
    await run(5)
    expect(changes).toEqual([true])
    await run(1)
    expect(changes).toEqual([true, false])
    await run(2)
    expect(changes).toEqual([true, false, true])
    probe.stop()
  })

  test('says nothing of an upstream that it has not yet tried three times', async () => {
    const { probe, changes, run } = probing([false, false, false, false])
    probe.start()
    await run(1)
    expect(changes).toEqual([])
    await run(2)
    expect(changes).toEqual([false])
    probe.stop()
  })

  test('asks at once, and then only when the interval has passed since the last answer', async () => {
    const { probe, clock, asked } = probing([true, true])
    probe.start()
    probe.start()
    expect(asked()).toBe(1)
    await settled()
    clock.advance(4_999)
    expect(asked()).toBe(1)
    clock.advance(1)
    expect(asked()).toBe(2)
    probe.stop()
  })

  test('asks and tells nothing more once it is stopped', async () => {
    const { probe, clock, changes, run } = probing([false, false, false])
    probe.start()
    await run(1)
    clock.advance(5_000)
    probe.stop()
    await settled()
    expect([changes, clock.waiting()]).toEqual([[], 0])
  })
})
