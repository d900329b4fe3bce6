import { setImmediate } from 'node:timers/promises'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createTurns, scanPage } from '../../../../src/proxy/catalog/scan.ts'
import type { NamePage } from '../../../../src/proxy/catalog/scan.ts'
import { snapshotOf } from '../../../../src/proxy/catalog/snapshot.ts'
import type { RepositoryName } from '../../../../src/registry/name.ts'
import { manyRepositories, repository } from './names.ts'

const fifty = manyRepositories(50)
const snapshot = snapshotOf(new Set(fifty))

/** Follows the pages as a client does, by the `next` of each. */
async function allPages(isListed: (name: RepositoryName) => boolean, n: number): Promise<readonly NamePage[]> {
  const pages: NamePage[] = []
  let last: string | undefined
  do {
    const page = await scanPage(snapshot, isListed, { n, last }, createTurns())
    pages.push(page)
    last = page.next
  } while (last !== undefined)
  return pages
}

/** Takes the processor, as a policy of many rules does. */
function work(ms: number): void {
  const endMs = performance.now() + ms
  while (performance.now() < endMs);
}

describe('the pages of a listing', () => {
  test('hold exactly the permitted names, full but for the last, and no other name in next', async () => {
    await fc.assert(
      fc.asyncProperty(fc.subarray([...fifty]), fc.integer({ min: 1, max: 60 }), async (permitted, n) => {
        const pages = await allPages((name) => permitted.includes(name), n)
        expect(pages.flatMap((page) => page.names)).toEqual(permitted)
        expect(pages).toHaveLength(Math.max(1, Math.ceil(permitted.length / n)))
        for (const page of pages.slice(0, -1)) expect([page.names.length, page.next]).toEqual([n, page.names.at(-1)])
      }),
    )
  })

  test('go on behind any text, a hidden name or one that is none', async () => {
    const isListed = (name: string): boolean => name !== 'team-000003/app'
    for (const last of ['team-000003/app', 'team-000003/apq', 'team-000003/']) {
      const page = await scanPage(snapshot, isListed, { n: 1, last }, createTurns())
      expect(page.names).toEqual(['team-000004/app'])
    }
    const behindAll = await scanPage(snapshot, isListed, { n: 1, last: '~' }, createTurns())
    expect(behindAll).toEqual({ names: [], next: undefined })
  })

  test('look no further than the one name that tells whether another page follows', async () => {
    const asked: string[] = []
    const isListed = (name: string): boolean => asked.push(name) > 0
    await scanPage(snapshot, isListed, { n: 2, last: undefined }, createTurns())
    expect(asked).toEqual(fifty.slice(0, 3))
  })

  test('are of the snapshot as it was when they were asked for', async () => {
    const many = snapshotOf(new Set(manyRepositories(1_000)))
    const page = await scanPage(many, () => true, { n: 1_000, last: undefined }, createTurns())
    expect(page).toEqual({ names: many.names, next: undefined })
  })
})

describe('a scan that takes long', () => {
  const large = snapshotOf(new Set(manyRepositories(2_000)))
  const slow = (name: string): boolean => {
    work(0.05)
    return name === 'team-001999/app'
  }

  test('lets others have their turn, however many scans there are', async () => {
    const turns = createTurns()
    const wanted = { n: 10, last: undefined }
    const seen = { rounds: 0, done: false }
    const scans = Promise.all([1, 2, 3, 4].map(() => scanPage(large, slow, wanted, turns))).finally(() => {
      seen.done = true
    })
    for (; !seen.done; seen.rounds += 1) await setImmediate()
    for (const page of await scans) expect(page.names).toEqual([repository('team-001999/app')])
    // 400 ms of work altogether, in slices of 5 to 8 ms; with a slice of every scan in each round it would be 16 rounds.
    expect(seen.rounds).toBeGreaterThan(30)
  })

  test('ends when nobody waits for it, and does not keep the turn', async () => {
    const turns = createTurns()
    const leaving = new AbortController()
    let looks = 0
    const isListed = (name: string): boolean => {
      looks += 1
      return slow(name)
    }
    const scan = scanPage(large, isListed, { n: 10, last: undefined }, turns, leaving.signal)
    await setImmediate()
    leaving.abort(new Error('the client left'))
    await expect(scan).rejects.toThrow('the client left')
    expect(looks).toBeLessThan(2_000)
    const next = await scanPage(large, () => true, { n: 1, last: undefined }, turns)
    expect(next.names).toHaveLength(1)
  })

  test('that fails gives its turn back', async () => {
    const turns = createTurns()
    const fail = (): boolean => {
      throw new Error('the filter failed')
    }
    await expect(scanPage(large, fail, { n: 1, last: undefined }, turns)).rejects.toThrow('the filter failed')
    const next = await scanPage(large, () => true, { n: 1, last: undefined }, turns)
    expect(next.names).toHaveLength(1)
  })
})
