import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { alice, bob, bucket, ci, createLimitSite, digest } from './limit-site.ts'
import type { Asking, LimitSite } from './limit-site.ts'

const latest = 'team/app/manifests/latest'
const start: Asking = { path: 'team/app/blobs/uploads/', method: 'POST' }
const people = { alice, bob, ci }

/** Buckets whose keys lie on several servers: of the user, of the address, of a group and of all. */
function spread(quota: number): readonly Readonly<Record<string, unknown>>[] {
  return [
    bucket('pulls', { quota }),
    bucket('pulls-here', { scope: 'address', quota: quota + 1 }),
    bucket('pushes', { class: 'push', quota }),
    bucket('pushes-of-all', { class: 'push', scope: 'global', quota: quota + 1 }),
    bucket('requests-of-robots', { class: 'requests', scope: 'group', groups: ['robots'], quota: 6 * quota }),
    { name: 'uploads', scope: 'global', class: 'push', unit: 'concurrent', quota },
    bucket('up', { class: 'push', scope: 'address', unit: 'bytes', quota: 1_000 }),
  ]
}

async function standing({ limits }: LimitSite): Promise<unknown> {
  const all = await Promise.all(Object.keys(people).map((name) => limits.show(name)))
  return all.flat().map(({ bucket, identity, remaining }) => [bucket.name, identity, remaining])
}

describe('on a cluster', () => {
  test('a call has the keys of one identity, and all calls go out together', async () => {
    const site = createLimitSite(spread(3), { isSharded: true })
    expect((await site.pull(latest, { as: ci })).error).toBeUndefined()
    // Two for the buckets and one for the group, and the pass of the pull afterwards.
    expect(site.shared.calls).toEqual(['limit-take', 'limit-take', 'limit-take', 'limit-adjust'])
  })
  test('what was charged is given back when another server refuses', async () => {
    const site = createLimitSite([bucket('mine', { quota: 9 }), bucket('all', { scope: 'global', quota: 2 })], {
      isSharded: true,
    })
    expect(await site.admitted(9, { path: latest })).toBe(2)
    expect((await site.limits.show('alice')).map(({ remaining }) => remaining)).toEqual([7, 0])
  })
  test('exactly as many are admitted at one time as the smallest bucket holds', async () => {
    const site = createLimitSite(spread(20), { isSharded: true })
    const all = await Promise.all(Array.from({ length: 100 }, () => site.pull()))
    expect(all.filter(({ error }) => error === undefined)).toHaveLength(20)
  })
  test('no pass that another server refused lets anything through', async () => {
    const site = createLimitSite([bucket('mine', { quota: 9 }), bucket('all', { scope: 'global', quota: 1 })], {
      isSharded: true,
    })
    await site.pull('other/app/manifests/1')
    const refused = await Promise.all([site.pull(), site.pull(`team/app/manifests/${digest}`)])
    expect(refused.map(({ error }) => error?.id)).toEqual(['rateLimited', 'rateLimited'])
    expect((await site.pull(`team/app/manifests/${digest}`)).error?.id).toBe('rateLimited')
  })
  test('no push slips through beside one that another server refuses', async () => {
    const pushes = [
      bucket('pushes', { class: 'push', quota: 9 }),
      bucket('all', { class: 'push', scope: 'global', quota: 1 }),
    ]
    const site = createLimitSite(pushes, { isSharded: true })
    await site.ask({ ...start, as: bob })
    const all = await Promise.all([1, 2, 3].map(() => site.ask(start)))
    expect(all.map(({ error }) => error?.id)).toEqual(['rateLimited', 'rateLimited', 'rateLimited'])
    expect((await site.limits.show('alice')).map(({ remaining }) => remaining)).toEqual([9, 0])
  })
  test('the layers of a push that begin together are admitted together', async () => {
    const pushes = [
      bucket('pushes', { class: 'push', quota: 1 }),
      bucket('all', { class: 'push', scope: 'global', quota: 1 }),
    ]
    const site = createLimitSite(pushes, { isSharded: true })
    const all = await Promise.all([1, 2, 3, 4, 5].map(() => site.ask(start)))
    expect(all.map(({ error }) => error)).toEqual([undefined, undefined, undefined, undefined, undefined])
  })
  test('a server that does not answer denies, and what others charged is given back', async () => {
    const site = createLimitSite([bucket('mine', { quota: 9 }), bucket('all', { scope: 'global', quota: 9 })], {
      isSharded: true,
      onStoreError: 'deny',
    })
    site.shared.failFor('{all}')
    expect((await site.pull()).error?.id).toBe('limitsUnavailable')
    site.shared.failFor(undefined)
    expect((await site.limits.show('alice')).map(({ remaining }) => remaining)).toEqual([9, 9])
  })
  test('it says and charges the same as one Redis', async () => {
    const asking = fc.record({
      as: fc.constantFrom<keyof typeof people>('alice', 'bob', 'ci'),
      from: fc.constantFrom('192.0.2.1', '192.0.2.2'),
      what: fc.constantFrom(
        'GET team/app/manifests/latest',
        `GET team/app/manifests/${digest}`,
        'HEAD team/app/manifests/latest',
        'PUT team/app/manifests/latest',
        `GET team/app/blobs/${digest}`,
        'POST team/app/blobs/uploads/',
        'POST team/other/blobs/uploads/',
        'PATCH team/app/blobs/uploads/session',
        'GET _catalog',
      ),
      bytes: fc.constantFrom(0, 300),
      keepsOpen: fc.boolean(),
      waitMs: fc.constantFrom(0, 0, 30_000, 61_000, 500_000, 601_000),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(asking, { maxLength: 40 }), fc.integer({ min: 1, max: 4 }), async (all, quota) => {
        const [whole, sharded] = [createLimitSite(spread(quota)), createLimitSite(spread(quota), { isSharded: true })]
        for (const { as, from, what, bytes, keepsOpen, waitMs } of all) {
          const [method = '', path = ''] = what.split(' ')
          const errors: unknown[] = []
          for (const site of [whole, sharded]) {
            await site.clock.advance(waitMs)
            const { error, transfer } = await site.ask({ method, path, as: people[as], from })
            await transfer?.charge('up', bytes)
            if (!keepsOpen) transfer?.end('complete')
            errors.push(error?.id)
          }
          expect(errors[1]).toBe(errors[0])
          expect(await standing(sharded)).toEqual(await standing(whole))
        }
      }),
      { numRuns: 150 },
    )
  })
})
