import { describe, expect, test } from '@jest/globals'
import { createWallClock, isInWindow, weekdays } from '../../../src/authorization/weekly-window.ts'
import type { Weekday, WeeklyWindow } from '../../../src/authorization/weekly-window.ts'

const hour = 60

function windowOf(from: number, until: number, ...days: readonly Weekday[]): WeeklyWindow {
  return { fromMinute: from * hour, untilMinute: until * hour, days: new Set(days), timeZone: 'UTC' }
}

describe('a window of the week', () => {
  test.each(weekdays.map((day, index) => [day, weekdays[(index + 1) % 7] ?? day] as const))(
    'that begins on %s evening ends on %s morning',
    (day, next) => {
      const night = windowOf(22, 6, day)
      const times = weekdays.flatMap((each) =>
        [0, 6 * hour - 1, 6 * hour, 22 * hour - 1, 22 * hour].flatMap((minute) =>
          isInWindow(night, { day: each, minute }) ? [[each, minute]] : [],
        ),
      )
      expect(new Set(times)).toEqual(
        new Set([
          [day, 22 * hour],
          [next, 0],
          [next, 6 * hour - 1],
        ]),
      )
    },
  )
  test('that ends when it begins is of a whole day', () => {
    const day = windowOf(9, 9, 'mon')
    expect(isInWindow(day, { day: 'mon', minute: 9 * hour })).toBe(true)
    expect(isInWindow(day, { day: 'mon', minute: 23 * hour })).toBe(true)
    expect(isInWindow(day, { day: 'tue', minute: 9 * hour - 1 })).toBe(true)
    expect(isInWindow(day, { day: 'tue', minute: 9 * hour })).toBe(false)
    expect(isInWindow(day, { day: 'mon', minute: 9 * hour - 1 })).toBe(false)
  })
})

describe('a clock on the wall', () => {
  // 2026-11-16 is a Monday.
  test.each(weekdays.map((day, index) => [day, Date.parse('2026-11-16T00:07:59Z') + index * 24 * 3_600_000] as const))(
    'knows %s',
    (day, now) => {
      expect(createWallClock('UTC')(now)).toEqual({ day, minute: 7 })
    },
  )
  test.each([
    ['Asia/Kolkata', 'tue', 4 * hour + 30],
    ['America/New_York', 'mon', 18 * hour],
    ['Pacific/Kiritimati', 'tue', 13 * hour],
  ])('of %s shows the time there', (zone, day, minute) => {
    expect(createWallClock(zone)(Date.parse('2026-11-16T23:00:00Z'))).toEqual({ day, minute })
  })
})
