/** What a soak row of several figures measured, beside what is asked. */
import type { ThreadTimes } from './measure.ts'
import { hold } from './hold.ts'

export type Figure = {
  readonly what: string
  /** Undefined where nothing is asked: it is told because it explains the others. */
  readonly held?: boolean
  readonly measured: string
  /** As in `at most 50 ms`. */
  readonly asked?: string
}

/** A figure that may not be more than so much; one that is no number at all does not hold. */
export function atMost(what: string, measured: number, asked: number, unit: string, digits = 0): Figure {
  const held = measured <= asked
  return {
    what,
    held,
    measured: `${measured.toFixed(digits)} ${unit}`.trim(),
    asked: `at most ${asked} ${unit}`.trim(),
  }
}

/** Where it waited long beside what it ran, the latencies are those of a machine that had other things to do. */
export function threadFigure(before: ThreadTimes, after: ThreadTimes): Figure {
  const [ran, waited] = [after.ran - before.ran, after.waited - before.waited]
  const measured = `ran ${ran.toFixed(1)} s, and waited ${waited.toFixed(1)} s for a processor that others had`
  return { what: 'the gateway’s event loop', measured }
}

/** A line for each figure. @throws Error with the same lines where one of them did not hold */
export function figuresText(figures: readonly Figure[]): string {
  const text = figures.map(({ what, held, measured, asked }) => {
    const verdict = held === undefined ? '      ' : held ? 'held  ' : 'FAILED'
    return `\n  ${verdict} ${what}: ${measured}${asked === undefined ? '' : ` (asked: ${asked})`}`
  })
  hold(
    figures.every(({ held }) => held !== false),
    text.join(''),
  )
  return text.join('')
}
