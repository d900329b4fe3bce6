import { describe, expect, test } from '@jest/globals'
import { alice, anonymous, bob, bucket, createLimitSite, digest, innerTransfer } from './limit-site.ts'
import type { Asking, LimitSite } from './limit-site.ts'

const minutes = 60_000

function upload(repository = 'team/app'): Asking {
  return { path: `${repository}/blobs/uploads/`, method: 'POST' }
}
const patch: Asking = { path: 'team/app/blobs/uploads/session', method: 'PATCH' }
const put: Asking = { path: `team/app/blobs/uploads/session?digest=${digest}`, method: 'PUT' }
const state: Asking = { path: 'team/app/blobs/uploads/session', method: 'GET' }
const headBlob: Asking = { path: `team/app/blobs/${digest}`, method: 'HEAD' }
const headManifest: Asking = { path: 'team/app/manifests/1', method: 'HEAD' }
const manifest: Asking = { path: 'team/app/manifests/1', method: 'PUT' }

/** What a client does for ten layers, as Docker does it. */
const layers: readonly Asking[] = Array.from({ length: 10 }, () => [upload(), patch, put, headBlob]).flat()
const push: readonly Asking[] = [...layers, headManifest, manifest]

async function refusedOf(site: LimitSite, requests: readonly Asking[], as = alice): Promise<readonly string[]> {
  const refused: string[] = []
  for (const asking of requests) {
    const { error, transfer } = await site.ask({ ...asking, as })
    transfer?.end('complete')
    if (error !== undefined) refused.push(`${asking.method ?? ''} ${asking.path}`)
  }
  return refused
}

const pushes = (changes: Readonly<Record<string, unknown>> = {}) =>
  bucket('pushes', { class: 'push', quota: 1, ...changes })
const requests = (quota: number) => bucket('all', { class: 'requests', quota, windowSeconds: 3_600 })
const concurrent = { name: 'uploads', scope: 'user', class: 'push', unit: 'concurrent', quota: 1 }
const bytes = bucket('up', { class: 'push', unit: 'bytes', quota: 1_000, windowSeconds: 3_600 })

describe('a push that was admitted', () => {
  test('is counted once, and goes to its end whatever the buckets hold', async () => {
    const site = createLimitSite([pushes(), requests(1), concurrent, bytes])
    const { transfer: open } = await site.ask(upload())
    await open?.charge('up', 5_000)
    expect(await refusedOf(site, push)).toEqual([])
    open?.end('complete')
    expect(await refusedOf(site, [upload('team/other'), manifest])).toEqual(['POST team/other/blobs/uploads/'])
    expect(site.verdicts()).toContain('all forced')
  })
  test.each<readonly [string, readonly Asking[]]>([
    ['its first layers begin together', Array.from({ length: 5 }, () => upload())],
    ['all layers are there already', [manifest]],
    ['it goes on with an upload that another gateway began', [patch]],
  ])('is one when %s', async (_, first) => {
    const site = createLimitSite([pushes()])
    const begun = await Promise.all(first.map((asking) => site.ask(asking)))
    expect(begun.map(({ error }) => error)).toEqual(first.map(() => undefined))
    expect(await refusedOf(site, push)).toEqual([])
  })
  test.each<readonly [string, Asking]>([
    ['another repository', upload('team/other')],
    ['another user', { ...upload(), as: bob }],
    ['who has not logged in', { ...upload(), as: anonymous }],
  ])('is not that of %s', async (_, asking) => {
    const site = createLimitSite([pushes({ scope: 'global' })])
    await site.ask(upload())
    expect((await site.ask(asking)).error?.id).toBe('rateLimited')
  })
  test.each<readonly [string, Asking]>([
    ['pulls', { path: 'team/app/manifests/1' }],
    ['blobs', { path: `team/app/blobs/${digest}` }],
    ['listings', { path: 'team/app/tags/list' }],
    ['deletions', { path: 'team/app/manifests/1', method: 'DELETE' }],
    ['uploads elsewhere', upload('team/other')],
  ])('lets no %s through', async (_, asking) => {
    const site = createLimitSite([requests(2)])
    expect(await refusedOf(site, [upload(), patch, put])).toEqual([])
    expect((await site.ask(asking)).error?.id).toBe('rateLimited')
  })
  test('is slowed by nothing that it has paid for: its pulls are counted as ever', async () => {
    const site = createLimitSite([pushes(), bucket('pulls', { quota: 1 })])
    await site.ask(upload())
    expect(await site.admitted(3, { path: 'team/app/manifests/1' })).toBe(1)
  })
})

describe('the sessions of nobody’s push', () => {
  test.each([patch, put, state, { ...state, method: 'DELETE' }])('%j begin one', async (asking) => {
    const site = createLimitSite([pushes()])
    await site.ask(upload('team/other'))
    expect((await site.ask(asking)).error?.id).toBe('rateLimited')
  })
  test('are requests like others', async () => {
    const site = createLimitSite([requests(1)])
    await site.pull()
    expect((await site.ask(patch)).error?.id).toBe('rateLimited')
  })
})

describe('HEAD', () => {
  test('begins no push', async () => {
    const site = createLimitSite([pushes(), requests(2)])
    expect(await refusedOf(site, [headBlob, headManifest, headBlob])).toHaveLength(1)
    expect((await site.limits.show('alice')).map(({ remaining }) => remaining)).toEqual([1, 0])
  })
  test('does not keep one open', async () => {
    const site = createLimitSite([pushes(), requests(1)])
    expect(await refusedOf(site, [upload()])).toEqual([])
    await site.clock.advance(9 * minutes)
    expect((await site.ask(headBlob)).error).toBeUndefined()
    await site.clock.advance(1 * minutes)
    expect((await site.ask(headBlob)).error?.id).toBe('rateLimited')
  })
})

describe('a long push', () => {
  test('is counted every ten minutes, and never refused', async () => {
    const site = createLimitSite([pushes({ quota: 3, windowSeconds: 86_400 })])
    for (let turn = 0; turn < 13; turn += 1) {
      expect(await refusedOf(site, [upload(), patch])).toEqual([])
      await site.clock.advance(5 * minutes)
    }
    expect(site.verdicts()).toEqual(['pushes admitted', ...Array.from({ length: 4 }, () => 'pushes forced')])
  })
  test('ends when it pauses for ten minutes', async () => {
    const site = createLimitSite([pushes()])
    expect(await refusedOf(site, [upload()])).toEqual([])
    await site.clock.advance(10 * minutes - 1)
    expect(await refusedOf(site, [patch])).toEqual([])
    await site.clock.advance(10 * minutes)
    expect(await refusedOf(site, [patch])).toHaveLength(1)
  })
  test.each([
    ['this gateway', false],
    ['any gateway', true],
  ])('goes on through an upload of hours, for %s', async (_, isOther) => {
    const buckets = [pushes({ quota: 1, windowSeconds: 604_800 }), requests(1)]
    const site = createLimitSite(buckets)
    const { transfer } = await site.ask(patch)
    await site.clock.advance(180 * minutes)
    const next = isOther ? createLimitSite(buckets, { shared: site }) : site
    expect(await refusedOf(next, [upload()])).toEqual([])
    await site.clock.advance(30 * minutes)
    transfer?.end('complete')
    await site.clock.advance(9 * minutes)
    expect(await refusedOf(next, [put, manifest])).toEqual([])
    await site.clock.advance(10 * minutes)
    expect(await refusedOf(next, [upload()])).toHaveLength(1)
    await Promise.all([site, next].map(({ limits }) => limits.close()))
    await site.shared.store.close()
    expect(site.clock.pending()).toBe(0)
  })
})

describe('a store that forgets', () => {
  test('cuts no push', async () => {
    const site = createLimitSite([pushes({ scope: 'global' }), requests(1)])
    await site.ask(upload())
    site.shared.forget()
    // Somebody takes what the empty store offers.
    expect((await site.ask({ ...upload('team/other'), as: bob })).error).toBeUndefined()
    expect(await refusedOf(site, push)).toEqual([])
    // What was remembered here is in the store again, for other gateways.
    const other = createLimitSite([pushes({ scope: 'global' }), requests(1)], { shared: site })
    expect(await refusedOf(other, push)).toEqual([])
  })
  test.each(['local', 'allow', 'deny'] as const)('or fails cuts no push where it is to %s', async (onStoreError) => {
    const site = createLimitSite([pushes(), requests(1), bytes, concurrent], { onStoreError })
    await site.ask(upload())
    site.shared.fail(true)
    expect(await refusedOf(site, push)).toEqual([])
    site.shared.fail(false)
    expect(await refusedOf(site, push)).toEqual([])
  })
})

test('a push whose transfer nobody limits keeps its transfer where nothing lasts', async () => {
  const site = createLimitSite([pushes()])
  expect((await site.ask(state)).transfer).toBe(innerTransfer)
})
