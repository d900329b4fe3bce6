import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { createTagLock } from '../../../src/proxy/tag-lock.ts'
import type { TagLock } from '../../../src/proxy/tag-lock.ts'

const wait = { waitMs: 60_000 }

function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Work that tells when it begins and ends when it is told to. */
function hold(lock: TagLock, keys: readonly string[], options: Parameters<TagLock['run']>[2] = wait) {
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

describe('a tag lock', () => {
  test('lets one piece of work after the other have a key, in order of arrival', async () => {
    const lock = createTagLock(10)
    const order: string[] = []
    const first = hold(lock, ['a:v1'])
    const others = ['second', 'third', 'fourth'].map((name) =>
      lock.run(
        ['a:v1'],
        async () => {
          order.push(`${name} begins`)
          await settle()
          order.push(`${name} ends`)
          return name
        },
        wait,
      ),
    )
    await settle()
    expect(order).toEqual([])
    first.end('first')
    expect(await first.result).toBe('first')
    expect(await Promise.all(others)).toEqual(['second', 'third', 'fourth'])
    expect(order).toEqual(['second', 'third', 'fourth'].flatMap((name) => [`${name} begins`, `${name} ends`]))
  })

  test('does not hold up work on another key', async () => {
    const lock = createTagLock(0)
    const first = hold(lock, ['a:v1'])
    expect(await lock.run(['a:v2'], () => Promise.resolve('done'), wait)).toBe('done')
    first.end('')
    await first.result
  })

  test.each([
    ['fails', () => Promise.reject(new Error('the upstream is gone'))],
    [
      'throws before it returns',
      () => {
        throw new Error('the upstream is gone')
      },
    ],
  ])('gives its keys back when the work %s, and passes the failure on', async (_title, work: () => Promise<never>) => {
    const lock = createTagLock(0)
    await expect(lock.run(['a:v1', 'a:v2'], work, wait)).rejects.toThrow('the upstream is gone')
    expect(await lock.run(['a:v2', 'a:v1'], () => Promise.resolve('next'), wait)).toBe('next')
  })

  test('ends for two that want the same keys in different order, and for one that names a key twice', async () => {
    const lock = createTagLock(10)
    const work = async (): Promise<string> => {
      await settle()
      return 'done'
    }
    const runs = [
      lock.run(['a', 'b', 'c'], work, wait),
      lock.run(['c', 'b', 'a'], work, wait),
      lock.run(['b', 'a', 'b'], work, wait),
      lock.run(['c', 'a'], work, wait),
    ]
    expect(await Promise.all(runs)).toEqual(['done', 'done', 'done', 'done'])
  })

  test('runs work without keys at once', async () => {
    expect(await createTagLock(0).run([], () => Promise.resolve('done'), wait)).toBe('done')
  })

  test('refuses at once the one too many that would wait, with a time to come again', async () => {
    const lock = createTagLock(1)
    const first = hold(lock, ['a:v1'])
    const second = hold(lock, ['a:v1'])
    const third = hold(lock, ['a:v1'])
    await expect(third.result).rejects.toMatchObject({ id: 'tagBusy', status: 503, retryAfterSeconds: 2 })
    expect(third.state.hasBegun).toBe(false)
    first.end('first')
    second.end('second')
    expect(await second.result).toBe('second')
    // The place of the one that waited is free again.
    const again = hold(lock, ['a:v1'])
    const waiter = hold(lock, ['a:v1'])
    again.end('again')
    waiter.end('waiter')
    expect(await waiter.result).toBe('waiter')
  })

  test('gives back the keys it has when it is refused the next', async () => {
    const lock = createTagLock(0)
    const holder = hold(lock, ['b'])
    await expect(lock.run(['a', 'b'], () => Promise.resolve('never'), wait)).rejects.toMatchObject({ id: 'tagBusy' })
    expect(await lock.run(['a'], () => Promise.resolve('free'), wait)).toBe('free')
    holder.end('')
    await holder.result
  })

  test('a waiter whose client leaves goes, with the keys it had and without a turn', async () => {
    const lock = createTagLock(10)
    const holder = hold(lock, ['b'])
    const client = new AbortController()
    const waiter = hold(lock, ['a', 'b'], { ...wait, signal: client.signal })
    await settle()
    client.abort(new Error('the client left'))
    await expect(waiter.result).rejects.toThrow('the client left')
    expect(await lock.run(['a'], () => Promise.resolve('free'), wait)).toBe('free')
    holder.end('')
    await holder.result
    expect(await lock.run(['b'], () => Promise.resolve('free'), wait)).toBe('free')
    expect(waiter.state.hasBegun).toBe(false)
  })

  test('a client that left before does not get a turn, nor one that leaves as its turn comes', async () => {
    const lock = createTagLock(10)
    const gone = AbortSignal.abort(new Error('left'))
    await expect(hold(lock, ['a'], { ...wait, signal: gone }).result).rejects.toThrow('left')
    const holder = hold(lock, ['a'])
    const client = new AbortController()
    const waiter = hold(lock, ['a'], { ...wait, signal: client.signal })
    holder.end('')
    await holder.result
    client.abort(new Error('left too'))
    await waiter.result.catch(() => undefined)
    waiter.end('')
    expect(await lock.run(['a'], () => Promise.resolve('free'), wait)).toBe('free')
  })

  test('a client that leaves in the moment of its turn passes it on, and takes nobody else’s', async () => {
    const lock = createTagLock(10)
    const work = Promise.withResolvers<string>()
    const holder = lock.run(['a'], () => work.promise, wait)
    const client = new AbortController()
    const leaver = hold(lock, ['a'], { ...wait, signal: client.signal })
    const next = hold(lock, ['a'], { waitMs: 5_000 })
    await settle()
    // After the holder has given the key back, and before the leaver has taken notice.
    void work.promise.then(() => {
      client.abort(new Error('left'))
    })
    work.resolve('done')
    expect(await holder).toBe('done')
    await expect(leaver.result).rejects.toThrow('left')
    expect(leaver.state.hasBegun).toBe(false)
    next.end('next')
    expect(await next.result).toBe('next')
  })

  test('work that has begun is not ended by its client', async () => {
    const client = new AbortController()
    const work = hold(createTagLock(0), ['a'], { ...wait, signal: client.signal })
    await settle()
    client.abort(new Error('left'))
    work.end('done')
    expect(await work.result).toBe('done')
  })
})

describe('the deadline of a tag lock', () => {
  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] })
  })
  afterEach(() => {
    jest.useRealTimers()
  })

  test('ends the waiting for all keys together, and only its own', async () => {
    const lock = createTagLock(10)
    const [a, b] = [hold(lock, ['a']), hold(lock, ['b'])]
    const short = hold(lock, ['a', 'b'], { waitMs: 1_000 })
    const long = hold(lock, ['b'], { waitMs: 5_000 })
    jest.advanceTimersByTime(900)
    a.end('')
    await settle()
    jest.advanceTimersByTime(99)
    await settle()
    jest.advanceTimersByTime(1)
    await expect(short.result).rejects.toMatchObject({ id: 'tagBusy' })
    b.end('')
    long.end('long')
    expect(await long.result).toBe('long')
    expect(await lock.run(['a'], () => Promise.resolve('free'), wait)).toBe('free')
  })

  test('does not end work, and leaves no timer', async () => {
    const lock = createTagLock(10)
    const holder = hold(lock, ['a'], { waitMs: 1_000 })
    const waiter = hold(lock, ['a'], { waitMs: 10_000 })
    await settle()
    jest.advanceTimersByTime(5_000)
    holder.end('late')
    expect(await holder.result).toBe('late')
    waiter.end('')
    await waiter.result
    expect(jest.getTimerCount()).toBe(0)
  })
})
