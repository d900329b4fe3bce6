import { describe, expect, test } from '@jest/globals'
import { z } from 'zod'
import { explain } from '../../../src/config/explain.ts'
import { knownKeys, printPath } from '../../../src/config/keys.ts'
import { redisSection } from '../../../src/config/redis-settings.ts'
import { plainText } from '../../../src/config/values.ts'

const schema = z.strictObject({ redis: redisSection(plainText.transform((path) => `/etc/w/${path}`)) })

type Redis = Readonly<Record<string, unknown>>

function settings(redis: Redis) {
  return schema.parse({ redis: { enabled: true, ...redis } }).redis
}

function faults(redis: Redis): readonly string[] {
  const { error } = schema.safeParse({ redis: { enabled: true, ...redis } }, { reportInput: true })
  return explain(error?.issues ?? [], knownKeys(schema)).map(({ path, sentence }) => `${printPath(path)} ${sentence}`)
}

const defaults = {
  enabled: true,
  database: 0,
  keyPrefix: 'wharfgate:',
  commandTimeoutMs: 50,
  connectTimeoutMs: 2_000,
}
const url = 'redis://redis.example.org'
const addresses = ['one.example.org', 'two.example.org:7000', '[fd00::1]:7001']
const secret = 'canary%25secret'

describe('the Redis of the gateways', () => {
  test('is not there unless it is switched on', () => {
    expect(schema.parse({})).toEqual({ redis: { enabled: false } })
    expect(schema.parse({ redis: { enabled: false, url, password: 'x' } })).toEqual({ redis: { enabled: false } })
  })
  test.each<[string, object]>([
    ['redis://redis.example.org', { servers: { kind: 'standalone', host: 'redis.example.org', port: 6379 } }],
    ['REDIS://Redis.Example.Org:7000/', { servers: { kind: 'standalone', host: 'redis.example.org', port: 7000 } }],
    ['redis://[fd00::1]:7000/12', { servers: { kind: 'standalone', host: 'fd00::1', port: 7000 }, database: 12 }],
    ['rediss://192.0.2.7', { servers: { kind: 'standalone', host: '192.0.2.7', port: 6379 }, tls: {} }],
    [
      'redis://:p%40ss@redis',
      { servers: { kind: 'standalone', host: 'redis', port: 6379 }, login: { password: 'p@ss' } },
    ],
    [
      'redis://gate:p%25@redis',
      { servers: { kind: 'standalone', host: 'redis', port: 6379 }, login: { username: 'gate', password: 'p%' } },
    ],
  ])('is found at %s', (address, expected) => {
    expect(settings({ url: address })).toEqual({ ...defaults, ...expected })
  })
  test('has a login and TLS beside its address', () => {
    const tls = { caFile: 'ca.crt', certificateFile: 'w.crt', keyFile: 'w.key', serverName: 'redis.internal' }
    expect(settings({ url: 'rediss://gate@redis', password: 'x', tls, database: 3, keyPrefix: 'a:' })).toEqual({
      ...defaults,
      servers: { kind: 'standalone', host: 'redis', port: 6379 },
      login: { username: 'gate', password: 'x' },
      tls: {
        caFile: '/etc/w/ca.crt',
        certificateFile: '/etc/w/w.crt',
        keyFile: '/etc/w/w.key',
        serverName: 'redis.internal',
      },
      database: 3,
      keyPrefix: 'a:',
    })
  })
  test('is found by Sentinels, which may have a login of their own', () => {
    const sentinels = { name: 'mymaster', addresses, username: 's', password: 'sp' }
    expect(settings({ sentinels, password: 'x', tls: {} })).toEqual({
      ...defaults,
      servers: {
        kind: 'sentinel',
        name: 'mymaster',
        addresses: [
          { host: 'one.example.org', port: 26_379 },
          { host: 'two.example.org', port: 7_000 },
          { host: 'fd00::1', port: 7_001 },
        ],
        login: { username: 's', password: 'sp' },
      },
      login: { password: 'x' },
      tls: {},
    })
  })
  test('is a cluster, of which some servers are named', () => {
    expect(settings({ cluster: { addresses }, username: 'gate', password: 'x', database: 0 })).toEqual({
      ...defaults,
      servers: {
        kind: 'cluster',
        addresses: [
          { host: 'one.example.org', port: 6_379 },
          { host: 'two.example.org', port: 7_000 },
          { host: 'fd00::1', port: 7_001 },
        ],
      },
      login: { username: 'gate', password: 'x' },
    })
  })
})

describe('a fault is told with its cure', () => {
  const sentinels = { name: 'm', addresses: ['a'] }
  test.each<[Redis, string]>([
    [{}, 'redis says nowhere which Redis: give one of redis.url, redis.sentinels and redis.cluster'],
    [{ url, cluster: { addresses } }, 'redis.cluster stands beside redis.url; keep one of the two'],
    [{ url, sentinels }, 'redis.sentinels stands beside redis.url; keep one of the two'],
    [{ sentinels, cluster: { addresses } }, 'redis.cluster stands beside redis.sentinels; keep one of the two'],
    [
      { url, tls: {} },
      'redis.tls has no effect on an address that begins with redis://; write rediss:// in redis.url, or remove it',
    ],
    [
      { url: 'rediss://a', tls: { keyFile: 'k' } },
      'redis.tls has one of certificateFile and keyFile; a certificate of the gateway needs both',
    ],
    [{ url: 'redis://a/1', database: 1 }, 'redis.database stands beside a database in redis.url; keep one of the two'],
    [{ cluster: { addresses }, database: 1 }, 'redis.database must be 0 for redis.cluster, which has no other'],
    [
      { url: 'redis://:p@a', password: 'p' },
      'redis.password stands beside a password in redis.url; keep one of the two',
    ],
    [
      { url: 'redis://:p@a', username: 'gate' },
      'redis.username stands beside a login in redis.url; keep one of the two',
    ],
    [
      { url: 'redis://gate@a', username: 'gate', password: 'p' },
      'redis.username stands beside a login in redis.url; keep one of the two',
    ],
    [{ url: 'redis://gate@a' }, 'redis.username is given without a password; add redis.password or redis.passwordFile'],
    [{ url, username: 'gate' }, 'redis.username is given without a password; add redis.password or redis.passwordFile'],
    [
      { sentinels: { ...sentinels, username: 's' } },
      'redis.sentinels.username is given without a password; add redis.sentinels.password or redis.sentinels.passwordFile',
    ],
    [{ sentinels: { name: 'm', addresses: [] } }, 'redis.sentinels.addresses must have at least 1 item'],
    [{ cluster: {} }, 'redis.cluster.addresses is required'],
    [
      { url, keyPrefix: 'a{b}' },
      'redis.keyPrefix must not contain { or }, which say in Redis Cluster what lies together',
    ],
    [{ url, keyPrefix: '' }, 'redis.keyPrefix must not be empty'],
    [{ url, commandTimeoutMs: 4 }, 'redis.commandTimeoutMs must be at least 5; got 4'],
    [{ url, connectTimeoutMs: 60_001 }, 'redis.connectTimeoutMs must be at most 60000; got 60001'],
    [{ url, host: 'a' }, 'redis.host unknown key; known here are'],
  ])('%j', (redis, expected) => {
    const [first, ...others] = faults(redis)
    expect(first?.slice(0, expected.length)).toBe(expected)
    expect(others).toEqual([])
  })
  test.each([
    ['', 'must be an address such as'],
    ['redis.example.org', 'must be an address such as'],
    ['redis:/redis.example.org', 'must be an address such as'],
    ['redis:///0', 'must be an address such as'],
    ['https://redis.example.org', 'must be an address such as'],
    ['redis://redis example', 'must be an address such as'],
    ['redis://redis:port', 'must be an address such as'],
    ['redis://redis?db=1', 'must not have a query'],
    ['redis://redis#1', 'must not have a query'],
    ['redis://redis/one', 'must end after the port'],
    ['redis://redis/0/1', 'must end after the port'],
    ['redis://:%zz@redis', 'must have the user name and the password percent-encoded'],
  ])('address %j', (address, expected) => {
    expect(faults({ url: address })).toEqual([expect.stringContaining(`redis.url ${expected}`)])
  })
  test.each(['', 'a:b', 'a:', 'a:99999', 'a:0', 'a/b', 'user@a', 'a b', '::1'])('server %j', (address) => {
    expect(faults({ cluster: { addresses: [address] } })).toEqual([
      'redis.cluster.addresses[0] must be a host or host:port, such as redis-1.example.org:6379; IPv6 in brackets',
    ])
  })
})

describe('a password', () => {
  test.each<[string, Redis]>([
    ['in an address that is refused', { url: `redis://gate:${secret}@redis/x` }],
    ['in an address with a fault beside it', { url: `redis://gate:${secret}@redis`, username: 'gate', database: -1 }],
    ['in an address of the wrong kind', { url: `http://gate:${secret}@redis` }],
    ['in the list of a cluster', { cluster: { addresses: [`redis://:${secret}@redis`] } }],
    ['of its own key', { url, password: secret, username: 7 }],
    ['that is no text', { url, password: [secret] }],
  ])('%s is in no message', (_, redis) => {
    const sentences = faults(redis)
    expect(sentences).not.toEqual([])
    expect(sentences.join()).not.toMatch(/canary|secret/)
  })
  test('can stand in a file, and so can the address that has it', () => {
    const twins = knownKeys(schema).flatMap(({ path, secretPath }) =>
      secretPath === undefined ? [] : [printPath(path)],
    )
    expect(twins).toEqual(['redis.urlFile', 'redis.sentinels.passwordFile', 'redis.passwordFile'])
  })
})
