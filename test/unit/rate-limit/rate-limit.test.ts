import { describe, expect, test } from '@jest/globals'
import {
  alice,
  anonymous,
  bob,
  bucket,
  ci,
  createLimitSite,
  digest,
  innerTransfer,
  mallory,
  user,
} from './limit-site.ts'
import type { Asking } from './limit-site.ts'

const latest = 'team/app/manifests/latest'
const requests = { class: 'requests', windowSeconds: 60 }

describe('what no bucket is for', () => {
  test.each<readonly [string, readonly Readonly<Record<string, unknown>>[], Asking]>([
    ['anything without buckets', [], { path: latest }],
    ['a blob where pulls are counted', [bucket('pulls')], { path: `team/app/blobs/${digest}` }],
    ['somebody else', [bucket('pulls', { users: ['bob'] })], { path: latest }],
    ['who is exempt', [bucket('pulls', { exemptUsers: ['alice'] })], { path: latest }],
    ['a request where logins are counted', [bucket('logins', { scope: 'address', class: 'login' })], { path: latest }],
  ])('%s keeps its transfer, and the store is not asked', async (_, buckets, asking) => {
    const site = createLimitSite(buckets)
    expect(await site.ask(asking)).toEqual({ error: undefined, transfer: innerTransfer, headers: {} })
    expect((await site.ask(asking)).transfer).toBe(innerTransfer)
    expect(site.shared.calls).toEqual([])
    expect(site.verdicts()).toEqual([])
  })
  test('a request that is only counted keeps its transfer', async () => {
    const site = createLimitSite([bucket('pulls')])
    expect((await site.pull()).transfer).toBe(innerTransfer)
    expect(site.shared.calls).toEqual(['limit-take'])
  })
})

describe('all buckets of a request', () => {
  test('are asked in one call, and charged only where all admit it', async () => {
    const site = createLimitSite([
      bucket('mine', { quota: 3 }),
      bucket('here', { scope: 'address', quota: 2 }),
      bucket('all', { scope: 'global', quota: 9, class: 'requests' }),
    ])
    expect(await site.admitted(4, { path: latest })).toBe(2)
    expect(site.shared.calls).toEqual(Array.from({ length: 4 }, () => 'limit-take'))
    expect(site.verdicts().slice(-4)).toEqual(['here admitted', 'all admitted', 'here refused', 'here refused'])
    // From elsewhere one of three is left, as the two that were refused were not charged.
    expect(await site.admitted(4, { path: latest, from: '192.0.2.2' })).toBe(1)
    expect((await site.limits.show('alice')).map(({ bucket, remaining }) => [bucket.name, remaining])).toEqual([
      ['mine', 0],
      ['all', 6],
    ])
  })
})

describe('a class counts', () => {
  const all: Readonly<Record<string, Asking>> = {
    ping: { path: '' },
    catalog: { path: '_catalog' },
    tags: { path: 'team/app/tags/list' },
    'HEAD tags': { path: 'team/app/tags/list', method: 'HEAD' },
    referrers: { path: `team/app/referrers/${digest}` },
    manifest: { path: latest },
    'manifest by digest': { path: `team/app/manifests/${digest}` },
    'HEAD manifest': { path: latest, method: 'HEAD' },
    'DELETE manifest': { path: latest, method: 'DELETE' },
    'PUT manifest': { path: latest, method: 'PUT' },
    blob: { path: `team/app/blobs/${digest}` },
    'HEAD blob': { path: `team/app/blobs/${digest}`, method: 'HEAD' },
    'DELETE blob': { path: `team/app/blobs/${digest}`, method: 'DELETE' },
    upload: { path: 'team/app/blobs/uploads/', method: 'POST' },
    'upload part': { path: 'team/app/blobs/uploads/session', method: 'PATCH' },
    'upload end': { path: `team/app/blobs/uploads/session?digest=${digest}`, method: 'PUT' },
    'upload state': { path: 'team/app/blobs/uploads/session', method: 'GET' },
    'upload abort': { path: 'team/app/blobs/uploads/session', method: 'DELETE' },
  }
  const uploads = ['upload', 'upload part', 'upload end']
  const pushes = ['PUT manifest', ...uploads, 'upload state', 'upload abort']
  const heads = ['HEAD tags', 'HEAD manifest', 'HEAD blob', 'upload state']
  test.each<readonly [string, Readonly<Record<string, unknown>>, readonly string[]]>([
    ['pulls', { class: 'pull' }, ['manifest', 'manifest by digest']],
    ['pushes', { class: 'push' }, pushes],
    ['listings', { class: 'api' }, ['catalog', 'tags', 'HEAD tags', 'referrers']],
    ['everything', { class: 'requests' }, Object.keys(all)],
    ['downloads', { class: 'pull', unit: 'concurrent' }, ['manifest', 'manifest by digest', 'blob']],
    ['uploads', { class: 'push', unit: 'concurrent' }, ['PUT manifest', ...uploads]],
    ['listings under way', { class: 'api', unit: 'concurrent' }, ['catalog', 'tags', 'referrers']],
    [
      'all that is under way',
      { class: 'requests', unit: 'concurrent' },
      Object.keys(all).filter((name) => ![...heads, 'upload abort'].includes(name)),
    ],
  ])('%s', async (_, changes, expected) => {
    const counted: string[] = []
    for (const [name, asking] of Object.entries(all)) {
      const { windowSeconds, ...timeless } = bucket('some', { quota: 1, ...changes })
      const site = createLimitSite([changes['unit'] === 'concurrent' ? timeless : { ...timeless, windowSeconds }])
      await site.ask(asking)
      const [{ remaining } = { remaining: 1 }] = await site.limits.show('alice')
      if (remaining === 0) counted.push(name)
    }
    expect(counted.toSorted()).toEqual(expected.toSorted())
  })
  test.each<readonly [string, Readonly<Record<string, unknown>>, readonly string[]]>([
    ['of pulls', { class: 'pull' }, ['manifest', 'manifest by digest', 'blob']],
    ['of pushes', { class: 'push' }, ['PUT manifest', ...uploads]],
    ['of listings', { class: 'api' }, ['catalog', 'tags', 'referrers']],
    [
      'down',
      { class: 'requests', direction: 'down' },
      ['catalog', 'tags', 'referrers', 'manifest', 'manifest by digest', 'blob'],
    ],
    ['up', { class: 'requests', direction: 'up' }, ['PUT manifest', ...uploads]],
  ])('bytes %s', async (_, changes, expected) => {
    const counted: string[] = []
    for (const [name, asking] of Object.entries(all)) {
      const site = createLimitSite([bucket('bytes', { unit: 'bytes', quota: 1_000, windowSeconds: 60, ...changes })])
      const { transfer } = await site.ask(asking)
      for (const direction of ['up', 'down'] as const) void transfer?.charge(direction, 300)
      transfer?.end('complete')
      const [{ remaining } = { remaining: 0 }] = await site.limits.show('alice')
      if (remaining === 700) counted.push(name)
      else expect(remaining).toBe(1_000)
    }
    expect(counted.toSorted()).toEqual(expected.toSorted())
  })
})

describe('who is counted together', () => {
  const from = (address: string, as = anonymous): Asking => ({ path: latest, from: address, as })
  test.each<readonly [string, Readonly<Record<string, unknown>>, Asking, Asking, 'together' | 'apart']>([
    ['a user at two addresses', {}, from('192.0.2.1', alice), from('192.0.2.2', alice), 'together'],
    ['two users at one address', {}, from('192.0.2.1', alice), from('192.0.2.1', bob), 'apart'],
    ['names that differ in case', {}, from('192.0.2.1', alice), from('192.0.2.1', user('Alice')), 'apart'],
    ['names that differ in space', {}, from('192.0.2.1', alice), from('192.0.2.1', user('alice ')), 'apart'],
    ['names that try to be a key', {}, from('1.1.1.1', alice), from('1.1.1.1', user('alice}:r:some')), 'apart'],
    ['two groups of logins', {}, from('192.0.2.1', alice), from('192.0.2.1', user('alice', 'other')), 'together'],
    ['who has not logged in, at one address', {}, from('192.0.2.1'), from('192.0.2.1'), 'together'],
    ['who has not logged in, at two addresses', {}, from('192.0.2.1'), from('192.0.2.2'), 'apart'],
    ['a user called like an address', {}, from('192.0.2.1'), from('192.0.2.1', user('192.0.2.1')), 'apart'],
    ['addresses of one /64', {}, from('2001:db8::1'), from('2001:db8::ffff:0:0:2'), 'together'],
    ['addresses of two /64', {}, from('2001:db8::1'), from('2001:db8:0:1::1'), 'apart'],
    ['an IPv4-mapped address', {}, from('192.0.2.1'), from('::ffff:192.0.2.1'), 'together'],
    ['two users by address', { scope: 'address' }, from('192.0.2.1', alice), from('192.0.2.1', bob), 'together'],
    ['users and others by address', { scope: 'address' }, from('192.0.2.1', alice), from('192.0.2.1'), 'together'],
    ['everybody', { scope: 'global' }, from('192.0.2.1', alice), from('192.0.2.9'), 'together'],
    [
      'members of one group',
      { scope: 'group', groups: ['robots'] },
      from('192.0.2.1', ci),
      from('192.0.2.2', user('other', 'robots')),
      'together',
    ],
    [
      'members of two groups',
      { scope: 'group', groups: ['robots', 'readers'] },
      from('192.0.2.1', ci),
      from('192.0.2.1', bob),
      'apart',
    ],
  ])('%s', async (_, changes, one, other, expected) => {
    const site = createLimitSite([bucket('some', { quota: 1, ...changes })])
    expect((await site.ask(one)).error).toBeUndefined()
    expect((await site.ask(other)).error?.id).toBe(expected === 'together' ? 'rateLimited' : undefined)
  })
})

describe('a bucket is for', () => {
  const robots = { groups: ['robots'] }
  test.each<readonly [string, Readonly<Record<string, unknown>>, readonly string[]]>([
    ['everybody', {}, ['alice', 'bob', 'ci', 'anonymous']],
    ['users', { anonymous: false }, ['alice', 'bob', 'ci']],
    ['who has not logged in', { anonymous: 'only' }, ['anonymous']],
    ['users that are named', { users: ['alice', 'mallory'] }, ['alice']],
    ['members of groups', robots, ['ci']],
    ['users and members of groups', { ...robots, users: ['bob'] }, ['bob', 'ci']],
    ['all but users', { exemptUsers: ['alice'] }, ['bob', 'ci', 'anonymous']],
    ['all but members of groups', { exemptGroups: ['robots', 'readers'] }, ['alice', 'anonymous']],
    ['members of groups but for users', { ...robots, users: ['bob'], exemptUsers: ['ci'] }, ['bob']],
    ['nobody at its own addresses', { exemptAddresses: ['192.0.2.0/24', '2001:db8::/32'] }, []],
    ['those elsewhere', { exemptAddresses: ['198.51.100.0/24'] }, ['alice', 'bob', 'ci', 'anonymous']],
    ['each group of its own', { ...robots, scope: 'group' }, ['ci']],
  ])('%s', async (_, changes, expected) => {
    const counted: string[] = []
    for (const as of [alice, bob, ci, anonymous]) {
      const site = createLimitSite([bucket('some', changes)])
      await site.pull(latest, { as })
      if (site.shared.calls.length > 0) counted.push(as.kind === 'user' ? as.name : as.kind)
    }
    expect(counted).toEqual(expected)
  })
  test('each group that a user is in', async () => {
    const site = createLimitSite([bucket('some', { scope: 'group', groups: ['robots', 'readers'], quota: 1 })])
    const both = user('both', 'readers', 'robots', 'readers')
    expect((await site.pull(latest, { as: both })).error).toBeUndefined()
    expect(site.verdicts()).toEqual(['some admitted', 'some admitted'])
    expect((await site.pull(latest, { as: bob })).error?.id).toBe('rateLimited')
    expect((await site.pull(latest, { as: ci })).error?.message).toContain('the group robots has used')
  })
  test('groups that policies give', async () => {
    const site = createLimitSite([bucket('some', { groups: ['robots'], quota: 1 })], { groupsOf: () => ['robots'] })
    expect(await site.admitted(3, { path: latest, as: mallory })).toBe(1)
  })
})

describe('one pull', () => {
  test('is an index and the platforms of it, for a minute', async () => {
    const site = createLimitSite([bucket('pulls', { quota: 2 }), bucket('all', { ...requests, quota: 100 })])
    const byDigest: Asking = { path: `team/app/manifests/${digest}` }
    expect((await site.pull()).error).toBeUndefined()
    expect(await site.admitted(20, byDigest)).toBe(20)
    expect((await site.limits.show('alice')).map(({ remaining }) => remaining)).toEqual([1, 79])
    await site.clock.advance(60_000)
    expect((await site.ask(byDigest)).error).toBeUndefined()
    expect((await site.pull()).error?.id).toBe('rateLimited')
    // The pass of the pull that was charged last goes on.
    expect((await site.ask(byDigest)).error).toBeUndefined()
  })
  test.each<readonly [string, Asking]>([
    ['another repository', { path: `team/other/manifests/${digest}` }],
    ['another user', { path: `team/app/manifests/${digest}`, as: bob }],
    ['another tag', { path: 'team/app/manifests/other' }],
    ['the same tag', { path: latest }],
  ])('is not %s', async (_, asking) => {
    const site = createLimitSite([bucket('pulls', { quota: 1, scope: 'global' })])
    await site.pull()
    expect((await site.ask(asking)).error?.id).toBe('rateLimited')
  })
  test('is no HEAD, which is never refused, and tells how pulls stand', async () => {
    const site = createLimitSite([bucket('pulls', { quota: 2 })])
    const head: Asking = { path: latest, method: 'HEAD' }
    await site.pull()
    expect(await site.admitted(10, head)).toBe(10)
    await site.pull()
    const { error, headers } = await site.ask(head)
    expect(error).toBeUndefined()
    expect(headers).toMatchObject({ 'ratelimit-limit': '2;w=3600', 'ratelimit-remaining': '0;w=3600' })
    expect(headers).not.toHaveProperty('Warning')
    expect(site.verdicts()).toEqual(['pulls admitted', 'pulls admitted'])
  })
  test('is counted for HEAD where every request is', async () => {
    const site = createLimitSite([bucket('all', { ...requests, quota: 3 })])
    expect(await site.admitted(5, { path: latest, method: 'HEAD' })).toBe(3)
  })
})

describe('logins', () => {
  test('that have to be checked are counted by address, whoever logs in', async () => {
    const { limits } = createLimitSite([
      bucket('logins', { scope: 'address', class: 'login', quota: 2, windowSeconds: 60 }),
    ])
    await limits.admitLogin('192.0.2.1')
    await limits.admitLogin('192.0.2.1')
    await expect(limits.admitLogin('192.0.2.1')).rejects.toMatchObject({
      id: 'rateLimited',
      message: 'the address 192.0.2.1 has used the 2 logins in 1 minute of the limit logins; the next is free in 30 s',
      retryAfterSeconds: 30,
    })
    await limits.admitLogin('192.0.2.2')
  })
  test('are free where no bucket counts them', async () => {
    const site = createLimitSite([bucket('pulls')])
    await site.limits.admitLogin('192.0.2.1')
    expect(site.shared.calls).toEqual([])
  })
})

describe('the operator', () => {
  const buckets = [
    bucket('mine', { quota: 5 }),
    bucket('ours', { scope: 'group', groups: ['developers'], quota: 5 }),
    bucket('all', { scope: 'global', quota: 5 }),
    bucket('here', { scope: 'address' }),
    bucket('logins', { scope: 'address', class: 'login' }),
    { name: 'transfers', scope: 'user', class: 'pull', unit: 'concurrent', quota: 4 },
    bucket('slow', { unit: 'bytes', onExceeded: 'slow' }),
  ]
  const site = () => createLimitSite(buckets, { groupsOf: () => ['developers'] })
  const shown = async ({ limits }: ReturnType<typeof site>, name = 'alice') =>
    (await limits.show(name)).map(({ bucket, identity, remaining }) => [bucket.name, identity, remaining])

  test('sees how the buckets of a user stand, and charges nothing by it', async () => {
    const all = site()
    const { transfer } = await all.pull()
    const expected = [
      ['mine', 'u=alice', 4],
      ['transfers', 'u=alice', 3],
      ['ours', 'g=developers', 4],
      ['all', 'all', 4],
    ]
    expect(await shown(all)).toEqual(expected)
    expect(await shown(all)).toEqual(expected)
    transfer?.end('complete')
    await all.clock.advance(3_600_000)
    expect((await shown(all)).map(([, , remaining]) => remaining)).toEqual([5, 4, 5, 5])
  })
  test('makes those of a user whole, and those that are shared only by their name', async () => {
    const all = site()
    await all.pull()
    expect(await all.limits.reset('alice')).toEqual(['mine', 'transfers'])
    expect((await shown(all)).map(([, , remaining]) => remaining)).toEqual([5, 4, 4, 4])
    expect(await all.limits.reset('alice', 'ours')).toEqual(['ours'])
    expect((await shown(all)).map(([, , remaining]) => remaining)).toEqual([5, 4, 5, 4])
    expect(await all.limits.reset('alice', 'unknown')).toEqual([])
    expect(await all.limits.reset('bob', 'mine')).toEqual(['mine'])
  })
})
