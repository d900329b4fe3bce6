import { describe, expect, test } from '@jest/globals'
import { createLeaseKeeper, maxBatch } from '../../../src/rate-limit/lease-keeper.ts'
import { createFakeClock, settle, watch } from '../authentication/fake-clock.ts'

type Call = readonly [what: string, key: string, ids: readonly string[]]

function site({ answer = () => Promise.resolve() }: { readonly answer?: (what: string) => Promise<void> } = {}) {
  const clock = createFakeClock()
  const calls: Call[] = []
  const tell = (what: string) => (key: string, ids: readonly string[]) => {
    calls.push([what, key, ids])
    return answer(what)
  }
  const keeper = createLeaseKeeper({ renew: tell('renew'), giveBack: tell('give back'), clock })
  return { clock, calls, keeper, taken: () => calls.splice(0) }
}

const lease = (key: string, id: string) => ({ key, id })

describe('leases that are held', () => {
  test('are renewed together every 10 s, those of a key in one call', async () => {
    const { clock, keeper, taken } = site()
    keeper.hold(lease('u=alice', '1'))
    await clock.advance(6000)
    keeper.hold(lease('u=bob', '2'))
    keeper.hold(lease('u=alice', '3'))
    await clock.advance(3999)
    expect(taken()).toEqual([])
    await clock.advance(1)
    const renewals = [
      ['renew', 'u=alice', ['1', '3']],
      ['renew', 'u=bob', ['2']],
    ]
    expect(taken()).toEqual(renewals)
    await clock.advance(10_000)
    expect(taken()).toEqual(renewals)
    expect(clock.pending()).toBe(1)
  })

  test('are renewed in calls of a bounded size', async () => {
    const { clock, keeper, calls } = site()
    for (let id = 0; id < maxBatch + 1; id += 1) keeper.hold(lease('all', String(id)))
    await clock.advance(10_000)
    expect(calls.map(([, , ids]) => ids.length)).toEqual([maxBatch, 1])
    expect(new Set(calls.flatMap(([, , ids]) => ids)).size).toBe(maxBatch + 1)
  })

  test.each([
    ['fails', () => Promise.reject(new Error('READONLY'))],
    ['is not answered', () => new Promise<void>(() => undefined)],
  ])('are renewed at the next turn when a renewal %s', async (_, answer) => {
    const { clock, keeper, taken } = site({ answer })
    keeper.hold(lease('u=alice', '1'))
    for (let turn = 0; turn < 3; turn += 1) {
      await clock.advance(10_000)
      expect(taken()).toEqual([['renew', 'u=alice', ['1']]])
    }
  })

  test('have no timer when there are none any more', async () => {
    const { clock, keeper, calls } = site()
    expect(clock.pending()).toBe(0)
    const held = lease('u=alice', '1')
    keeper.hold(held)
    keeper.release(held)
    await clock.advance(10_000)
    expect(clock.pending()).toBe(0)
    expect(calls).toEqual([['give back', 'u=alice', ['1']]])
    keeper.hold(held)
    await clock.advance(10_000)
    expect(calls).toHaveLength(2)
  })
})

describe('a lease that is released', () => {
  test('is given back at once, once, and not renewed', async () => {
    const { clock, keeper, taken } = site()
    const [one, other] = [lease('u=alice', '1'), lease('u=alice', '2')]
    keeper.hold(one)
    keeper.hold(other)
    expect(keeper.held).toBe(2)
    keeper.release(one)
    keeper.release(one)
    expect(taken()).toEqual([['give back', 'u=alice', ['1']]])
    await clock.advance(10_000)
    expect(taken()).toEqual([['renew', 'u=alice', ['2']]])
    expect(keeper.held).toBe(1)
  })

  test('is let go when the store refuses', async () => {
    const { keeper } = site({ answer: () => Promise.reject(new Error('LOADING')) })
    const held = lease('u=alice', '1')
    keeper.hold(held)
    keeper.release(held)
    await settle()
    expect(keeper.held).toBe(0)
  })
})

describe('the end', () => {
  test('gives all back and waits for what was released before', async () => {
    const answers: (() => void)[] = []
    const { clock, keeper, taken } = site({
      answer: () =>
        new Promise((resolve) => {
          answers.push(resolve)
        }),
    })
    const first = lease('u=alice', '1')
    keeper.hold(first)
    keeper.hold(lease('u=bob', '2'))
    keeper.release(first)
    const closed = watch(keeper.close())
    expect(taken()).toEqual([
      ['give back', 'u=alice', ['1']],
      ['give back', 'u=bob', ['2']],
    ])
    expect([keeper.held, clock.pending()]).toEqual([0, 0])
    answers[1]?.()
    await settle()
    expect(closed().kind).toBe('pending')
    answers[0]?.()
    await settle()
    expect(closed().kind).toBe('value')
  })

  test('does not fail with the store', async () => {
    const { keeper } = site({ answer: () => Promise.reject(new Error('connection is closed')) })
    keeper.hold(lease('u=alice', '1'))
    await expect(keeper.close()).resolves.toBeUndefined()
  })

  test('gives back what is held later', async () => {
    const { clock, keeper, calls } = site()
    await keeper.close()
    const late = lease('u=alice', '1')
    keeper.hold(late)
    keeper.release(late)
    expect(calls).toEqual([['give back', 'u=alice', ['1']]])
    expect([keeper.held, clock.pending()]).toEqual([0, 0])
  })
})
