import { describe, expect, test } from '@jest/globals'
import { createCatalog } from '../../../../src/proxy/catalog/catalog.ts'
import type { CatalogOptions } from '../../../../src/proxy/catalog/catalog.ts'
import type { CatalogWalk } from '../../../../src/telemetry/policy-events.ts'
import type { UpstreamPage } from '../../../../src/proxy/catalog/walk.ts'
import { RegistryError } from '../../../../src/registry/error.ts'
import { until } from '../../../support/until.ts'
import { repository } from './names.ts'

type Asked = {
  readonly cursor: string | undefined
  readonly signal: AbortSignal
  readonly answer: (names: readonly string[], next?: string) => void
  readonly fail: (error: unknown) => void
}

const everything = { n: 100, last: undefined }
const all = (): boolean => true

/** A catalog whose upstream answers when it is told to, and whose time a test moves. */
function catalogAt(options: Partial<CatalogOptions> = {}) {
  const asked: Asked[] = []
  const ends: CatalogWalk[] = []
  let nowMs = 1_000_000
  const catalog = createCatalog({
    fetchPage: (cursor, signal) =>
      new Promise<UpstreamPage>((resolve, reject) => {
        asked.push({
          cursor,
          signal,
          answer: (names, next) => {
            resolve({ names: names.map(repository), ignored: 0, next })
          },
          fail: reject,
        })
        signal.addEventListener('abort', () => {
          reject(new Error('given up'))
        })
      }),
    maxNames: 1_000,
    maxBytes: 1_000_000,
    refreshMs: 60_000,
    staleMs: 600_000,
    waitMs: 60_000,
    observe: { walked: (end) => ends.push(end) },
    now: () => nowMs,
    ...options,
  })
  const request = async (count: number): Promise<Asked> =>
    until(() => asked[count - 1], { what: `the upstream is asked ${count} times`, intervalMs: 1 })
  const ended = (count: number): Promise<unknown> =>
    until(() => ends.length >= count, { what: `${count} walks have ended`, intervalMs: 1 })
  return {
    catalog,
    asked,
    ends,
    request,
    ended,
    pass: (ms: number) => {
      nowMs += ms
    },
    /** What everybody is shown, or why nothing. */
    shown: async () => {
      const page = await catalog.page(all, everything)
      return page.kind === 'page' ? page.names : page
    },
    /** Lets a walk of one page come to its end. */
    walk: async (number: number, names: readonly string[]) => {
      ;(await request(number)).answer(names)
      await ended(ends.length + 1)
    },
    failWalk: async (number: number, error: unknown) => {
      ;(await request(number)).fail(error)
      await ended(ends.length + 1)
    },
  }
}

describe('a cold catalog', () => {
  test('asks the upstream nothing before somebody asks it', () => {
    const { catalog, asked } = catalogAt()
    catalog.add(repository('alice/app'))
    catalog.stop()
    expect(asked).toEqual([])
  })

  test('walks once for everybody who asks, and answers all from that walk', async () => {
    const { catalog, asked, request } = catalogAt()
    const pages = Promise.all(
      ['alice', 'bob', 'mallory'].map((user) => catalog.page((name) => name.startsWith(`${user}/`), everything)),
    )
    ;(await request(1)).answer(['alice/app', 'bob/app'], 'second')
    ;(await request(2)).answer(['bob/tools'])
    expect(await pages).toEqual([
      { kind: 'page', names: ['alice/app'], next: undefined },
      { kind: 'page', names: ['bob/app', 'bob/tools'], next: undefined },
      { kind: 'page', names: [], next: undefined },
    ])
    expect(asked.map(({ cursor }) => cursor)).toEqual([undefined, 'second'])
  })

  test('says so after a moment, and still walks only once', async () => {
    const { shown, asked, walk } = catalogAt({ waitMs: 1 })
    const cold = { kind: 'cold', retryAfterSeconds: 5, failure: undefined }
    expect(await Promise.all([shown(), shown()])).toEqual([cold, cold])
    expect(await shown()).toEqual(cold)
    expect(asked).toHaveLength(1)
    await walk(1, ['alice/app'])
    expect(await shown()).toEqual(['alice/app'])
    expect(asked).toHaveLength(1)
  })

  test('does not keep a client waiting that has left', async () => {
    const { catalog, request } = catalogAt()
    const leaving = new AbortController()
    const page = catalog.page(all, everything, leaving.signal)
    const { signal } = await request(1)
    leaving.abort(new Error('the client left'))
    await expect(page).rejects.toThrow('the client left')
    expect(signal.aborted).toBe(false)
    catalog.stop()
  })
})

describe('a warm catalog', () => {
  /** One that has just been walked. */
  async function warm(options: Partial<CatalogOptions> = {}) {
    const at = catalogAt(options)
    const first = at.shown()
    await at.walk(1, ['alice/app', 'bob/app'])
    expect(await first).toEqual(['alice/app', 'bob/app'])
    return at
  }

  test('is left alone until it is due, then shown as it is while one walk refreshes it', async () => {
    const { shown, asked, pass, walk } = await warm()
    pass(59_999)
    await shown()
    expect(asked).toHaveLength(1)
    pass(1)
    expect(await Promise.all([shown(), shown(), shown()])).toEqual(Array(3).fill(['alice/app', 'bob/app']))
    await walk(2, ['bob/app', 'bob/tools'])
    expect(await shown()).toEqual(['bob/app', 'bob/tools'])
    expect(asked).toHaveLength(2)
  })

  test('is not refreshed while nobody asks', async () => {
    const { asked, pass, catalog } = await warm()
    pass(3_600_000)
    catalog.add(repository('alice/new'))
    expect(asked).toHaveLength(1)
  })

  test('gives the registry twice the time of a long walk to rest', async () => {
    const { shown, asked, pass, request, walk } = await warm()
    pass(60_000)
    await shown()
    await request(2)
    pass(80_000)
    await walk(2, ['bob/app'])
    pass(159_999)
    await shown()
    expect(asked).toHaveLength(2)
    pass(1)
    await shown()
    await request(3)
  })

  test('rests for half of the time in which it counts as good at most, and is shown until a long walk ends', async () => {
    const { shown, asked, pass, request, walk } = await warm()
    pass(60_000)
    await shown()
    await request(2)
    pass(1_000_000)
    expect(await shown()).toEqual(['alice/app', 'bob/app'])
    await walk(2, ['bob/app'])
    pass(299_999)
    await shown()
    expect(asked).toHaveLength(2)
    pass(1)
    await shown()
    await request(3)
  })

  test('shows what was pushed at once', async () => {
    const { catalog, shown } = await warm()
    catalog.add(repository('alice/new'))
    catalog.add(repository('alice/new'))
    expect(await shown()).toEqual(['alice/app', 'alice/new', 'bob/app'])
  })

  test('keeps what was pushed behind the back of a walk, and lets it go with the next', async () => {
    const { catalog, shown, pass, request, walk } = await warm()
    pass(60_000)
    await shown()
    await request(2)
    catalog.add(repository('alice/new'))
    expect(await shown()).toEqual(['alice/app', 'alice/new', 'bob/app'])
    await walk(2, ['alice/app'])
    expect(await shown()).toEqual(['alice/app', 'alice/new'])
    pass(60_000)
    await shown()
    await walk(3, ['alice/app'])
    expect(await shown()).toEqual(['alice/app'])
  })

  test('stays as it is when a walk fails halfway, until it is stale', async () => {
    const { shown, pass, request, failWalk, ends } = await warm()
    pass(60_000)
    await shown()
    ;(await request(2)).answer(['carol/app'], 'second')
    await failWalk(3, new RegistryError('upstreamUnreachable'))
    expect(ends.at(-1)).toMatchObject({ kind: 'failed', error: { id: 'upstreamUnreachable' } })
    expect(await shown()).toEqual(['alice/app', 'bob/app'])
    pass(540_000)
    expect(await shown()).toEqual(['alice/app', 'bob/app'])
    await failWalk(4, new RegistryError('upstreamUnreachable'))
    pass(1)
    expect(await shown()).toMatchObject({ kind: 'cold', failure: { id: 'upstreamUnreachable' } })
  })

  test('refuses to show what is stale, and waits for the walk that replaces it', async () => {
    const { shown, pass, walk } = await warm()
    pass(600_001)
    const page = shown()
    await walk(2, ['dave/app'])
    expect(await page).toEqual(['dave/app'])
  })
})

describe('a walk that fails', () => {
  test('is repeated after a while that grows up to the time between refreshes', async () => {
    const { shown, pass, asked, failWalk, catalog } = catalogAt()
    for (const [index, restMs] of [5_000, 10_000, 20_000, 40_000, 60_000, 60_000].entries()) {
      const page = shown()
      await failWalk(index + 1, new RegistryError('upstreamTimeout'))
      const failure = expect.objectContaining({ id: 'upstreamTimeout' })
      expect(await page).toEqual({ kind: 'cold', retryAfterSeconds: restMs / 1_000, failure })
      pass(restMs - 1)
      expect(await shown()).toEqual({ kind: 'cold', retryAfterSeconds: 1, failure })
      expect(asked).toHaveLength(index + 1)
      pass(1)
    }
    catalog.stop()
  })

  test('counts no more once one has succeeded', async () => {
    const { shown, pass, failWalk, walk } = catalogAt({ staleMs: 60_000 })
    for (const number of [1, 2]) {
      const page = shown()
      await failWalk(number, new Error('a fault of ours'))
      expect(await page).toMatchObject({ retryAfterSeconds: number * 5, failure: { id: 'gatewayFault' } })
      pass(number * 5_000)
    }
    const page = shown()
    await walk(3, ['alice/app'])
    expect(await page).toEqual(['alice/app'])
    pass(60_001)
    const again = shown()
    await failWalk(4, new Error('a fault of ours'))
    expect(await again).toMatchObject({ retryAfterSeconds: 5 })
  })
})

describe('a catalog that is stopped', () => {
  test('gives up its walk, answers who waits, and begins no other', async () => {
    const { catalog, shown, request, asked, ends } = catalogAt()
    const page = shown()
    const { signal } = await request(1)
    catalog.stop()
    expect(signal.aborted).toBe(true)
    expect(await page).toMatchObject({ kind: 'cold' })
    expect(await shown()).toMatchObject({ kind: 'cold' })
    expect([asked.length, ends]).toEqual([1, []])
  })
})
