import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createByteSteps } from '../../../src/rate-limit/byte-steps.ts'
import { createFakeClock } from '../authentication/fake-clock.ts'

const mib = 1024 * 1024

function site() {
  const clock = createFakeClock()
  const steps = createByteSteps(clock)
  const charged: number[] = []
  const step = steps.join((bytes) => {
    charged.push(bytes)
  })
  return { clock, steps, charged, step }
}

describe('the bytes of a transfer', () => {
  test('are charged at each MiB, all that were gathered', () => {
    const { charged, step } = site()
    for (let chunk = 0; chunk < 40; chunk += 1) step.add(64 * 1024)
    expect(charged).toEqual([mib, mib])
    step.add(mib)
    expect(charged).toEqual([mib, mib, mib + mib / 2])
  })

  test('are charged within a second where they are fewer, also when nothing follows', async () => {
    const { clock, charged, step } = site()
    step.add(1000)
    step.add(500)
    await clock.advance(999)
    expect(charged).toEqual([])
    await clock.advance(1)
    expect(charged).toEqual([1500])
    step.add(7)
    await clock.advance(1000)
    expect(charged).toEqual([1500, 7])
  })

  test('are charged to the rest at the end, once', async () => {
    const { clock, charged, step } = site()
    step.add(mib + 1)
    step.add(12)
    step.end()
    step.end()
    step.add(mib)
    await clock.advance(5000)
    expect(charged).toEqual([mib + 1, 12])
  })

  test('make no charge of nothing', async () => {
    const { clock, charged, step } = site()
    step.add(0)
    expect(clock.pending()).toBe(0)
    step.add(mib)
    await clock.advance(5000)
    step.end()
    expect(charged).toEqual([mib])
  })

  test('are all charged in the end, whatever their chunks and pauses', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({ bytes: fc.integer({ min: 0, max: 2 * mib }), pauseMs: fc.constantFrom(0, 0, 1, 300, 2500) }),
        ),
        async (chunks) => {
          const { clock, charged, step } = site()
          let added = 0
          const sum = (): number => charged.reduce((total, bytes) => total + bytes, 0)
          for (const { bytes, pauseMs } of chunks) {
            step.add(bytes)
            added += bytes
            expect(added - sum()).toBeLessThan(mib)
            await clock.advance(pauseMs)
            if (pauseMs > 1000) expect(sum()).toBe(added)
          }
          step.end()
          expect(sum()).toBe(added)
          expect(charged.every((bytes) => bytes > 0)).toBe(true)
        },
      ),
      { numRuns: 100 },
    )
  })
})

describe('many transfers', () => {
  test('have one timer together while bytes flow, and none a second after', async () => {
    const { clock, steps } = site()
    const all = Array.from({ length: 100 }, () => steps.join(() => undefined))
    expect(clock.pending()).toBe(0)
    for (const step of all) step.add(10)
    expect(clock.pending()).toBe(1)
    await clock.advance(1000)
    expect(clock.pending()).toBe(0)
  })

  test('are charged each its own bytes', async () => {
    const { clock, steps, charged, step } = site()
    const others: number[] = []
    const other = steps.join((bytes) => {
      others.push(bytes)
    })
    step.add(1)
    other.add(2)
    await clock.advance(1000)
    other.add(3)
    other.end()
    expect([charged, others]).toEqual([[1], [2, 3]])
  })
})
