import fc from 'fast-check'
import { createFuzzTarget } from '../../tools/fuzz/target.ts'
import type { FuzzTarget } from '../../tools/fuzz/target.ts'

const texts = fc.string({ maxLength: 20 })

/** Subjects that do what a fuzzer must find, for the tests of the fuzzer. */
export const targets: readonly FuzzTarget[] = [
  createFuzzTarget('throws', texts, (text) => {
    if (text.includes('a')) throw new Error('an a was given')
  }),
  createFuzzTarget('slow', texts, (text) => {
    const { user: started } = process.threadCpuUsage()
    while (text.length > 2 && process.threadCpuUsage().user - started < 130_000) Math.random()
  }),
  createFuzzTarget('hangs', texts, (text) => {
    while (text.includes('b')) Math.random()
  }),
  createFuzzTarget('never settles', texts, (text) =>
    text.includes('c') ? new Promise<void>(() => undefined) : undefined,
  ),
  createFuzzTarget('holds', texts, () => undefined),
]
