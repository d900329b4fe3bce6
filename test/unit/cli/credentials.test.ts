import { afterEach, describe, expect, test } from '@jest/globals'
import { credentialsCommand } from '../../../src/cli/credentials.ts'
import { startAdminSite } from './admin-terminal.ts'
import type { AdminSite } from './admin-terminal.ts'

let site: AdminSite
afterEach(() => site.close())

describe('wharfgate credentials flush', () => {
  test.each<[words: readonly string[], stdout: string]>([
    [[], 'remembered logins are forgotten in this gateway; ask every other one itself\n'],
    [['--json'], '{"flushed":true}\n'],
  ])('%j makes the gateway forget, once, and says so', async (words, stdout) => {
    let flushes = 0
    site = await startAdminSite({ flush: () => void (flushes += 1) }, credentialsCommand)
    expect(await site.run(['flush', ...words])).toEqual({ stdout, stderr: '', code: 0 })
    expect(flushes).toBe(1)
  })

  test('ends with 1 and what went wrong where the gateway did not do it', async () => {
    const flush = (): never => {
      throw new Error('no memory')
    }
    site = await startAdminSite({ flush }, credentialsCommand)
    expect(await site.run(['flush'])).toMatchObject({
      stdout: '',
      stderr: expect.stringContaining('no memory'),
      code: 1,
    })
  })
})
