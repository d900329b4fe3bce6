/** Hours of the week, as clocks of a time zone show them. */

export const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const

export type Weekday = (typeof weekdays)[number]

export type WeeklyWindow = {
  /** Minutes since midnight: 0 to 1439. */
  readonly fromMinute: number
  /** Not in it any more; 1 to 1440. At or before `fromMinute`, it is of the next day. */
  readonly untilMinute: number
  /** The days on which it begins. */
  readonly days: ReadonlySet<Weekday>
  /** A name of the IANA time zone database. */
  readonly timeZone: string
}

/** What a clock on the wall shows. */
export type WallTime = { readonly day: Weekday; readonly minute: number }

export function isInWindow({ fromMinute, untilMinute, days }: WeeklyWindow, { day, minute }: WallTime): boolean {
  const began = days.has(day) && minute >= fromMinute
  if (fromMinute < untilMinute) return began && minute < untilMinute
  return began || (days.has(dayBefore(day)) && minute < untilMinute)
}

function dayBefore(day: Weekday): Weekday {
  return weekdays[(weekdays.indexOf(day) + weekdays.length - 1) % weekdays.length] ?? day
}

/** Reads the clock of a time zone; making one takes a while, asking it does not. @throws RangeError for an unknown zone */
export function createWallClock(timeZone: string): (now: number) => WallTime {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  })
  return (now) => {
    const parts = new Map(format.formatToParts(now).map(({ type, value }) => [type, value]))
    const weekday = parts.get('weekday')?.toLowerCase()
    return {
      day: weekdays.find((day) => day === weekday) ?? 'mon',
      minute: Number(parts.get('hour')) * 60 + Number(parts.get('minute')),
    }
  }
}
