import { describe, expect, test } from '@jest/globals'
import { settle, watch } from '../authentication/fake-clock.ts'
import { alice, bob, bucket, createLimitSite, digest, innerTransfer } from './limit-site.ts'
import type { Asking, LimitSite } from './limit-site.ts'

const blob: Asking = { path: `team/app/blobs/${digest}` }
const mib = 1_048_576

async function remaining({ limits }: LimitSite): Promise<readonly number[]> {
  return (await limits.show('alice')).map((state) => state.remaining)
}

describe('bytes', () => {
  const down = bucket('down', { unit: 'bytes', quota: 10 * mib, windowSeconds: 3_600 })

  test('are charged as they flow, and a transfer that has begun is never cut', async () => {
    const site = createLimitSite([down])
    const { transfer } = await site.ask(blob)
    for (let turn = 0; turn < 25; turn += 1) await transfer?.charge('down', mib)
    await settle()
    expect(await remaining(site)).toEqual([0])
    expect((await site.ask(blob)).error?.message).toContain(
      'alice has used the 10 MiB down in 1 hour of the limit down; the next transfer may begin in 60 min',
    )
    expect((await site.ask(blob)).error?.retryAfterSeconds).toBe(3_600)
    transfer?.end('complete')
    // The debt of more than a window is cut to one.
    await site.clock.advance(3_600_000 + 1_000)
    expect((await site.ask(blob)).error).toBeUndefined()
  })
  test('of both directions of one request go to their buckets', async () => {
    const up = bucket('up', { class: 'push', unit: 'bytes', quota: 10 * mib, windowSeconds: 3_600 })
    const site = createLimitSite([down, up])
    const { transfer } = await site.ask({ path: 'team/app/blobs/uploads/session', method: 'PATCH' })
    await transfer?.charge('up', 4 * mib)
    await transfer?.charge('down', mib)
    transfer?.end('complete')
    expect(await remaining(site)).toEqual([10 * mib, 6 * mib])
  })
  test('are told within a second, and the rest at the end', async () => {
    const site = createLimitSite([down])
    const { transfer } = await site.ask(blob)
    await transfer?.charge('down', 1_000)
    expect(await remaining(site)).toEqual([10 * mib])
    await site.clock.advance(1_000)
    expect((await remaining(site))[0]).toBeLessThan(10 * mib)
    await site.limits.reset('alice')
    await transfer?.charge('down', 500_000)
    transfer?.end('aborted-by-client')
    expect((await remaining(site))[0]).toBeCloseTo(10 * mib - 500_000, -1)
  })
  test('are counted here while the store does not answer', async () => {
    const site = createLimitSite([down])
    const { transfer } = await site.ask(blob)
    site.shared.fail(true)
    await transfer?.charge('down', 30 * mib)
    await settle()
    expect((await site.ask(blob)).error?.id).toBe('rateLimited')
    site.shared.fail(false)
    expect((await site.ask(blob)).error).toBeUndefined()
  })
  test('of a quota that a microsecond is too long for are counted all the same', async () => {
    const site = createLimitSite([bucket('down', { unit: 'bytes', quota: 100_000_000_000, windowSeconds: 60 })])
    const { transfer } = await site.ask(blob)
    for (let turn = 0; turn < 10; turn += 1) await transfer?.charge('down', 10_000_000)
    transfer?.end('complete')
    expect((await remaining(site))[0]).toBeCloseTo(100_000_000_000 - 100_000_000, -5)
  })
})

describe('transfers at one time', () => {
  const two = { name: 'downloads', scope: 'user', class: 'pull', unit: 'concurrent', quota: 2 }

  test('are as many as the quota, and the next when one has ended', async () => {
    const site = createLimitSite([two])
    const [first, second] = [await site.ask(blob), await site.ask(blob)]
    expect((await site.ask(blob)).error?.id).toBe('rateLimited')
    expect((await site.ask({ ...blob, as: bob })).error).toBeUndefined()
    first.transfer?.end('complete')
    first.transfer?.end('complete')
    expect((await site.ask(blob)).error).toBeUndefined()
    expect((await site.ask(blob)).error?.id).toBe('rateLimited')
    second.transfer?.end('aborted-by-client')
    expect((await site.ask(blob)).error).toBeUndefined()
  })
  test('keep their places for hours', async () => {
    const site = createLimitSite([two])
    const open = [await site.ask(blob), await site.ask(blob)]
    await site.clock.advance(7_200_000)
    expect((await site.ask(blob)).error?.id).toBe('rateLimited')
    for (const { transfer } of open) transfer?.end('complete')
    expect(await remaining(site)).toEqual([2])
  })
  test('of a gateway that was killed are free after half a minute', async () => {
    const site = createLimitSite([{ ...two, quota: 20 }])
    const killed = createLimitSite([{ ...two, quota: 20 }], {
      shared: site,
      processId: 'killed',
      // Its clock, and with it every renewal, stands still.
      clock: { nowMs: () => 0, after: () => () => undefined },
    })
    expect(await Promise.all(Array.from({ length: 20 }, () => killed.ask(blob)))).not.toContain(undefined)
    await site.clock.advance(29_999)
    expect((await site.ask(blob)).error?.id).toBe('rateLimited')
    await site.clock.advance(1)
    expect(await remaining(site)).toEqual([20])
  })
  test('are in a store again that has forgotten them', async () => {
    const site = createLimitSite([two])
    await site.ask(blob)
    await site.ask(blob)
    site.shared.forget()
    await site.clock.advance(10_000)
    expect((await site.ask(blob)).error?.id).toBe('rateLimited')
  })
  test('are given back when the gateway closes', async () => {
    const site = createLimitSite([two])
    await site.ask(blob)
    await site.limits.close()
    expect(await remaining(createLimitSite([two], { shared: site }))).toEqual([2])
  })
  test('take no place where another bucket refuses', async () => {
    const site = createLimitSite([two, bucket('pulls', { quota: 1 })])
    const open = await site.pull()
    expect(await site.admitted(5, { path: 'team/app/manifests/latest' })).toBe(0)
    expect(await remaining(site)).toEqual([1, 0])
    open.transfer?.end('complete')
  })
})

describe('a bucket that slows', () => {
  const slow = bucket('pace', { unit: 'bytes', quota: 1_000_000, windowSeconds: 1, onExceeded: 'slow' })

  test('refuses nothing, asks no store, and lets the transfers of a user share its pace', async () => {
    const site = createLimitSite([slow])
    const [one, two, others] = await Promise.all([site.ask(blob), site.ask(blob), site.ask({ ...blob, as: bob })])
    expect(site.shared.calls).toEqual([])
    void one.transfer?.charge('down', 3_000_000)
    const waits = watch(Promise.resolve(two.transfer?.charge('down', 100_000)))
    const passes = watch(Promise.resolve(others.transfer?.charge('down', 100_000)))
    await settle()
    expect([waits().kind, passes().kind]).toEqual(['pending', 'value'])
    await site.clock.advance(5_000)
    expect(waits().kind).toBe('value')
  })
  test.each<readonly [string, Asking, boolean]>([
    ['an upload', { path: 'team/app/blobs/uploads/session', method: 'PATCH' }, true],
    // It may be held in memory for a bounded time only.
    ['a manifest', { path: 'team/app/manifests/1', method: 'PUT' }, false],
  ])('lets %s wait: %j %s', async (_, asking, expected) => {
    const site = createLimitSite([{ ...slow, class: 'push' }])
    const { transfer } = await site.ask(asking)
    void transfer?.charge('up', 9_000_000)
    const waits = watch(Promise.resolve(transfer?.charge('up', 1)))
    await settle()
    expect(waits().kind).toBe(expected ? 'pending' : 'value')
    transfer?.end('complete')
    await settle()
    expect(waits().kind).toBe('value')
  })
  test('is nothing to what has no content', async () => {
    const site = createLimitSite([{ ...slow, class: 'requests', direction: 'down' }])
    expect((await site.ask({ path: '', as: alice })).transfer).toBe(innerTransfer)
  })
})
