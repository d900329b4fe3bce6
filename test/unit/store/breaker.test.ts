import { describe, expect, test } from '@jest/globals'
import { createBreaker } from '../../../src/store/breaker.ts'
import type { StoreFailure, StoreState } from '../../../src/store/breaker.ts'
import { createFakeClock } from './fake-clock.ts'

const slow: StoreFailure = { fault: 'timeout', reason: 'no answer' }
const down: StoreFailure = { fault: 'down', reason: 'refused' }
const isDown: StoreState = { up: false, ...slow }

function setUp() {
  const clock = createFakeClock()
  const states: StoreState[] = []
  const probes: PromiseWithResolvers<void>[] = []
  const probe = (): Promise<void> => {
    const started = Promise.withResolvers<void>()
    probes.push(started)
    return started.promise
  }
  const breaker = createBreaker({ clock, probe, stateChanged: (state) => states.push(state) })
  return {
    clock,
    states,
    probes,
    breaker,
    fail: (times: number, everyMs = 0) => {
      for (let left = times; left > 0; left -= 1) {
        breaker.failed(slow)
        clock.pass(everyMs)
      }
    },
  }
}

/** Lets promises that are settled be heard. */
const heard = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('the breaker', () => {
  test('is closed at first and says nothing of it', () => {
    const { breaker, states, clock } = setUp()
    expect(breaker.isOpen()).toBe(false)
    expect(states).toEqual([])
    expect(clock.timers()).toEqual([])
  })
  test('opens with the fifth fault within a second, and says so once', () => {
    const { breaker, states, fail } = setUp()
    fail(4)
    breaker.succeeded()
    expect(breaker.isOpen()).toBe(false)
    fail(1)
    expect(breaker.isOpen()).toBe(true)
    fail(20)
    breaker.trip(down)
    expect(states).toEqual([isDown])
  })
  test('stays closed when five faults among answers take a second', () => {
    const { breaker, clock } = setUp()
    for (let left = 20; left > 0; left -= 1) {
      breaker.failed(slow)
      breaker.succeeded()
      clock.pass(250)
    }
    expect(breaker.isOpen()).toBe(false)
  })
  test('opens with the fifth fault in a row, however slowly they come', () => {
    const { breaker, states, fail } = setUp()
    fail(4, 60_000)
    expect(breaker.isOpen()).toBe(false)
    fail(1)
    expect(states).toEqual([isDown])
  })
  test('opens at once where there is no doubt', () => {
    const { breaker, states } = setUp()
    breaker.trip(down)
    expect(breaker.isOpen()).toBe(true)
    expect(states).toEqual([{ up: false, ...down }])
  })
  test('sends one probe a second, but never two at a time', async () => {
    const { clock, probes, fail } = setUp()
    fail(5)
    clock.pass(999)
    expect(probes).toHaveLength(0)
    clock.pass(1)
    expect(probes).toHaveLength(1)
    clock.pass(5_000)
    expect(probes).toHaveLength(1)
    probes[0]?.reject(new Error('not yet'))
    await heard()
    clock.pass(1_000)
    expect(probes).toHaveLength(2)
    expect(clock.timers()).toHaveLength(1)
  })
  test('closes when a probe succeeds, says so once, and probes no more', async () => {
    const { breaker, clock, probes, states, fail } = setUp()
    fail(5)
    clock.pass(1_000)
    probes[0]?.resolve()
    await heard()
    expect(breaker.isOpen()).toBe(false)
    expect(states).toEqual([isDown, { up: true }])
    expect(clock.timers()).toEqual([])
  })
  test('begins to count anew after it closed', async () => {
    const { breaker, clock, probes, fail } = setUp()
    fail(5)
    clock.pass(1_000)
    probes[0]?.resolve()
    await heard()
    fail(4)
    expect(breaker.isOpen()).toBe(false)
    fail(1)
    expect(breaker.isOpen()).toBe(true)
  })
  test('does not close for the answer to a request that was under way', () => {
    const { breaker, fail } = setUp()
    fail(5)
    breaker.succeeded()
    expect(breaker.isOpen()).toBe(true)
  })
  test('probes without delay when there is hope, and goes on from there', () => {
    const { breaker, clock, probes, fail } = setUp()
    breaker.probeNow()
    expect(probes).toHaveLength(0)
    fail(5)
    clock.pass(900)
    breaker.probeNow()
    breaker.probeNow()
    expect(probes).toHaveLength(1)
    expect(clock.timers()).toEqual([1_000])
  })
  test('is silent once it is stopped, even for a probe that was under way', async () => {
    const { breaker, clock, probes, states, fail } = setUp()
    fail(5)
    clock.pass(1_000)
    breaker.stop()
    probes[0]?.resolve()
    await heard()
    breaker.probeNow()
    expect(clock.timers()).toEqual([])
    expect(probes).toHaveLength(1)
    expect(states).toEqual([isDown])
  })
  test('does not open once it is stopped', () => {
    const { breaker, clock, states } = setUp()
    breaker.stop()
    breaker.trip(down)
    expect(states).toEqual([])
    expect(clock.timers()).toEqual([])
  })
})
