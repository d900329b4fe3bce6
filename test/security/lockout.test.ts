import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { ClientResponse } from '../support/http-client.ts'
import { basic, basicOf } from '../support/personas.ts'
import { startRedis } from '../support/redis-servers.ts'
import { until } from '../support/until.ts'
import { startFront } from './attack.ts'
import type { Front } from './attack.ts'

/** Every address of a test comes in X-Forwarded-For, of which the gateway believes the tests' own. */
const behindProxy = { trustedProxies: ['127.0.0.1'] }
const target = '/v2/team/app/tags/list'

type Gateway = Pick<Front['gateway'], 'ask'>

function ask(gateway: Gateway, address: string, authorization: string): Promise<ClientResponse> {
  return gateway.ask({ path: target, headers: { authorization, 'x-forwarded-for': address } })
}

let guessed = 0

/** Another wrong password each time. */
function guess(gateway: Gateway, address: string, user: string): Promise<ClientResponse> {
  guessed += 1
  return ask(gateway, address, basic(user, `guess ${guessed}`))
}

/**
 * Guesses until the gateway refuses to check; how many it checked. One guess in 4,096 has the fingerprint of another one
 * and is not counted, so there may be some more than are free.
 */
async function guessUntilLocked(gateway: Gateway, address: string, userOf: (number: number) => string) {
  for (let checked = 0; checked < 100; checked += 1) {
    const answer = await guess(gateway, address, userOf(checked))
    if (answer.status === 429) return { checked, answer }
    expect(answer.status).toBe(401)
  }
  throw new Error(`${address} was never locked`)
}

/** Passwords that were hashed since the start. */
async function hashes({ gateway }: Front): Promise<number> {
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
  return Number(/^wharfgate_password_hash_duration_seconds_count (\d+)$/m.exec(text)?.[1])
}

const varying = new Set(['date', 'x-request-id', 'retry-after'])

function withoutIds({ status, reason, headers, body }: ClientResponse): string {
  const same = Object.entries(headers).filter(([name]) => !varying.has(name))
  return JSON.stringify([status, reason, same, body.replace(/request id [-0-9a-f]+/, '')])
}

describe('wrong passwords', () => {
  let front: Front
  beforeAll(async () => {
    front = await startFront({ ...behindProxy, lockout: { exemptAddresses: ['10.9.0.0/16', '2001:db8:9::/48'] } })
  })
  afterAll(() => front.stop())

  test('for one user are checked five times, then refused without a hash, as an error that clients show', async () => {
    const { checked, answer } = await guessUntilLocked(front.gateway, '203.0.113.1', () => 'alice')
    expect(checked).toBeGreaterThanOrEqual(5)
    expect(checked).toBeLessThan(8)
    expect(answer.headers).toMatchObject({
      'docker-distribution-api-version': 'registry/2.0',
      'content-type': 'application/json',
    })
    expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1)
    expect(answer.headers['www-authenticate']).toBeUndefined()
    expect(answer.reason).toBe('Too Many Requests (too many wrong passwords)')
    const { errors } = JSON.parse(answer.body) as { errors: readonly { code: string }[] }
    expect(errors).toMatchObject([{ code: 'TOOMANYREQUESTS' }])
    const line = await front.gateway.auditLineOf(String(answer.headers['x-request-id']))
    expect(line).toMatchObject({ user: null, status: 429, clientAddress: '203.0.113.1' })
  })

  test('go on being checked, one at a time, when the wait is over', async () => {
    await guessUntilLocked(front.gateway, '203.0.113.2', () => 'alice')
    const answer = await until(
      async () => {
        const next = await guess(front.gateway, '203.0.113.2', 'alice')
        return next.status === 401 && next
      },
      { what: 'the wait is over' },
    )
    expect(answer.status).toBe(401)
    expect((await guess(front.gateway, '203.0.113.2', 'alice')).status).toBe(429)
  })

  test('of names that exist and names that do not are refused alike, after as many, in every byte', async () => {
    const known = await guessUntilLocked(front.gateway, '203.0.113.3', () => 'bob')
    const unknown = await guessUntilLocked(front.gateway, '203.0.113.4', () => 'nobody')
    for (const { checked } of [known, unknown]) expect([5, 6, 7]).toContain(checked)
    expect(withoutIds(unknown.answer)).toBe(withoutIds(known.answer))
    const before = await hashes(front)
    await guess(front.gateway, '203.0.113.3', 'bob')
    await guess(front.gateway, '203.0.113.4', 'nobody')
    expect(await hashes(front)).toBe(before)
  })

  test('A-116 for many users are checked fifty times from one address, and no others wait for them', async () => {
    const { checked } = await guessUntilLocked(front.gateway, '203.0.113.5', (number) => `user${number}`)
    expect(checked).toBeGreaterThanOrEqual(50)
    expect(checked).toBeLessThan(56)
    expect((await ask(front.gateway, '203.0.113.5', basicOf('ci'))).status).toBe(429)
    expect((await ask(front.gateway, '203.0.113.6', basicOf('ci'))).status).toBe(200)
  })

  test('A-112 for one name in many spellings are those for one name', async () => {
    const spellings = ['alice', 'Alice', 'ALICE', 'alice ', 'aLiCe']
    const { checked } = await guessUntilLocked(
      front.gateway,
      '203.0.113.7',
      (number) => spellings[number % spellings.length] ?? '',
    )
    expect(checked).toBeLessThan(8)
  })

  test('from another address of the same /64 are those of one address, and of the next /64 are not', async () => {
    const { checked } = await guessUntilLocked(front.gateway, '2001:db8:1:1::1', () => 'alice')
    expect(checked).toBeLessThan(8)
    expect((await guess(front.gateway, '2001:db8:1:1:ffff::2', 'alice')).status).toBe(429)
    expect((await guess(front.gateway, '2001:db8:1:2::1', 'alice')).status).toBe(401)
  })

  test.each(['10.9.8.7', '2001:db8:9:1::1'])('from the exempt address %s are all checked', async (address) => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => guess(front.gateway, address, 'alice')))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401]))
  })

  test('at one time get no further than one after the other', async () => {
    const answers = await Promise.all(Array.from({ length: 200 }, () => guess(front.gateway, '203.0.113.8', 'alice')))
    const checked = answers.filter(({ status }) => status === 401)
    // Of 200 guesses, some have the fingerprint of one of the five.
    expect(checked.length).toBeGreaterThanOrEqual(5)
    expect(checked.length).toBeLessThan(10)
    expect(answers.every(({ status }) => status === 401 || status === 429)).toBe(true)
  })

  test('that are one and the same lock nobody, since a build job may have an old one', async () => {
    const stale = basic('ci', 'the password of last year')
    for (let time = 0; time < 30; time += 1) {
      expect((await ask(front.gateway, '203.0.113.9', stale)).status).toBe(401)
    }
    expect((await ask(front.gateway, '203.0.113.9', basicOf('ci'))).status).toBe(200)
  })

  test('headers that hold no guess lock nobody', async () => {
    for (let time = 0; time < 60; time += 1) {
      expect((await ask(front.gateway, '203.0.113.10', time % 2 === 0 ? 'Bearer x' : basic('alice', ''))).status).toBe(
        401,
      )
    }
    expect((await ask(front.gateway, '203.0.113.10', basicOf('alice'))).status).toBe(200)
  })
})

describe('a user', () => {
  let front: Front
  const office = '192.0.2.1'
  const mallory = '203.0.113.66'
  beforeAll(async () => {
    front = await startFront({ ...behindProxy, authentication: { credentialCacheTtlSeconds: 0 } })
  })
  afterAll(() => front.stop())

  test('is not touched by who guesses at their name elsewhere', async () => {
    await guessUntilLocked(front.gateway, mallory, () => 'alice')
    expect((await ask(front.gateway, office, basicOf('alice'))).status).toBe(200)
  })

  test('who logged in from an address is not refused there, whoever guesses beside, at their name or others', async () => {
    expect((await ask(front.gateway, office, basicOf('bob'))).status).toBe(200)
    await guessUntilLocked(front.gateway, office, () => 'bob')
    await guessUntilLocked(front.gateway, office, (number) => `user${number}`)
    const before = await hashes(front)
    expect((await ask(front.gateway, office, basicOf('bob'))).status).toBe(200)
    // Nothing is remembered here for longer than a check, so it was checked, although the address is locked.
    expect(await hashes(front)).toBe(before + 1)
    expect((await guess(front.gateway, office, 'bob')).status).toBe(429)
  })
})

describe('a password that is remembered', () => {
  let front: Front
  beforeAll(async () => {
    front = await startFront(behindProxy)
  })
  afterAll(() => front.stop())

  test('is not told from a wrong one to a locked address, which could try thousands a second', async () => {
    const [home, mallory] = ['192.0.2.1', '203.0.113.66']
    expect((await ask(front.gateway, home, basicOf('alice'))).status).toBe(200)
    await guessUntilLocked(front.gateway, mallory, () => 'alice')
    const right = await ask(front.gateway, mallory, basicOf('alice'))
    const wrong = await guess(front.gateway, mallory, 'alice')
    expect(withoutIds(right)).toBe(withoutIds(wrong))
    expect(right.status).toBe(429)
    expect((await ask(front.gateway, home, basicOf('alice'))).status).toBe(200)
  })

  test('is taken from any address that is not locked, without a hash', async () => {
    expect((await ask(front.gateway, '192.0.2.2', basicOf('ci'))).status).toBe(200)
    const before = await hashes(front)
    expect((await ask(front.gateway, '192.0.2.3', basicOf('ci'))).status).toBe(200)
    expect(await hashes(front)).toBe(before)
  })
})

test('A-114 a client that is no trusted proxy cannot change its address by a header', async () => {
  const front = await startFront()
  try {
    const { checked } = await guessUntilLocked(
      {
        ask: (request) =>
          front.gateway.ask({
            ...request,
            headers: { ...request.headers, 'x-forwarded-for': `198.51.100.${guessed % 250}` },
          }),
      },
      'whatever',
      () => 'alice',
    )
    expect(checked).toBeLessThan(8)
  } finally {
    await front.stop()
  }
})

test('a lockout that is off locks nobody', async () => {
  const front = await startFront({ ...behindProxy, lockout: { enabled: false } })
  try {
    const answers = await Promise.all(Array.from({ length: 80 }, () => guess(front.gateway, '203.0.113.1', 'alice')))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401]))
  } finally {
    await front.stop()
  }
})

test('two gateways on one Redis count together, and go on for themselves when it is gone', async () => {
  const redis = await startRedis()
  const settings = {
    ...behindProxy,
    redis: { enabled: true, url: `redis://127.0.0.1:${redis.port}`, commandTimeoutMs: 10_000 },
  }
  const [one, other] = await Promise.all([startFront(settings), startFront(settings)])
  try {
    const both: Gateway = { ask: (request) => (guessed % 2 === 0 ? one : other).gateway.ask(request) }
    const { checked } = await guessUntilLocked(both, '203.0.113.1', () => 'alice')
    expect(checked).toBeLessThan(8)
    for (const { gateway } of [one, other]) expect((await guess(gateway, '203.0.113.1', 'alice')).status).toBe(429)
    // names make no keys.
    await guessUntilLocked(both, '203.0.113.3', (number) => `user${number}`)
    const found = await redis.command('KEYS', 'wharfgate:lockout:*')
    const keys = Array.isArray(found) ? found.map(String).sort() : []
    const own = ['list', 'secret', '{203.0.113.1}', '{203.0.113.3}']
    expect(keys).toEqual(own.map((key) => `wharfgate:lockout:${key}`))
    for (const key of keys) {
      expect(Number(await redis.command('PTTL', key))).toBeGreaterThan(0)
    }
    await redis.kill()
    expect((await ask(one.gateway, '192.0.2.1', basicOf('alice'))).status).toBe(200)
    const alone = await guessUntilLocked(one.gateway, '203.0.113.2', () => 'alice')
    expect(alone.checked).toBeLessThan(8)
  } finally {
    await Promise.all([one.stop(), other.stop()])
    await redis.stop()
  }
})
