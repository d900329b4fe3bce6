import { describe, expect, test } from '@jest/globals'
import { anonymous, bucket, createLimitSite, digest, user } from './limit-site.ts'

const latest = 'team/app/manifests/latest'

async function headersOf(
  buckets: readonly Readonly<Record<string, unknown>>[],
  { before = 0, method = 'GET', as = user('alice') } = {},
): Promise<Readonly<Record<string, string>>> {
  const site = createLimitSite(buckets)
  for (let turn = 0; turn < before; turn += 1) await site.pull(latest, { as })
  return (await site.ask({ path: latest, method, as, from: '192.0.2.1' })).headers
}

describe('the headers of a pull', () => {
  test.each<readonly [string, readonly Readonly<Record<string, unknown>>[], Readonly<Record<string, string>>]>([
    [
      'one bucket',
      [bucket('pulls', { quota: 100, windowSeconds: 21_600 })],
      {
        'RateLimit-Policy': '"pulls";q=100;w=21600',
        RateLimit: '"pulls";r=99;t=216',
        'ratelimit-limit': '100;w=21600',
        'ratelimit-remaining': '99;w=21600',
        'docker-ratelimit-source': 'alice',
      },
    ],
    [
      'the tightest of several, and every unit',
      [
        bucket('wide', { quota: 1_000 }),
        bucket('here', { quota: 50, scope: 'address' }),
        bucket('bytes', { unit: 'bytes', quota: 5_000, windowSeconds: 60 }),
        { name: 'downloads', scope: 'global', class: 'pull', unit: 'concurrent', quota: 7 },
        bucket('all', { class: 'requests', quota: 10 }),
      ],
      {
        'RateLimit-Policy':
          '"wide";q=1000;w=3600, "here";q=50;w=3600, "bytes";q=5000;qu="content-bytes";w=60, ' +
          '"downloads";q=7;qu="concurrent-requests", "all";q=10;w=3600',
        RateLimit: '"wide";r=999;t=4, "here";r=49;t=72, "bytes";r=5000, "downloads";r=6, "all";r=9;t=360',
        'ratelimit-limit': '50;w=3600',
        'ratelimit-remaining': '49;w=3600',
        'docker-ratelimit-source': '192.0.2.1',
      },
    ],
    [
      'groups of one bucket once in the policy',
      [bucket('teams', { scope: 'group', groups: ['a', 'b'], quota: 9, windowSeconds: 9 })],
      {
        'RateLimit-Policy': '"teams";q=9;w=9',
        RateLimit: '"teams";r=8;t=1, "teams";r=8;t=1',
        'ratelimit-limit': '9;w=9',
        'ratelimit-remaining': '8;w=9',
        'docker-ratelimit-source': 'a',
      },
    ],
    [
      'a bucket without pulls',
      [bucket('all', { class: 'requests', quota: 10 })],
      { 'RateLimit-Policy': '"all";q=10;w=3600', RateLimit: '"all";r=9;t=360' },
    ],
    ['a bucket that slows', [bucket('pace', { unit: 'bytes', onExceeded: 'slow' })], {}],
  ])('tell of %s', async (_, buckets, expected) => {
    expect(await headersOf(buckets, { as: user('alice', 'a', 'b') })).toEqual(expected)
  })
  test('are those of a list of structured fields', async () => {
    const buckets = [bucket('a1-b2', { quota: 3 }), bucket('pulls', { unit: 'bytes', quota: 999_999_999_999_999 })]
    const headers = await headersOf(buckets)
    // RFC 9651: sf-list of sf-string with parameters of sf-integer or sf-string.
    const item = /^"[a-z0-9-]+"(?:;[a-z]+=(?:\d{1,15}|"[a-z-]+"))*$/
    for (const name of ['RateLimit', 'RateLimit-Policy'])
      for (const part of (headers[name] ?? '').split(', ')) expect(part).toMatch(item)
  })
  test('stand on manifests alone', async () => {
    const site = createLimitSite([bucket('all', { class: 'requests', quota: 100 })])
    for (const path of ['', '_catalog', `team/app/blobs/${digest}`])
      expect((await site.ask({ path })).headers).toEqual({})
    expect((await site.ask({ path: latest, method: 'PUT' })).headers).toEqual({})
    expect((await site.ask({ path: `team/app/manifests/${digest}` })).headers).toHaveProperty('RateLimit')
  })
  test('name who has not logged in by address', async () => {
    expect(await headersOf([bucket('pulls')], { as: anonymous })).toMatchObject({
      'docker-ratelimit-source': '192.0.2.1',
    })
  })
})

describe('a warning', () => {
  const pulls = [bucket('pulls', { quota: 10 })]
  test.each([
    [6, 'GET', undefined],
    [7, 'GET', '299 - "alice has 2 left of the 10 pulls in 1 hour of the limit pulls"'],
    [9, 'GET', '299 - "alice has 0 left of the 10 pulls in 1 hour of the limit pulls"'],
    [9, 'HEAD', undefined],
  ])('after %i pulls, with %s: %s', async (before, method, expected) => {
    expect((await headersOf(pulls, { before, method }))['Warning']).toBe(expected)
  })
  test('is no warning of anything but pulls', async () => {
    expect(await headersOf([bucket('all', { class: 'requests', quota: 1 })])).not.toHaveProperty('Warning')
  })
  test('is a quoted string, whatever a user is called', async () => {
    const headers = await headersOf([bucket('pulls', { quota: 1 })], { as: user('a"b\\c\r\nd\u00e9') })
    expect(headers['Warning']).toBe('299 - "a\\"b\\\\c??d? has 0 left of the 1 pull in 1 hour of the limit pulls"')
  })
})
