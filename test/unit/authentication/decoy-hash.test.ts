import { hashSync, verify } from '@node-rs/bcrypt'
import { describe, expect, test } from '@jest/globals'
import { decoyHash } from '../../../src/authentication/decoy-hash.ts'
import { parseHtpasswd } from '../../../src/authentication/htpasswd.ts'

describe('a decoy', () => {
  test.each([4, 9, 10, 14])('of cost %i is what bcrypt could have written', (cost) => {
    const table = parseHtpasswd(`decoy:${decoyHash(cost)}\n`)
    expect(table.faults.filter(({ severity }) => severity === 'error')).toEqual([])
    expect(table.maxCost).toBe(cost)
  })

  test('of known bytes is spelled in bcrypt’s order of signs', () => {
    const zeros = decoyHash(10, (size) => Buffer.alloc(size))
    expect(zeros).toBe(`$2b$10$${'.'.repeat(53)}`)
    const ones = decoyHash(10, (size) => Buffer.alloc(size, 0xff))
    expect(ones).toBe(`$2b$10$${'9'.repeat(21)}u${'9'.repeat(30)}6`)
  })

  test('is another one each time', () => {
    expect(decoyHash(10)).not.toBe(decoyHash(10))
  })

  test('is compared at its full cost, like a hash of a password', async () => {
    const work = async (hash: string): Promise<number> => {
      const before = process.cpuUsage()
      expect(await verify('wrong', hash)).toBe(false)
      return process.cpuUsage(before).user
    }
    const real = await work(hashSync('right', 11))
    const decoy = await work(decoyHash(11))
    expect(decoy).toBeGreaterThan(real / 3)
  })
})
