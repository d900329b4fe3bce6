import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { createBodyBudget, readBody } from '../../../src/proxy/tag-guard-body.ts'
import type { ReadBodyOptions } from '../../../src/proxy/tag-guard-body.ts'
import type { Transfer } from '../../../src/registry/transfer.ts'

const mebibyte = 1024 * 1024
const free: Transfer = { charge: () => undefined, end: () => undefined }

/** A request whose body the test writes. */
function request(): IncomingMessage {
  const req = new IncomingMessage(new Socket())
  // What is pushed is the body; there is no connection behind it that could be asked for more.
  req._read = () => undefined
  return req
}

function requestOf(...chunks: readonly (string | Buffer)[]): IncomingMessage {
  const req = request()
  for (const chunk of chunks) req.push(Buffer.from(chunk))
  req.push(null)
  return req
}

function options(more: Partial<ReadBodyOptions> = {}): ReadBodyOptions {
  return { maxBytes: 4 * mebibyte, idleMs: 0, totalMs: 60_000, budget: createBodyBudget(16 * mebibyte), ...more }
}

/** How much of a budget is left, in bytes; asked by taking it. */
function left(budget: ReadBodyOptions['budget']): number {
  let bytes = 0
  for (let step = 64 * mebibyte; step >= 1; step /= 2) if (budget.take(step)) bytes += step
  budget.give(bytes)
  return bytes
}

describe('a body that is read to its end', () => {
  test.each([
    ['nothing', []],
    ['one piece', ['{"schemaVersion":2}']],
    ['many pieces', Array.from({ length: 5_000 }, (_, index) => `${index},`)],
    ['pieces of any size', [1, 16_383, 1, 1, 40_000, 500_000, 3].map((size) => Buffer.alloc(size, size % 251))],
  ])('is what came: %s', async (_title, chunks: readonly (string | Buffer)[]) => {
    const held = await readBody(requestOf(...chunks), free, options())
    expect(held?.bytes.equals(Buffer.concat(chunks.map((chunk) => Buffer.from(chunk))))).toBe(true)
  })

  test('may be as large as the limit, and not a byte larger', async () => {
    const budget = createBodyBudget(16 * mebibyte)
    const limit = Buffer.alloc(4 * mebibyte, 'x')
    const held = await readBody(requestOf(limit), free, options({ budget }))
    expect(held?.bytes.length).toBe(4 * mebibyte)
    held?.release()
    const larger = readBody(requestOf(limit, 'x'), free, options({ budget }))
    await expect(larger).rejects.toMatchObject({ id: 'manifestTooLarge', status: 413 })
    expect(left(budget)).toBe(16 * mebibyte)
  })

  test('is charged once, as it comes', async () => {
    const charged: (readonly [string, number])[] = []
    const transfer: Transfer = {
      charge: (direction, bytes) => void charged.push([direction, bytes]),
      end: () => undefined,
    }
    await readBody(requestOf('1234', '56'), transfer, options())
    expect(charged.every(([direction]) => direction === 'up')).toBe(true)
    expect(charged.reduce((sum, [, bytes]) => sum + bytes, 0)).toBe(6)
  })

  test('is none where the counter fails, and its memory is given back', async () => {
    const budget = createBodyBudget(mebibyte)
    const transfer: Transfer = { charge: () => Promise.reject(new Error('the limiter is gone')), end: () => undefined }
    const req = request()
    req.push('1234')
    await expect(readBody(req, transfer, options({ budget }))).rejects.toMatchObject({ id: 'gatewayFault' })
    expect(left(budget)).toBe(mebibyte)
  })

  test.each([
    ['leaves', undefined],
    ['breaks its connection', new Error('reset')],
  ])('is none where the client %s before its end', async (_title, error) => {
    const budget = createBodyBudget(mebibyte)
    const req = request()
    req.push('half of ')
    const reading = readBody(req, free, options({ budget }))
    await new Promise((resolve) => setImmediate(resolve))
    req.destroy(error)
    expect(await reading).toBeUndefined()
    expect(left(budget)).toBe(mebibyte)
  })
})

describe('the memory for held bodies', () => {
  test('is bounded over all of them, and comes back with the release of each, once', async () => {
    const budget = createBodyBudget(3 * mebibyte)
    const body = Buffer.alloc(mebibyte, 'x')
    const read = () => readBody(requestOf(body), free, options({ budget }))
    const held = [await read(), await read(), await read()]
    await expect(read()).rejects.toMatchObject({ id: 'tagBusy', status: 503, retryAfterSeconds: 2 })
    held[0]?.release()
    held[0]?.release()
    expect(left(budget)).toBe(mebibyte)
    expect((await read())?.bytes.length).toBe(mebibyte)
    await expect(read()).rejects.toMatchObject({ id: 'tagBusy' })
  })

  test('is never cut for a body that is complete before the fault is told', async () => {
    const budget = createBodyBudget(20_000)
    await expect(
      readBody(requestOf(Buffer.alloc(16_000), Buffer.alloc(16_000)), free, options({ budget })),
    ).rejects.toMatchObject({ id: 'tagBusy' })
    expect(left(budget)).toBe(20_000)
  })

  test('is taken by what has come, not by what is announced', async () => {
    const budget = createBodyBudget(mebibyte)
    const req = request()
    req.headers['content-length'] = String(4 * mebibyte)
    req.push('a little')
    const reading = readBody(req, free, options({ budget }))
    await new Promise((resolve) => setImmediate(resolve))
    expect(left(budget)).toBe(mebibyte - 16 * 1024)
    req.push(null)
    ;(await reading)?.release()
    expect(left(budget)).toBe(mebibyte)
  })
})

describe('the time for a body', () => {
  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] })
  })
  afterEach(() => {
    jest.useRealTimers()
  })

  test('ends for a client that falls silent', async () => {
    const budget = createBodyBudget(mebibyte)
    const req = request()
    const reading = readBody(req, free, options({ budget, idleMs: 1_000 }))
    reading.catch(() => undefined)
    req.push('some')
    await new Promise((resolve) => setImmediate(resolve))
    jest.advanceTimersByTime(2_000)
    await expect(reading).rejects.toMatchObject({ id: 'requestTimeout', status: 408 })
    expect(left(budget)).toBe(mebibyte)
    expect(jest.getTimerCount()).toBe(0)
  })

  test('ends for a client that sends a byte now and then', async () => {
    const budget = createBodyBudget(mebibyte)
    const req = request()
    const reading = readBody(req, free, options({ budget, idleMs: 1_000, totalMs: 10_000 }))
    reading.catch(() => undefined)
    for (let sent = 0; sent < 12; sent += 1) {
      req.push('.')
      await new Promise((resolve) => setImmediate(resolve))
      jest.advanceTimersByTime(900)
    }
    await expect(reading).rejects.toMatchObject({ id: 'requestTimeout' })
    expect(left(budget)).toBe(mebibyte)
    expect(jest.getTimerCount()).toBe(0)
  })
})
