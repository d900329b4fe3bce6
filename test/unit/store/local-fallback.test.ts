import { describe, expect, test } from '@jest/globals'
import { withLocalFallback } from '../../../src/store/local-fallback.ts'
import { StoreError } from '../../../src/store/store.ts'
import type { Store, StoreScript } from '../../../src/store/store.ts'

const named: StoreScript<string> = { name: 'named', lua: '', inMemory: () => 0, parse: String }

type Call = readonly [string, string, readonly unknown[], readonly unknown[]]

function setUp(answer: (reply: string) => Promise<string>, isSharded = true) {
  const calls: Call[] = []
  const closed: string[] = []
  const fake = (name: string, sharded: boolean, respond: (reply: string) => Promise<string>): Store => ({
    isSharded: sharded,
    run: async (script, keys, args) => {
      calls.push([name, script.name, keys, args])
      return script.parse(await respond(name))
    },
    close: () => {
      closed.push(name)
      return Promise.resolve()
    },
  })
  const store = withLocalFallback(
    fake('redis', isSharded, answer),
    fake('memory', false, (reply) => Promise.resolve(reply)),
  )
  return { store, calls, closed }
}

describe('a store with its twin in memory', () => {
  test('is asked alone while it answers', async () => {
    const { store, calls } = setUp((reply) => Promise.resolve(reply))
    expect(await store.run(named, ['k'], [1])).toBe('redis')
    expect(calls).toEqual([['redis', 'named', ['k'], [1]]])
  })
  test('gives way to the twin, which gets the same call', async () => {
    const { store, calls } = setUp(() => Promise.reject(new StoreError('timeout', 'no answer within 50 ms')))
    expect(await store.run(named, ['k'], [1])).toBe('memory')
    expect(calls).toEqual([
      ['redis', 'named', ['k'], [1]],
      ['memory', 'named', ['k'], [1]],
    ])
  })
  test('does not hide a fault of the program', async () => {
    const { store, calls } = setUp(() => Promise.reject(new TypeError('no such thing')))
    await expect(store.run(named, ['k'], [1])).rejects.toThrow(TypeError)
    expect(calls).toHaveLength(1)
  })
  test.each([true, false])('is sharded as the store is: %s', (isSharded) => {
    expect(setUp((reply) => Promise.resolve(reply), isSharded).store.isSharded).toBe(isSharded)
  })
  test('closes both', async () => {
    const { store, closed } = setUp((reply) => Promise.resolve(reply))
    await store.close()
    expect(closed).toEqual(['redis', 'memory'])
  })
})
