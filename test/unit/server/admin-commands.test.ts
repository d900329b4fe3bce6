import { describe, expect, test } from '@jest/globals'
import { answerAdmin } from '../../../src/server/admin-commands.ts'
import type { AdminCommands } from '../../../src/server/admin-commands.ts'
import type { BucketState } from '../../../src/rate-limit/bucket-state.ts'
import { userIdentity } from '../../../src/rate-limit/identity.ts'
import { StoreError } from '../../../src/store/store.ts'

const state: BucketState = {
  bucket: {
    name: 'pulls-per-user',
    scope: 'user',
    class: 'pull',
    unit: 'requests',
    quota: 1000,
    windowSeconds: 21_600,
    burst: 1000,
    users: [],
    groups: [],
    anonymous: true,
    exemptUsers: [],
    exemptGroups: [],
    exemptAddresses: [],
  },
  identity: userIdentity('alice'),
  remaining: 964,
  nextMs: 300,
  wholeMs: 779_001,
  waitMs: 0,
}
const pulls = {
  bucket: 'pulls-per-user',
  scope: 'user',
  subject: 'alice',
  class: 'pull',
  unit: 'requests',
  quota: 1000,
  windowSeconds: 21_600,
  quotaText: '1000 pulls in 6 hours',
  remaining: 964,
  resetSeconds: 780,
}
const locked = { address: '192.0.2.7', lockedSeconds: 2, failures: 51, lockedUsers: 1 }

/** Commands that keep what they were asked. */
function recorded() {
  const asked: unknown[] = []
  const commands: AdminCommands = {
    isShared: true,
    reload: () => Promise.resolve([]),
    flush: () => void asked.push('flush'),
    limits: {
      show: (user) => {
        asked.push({ show: user })
        return Promise.resolve([state])
      },
      reset: (user, bucket) => {
        asked.push({ reset: user, bucket })
        return Promise.resolve(bucket === 'nobody-has-it' ? [] : ['pulls-per-user'])
      },
    },
    lockout: {
      list: () => Promise.resolve([{ address: '192.0.2.7', lockedMs: 1001, failures: 51, lockedUsers: 1 }]),
      clear: (selection) => {
        asked.push({ clear: selection })
        return Promise.resolve(2)
      },
    },
  }
  return { asked, commands }
}

describe('what is asked over the admin socket', () => {
  test.each<[method: string, target: string, answer: object, asked: readonly unknown[]]>([
    ['POST', '/reload', { outcomes: [] }, []],
    ['GET', '/limits?user=alice', { user: 'alice', isShared: true, limits: [pulls] }, [{ show: 'alice' }]],
    [
      'GET',
      '/limits?user=%C3%A9va%20%2B%26%3D%25',
      { user: 'éva +&=%', isShared: true, limits: [pulls] },
      [{ show: 'éva +&=%' }],
    ],
    [
      'POST',
      '/limits/reset?user=alice',
      { user: 'alice', isShared: true, reset: ['pulls-per-user'] },
      [{ reset: 'alice', bucket: undefined }],
    ],
    [
      'POST',
      '/limits/reset?bucket=pulls-per-user&user=alice',
      { user: 'alice', isShared: true, reset: ['pulls-per-user'] },
      [{ reset: 'alice', bucket: 'pulls-per-user' }],
    ],
    ['GET', '/lockout', { isShared: true, locked: [locked] }, []],
    ['GET', '/lockout?', { isShared: true, locked: [locked] }, []],
    ['POST', '/lockout/clear?all', { isShared: true, cleared: 2 }, [{ clear: {} }]],
    ['POST', '/lockout/clear?user=bob', { isShared: true, cleared: 2 }, [{ clear: { user: 'bob' } }]],
    [
      'POST',
      '/lockout/clear?address=192.0.2.7&user=bob',
      { isShared: true, cleared: 2 },
      [{ clear: { address: '192.0.2.7', user: 'bob' } }],
    ],
    ['POST', '/credentials/flush', { flushed: true }, ['flush']],
  ])('%s %s is done', async (method, target, value, asked) => {
    const known = recorded()
    expect(await answerAdmin(method, target, known.commands)).toEqual({ status: 200, value })
    expect(known.asked).toEqual(asked)
  })

  test.each<[given: string, meant: string]>([
    ['2001:DB8::0001', '2001:db8::1'],
    ['2001%3Adb8%3A%3A%2F64', '2001:db8::'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
  ])('the address %s means %s', async (given, address) => {
    const known = recorded()
    await answerAdmin('POST', `/lockout/clear?address=${given}`, known.commands)
    expect(known.asked).toEqual([{ clear: { address } }])
  })

  test.each<[method: string, target: string, error: string, usage: string]>([
    ['GET', '/limits', 'user is missing', 'GET /limits?user=U'],
    ['GET', '/limits?user', 'user must not be empty', 'GET /limits?user=U'],
    ['GET', '/limits?user=', 'user must not be empty', 'GET /limits?user=U'],
    ['GET', '/limits?user=a%3Ab', 'user must not contain a colon', 'GET /limits?user=U'],
    ['GET', '/limits?user=a%0Ab', 'user must not contain control characters', 'GET /limits?user=U'],
    ['GET', '/limits?user=%ff', 'user is not UTF-8 in percent encoding', 'GET /limits?user=U'],
    ['GET', '/limits?user=a%2', 'user is not UTF-8 in percent encoding', 'GET /limits?user=U'],
    ['GET', '/limits?user=a+b', 'user has a plus sign, which is written %2B', 'GET /limits?user=U'],
    ['GET', `/limits?user=${'a'.repeat(257)}`, 'user has more than 256 characters', 'GET /limits?user=U'],
    ['GET', '/limits?user=alice&user=bob', 'user is given twice', 'GET /limits?user=U'],
    ['GET', '/limits?user=alice&', 'there is a parameter that is not known', 'GET /limits?user=U'],
    ['GET', '/limits?user=alice&constructor=1', 'there is a parameter that is not known', 'GET /limits?user=U'],
    [
      'POST',
      '/limits/reset?user=alice&bucket=../x',
      'bucket must be the name of a bucket, such as pulls-per-user',
      'POST /limits/reset?user=U[&bucket=B]',
    ],
    ...['192.0.2.300', 'fe80::1%25eth0', '192.0.2.0/24', '2001:db8::/32', '192.0.2.7/64', '2001:db8::/6/4', ''].map(
      (address): [string, string, string, string] => [
        'POST',
        `/lockout/clear?address=${address}`,
        'address must be an address, such as 192.0.2.7 or 2001:db8::/64',
        'POST /lockout/clear?address=A&user=U (one or both), or POST /lockout/clear?all',
      ],
    ),
    [
      'POST',
      '/lockout/clear?all=yes',
      'all has no value',
      'POST /lockout/clear?address=A&user=U (one or both), or POST /lockout/clear?all',
    ],
    ['POST', '/credentials/flush?user=bob', 'there is a parameter that is not known', 'POST /credentials/flush'],
  ])('%s %s is refused with what is right', async (method, target, error, usage) => {
    const known = recorded()
    expect(await answerAdmin(method, target, known.commands)).toEqual({
      status: 400,
      value: { error, usage: [usage] },
    })
    expect(known.asked).toEqual([])
  })

  test.each(['', '?all&user=bob', '?all&address=192.0.2.7'])(
    'to clear%s is refused: everything or something named',
    async (query) => {
      const known = recorded()
      const answer = await answerAdmin('POST', `/lockout/clear${query}`, known.commands)
      expect(answer).toMatchObject({ status: 400, value: { error: 'name either an address, a user or both, or all' } })
      expect(known.asked).toEqual([])
    },
  )

  test.each<[method: string, path: string, allow: string]>([
    ['GET', '/reload', 'POST'],
    ['POST', '/limits?user=alice', 'GET'],
    ['GET', '/limits/reset?user=alice', 'POST'],
    ['GET', '/lockout/clear?all', 'POST'],
    ['GET', '/credentials/flush', 'POST'],
    ['HEAD', '/lockout', 'GET'],
  ])('%s %s is refused: it is a %s', async (method, target, allow) => {
    const known = recorded()
    expect(await answerAdmin(method, target, known.commands)).toMatchObject({ status: 405, allow })
    expect(known.asked).toEqual([])
  })

  test.each(['/', '/limits/', '//limits?user=alice', '', '/Reload', 'http://x/reload'])(
    'the path %s is refused with those that are there',
    async (target) => {
      const answer = await answerAdmin('POST', target, recorded().commands)
      expect(answer).toMatchObject({ status: 404, value: { usage: expect.arrayContaining(['POST /reload']) } })
    },
  )

  test.each<[method: string, target: string, sentence: RegExp]>([
    ['GET', '/limits?user=alice', /limits are off .* rateLimit\.enabled/],
    ['POST', '/limits/reset?user=alice', /limits are off .* rateLimit\.enabled/],
    ['GET', '/lockout', /lockout is off .* lockout\.enabled/],
    ['POST', '/lockout/clear?all', /lockout is off .* lockout\.enabled/],
  ])('%s %s says that it is off where it is, and what switches it on', async (method, target, sentence) => {
    const answer = await answerAdmin(method, target, {
      reload: () => Promise.resolve([]),
      flush: () => undefined,
    })
    expect(answer).toEqual({ status: 409, value: { error: expect.stringMatching(sentence) } })
  })

  test('a bucket that does not count the user is told, with the command that lists those that do', async () => {
    const answer = await answerAdmin('POST', '/limits/reset?user=alice&bucket=nobody-has-it', recorded().commands)
    expect(answer).toMatchObject({
      status: 404,
      value: { error: expect.stringContaining('wharfgate limits show --user alice') },
    })
  })

  test.each<[title: string, error: unknown, status: number, sentence: string]>([
    ['a store that does not answer', new StoreError('timeout', 'late'), 503, 'Redis does not answer (timeout)'],
    ['a fault', new Error('no such thing'), 500, 'the gateway could not do it: no such thing'],
    ['what is no error', 'odd', 500, 'the gateway could not do it: odd'],
  ])('%s is told and ends nothing else', async (_title, error, status, sentence) => {
    const { commands } = recorded()
    const failing = (): Promise<never> => {
      throw error
    }
    const answer = await answerAdmin('GET', '/lockout', { ...commands, lockout: { list: failing, clear: failing } })
    expect(answer).toMatchObject({ status, value: { error: expect.stringContaining(sentence) } })
  })
})
