import { describe, expect, test } from '@jest/globals'
import { isOfReplica, isUnknownScript, reasonOf, storeFaultOf } from '../../../src/store/store-fault.ts'
import type { StoreFault } from '../../../src/telemetry/labels.ts'

/** An error as ioredis makes it of a reply; no Error, as under jest those of another realm are none. */
function reply(message: string): unknown {
  return { name: 'ReplyError', message, command: { name: 'auth', args: ['canary'] } }
}

describe('what Redis says', () => {
  test.each<[StoreFault, string]>([
    ['readonly', "READONLY You can't write against a read only replica. script: 5f, on @user_script:2."],
    ['readonly', "ERR Error running script (call to f_5f): @user_script:2: @user_script: 2: -READONLY You can't write"],
    ['readonly', 'MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist on disk.'],
    ['readonly', 'NOREPLICAS Not enough good replicas to write.'],
    ['readonly', "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."],
    ['loading', 'LOADING Redis is loading the dataset in memory'],
    ['timeout', 'BUSY Redis is busy running a script.'],
    ['memory', "OOM command not allowed when used memory > 'maxmemory'. script: 5f, on @user_script:2."],
    ['memory', 'ERR Error running script (call to f_5f): @user_script:2: @user_script: 2: -OOM command not allowed'],
    ['login', 'NOAUTH Authentication required.'],
    ['login', 'WRONGPASS invalid username-password pair or user is disabled.'],
    ['login', "NOPERM User wharfgate has no permissions to run the 'evalsha' command"],
    ['login', 'DENIED Redis is running in protected mode'],
    ['login', 'ERR invalid password'],
    ['login', 'ERR AUTH <password> called without any password configured for the default user.'],
    ['login', 'ERR Client sent AUTH, but no password is set'],
    ['cluster', 'CLUSTERDOWN The cluster is down'],
    ['cluster', "CROSSSLOT Keys in request don't hash to the same slot"],
    ['cluster', 'MOVED 3999 127.0.0.1:6381'],
    ['cluster', 'TRYAGAIN Multiple keys request during rehashing of slot'],
    ['down', 'ERR max number of clients reached'],
    ['other', 'WRONGTYPE Operation against a key holding the wrong kind of value'],
    ['other', 'ERR user_script:3: attempt to index a nil value script: 5f, on @user_script:3.'],
    ['other', 'ERR no such key: login'],
  ])('is %s: %s', (fault, message) => {
    expect(storeFaultOf(reply(message))).toBe(fault)
  })
})

describe('what is no answer of Redis', () => {
  test.each<[StoreFault, unknown]>([
    ['down', { name: 'Error', message: 'connect ECONNREFUSED 127.0.0.1:6379', code: 'ECONNREFUSED' }],
    ['down', new Error('Connection is closed.')],
    ['down', new Error("Stream isn't writeable and enableOfflineQueue options is false")],
    ['down', new Error('self-signed certificate')],
    ['down', { name: 'AggregateError', message: '', errors: [] }],
    ['down', undefined],
    ['timeout', new Error('connect ETIMEDOUT')],
    ['timeout', new Error("Socket timeout. Expecting data, but didn't receive any in 1000ms.")],
    ['timeout', new Error('Command timed out')],
    ['cluster', new Error('Too many Cluster redirections. Last error: ReplyError: MOVED 1 127.0.0.1:1')],
    ['cluster', { name: 'ClusterAllFailedError', message: 'Failed to refresh slots cache.' }],
    ['login', { message: 'Failed to refresh slots cache.', lastNodeError: reply('NOAUTH Authentication required.') }],
    ['down', { message: 'Failed to refresh slots cache.', lastNodeError: new Error('connect ECONNREFUSED') }],
  ])('is %s: %j', (fault, error) => {
    expect(storeFaultOf(error)).toBe(fault)
  })
})

describe('a reason', () => {
  test('is what Redis says, without the arguments that it repeats', () => {
    const error = reply("ERR unknown command 'AUTH', with args beginning with: 'wharfgate' 'canary\nsecret'")
    expect(reasonOf(error)).toBe("ERR unknown command 'AUTH'")
  })
  test('is that of the server that was asked last, in a cluster', () => {
    const error = { message: 'Failed to refresh slots cache.', lastNodeError: reply('NOAUTH Authentication required.') }
    expect(reasonOf(error)).toBe('NOAUTH Authentication required.')
  })
  test('has an end and no control characters', () => {
    const reason = reasonOf(reply(`ERR ${'x'.repeat(1_000)}`))
    expect(reason).toHaveLength(256)
    expect(reasonOf(reply('ERR one\r\ntwo'))).toBe('ERR onetwo')
  })
  test('is one of the addresses where several were tried and nothing else is said', () => {
    const errors = [{ message: 'connect ECONNREFUSED ::1:6379' }, { message: 'connect ECONNREFUSED 127.0.0.1:6379' }]
    expect(reasonOf({ name: 'AggregateError', message: '', errors })).toBe('connect ECONNREFUSED ::1:6379')
  })
  test.each([undefined, 'text', { message: 7 }, {}])('is said even of %j', (error) => {
    expect(reasonOf(error)).toBe('no reason was given')
  })
})

test.each([
  [true, 'NOSCRIPT No matching script. Please use EVAL.'],
  [false, 'ERR NOSCRIPT'],
])('that a script is not known is %s of %s', (expected, message) => {
  expect(isUnknownScript(reply(message))).toBe(expected)
})

test.each([
  [true, "READONLY You can't write against a read only replica."],
  [true, 'ERR Error running script: @user_script: 2: -READONLY You cannot write'],
  [true, 'MASTERDOWN Link with MASTER is down'],
  [false, 'LOADING Redis is loading the dataset in memory'],
  [false, 'MISCONF Redis is configured to save RDB snapshots'],
])('that another server could take writes is %s of %s', (expected, message) => {
  expect(isOfReplica(reply(message))).toBe(expected)
})
