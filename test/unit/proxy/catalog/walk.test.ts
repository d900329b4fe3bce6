import { describe, expect, test } from '@jest/globals'
import { nameBytes } from '../../../../src/proxy/catalog/snapshot.ts'
import { walkCatalog } from '../../../../src/proxy/catalog/walk.ts'
import type { FetchPage } from '../../../../src/proxy/catalog/walk.ts'
import type { RepositoryName } from '../../../../src/registry/name.ts'
import { manyRepositories, repository } from './names.ts'

const roomy = { maxNames: 1_000, maxBytes: 1_000_000 }
const never = new AbortController().signal
const none: ReadonlySet<RepositoryName> = new Set()

/** Pages of ten, whose cursor is where they begin. */
function pagesOf(names: readonly RepositoryName[], ignored = 0): FetchPage {
  return (cursor) => {
    const from = Number(cursor ?? 0)
    const next = from + 10 < names.length ? String(from + 10) : undefined
    return Promise.resolve({ names: names.slice(from, from + 10), ignored, next })
  }
}

describe('a walk', () => {
  test('reads page after page to the end', async () => {
    const names = manyRepositories(35)
    const walked = await walkCatalog(pagesOf(names, 1), roomy, none, never)
    expect(walked).toMatchObject({ pages: 4, ignored: 4, snapshot: { names } })
  })

  test('of an empty catalog is one page without names', async () => {
    expect(await walkCatalog(pagesOf([]), roomy, none, never)).toMatchObject({ pages: 1, snapshot: { names: [] } })
  })

  test('takes a name once that stands on two pages', async () => {
    const [a, b] = [repository('a'), repository('b')]
    const fetchPage: FetchPage = (cursor) =>
      Promise.resolve({
        names: cursor === undefined ? [a, b] : [b],
        ignored: 0,
        next: cursor === undefined ? '2' : undefined,
      })
    expect((await walkCatalog(fetchPage, roomy, none, never)).snapshot.names).toEqual([a, b])
  })

  test('has what was pushed while it went on', async () => {
    const pushed = new Set<RepositoryName>()
    const names = manyRepositories(20)
    const fetchPage: FetchPage = (cursor, signal) => {
      pushed.add(repository('alice/new'))
      return pagesOf(names)(cursor, signal)
    }
    const { snapshot } = await walkCatalog(fetchPage, roomy, pushed, never)
    expect(snapshot.names).toEqual([repository('alice/new'), ...names])
  })

  const ten = manyRepositories(10)
  test.each<[string, FetchPage, string]>([
    [
      'leads back to the same page',
      () => Promise.resolve({ names: ten, ignored: 0, next: 'same' }),
      'nothing new: 1 in a row',
    ],
    [
      'goes on without new names',
      (cursor) => Promise.resolve({ names: ten, ignored: 0, next: `${cursor ?? ''}x` }),
      'nothing new: 3 in a row',
    ],
    [
      'goes on with empty pages',
      (cursor) => Promise.resolve({ names: [], ignored: 1, next: `${cursor ?? ''}x` }),
      'nothing new: 3 in a row',
    ],
  ])('fails on a catalog that %s', async (_title, fetchPage, why) => {
    const walk = walkCatalog(fetchPage, roomy, none, never)
    await expect(walk).rejects.toMatchObject({
      id: 'upstreamInvalid',
      cause: { message: expect.stringContaining(why) },
    })
  })

  test.each([
    ['names', { ...roomy, maxNames: 19 }, 'more than 19 names'],
    ['bytes', { ...roomy, maxBytes: 20 * nameBytes(repository('team-000000/app')) - 1 }, 'take more than'],
  ])('fails on a catalog over the bound of %s, and reads no further', async (_title, bounds, why) => {
    let asked = 0
    const fetchPage: FetchPage = (cursor, signal) => {
      asked += 1
      return pagesOf(manyRepositories(100))(cursor, signal)
    }
    const walk = walkCatalog(fetchPage, bounds, none, never)
    await expect(walk).rejects.toMatchObject({ cause: { message: expect.stringContaining(why) } })
    expect(asked).toBe(2)
    const within = { maxNames: bounds.maxNames + 1, maxBytes: bounds.maxBytes + 1 }
    const walked = await walkCatalog(pagesOf(manyRepositories(20)), within, none, never)
    expect(walked.snapshot.names).toHaveLength(20)
  })

  test('asks for no further page once it is given up', async () => {
    const stopping = new AbortController()
    let asked = 0
    const fetchPage: FetchPage = (cursor, signal) => {
      asked += 1
      if (asked === 2) stopping.abort(new Error('stopped'))
      return pagesOf(manyRepositories(100))(cursor, signal)
    }
    await expect(walkCatalog(fetchPage, roomy, none, stopping.signal)).rejects.toThrow('stopped')
    expect(asked).toBe(2)
  })
})
