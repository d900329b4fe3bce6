import { describe, expect, test } from '@jest/globals'
import { createPushPasses } from '../../../src/rate-limit/push-passes.ts'
import { createFakeClock } from '../authentication/fake-clock.ts'

function site(capacity = 10) {
  const clock = createFakeClock()
  const lasting: (readonly [string, number])[] = []
  const passes = createPushPasses({
    ttlMs: 600_000,
    capacity,
    clock,
    onLasting: (...told) => lasting.push(told),
  })
  return { clock, passes, lasting }
}

describe('a push that is remembered', () => {
  test('lasts ten minutes from its last request, and ages from its charge', async () => {
    const { clock, passes } = site()
    expect(passes.ageMs('a')).toBeUndefined()
    passes.admitted('a', 0)
    await clock.advance(599_999)
    expect(passes.ageMs('a')).toBe(599_999)
    passes.admitted('a', 599_999)
    await clock.advance(599_999)
    expect(passes.ageMs('a')).toBe(1_199_998)
    await clock.advance(1)
    expect(passes.ageMs('a')).toBeUndefined()
  })
  test('lasts while any of its transfers is under way, and is told of meanwhile', async () => {
    const { clock, passes, lasting } = site()
    passes.admitted('a', 1_000)
    const [one, other] = [passes.hold('a'), passes.hold('a')]
    await clock.advance(650_000)
    expect(lasting).toEqual([
      ['a', 201_000],
      ['a', 401_000],
      ['a', 601_000],
    ])
    expect(one()).toBe(651_000)
    one()
    await clock.advance(650_000)
    expect(passes.ageMs('a')).toBe(1_301_000)
    other()
    expect(clock.pending()).toBe(0)
    await clock.advance(599_999)
    expect(passes.ageMs('a')).toBe(1_900_999)
    await clock.advance(1)
    expect(passes.ageMs('a')).toBeUndefined()
  })
  test('is young again when it was charged again while a transfer was under way', async () => {
    const { clock, passes } = site()
    passes.admitted('a', 0)
    const end = passes.hold('a')
    await clock.advance(700_000)
    passes.admitted('a', 0)
    await clock.advance(5)
    expect([passes.ageMs('a'), end()]).toEqual([5, 5])
  })
  test('is one of so many: the one whose last request is longest ago is forgotten first', () => {
    const { passes } = site(2)
    for (const key of ['a', 'b', 'a', 'c']) passes.admitted(key, 0)
    expect(['a', 'b', 'c'].filter((key) => passes.ageMs(key) !== undefined)).toEqual(['a', 'c'])
  })
  test('leaves no timer when all is closed', () => {
    const { clock, passes } = site()
    passes.hold('a')
    passes.close()
    expect(clock.pending()).toBe(0)
  })
})
