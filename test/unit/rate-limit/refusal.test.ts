import { describe, expect, test } from '@jest/globals'
import type { Store } from '../../../src/store/store.ts'
import { settle, watch } from '../authentication/fake-clock.ts'
import { alice, anonymous, bob, bucket, createClient, createLimitSite, digest, user } from './limit-site.ts'

const latest = 'team/app/manifests/latest'

describe('a refusal', () => {
  test('tells whose quota, how much in how long, and the wait', async () => {
    const site = createLimitSite([bucket('pulls-per-user', { quota: 100, windowSeconds: 3_600 })])
    expect(await site.admitted(400, { path: latest })).toBe(100)
    const { error, headers } = await site.pull()
    expect(error).toMatchObject({
      id: 'rateLimited',
      code: 'TOOMANYREQUESTS',
      status: 429,
      retryAfterSeconds: 36,
      message: 'alice has used the 100 pulls in 1 hour of the limit pulls-per-user; the next is free in 36 s',
      reason:
        'Too Many Requests (alice has used the 100 pulls in 1 hour of the limit pulls-per-user; the next is free in 36 s)',
    })
    expect(headers).toEqual({
      'RateLimit-Policy': '"pulls-per-user";q=100;w=3600',
      RateLimit: '"pulls-per-user";r=0;t=36',
      'ratelimit-limit': '100;w=3600',
      'ratelimit-remaining': '0;w=3600',
      'docker-ratelimit-source': 'alice',
    })
  })
  test('tells the longest wait, and only what refused in RateLimit', async () => {
    const site = createLimitSite([
      bucket('short', { quota: 1, windowSeconds: 10 }),
      bucket('long', { quota: 1, windowSeconds: 20, scope: 'global' }),
      bucket('free', { quota: 9, windowSeconds: 3_600 }),
    ])
    await site.pull()
    const { error, headers } = await site.pull()
    expect(error?.retryAfterSeconds).toBe(20)
    expect(error?.message).toContain('all clients together have used the 1 pull in 20 seconds of the limit long')
    expect(headers['RateLimit']).toBe('"short";r=0;t=10, "long";r=0;t=20')
    expect(headers['RateLimit-Policy']).toBe('"short";q=1;w=10, "long";q=1;w=20, "free";q=9;w=3600')
  })
  test('names no bucket that a pass lets through', async () => {
    const site = createLimitSite([
      bucket('pulls', { quota: 1, windowSeconds: 86_400 }),
      bucket('all', { class: 'requests', quota: 2, windowSeconds: 60 }),
    ])
    await site.pull()
    await site.pull(`team/app/manifests/${digest}`)
    const { error } = await site.pull(`team/app/manifests/${digest}`)
    expect(error?.message).toContain('of the limit all; the next is free in 30 s')
    expect(error?.retryAfterSeconds).toBe(30)
    expect(site.verdicts().slice(3)).toEqual(['all refused'])
  })
  test('by a store that does not say why is one', async () => {
    const site = createLimitSite([bucket('pulls')])
    const store = { ...site.shared.store, run: (script) => Promise.resolve(script.parse([0, -1, 0])) } satisfies Store
    expect((await createLimitSite([bucket('pulls')], { store }).pull()).error).toMatchObject({
      id: 'rateLimited',
      retryAfterSeconds: 1,
    })
  })
  test('says to come back after a second at least', async () => {
    const site = createLimitSite([bucket('pulls', { quota: 100, windowSeconds: 1, burst: 1 })])
    await site.pull()
    expect((await site.pull()).error?.retryAfterSeconds).toBe(1)
  })
  test('names an address, and nothing that a header cannot carry', async () => {
    const site = createLimitSite([bucket('pulls', { quota: 1 })])
    await site.pull(latest, { as: anonymous, from: '2001:db8::7' })
    const refused = await site.pull(latest, { as: anonymous, from: '2001:db8::8' })
    expect(refused.error?.message).toContain('the address 2001:db8::/64 has used the 1 pull')
    expect(refused.headers['docker-ratelimit-source']).toBe('2001:db8::/64')
    await site.pull(latest, { as: user('j\u00fcrgen\u0007') })
    const other = await site.pull(latest, { as: user('j\u00fcrgen\u0007') })
    expect(other.headers['docker-ratelimit-source']).toBe('j?rgen?')
  })
  test('is free of Docker Hub’s headers where no pulls are counted', async () => {
    const site = createLimitSite([bucket('listings', { class: 'api', quota: 1 })])
    await site.pull('_catalog')
    expect((await site.pull('_catalog')).headers).toEqual({
      'RateLimit-Policy': '"listings";q=1;w=3600',
      RateLimit: '"listings";r=0;t=3600',
    })
  })
  test('says nothing of a wait for transfers, whose end nobody knows', async () => {
    const site = createLimitSite([{ name: 'downloads', scope: 'user', class: 'pull', unit: 'concurrent', quota: 2 }])
    await site.pull(`team/app/blobs/${digest}`)
    await site.pull(`team/app/blobs/${digest}`)
    const { error, headers } = await site.pull(`team/app/blobs/${digest}`)
    expect(error?.message).toBe(
      'alice has under way all 2 transfers that the limit downloads allows at one time; try again when one has ended',
    )
    expect(error?.retryAfterSeconds).toBe(5)
    expect(headers).toEqual({
      'RateLimit-Policy': '"downloads";q=2;qu="concurrent-requests"',
      RateLimit: '"downloads";r=0',
    })
  })
  test('does not lengthen the wait of who hammers', async () => {
    const site = createLimitSite([bucket('pulls', { quota: 1, windowSeconds: 60 })])
    await site.pull()
    expect(await site.admitted(1_000, { path: latest })).toBe(0)
    await site.clock.advance(60_000)
    expect((await site.pull()).error).toBeUndefined()
  })
})

describe('before a refusal', () => {
  const buckets = [bucket('pulls', { quota: 60, windowSeconds: 60, burst: 1 })]
  const slow = [bucket('pulls', { quota: 1, windowSeconds: 60 })]

  test('a request whose turn comes soon waits for it', async () => {
    const site = createLimitSite(buckets, { refusalWaitMs: 1_000 })
    await site.pull()
    await site.clock.advance(400)
    const outcome = watch(site.pull())
    await site.clock.advance(600)
    expect(outcome()).toEqual({ kind: 'pending' })
    await site.clock.advance(1)
    expect(outcome()).toMatchObject({ kind: 'value', value: { error: undefined } })
  })
  test('a request that comes too late for its turn is refused after one wait', async () => {
    const site = createLimitSite(buckets, { refusalWaitMs: 1_000 })
    await site.pull()
    const outcomes = [watch(site.pull()), watch(site.pull())]
    await site.clock.advance(1_001)
    const errors = outcomes.map((outcome) => outcome()).map((one) => (one.kind === 'value' ? one.value.error?.id : one))
    expect(errors).toEqual([undefined, 'rateLimited'])
  })
  test('a request whose turn comes late is held, so that who tries again at once tries seldom', async () => {
    const site = createLimitSite(slow, { refusalWaitMs: 1_000 })
    await site.pull()
    const outcome = watch(site.pull())
    await site.clock.advance(999)
    expect(outcome()).toEqual({ kind: 'pending' })
    await site.clock.advance(1)
    const refused = { error: { id: 'rateLimited', retryAfterSeconds: 59 }, headers: { RateLimit: '"pulls";r=0;t=59' } }
    expect(outcome()).toMatchObject({ value: refused })
    expect(site.shared.calls).toHaveLength(2)
  })
  test('a transfer may find a place that has become free', async () => {
    const downloads = { name: 'downloads', scope: 'user', class: 'pull', unit: 'concurrent', quota: 1 }
    const site = createLimitSite([downloads], { refusalWaitMs: 1_000 })
    const { transfer } = await site.pull()
    const outcome = watch(site.pull())
    await site.clock.advance(500)
    transfer?.end('complete')
    await site.clock.advance(500)
    expect(outcome()).toMatchObject({ value: { error: undefined } })
  })
  test('a client that leaves is not waited for, nor listened to', async () => {
    const site = createLimitSite(slow, { refusalWaitMs: 1_000 })
    await site.pull()
    const client = createClient()
    const outcome = watch(site.pull(latest, { client }))
    await settle()
    expect(client.listeners.size).toBe(1)
    client.leave()
    await settle()
    expect(outcome()).toMatchObject({ value: { error: { id: 'rateLimited' } } })
    expect(client.listeners.size).toBe(0)
    expect((await site.pull(latest, { client })).error?.id).toBe('rateLimited')
  })
  test('a thousand are held, and no more', async () => {
    const site = createLimitSite(slow, { refusalWaitMs: 1_000 })
    await site.pull()
    const outcomes = Array.from({ length: 1_003 }, () => watch(site.pull()))
    await settle()
    expect(outcomes.filter((outcome) => outcome().kind === 'value')).toHaveLength(3)
    await site.clock.advance(1_000)
    expect(outcomes.filter((outcome) => outcome().kind === 'value')).toHaveLength(1_003)
  })
  test('closing lets everybody go', async () => {
    const site = createLimitSite(slow, { refusalWaitMs: 1_000 })
    await site.pull()
    const outcome = watch(site.pull())
    await settle()
    await site.limits.close()
    await settle()
    expect(outcome().kind).toBe('value')
    expect((await site.pull()).error?.id).toBe('rateLimited')
  })
})

describe('while the store does not answer', () => {
  const buckets = [bucket('pulls', { quota: 2 })]
  test.each([
    ['local', 2],
    ['allow', 5],
    ['deny', 0],
  ] as const)('%s admits %i of five', async (onStoreError, expected) => {
    const site = createLimitSite(buckets, { onStoreError })
    site.shared.fail(true)
    expect(await site.admitted(5, { path: latest })).toBe(expected)
    expect(site.verdicts()).toContain(`uncounted ${onStoreError}`)
    const { error, headers } = await site.pull(latest, { as: bob })
    if (onStoreError === 'deny') expect(error).toMatchObject({ id: 'limitsUnavailable', status: 503 })
    if (onStoreError !== 'local') expect(headers).toEqual({})
  })
  test('what is free is not denied', async () => {
    const site = createLimitSite(buckets, { onStoreError: 'deny' })
    site.shared.fail(true)
    expect(await site.ask({ path: latest, method: 'HEAD' })).toMatchObject({ error: undefined, headers: {} })
    expect((await site.ask({ path: `team/app/blobs/${digest}` })).error).toBeUndefined()
  })
  test('Redis goes on where it stood', async () => {
    const site = createLimitSite(buckets)
    await site.pull()
    site.shared.fail(true)
    expect(await site.admitted(5, { path: latest })).toBe(2)
    site.shared.fail(false)
    expect(await site.admitted(5, { path: latest })).toBe(1)
  })
  test('what is no failure of the store is none', async () => {
    const site = createLimitSite(buckets)
    const broken = { ...site.shared.store, run: () => Promise.reject(new TypeError('a mistake')) }
    await expect(createLimitSite(buckets, { store: broken }).pull(latest, { as: alice })).rejects.toThrow('a mistake')
  })
})
