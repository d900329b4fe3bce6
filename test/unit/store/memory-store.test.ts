import { describe, expect, test } from '@jest/globals'
import { createMemoryStore } from '../../../src/store/memory-store.ts'
import { StoreError } from '../../../src/store/store.ts'
import type { Argument, MemoryData, StoreScript } from '../../../src/store/store.ts'
import { createFakeClock } from './fake-clock.ts'

/** A script that does in memory what a test wants, and has no Lua. */
function script<Reply>(
  step: (data: MemoryData, keys: readonly string[], args: readonly Argument[], nowMs: number) => Reply,
) {
  let reply: Reply
  return {
    name: 'test',
    lua: '',
    inMemory: (...all: Parameters<typeof step>) => {
      reply = step(...all)
      return reply
    },
    parse: () => reply,
  } satisfies StoreScript<Reply>
}

function setUp(maxKeys = 100) {
  const clock = createFakeClock()
  const store = createMemoryStore({ clock, maxKeys })
  return {
    clock,
    store,
    set: (key: string, value: number | string, ttlMs: number) =>
      store.run(
        script((data) => {
          data.set(key, value, ttlMs)
        }),
        [],
        [],
      ),
    get: (key: string) =>
      store.run(
        script((data) => data.get(key)),
        [],
        [],
      ),
    remove: (key: string) =>
      store.run(
        script((data) => {
          data.delete(key)
        }),
        [],
        [],
      ),
  }
}

describe('the store in memory', () => {
  test('hands a script its keys, its arguments and the time, and gives back what parse reads', async () => {
    const { store } = setUp()
    const seen = await store.run(
      {
        name: 'seen',
        lua: '',
        inMemory: (_, keys, args, nowMs) => [keys, args, nowMs],
        parse: (raw) => ({ raw }),
      },
      ['a', 'b'],
      [1, 'two'],
    )
    expect(seen).toEqual({ raw: [['a', 'b'], [1, 'two'], 1_000] })
    expect(store.isSharded).toBe(false)
  })
  test('keeps a value until its end and not longer', async () => {
    const { clock, set, get } = setUp()
    await set('a', 7, 500)
    clock.pass(499)
    expect(await get('a')).toBe(7)
    clock.pass(1)
    expect(await get('a')).toBeUndefined()
  })
  test.each([
    ['later', 400, 800],
    ['sooner', 800, 400],
  ])('a new value has its own end, %s', async (_, firstTtlMs, secondTtlMs) => {
    const { clock, set, get } = setUp()
    await set('a', 1, firstTtlMs)
    await set('a', 2, secondTtlMs)
    clock.pass(secondTtlMs - 1)
    expect(await get('a')).toBe(2)
    clock.pass(1)
    expect(await get('a')).toBeUndefined()
  })
  test('forgets what is deleted', async () => {
    const { set, get, remove } = setUp()
    await set('a', 1, 500)
    await remove('a')
    await remove('never')
    expect(await get('a')).toBeUndefined()
  })
  test.each([0, -1, Number.NaN])('refuses a time to live of %s', async (ttlMs) => {
    await expect(setUp().set('a', 1, ttlMs)).rejects.toThrow(RangeError)
  })
  test('evicts what ends first when it is full', async () => {
    const { set, get, remove } = setUp(3)
    await set('first', 1, 100)
    await set('moved', 1, 50)
    await set('moved', 2, 900)
    await set('last', 1, 1_000)
    await set('fourth', 1, 800)
    expect(await get('first')).toBeUndefined()
    await set('moved', 3, 10)
    await set('fifth', 1, 800)
    expect(await Promise.all(['moved', 'last', 'fourth', 'fifth'].map(get))).toEqual([undefined, 1, 1, 1])
    await remove('last')
    await set('sixth', 1, 1)
    expect(await Promise.all(['fourth', 'fifth', 'sixth'].map(get))).toEqual([1, 1, 1])
  })
  test('sweeps by one timer, in portions, and has none once nothing is left', async () => {
    const { clock, store } = setUp(5_000)
    await store.run(
      script((data) => {
        for (let index = 0; index < 2_500; index += 1) data.set(`k${index}`, index, 1_000)
        data.set('longer', 1, 40_000)
      }),
      [],
      [],
    )
    expect(clock.timers()).toHaveLength(1)
    clock.pass(30_000)
    expect(clock.timers()).toEqual([10])
    clock.pass(20)
    expect(clock.timers()).toEqual([30_000])
    clock.pass(30_000)
    expect(clock.timers()).toEqual([])
    await store.run(
      script((data) => {
        data.set('again', 1, 1)
      }),
      [],
      [],
    )
    expect(clock.timers()).toHaveLength(1)
  })
  test('tells what a script throws as a rejection', async () => {
    const { store } = setUp()
    const failing = script(() => {
      throw new Error('fault of the script')
    })
    await expect(store.run(failing, [], [])).rejects.toThrow('fault of the script')
  })
  test('is over once it is closed', async () => {
    const { clock, store, set } = setUp()
    await set('a', 1, 100)
    await store.close()
    expect(clock.timers()).toEqual([])
    await expect(set('a', 1, 100)).rejects.toThrow(StoreError)
    expect(clock.timers()).toEqual([])
  })
})
