import { expect, test } from '@jest/globals'
import { createRecentAttempts } from '../../../src/authentication/recent-attempts.ts'
import { createFakeClock } from './fake-clock.ts'

const home = '192.0.2.1'

test('each network is counted for itself, for a minute', async () => {
  const clock = createFakeClock()
  const recent = createRecentAttempts(clock)
  expect([recent.add(home), recent.add(home), recent.add('192.0.2.2'), recent.add(home)]).toEqual([0, 1, 0, 2])
  await clock.advance(59_999)
  expect(recent.add(home)).toBe(3)
  await clock.advance(1)
  expect(recent.add(home)).toBe(0)
})

test('what is taken back was never there', () => {
  const recent = createRecentAttempts(createFakeClock())
  for (let time = 0; time < 10; time += 1) {
    expect(recent.add(home)).toBe(0)
    recent.takeBack(home)
  }
  recent.takeBack(home)
  expect(recent.add(home)).toBe(0)
})

test('ten thousand networks are remembered, and of more those that asked last', () => {
  const recent = createRecentAttempts(createFakeClock())
  recent.add('first')
  recent.add('second')
  for (let number = 0; number < 9_998; number += 1) recent.add(String(number))
  expect(recent.add('first')).toBe(1)
  recent.add('one too many')
  expect(recent.add('first')).toBe(2)
  expect(recent.add('second')).toBe(0)
})
