import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { createSharedTagLock } from '../../../src/proxy/shared-tag-lock.ts'
import { createTagLock } from '../../../src/proxy/tag-lock.ts'
import type { TagLock, TagLockWait } from '../../../src/proxy/tag-lock.ts'
import { giveBackTagLeases, renewTagLeases, takeTagLeases } from '../../../src/proxy/tag-lease-script.ts'
import { monotonicClock } from '../../../src/store/clock.ts'
import { createMemoryStore } from '../../../src/store/memory-store.ts'
import { StoreError } from '../../../src/store/store.ts'
import type { Store } from '../../../src/store/store.ts'

const leaseMs = 9_000
const wait: TagLockWait = { waitMs: 60_000 }
const key = 'tag:{team/app}:v1'

/** The part of a store's life that tests change: what happens to a call of a script before it is run, and after. */
type Meddling = {
  before?: (script: string) => Promise<unknown> | undefined
  after?: (script: string) => Promise<unknown> | undefined
}

/** One store that gateways share, in memory, with everything it was asked. */
function sharedStore() {
  const memory = createMemoryStore({ clock: monotonicClock, maxKeys: 1_000 })
  const asked: string[] = []
  const meddling: Meddling = {}
  const store: Store = {
    isSharded: false,
    run: async (script, keys, args) => {
      asked.push(script.name)
      await meddling.before?.(script.name)
      const reply = await memory.run(script, keys, args)
      await meddling.after?.(script.name)
      return reply
    },
    close: () => memory.close(),
  }
  /** What another gateway does, past the counting. */
  const another = {
    take: (ttlMs = leaseMs) => memory.run(takeTagLeases, [key], ['another', ttlMs]),
    giveBack: () => memory.run(giveBackTagLeases, [key], ['another']),
  }
  const isFree = async (): Promise<boolean> => {
    const isTaken = await memory.run(takeTagLeases, [key], ['probe', 1_000])
    if (isTaken) await memory.run(giveBackTagLeases, [key], ['probe'])
    return isTaken
  }
  return { store, asked, meddling, another, isFree }
}

/** The lock of one gateway, with what it told. */
function gateway(store: Store, maxWaiting = 10) {
  const told: string[] = []
  const lock = createSharedTagLock(createTagLock(maxWaiting), store, {
    leaseMs,
    observe: {
      tagLockNotShared: (fault) => told.push(fault),
      tagLeaseLost: () => told.push('lost'),
    },
  })
  return { lock, told }
}

/** Work that tells when it begins and ends when it is told to. */
function hold(lock: TagLock, options: TagLockWait = wait, keys: readonly string[] = ['team/app:v1']) {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const state = { hasBegun: false }
  const result = lock.run(
    keys,
    () => {
      state.hasBegun = true
      return promise
    },
    options,
  )
  result.catch(() => undefined)
  return { state, result, end: resolve, fail: reject }
}

const pass = (ms: number): Promise<void> => jest.advanceTimersByTimeAsync(ms)

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] })
})
afterEach(() => {
  jest.useRealTimers()
})

describe('a tag lock that gateways share', () => {
  test('lets the work of one gateway wait for that of another', async () => {
    const { store, isFree } = sharedStore()
    const [here, there] = [gateway(store), gateway(store)]
    const first = hold(here.lock)
    await pass(0)
    const second = hold(there.lock)
    await pass(1_000)
    expect([first.state.hasBegun, second.state.hasBegun]).toEqual([true, false])
    first.end('first')
    expect(await first.result).toBe('first')
    await pass(200)
    expect(second.state.hasBegun).toBe(true)
    second.end('second')
    expect(await second.result).toBe('second')
    expect(await isFree()).toBe(true)
    expect([here.told, there.told]).toEqual([[], []])
  })

  test('never lets two go on, whichever of three gateways they come by', async () => {
    const { store } = sharedStore()
    let [running, most, done] = [0, 0, 0]
    const work = async (): Promise<void> => {
      running += 1
      most = Math.max(most, running)
      await new Promise((resolve) => setTimeout(resolve, 7))
      running -= 1
      done += 1
    }
    const runs = [gateway(store), gateway(store), gateway(store)].flatMap(({ lock }) =>
      Array.from({ length: 5 }, (_, index) =>
        lock.run(index % 2 === 0 ? ['a:1', 'a:2'] : ['a:2', 'a:3', 'a:1'], work, wait),
      ),
    )
    await pass(20_000)
    await Promise.all(runs)
    expect({ most, done }).toEqual({ most: 1, done: 15 })
  })

  test.each<[title: string, keys: readonly string[]]>([
    ['another tag', ['team/app:v2']],
    ['the same tag of another repository', ['team/ap:v1']],
    ['no tag', []],
  ])('does not hold up work on %s', async (_title, keys) => {
    const { store } = sharedStore()
    const first = hold(gateway(store).lock)
    await pass(0)
    expect(await gateway(store, 0).lock.run(keys, () => Promise.resolve('done'), wait)).toBe('done')
    first.end('')
    await first.result
  })

  test('asks the store twice for work that nobody holds up, and not at all for work without keys', async () => {
    const { store, asked } = sharedStore()
    const { lock } = gateway(store)
    await lock.run(['team/app:v1', 'team/app:v2', 'team/app:v1'], () => Promise.resolve('done'), wait)
    expect(asked).toEqual(['tag-lease-take', 'tag-lease-give-back'])
    await lock.run([], () => Promise.resolve('done'), wait)
    expect(asked).toHaveLength(2)
  })

  test.each([
    ['fails', () => Promise.reject(new Error('the upstream is gone'))],
    [
      'throws before it returns',
      () => {
        throw new Error('the upstream is gone')
      },
    ],
  ])(
    'gives its leases back when the work %s, and passes the failure on',
    async (_title, work: () => Promise<never>) => {
      const { store, isFree } = sharedStore()
      await expect(gateway(store).lock.run(['team/app:v1'], work, wait)).rejects.toThrow('the upstream is gone')
      expect(await isFree()).toBe(true)
      expect(jest.getTimerCount()).toBe(1)
      await store.close()
      expect(jest.getTimerCount()).toBe(0)
    },
  )

  test('takes the leases of all keys or none, so that nobody waits for one that waits', async () => {
    const { store, another } = sharedStore()
    await another.take()
    const waiter = hold(gateway(store).lock, wait, ['team/app:v0', 'team/app:v1'])
    await pass(100)
    expect(await gateway(store).lock.run(['team/app:v0'], () => Promise.resolve('free'), wait)).toBe('free')
    await another.giveBack()
    await pass(200)
    waiter.end('done')
    expect(await waiter.result).toBe('done')
  })
})

describe('waiting for a lease that another gateway has', () => {
  test('asks again with growing pauses', async () => {
    const { store, asked, another } = sharedStore()
    await another.take(60_000)
    const waiter = hold(gateway(store).lock)
    const after = async (ms: number): Promise<number> => {
      await pass(ms)
      return asked.length
    }
    expect([await after(0), await after(5), await after(10), await after(20), await after(40)]).toEqual([1, 2, 3, 4, 5])
    expect(await after(10_000)).toBeLessThan(75)
    await another.giveBack()
    await pass(160)
    expect(waiter.state.hasBegun).toBe(true)
    waiter.end('')
    await waiter.result
  })

  test('ends after the time that is left of both waits, and takes nothing', async () => {
    const { store, another, isFree } = sharedStore()
    const { lock } = gateway(store)
    const first = hold(lock)
    await pass(0)
    const second = hold(lock, { waitMs: 1_000 })
    await pass(600)
    first.end('')
    await first.result
    await another.take()
    await pass(399)
    await pass(0)
    const settled = jest.fn()
    second.result.then(settled, settled)
    await pass(0)
    expect(settled).not.toHaveBeenCalled()
    await pass(2)
    await expect(second.result).rejects.toMatchObject({ id: 'tagBusy', status: 503 })
    expect(second.state.hasBegun).toBe(false)
    expect(await isFree()).toBe(false)
    await another.giveBack()
    expect(await lock.run(['team/app:v1'], () => Promise.resolve('free'), wait)).toBe('free')
  })

  test('ends when the client leaves, with its reason, and leaves no timer', async () => {
    const { store, another } = sharedStore()
    await another.take()
    const client = new AbortController()
    const { lock } = gateway(store)
    const waiter = hold(lock, { ...wait, signal: client.signal })
    await pass(50)
    client.abort(new Error('the client left'))
    await expect(waiter.result).rejects.toThrow('the client left')
    expect(waiter.state.hasBegun).toBe(false)
    await another.giveBack()
    expect(await lock.run(['team/app:v1'], () => Promise.resolve('free'), wait)).toBe('free')
    await store.close()
    expect(jest.getTimerCount()).toBe(0)
  })

  test('a client that leaves as the lease comes does no work, and gives it back', async () => {
    const { store, meddling, isFree } = sharedStore()
    const client = new AbortController()
    meddling.after = () => {
      client.abort(new Error('the client left'))
      return undefined
    }
    const waiter = hold(gateway(store).lock, { ...wait, signal: client.signal })
    await expect(waiter.result).rejects.toThrow('the client left')
    expect(waiter.state.hasBegun).toBe(false)
    expect(await isFree()).toBe(true)
  })
})

describe('a lease', () => {
  test('is renewed while the work goes on, however long that is', async () => {
    const { store, isFree, asked } = sharedStore()
    const { lock, told } = gateway(store)
    const work = hold(lock)
    for (let tenths = 0; tenths < 50; tenths += 1) {
      await pass(leaseMs / 10)
      expect(await isFree()).toBe(false)
    }
    work.end('done')
    expect(await work.result).toBe('done')
    expect(await isFree()).toBe(true)
    expect(asked.filter((name) => name === 'tag-lease-renew').length).toBeLessThanOrEqual(16)
    expect(told).toEqual([])
  })

  test('of a gateway that was killed ends by itself', async () => {
    const { store, another } = sharedStore()
    await another.take(leaseMs)
    const waiter = hold(gateway(store).lock)
    await pass(leaseMs - 200)
    expect(waiter.state.hasBegun).toBe(false)
    await pass(400)
    expect(waiter.state.hasBegun).toBe(true)
    waiter.end('')
    await waiter.result
  })

  test('that was lost to another ends nothing, is told once, and is never taken from the other', async () => {
    const { store, another, isFree } = sharedStore()
    const { lock, told } = gateway(store)
    const work = hold(lock)
    await pass(0)
    await forget(store)
    await another.take(60_000)
    await pass(leaseMs)
    expect(told).toEqual(['lost'])
    work.end('done')
    expect(await work.result).toBe('done')
    expect(await isFree()).toBe(false)
  })

  test('that the store forgot is taken again while the work goes on', async () => {
    const { store, isFree } = sharedStore()
    const { lock, told } = gateway(store)
    const work = hold(lock)
    await pass(0)
    await forget(store)
    expect(await isFree()).toBe(true)
    await pass(leaseMs / 3)
    expect(await isFree()).toBe(false)
    work.end('done')
    await work.result
    expect(await isFree()).toBe(true)
    expect(told).toEqual([])
  })

  test('outlives renewals that fail, as long as one comes through in time', async () => {
    const { store, meddling, isFree } = sharedStore()
    const { lock, told } = gateway(store)
    const work = hold(lock)
    await pass(0)
    meddling.before = () => Promise.reject(new StoreError('timeout', 'late'))
    await pass((leaseMs * 2) / 3)
    meddling.before = () => undefined
    await pass(leaseMs)
    expect(await isFree()).toBe(false)
    work.end('done')
    expect(await work.result).toBe('done')
    expect(await isFree()).toBe(true)
    expect(told).toEqual([])
  })

  test('is not renewed by a renewal that comes after its end', async () => {
    const { store, meddling, isFree } = sharedStore()
    const { lock } = gateway(store)
    const stalled = Promise.withResolvers<undefined>()
    const work = hold(lock)
    await pass(0)
    meddling.before = (name) => (name === 'tag-lease-renew' ? stalled.promise : undefined)
    await pass(leaseMs / 3)
    work.end('done')
    await pass(0)
    stalled.resolve(undefined)
    expect(await work.result).toBe('done')
    expect(await isFree()).toBe(true)
    await pass(leaseMs)
    expect(await isFree()).toBe(true)
  })

  /** As when Redis is flushed, or starts anew. */
  async function forget(store: Store): Promise<void> {
    await store.run({ ...renewTagLeases, inMemory: (data) => (data.delete(key), 0) }, [key], [])
  }
})

describe('a store that does not answer', () => {
  const late = (ms: number) => (): Promise<never> =>
    new Promise((_resolve, reject) => {
      setTimeout(() => {
        reject(new StoreError('timeout', 'late'))
      }, ms)
    })

  test('leaves the lock of the process: its own still take turns, and it is told', async () => {
    const { store, meddling } = sharedStore()
    meddling.before = () => Promise.reject(new StoreError('down', 'gone'))
    const { lock, told } = gateway(store)
    const [first, second] = [hold(lock), hold(lock)]
    await pass(0)
    expect([first.state.hasBegun, second.state.hasBegun]).toEqual([true, false])
    first.end('first')
    expect(await first.result).toBe('first')
    await pass(0)
    second.end('second')
    expect(await second.result).toBe('second')
    expect(told).toEqual(['down', 'down'])
  })

  test('costs a push its deadline once, also where it stalls', async () => {
    const { store, meddling } = sharedStore()
    meddling.before = late(50)
    const settled = jest.fn()
    void gateway(store)
      .lock.run(['team/app:v1'], () => Promise.resolve('done'), wait)
      .then(settled)
    await pass(49)
    expect(settled).not.toHaveBeenCalled()
    await pass(1)
    expect(settled).toHaveBeenCalledWith('done')
    await pass(1_000)
  })

  test('may have taken the lease all the same: it is given back and holds up nobody', async () => {
    const { store, meddling, isFree } = sharedStore()
    meddling.after = (name) => (name === 'tag-lease-take' ? late(50)() : undefined)
    const work = hold(gateway(store).lock)
    await pass(50)
    expect(work.state.hasBegun).toBe(true)
    expect(await isFree()).toBe(true)
    work.end('done')
    expect(await work.result).toBe('done')
  })

  test('while another was waited for leaves the lock of the process too', async () => {
    const { store, meddling, another } = sharedStore()
    await another.take()
    const { lock, told } = gateway(store)
    const waiter = hold(lock)
    await pass(100)
    meddling.before = () => Promise.reject(new StoreError('readonly', 'failing over'))
    await pass(200)
    expect(waiter.state.hasBegun).toBe(true)
    waiter.end('done')
    expect(await waiter.result).toBe('done')
    expect(told).toEqual(['readonly'])
  })

  test('when a lease is given back changes nothing for the work', async () => {
    const { store, meddling } = sharedStore()
    const { lock } = gateway(store)
    const work = hold(lock)
    await pass(0)
    meddling.before = () => Promise.reject(new StoreError('down', 'gone'))
    work.end('done')
    expect(await work.result).toBe('done')
  })

  test('is not what a fault of ours is taken for', async () => {
    const { store, meddling } = sharedStore()
    meddling.before = () => Promise.reject(new TypeError('a fault'))
    const { lock, told } = gateway(store)
    const work = hold(lock)
    await expect(work.result).rejects.toThrow('a fault')
    expect(work.state.hasBegun).toBe(false)
    expect(told).toEqual([])
  })
})

describe('the replies of the scripts', () => {
  test.each([takeTagLeases, renewTagLeases, giveBackTagLeases])('of $name that are none are faults', ({ parse }) => {
    for (const raw of [null, undefined, 'OK', '1', -1, 0.5, [1], {}]) expect(() => parse(raw)).toThrow('no count')
  })
})
