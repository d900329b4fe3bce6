import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { rateLimit } from '../../../src/config/limits-settings.ts'
import { quotaText } from '../../../src/rate-limit/limit-words.ts'

const pulls = { name: 'pulls', scope: 'user', class: 'pull', quota: 100, windowSeconds: 3_600 }
type Changes = Readonly<Record<string, unknown>>

function parse(...buckets: readonly Changes[]) {
  return rateLimit.safeParse({ enabled: true, buckets })
}

/** The bucket that `changes` make of pulls; `undefined` takes a key away. */
function made(changes: Changes): Changes {
  const all: Changes = { ...pulls, ...changes }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}

describe('limits', () => {
  test('are off unless they are switched on, whatever stands beside', () => {
    expect(rateLimit.parse(undefined)).toEqual({ enabled: false })
    expect(rateLimit.parse({ enabled: false, buckets: [pulls], onStoreError: 'deny' })).toEqual({ enabled: false })
  })
  test('have buckets by default, none of which a person meets', () => {
    const settings = rateLimit.parse({ enabled: true })
    expect(settings).toMatchObject({ enabled: true, onStoreError: 'local', refusalWaitMs: 1_000 })
    const buckets = settings.enabled ? settings.buckets : []
    expect(buckets.map(({ name }) => name)).toEqual([
      'pulls-per-user',
      'anonymous-pulls',
      'pushes-per-user',
      'listings-per-user',
      'requests-per-user',
      'logins-per-address',
    ])
    expect(buckets.every(({ unit }) => unit === 'requests')).toBe(true)
  })
  test('may have no bucket at all', () => {
    expect(rateLimit.parse({ enabled: true, buckets: [] })).toMatchObject({ buckets: [] })
  })
  test.each<readonly [string, Changes, Changes]>([
    ['a burst like the quota', {}, { unit: 'requests', burst: 100, anonymous: true, users: [] }],
    ['a burst of its own', { burst: 5 }, { burst: 5 }],
    ['nobody without a login, where it is for some', { users: ['alice'] }, { anonymous: false }],
    ['nobody without a login, where it is for groups', { groups: ['robots'] }, { anonymous: false }],
    ['only those without a login', { anonymous: 'only' }, { anonymous: 'only' }],
    ['bytes down for pulls', { unit: 'bytes' }, { direction: 'down', onExceeded: 'refuse' }],
    ['bytes up for pushes', { unit: 'bytes', class: 'push' }, { direction: 'up' }],
    ['bytes at a pace', { unit: 'bytes', onExceeded: 'slow' }, { onExceeded: 'slow' }],
    ['networks', { exemptAddresses: ['10.0.0.0/8'] }, { exemptAddresses: [{ prefixLength: 8 }] }],
  ])('have %s', (_, changes, expected) => {
    const parsed = parse(made(changes))
    expect(parsed.data).toMatchObject({ buckets: [expected] })
  })
  test('count transfers without a window', () => {
    const settings = rateLimit.parse({
      enabled: true,
      buckets: [made({ unit: 'concurrent', windowSeconds: undefined, quota: 4 })],
    })
    const [bucket] = settings.enabled ? settings.buckets : []
    expect(bucket).toMatchObject({ unit: 'concurrent', quota: 4 })
    expect(bucket).not.toHaveProperty('windowSeconds')
    expect(bucket).not.toHaveProperty('burst')
  })
})

describe('a bucket is refused', () => {
  test.each<readonly [string, string, Changes]>([
    ['name', 'lower-case words with hyphens', { name: 'Pulls per user' }],
    ['name', 'lower-case words with hyphens', { name: 'pulls-' }],
    ['scope', 'must be address or global for class login', { class: 'login' }],
    ['groups', 'left out for class login', { class: 'login', scope: 'address', groups: ['a'] }],
    ['users', 'left out for class login', { class: 'login', scope: 'address', users: ['alice'] }],
    ['exemptGroups', 'left out for class login', { class: 'login', scope: 'address', exemptGroups: ['a'] }],
    ['anonymous', 'left out for class login', { class: 'login', scope: 'address', anonymous: false }],
    ['groups', 'is required for scope group', { scope: 'group' }],
    ['users', 'left out for scope group', { scope: 'group', groups: ['a'], users: ['alice'] }],
    ['anonymous', 'a client without a login is none of them', { users: ['alice'], anonymous: true }],
    ['anonymous', 'leave them out', { anonymous: 'only', exemptUsers: ['alice'] }],
    ['unit', 'must be requests for class token', { class: 'token', unit: 'bytes' }],
    [
      'unit',
      'must be requests for class login',
      { class: 'login', scope: 'global', unit: 'concurrent', windowSeconds: undefined },
    ],
    ['direction', 'for unit bytes alone', { direction: 'down' }],
    ['direction', 'must be down for class pull', { unit: 'bytes', direction: 'up' }],
    ['direction', 'must be down for class api', { class: 'api', unit: 'bytes', direction: 'up' }],
    ['direction', 'must be up for class push', { class: 'push', unit: 'bytes', direction: 'down' }],
    ['direction', 'down or up', { class: 'requests', unit: 'bytes' }],
    ['onExceeded', 'unit bytes alone', { onExceeded: 'slow' }],
    ['windowSeconds', 'is required', { windowSeconds: undefined }],
    ['windowSeconds', 'left out for unit concurrent', { unit: 'concurrent' }],
    ['burst', 'left out for unit concurrent', { unit: 'concurrent', windowSeconds: undefined, burst: 5 }],
    ['quota', 'at most 100000 for unit concurrent', { unit: 'concurrent', windowSeconds: undefined, quota: 100_001 }],
    ['quota', 'at most 10000 for each second', { quota: 10_001, windowSeconds: 1 }],
    ['burst', 'at most the quota, 100', { burst: 101 }],
    ['burst', 'left out where onExceeded is slow', { unit: 'bytes', onExceeded: 'slow', burst: 5 }],
    ['quota', '', { quota: 0 }],
    ['windowSeconds', '', { windowSeconds: 2_592_001 }],
    ['exemptAddresses', 'such as 10.0.0.0/8', { exemptAddresses: ['10.0.0.0/33'] }],
  ])('for its %s: %s', (name, sentence, changes) => {
    const { error } = parse(made(changes))
    const issues = error?.issues.map(({ path, message }) => [path.slice(0, 3).join('.'), message])
    expect(issues).toEqual([[`buckets.0.${name}`, expect.stringContaining(sentence)]])
  })
  test('for a name that another has', () => {
    const { error } = parse(pulls, { ...pulls, scope: 'address' })
    expect(error?.issues.map(({ path, message }) => [path.join('.'), message])).toEqual([
      ['buckets.1.name', 'is also the name of buckets[0]; give each bucket its own'],
    ])
  })
  test('for a key that nobody knows', () => {
    expect(parse(made({ limit: 5 })).success).toBe(false)
  })
})

describe('the reference', () => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/reference/rate-limits.md'), 'utf8')
  const settings = rateLimit.parse({ enabled: true })

  test.each((settings.enabled ? settings.buckets : []).map((bucket) => [bucket.name, bucket] as const))(
    'tells of the default bucket %s',
    (name, bucket) => {
      expect(page).toContain(`| \`${name}\` | \`${bucket.scope}\` | ${quotaText(bucket)} |`)
    },
  )
  test('tells of no other', () => {
    const rows = page.split('## What a bucket counts')[0]?.match(/^\| `/gm) ?? []
    expect(rows).toHaveLength(settings.enabled ? settings.buckets.length : 0)
  })
})
