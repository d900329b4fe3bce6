import type { LookupAddress, LookupOptions } from 'node:dns'
import { describe, expect, test } from '@jest/globals'
import { createLastGoodLookup } from '../../../src/proxy/last-good-lookup.ts'
import type { Resolve } from '../../../src/proxy/last-good-lookup.ts'

const one: LookupAddress = { address: '192.0.2.1', family: 4 }
const two: LookupAddress = { address: '192.0.2.2', family: 4 }
const six: LookupAddress = { address: '2001:db8::1', family: 6 }

/** A resolver that answers when it is told to, and a clock beside it. */
function resolverAt(patienceMs = 60_000) {
  const questions: Parameters<Resolve>[1][] = []
  let nowMs = 1_000_000
  const lookup = createLastGoodLookup({
    resolve: (_hostname, done) => questions.push(done),
    now: () => nowMs,
    patienceMs,
  })
  return {
    questions,
    pass: (ms: number) => {
      nowMs += ms
    },
    /** What the caller is given, or the code of the failure. */
    ask: (options: LookupOptions = { all: true }) =>
      new Promise<unknown>((resolve) => {
        lookup('registry.example.test', options, (error, address, family) => {
          resolve(error === null ? (family === undefined ? address : [address, family]) : error.code)
        })
      }),
  }
}

function answer(questions: Parameters<Resolve>[1][], result: readonly LookupAddress[] | string): void {
  const done = questions.shift()
  if (typeof result === 'string') done?.(Object.assign(new Error('no answer'), { code: result }), [])
  else done?.(null, result)
}

describe('a name', () => {
  test('is asked for anew each time, so that another address is found', async () => {
    const { ask, questions } = resolverAt()
    for (const addresses of [[one], [two]]) {
      const asked = ask()
      answer(questions, addresses)
      expect(await asked).toEqual(addresses)
    }
  })

  test('is asked for once, however many wait for the answer', async () => {
    const { ask, questions } = resolverAt()
    const asked = Promise.all(Array.from({ length: 50 }, () => ask()))
    expect(questions).toHaveLength(1)
    answer(questions, [one])
    expect(await asked).toEqual(Array.from({ length: 50 }, () => [one]))
  })

  test('keeps its last good addresses for five minutes while the resolver fails', async () => {
    const { ask, questions, pass } = resolverAt()
    const first = ask()
    answer(questions, [one])
    await first
    for (const [ms, expected] of [
      [1_000, [one]],
      [298_000, [one]],
      [2_000, 'EAI_AGAIN'],
    ] as const) {
      pass(ms)
      const asked = ask()
      answer(questions, 'EAI_AGAIN')
      expect(await asked).toEqual(expected)
    }
  })

  test('that was never known fails as the resolver does', async () => {
    const { ask, questions } = resolverAt()
    for (const [result, expected] of [
      ['ENOTFOUND', 'ENOTFOUND'],
      [[], 'ENOTFOUND'],
    ] as const) {
      const asked = ask()
      answer(questions, result)
      expect(await asked).toBe(expected)
    }
  })

  test('that takes long has its last good addresses meanwhile, and then the new ones', async () => {
    const { ask, questions } = resolverAt(20)
    const first = ask()
    answer(questions, [one])
    await first
    expect(await ask()).toEqual([one])
    expect(await ask()).toEqual([one])
    expect(questions).toHaveLength(1)
    answer(questions, [two])
    const last = ask()
    answer(questions, [two])
    expect(await last).toEqual([two])
  })

  test.each([
    [{ all: true, family: 6 }, [six]],
    [{ family: 4 }, ['192.0.2.1', 4]],
    [{ family: 'IPv6' }, ['2001:db8::1', 6]],
    [{}, ['192.0.2.1', 4]],
    [{ all: true }, [one, six]],
  ] as const)('is told as it is asked for: %j', async (options, expected) => {
    const { ask, questions } = resolverAt()
    const asked = ask(options)
    answer(questions, [one, six])
    expect(await asked).toEqual(expected)
  })

  test('with 300 addresses is no other', async () => {
    const { ask, questions } = resolverAt()
    const many = Array.from({ length: 300 }, (_, index) => ({ address: `192.0.2.${index % 256}`, family: 4 }))
    const asked = ask()
    answer(questions, many)
    expect(await asked).toEqual(many)
  })
})
