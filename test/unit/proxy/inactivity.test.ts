import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { createInactivityTimer } from '../../../src/proxy/inactivity.ts'

beforeEach(() => {
  jest.useFakeTimers()
})
afterEach(() => {
  jest.useRealTimers()
})

describe('an inactivity timer', () => {
  test('calls once, when nothing happened for the limit', () => {
    const onIdle = jest.fn()
    createInactivityTimer({ limitMs: 1_000, counts: () => true, onIdle })
    jest.advanceTimersByTime(999)
    expect(onIdle).not.toHaveBeenCalled()
    jest.advanceTimersByTime(1)
    expect(onIdle).toHaveBeenCalledTimes(1)
    jest.advanceTimersByTime(10_000)
    expect(onIdle).toHaveBeenCalledTimes(1)
  })

  test('counts from the last activity', () => {
    const onIdle = jest.fn()
    const timer = createInactivityTimer({ limitMs: 1_000, counts: () => true, onIdle })
    jest.advanceTimersByTime(700)
    timer.touch()
    jest.advanceTimersByTime(999)
    expect(onIdle).not.toHaveBeenCalled()
    jest.advanceTimersByTime(1)
    expect(onIdle).toHaveBeenCalledTimes(1)
  })

  test('needs one timer, however often there is activity', () => {
    const timer = createInactivityTimer({ limitMs: 1_000, counts: () => true, onIdle: () => undefined })
    for (let count = 0; count < 1_000; count += 1) timer.touch()
    expect(jest.getTimerCount()).toBe(1)
  })

  test('does not count silence that nobody can be blamed for, and at most twice the limit passes after it', () => {
    const onIdle = jest.fn()
    let counts = false
    createInactivityTimer({ limitMs: 1_000, counts: () => counts, onIdle })
    jest.advanceTimersByTime(5_500)
    expect(onIdle).not.toHaveBeenCalled()
    counts = true
    jest.advanceTimersByTime(400)
    expect(onIdle).not.toHaveBeenCalled()
    jest.advanceTimersByTime(1_600)
    expect(onIdle).toHaveBeenCalledTimes(1)
  })

  test('is silent after its stop', () => {
    const onIdle = jest.fn()
    const timer = createInactivityTimer({ limitMs: 1_000, counts: () => true, onIdle })
    timer.stop()
    jest.advanceTimersByTime(10_000)
    expect(onIdle).not.toHaveBeenCalled()
    expect(jest.getTimerCount()).toBe(0)
  })

  test('a limit of 0 is none', () => {
    const onIdle = jest.fn()
    createInactivityTimer({ limitMs: 0, counts: () => true, onIdle }).touch()
    jest.advanceTimersByTime(10 ** 9)
    expect(onIdle).not.toHaveBeenCalled()
    expect(jest.getTimerCount()).toBe(0)
  })
})
