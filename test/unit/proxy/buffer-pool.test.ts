import { describe, expect, test } from '@jest/globals'
import { createBufferPool, readSizes } from '../../../src/proxy/buffer-pool.ts'

const [small, middle, large] = readSizes
const roomy = { maxFreeBytes: 16 * large, maxSharedBytes: 8 * large }

describe('a pool of buffers', () => {
  test.each(readSizes)('hands out %i bytes that share memory with nothing', (size) => {
    const buffer = createBufferPool(roomy).take(size)
    expect([buffer.length, buffer.byteOffset, buffer.buffer.byteLength]).toEqual([size, 0, size])
  })

  test('hands out again what was given back, to one taker only, by its size', () => {
    const pool = createBufferPool(roomy)
    const [first, other] = [pool.take(small), pool.take(middle)]
    pool.give(first)
    pool.give(other)
    expect(pool.take(middle)).toBe(other)
    expect(pool.take(small)).toBe(first)
    expect(pool.take(small)).not.toBe(first)
    expect(pool.take(middle)).not.toBe(other)
  })

  test('keeps no more than its limit, and as much again after it was taken', () => {
    const pool = createBufferPool({ ...roomy, maxFreeBytes: 2 * small })
    for (let round = 0; round < 3; round += 1) {
      const buffers = [pool.take(small), pool.take(small), pool.take(small)]
      for (const buffer of buffers) pool.give(buffer)
      pool.give(pool.take(large))
      const kept = [pool.take(small), pool.take(small), pool.take(small)].filter((each) => buffers.includes(each))
      expect(kept).toHaveLength(2)
      for (const buffer of kept) pool.give(buffer)
    }
  })

  test('lets reads be the smaller the more downloads there are, and larger again when they leave', () => {
    const pool = createBufferPool({ ...roomy, maxSharedBytes: 2 * large })
    const shares = [pool.join(), pool.join()]
    expect(shares.map((share) => share.largest)).toEqual([large, large])
    const third = pool.join()
    expect([...shares, third].map((share) => share.largest)).toEqual([middle, middle, middle])
    const many = Array.from({ length: 6 }, () => pool.join())
    expect(third.largest).toBe(small)
    for (const share of many) share.leave()
    expect(third.largest).toBe(middle)
    third.leave()
    expect(shares[0]?.largest).toBe(large)
  })
})
