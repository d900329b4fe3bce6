import { PassThrough } from 'node:stream'
import { describe, expect, test } from '@jest/globals'
import { startPump } from '../../../src/proxy/pump.ts'
import { createByteSteps } from '../../../src/rate-limit/byte-steps.ts'
import { monotonicClock } from '../../../src/store/clock.ts'
import { createLeaseKeeper } from '../../../src/rate-limit/lease-keeper.ts'
import { limitTransfer } from '../../../src/rate-limit/limited-transfer.ts'
import type { LimitParts } from '../../../src/rate-limit/limited-transfer.ts'
import { createThrottle } from '../../../src/rate-limit/throttle.ts'
import type { Direction, Transfer } from '../../../src/registry/transfer.ts'
import { createFakeClock, settle, watch } from '../authentication/fake-clock.ts'

const mib = 1024 * 1024

/** Everything that happens, in its order. */
function site() {
  const clock = createFakeClock()
  const told: unknown[][] = []
  const tell =
    (...what: readonly unknown[]) =>
    (...how: readonly unknown[]) => {
      told.push([...what, ...how])
    }
  const inner: Transfer = {
    charge: tell('charge'),
    end: tell('end'),
  }
  const throttle = createThrottle({ bytesPerSecond: 1_000_000, maxDebtBytes: 1_000_000, clock })
  const steps = createByteSteps(clock)
  const keeper = createLeaseKeeper({
    renew: () => Promise.resolve(),
    giveBack: (key, ids) => {
      told.push(['give back', key, ...ids])
      return Promise.resolve()
    },
    clock,
  })
  const none: LimitParts = { shares: { up: [], down: [] }, waits: true, steps: {}, leases: [] }
  return { clock, told, tell, inner, throttle, steps, keeper, none }
}

test('limits nothing where nothing is to be limited', () => {
  const { inner, none, keeper } = site()
  expect(limitTransfer(inner, none, keeper)).toBe(inner)
})

describe('bytes', () => {
  test('are counted by the exchange, and charged in steps by their direction', () => {
    const { inner, told, tell, steps, keeper, none } = site()
    const parts = { ...none, steps: { up: steps.join(tell('step up')), down: steps.join(tell('step down')) } }
    const transfer = limitTransfer(inner, parts, keeper)
    expect(transfer.charge('up', mib)).toBeUndefined()
    expect(transfer.charge('down', 5)).toBeUndefined()
    transfer.end('complete')
    expect(told).toEqual([
      ['charge', 'up', mib],
      ['step up', mib],
      ['charge', 'down', 5],
      ['end', 'complete'],
      ['step down', 5],
    ])
  })

  test.each<[Direction, Direction]>([
    ['up', 'down'],
    ['down', 'up'],
  ])('that flow %s wait for the shares of that direction alone', async (slow, free) => {
    const { inner, clock, throttle, keeper, none } = site()
    const parts = { ...none, shares: { ...none.shares, [slow]: [throttle.share('u=alice')] } }
    const transfer = limitTransfer(inner, parts, keeper)
    expect(transfer.charge(slow, 250_000)).toBeUndefined()
    const turn = watch(Promise.resolve(transfer.charge(slow, 800_000)))
    expect(transfer.charge(free, mib)).toBeUndefined()
    await clock.advance(790)
    expect(turn().kind).toBe('pending')
    await clock.advance(20)
    expect(turn().kind).toBe('value')
  })

  test('wait for the slowest of all that slow them, and for the exchange', async () => {
    const { inner, clock, throttle, keeper, none } = site()
    const counted = Promise.withResolvers<void>()
    const slower = createThrottle({ bytesPerSecond: 500_000, maxDebtBytes: 1, clock })
    const shares = { up: [], down: [slower.share('all'), throttle.share('u=alice'), throttle.share('g=team')] }
    const waiting: Transfer = { ...inner, charge: () => counted.promise }
    const transfer = limitTransfer(waiting, { ...none, shares }, keeper)
    // At 500 kB/s, with 125 kB at once: 1.85 s.
    const turn = watch(Promise.resolve(transfer.charge('down', mib)))
    await clock.advance(1_000)
    counted.resolve()
    await settle()
    expect(turn().kind).toBe('pending')
    await clock.advance(1_000)
    expect(turn().kind).toBe('value')
  })

  test('whose count fails fail the charge', async () => {
    const { inner, clock, throttle, keeper, none } = site()
    const failing: Transfer = { ...inner, charge: () => Promise.reject(new Error('the count is lost')) }
    const transfer = limitTransfer(failing, { ...none, shares: { up: [], down: [throttle.share('u=alice')] } }, keeper)
    await expect(transfer.charge('down', mib)).rejects.toThrow('the count is lost')
    await expect(transfer.charge('down', mib)).rejects.toThrow('the count is lost')
    transfer.end('aborted-by-gateway')
    expect(clock.pending()).toBe(0)
  })

  test('of a manifest that is pushed are owed and wait for nothing', () => {
    const { inner, throttle, keeper, none } = site()
    const shares = { up: [throttle.share('u=alice')], down: [] }
    const transfer = limitTransfer(inner, { ...none, shares, waits: false }, keeper)
    expect(transfer.charge('up', 4 * mib)).toBeUndefined()
    expect(transfer.charge('up', 4 * mib)).toBeUndefined()
    expect(throttle.share('u=alice').take(0)).toBeInstanceOf(Promise)
  })
})

describe('the end', () => {
  test('comes once: the rest is charged, who waits is let go, leases are given back', async () => {
    const { inner, told, tell, clock, throttle, steps, keeper, none } = site()
    const transfer = limitTransfer(
      inner,
      {
        ...none,
        shares: { up: [throttle.share('u=alice')], down: [throttle.share('u=alice')] },
        steps: { up: steps.join(tell('step up')), down: steps.join(tell('step down')) },
        leases: [
          { key: 'u=alice', id: '1' },
          { key: 'all', id: '2' },
        ],
        onEnd: tell('on end'),
      },
      keeper,
    )
    expect(keeper.held).toBe(2)
    expect(transfer.charge('up', 250_000)).toBeUndefined()
    const turns = (['up', 'down'] as const).map((direction) => watch(Promise.resolve(transfer.charge(direction, 1000))))
    expect(turns.map((turn) => turn().kind)).toEqual(['pending', 'pending'])
    told.length = 0
    transfer.end('aborted-by-client')
    transfer.end('complete')
    await settle()
    expect(turns.map((turn) => turn().kind)).toEqual(['value', 'value'])
    expect(told).toEqual([
      ['end', 'aborted-by-client'],
      ['step up', 251_000],
      ['step down', 1000],
      ['give back', 'u=alice', '1'],
      ['give back', 'all', '2'],
      ['on end', 'aborted-by-client'],
    ])
    await clock.advance(10_000)
    expect(clock.pending()).toBe(0)
  })

  test('leaves bytes that come later to the exchange', () => {
    const { inner, told, tell, throttle, steps, keeper, none } = site()
    const parts = {
      ...none,
      shares: { up: [throttle.share('u=alice')], down: [] },
      steps: { up: steps.join(tell('step up')) },
    }
    const transfer = limitTransfer(inner, parts, keeper)
    transfer.end('complete')
    expect(transfer.charge('up', 10 * mib)).toBeUndefined()
    expect(transfer.charge('up', 10 * mib)).toBeUndefined()
    expect(told).toEqual([
      ['end', 'complete'],
      ['charge', 'up', 10 * mib],
      ['charge', 'up', 10 * mib],
    ])
  })
})

test('a pump waits for its turn longer than either side may be idle', async () => {
  const { inner, keeper, none } = site()
  const throttle = createThrottle({ bytesPerSecond: 200_000, maxDebtBytes: 200_000, clock: monotonicClock })
  const transfer = limitTransfer(inner, { ...none, shares: { up: [], down: [throttle.share('u=alice')] } }, keeper)
  const source = new PassThrough({ highWaterMark: mib })
  const sink = new PassThrough({ highWaterMark: mib })
  const startedMs = performance.now()
  for (let chunk = 0; chunk < 4; chunk += 1) source.write(Buffer.alloc(50_000))
  source.end()
  sink.resume()
  const pump = startPump(source, sink, {
    charge: (bytes) => transfer.charge('down', bytes),
    sourceIdleMs: 40,
    sinkIdleMs: 40,
  })
  expect(await pump.ended).toEqual({ kind: 'complete' })
  // 150 kB less the 64 KiB that may come at once, at 200 kB/s; the last chunk may be waited for or not.
  expect(performance.now() - startedMs).toBeGreaterThan(400)
  transfer.end('complete')
})
