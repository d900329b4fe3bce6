import { writeFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { join } from 'node:path'
import { setInterval } from 'node:timers/promises'
import { hashSync } from '@node-rs/bcrypt'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { basic, basicOf, passwords } from '../support/personas.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'
import { until } from '../support/until.ts'

/** Two hundred a second, in groups, as a client without patience sends them. */
const groupSize = 10
const everyMs = 50
const target = '/v2/team/app/tags/list'
/** A check takes some 250 ms, so that one processor can do four a second. */
const cost = 12

let upstream: RecordingUpstream
let gateway: TestGateway

beforeEach(async () => {
  upstream = await startRecordingUpstream()
  gateway = await startGateway({
    upstreamUrl: upstream.url,
    settings: {
      trustedProxies: ['127.0.0.1'],
      authentication: { maxConcurrentHashes: 1, maxQueueWaitMs: 2_000, failureFloorMs: 500 },
    },
  })
  const users = Object.entries(passwords).map(([name, password]) => `${name}:${hashSync(password, cost)}\n`)
  writeFileSync(join(gateway.directory, 'htpasswd'), users.join(''))
  await gateway.server.reload()
})
afterEach(async () => {
  await gateway.stop()
  await upstream.close()
})

type Flood = {
  /** How often each status was answered so far. */
  readonly answers: ReadonlyMap<number, number>
  /** Those that said nothing of when to come again, and should have. */
  readonly withoutRetryAfter: () => number
  readonly pending: () => number
  /** Ends it when all of it has been answered. */
  stop(): Promise<void>
}

/** Sends wrong passwords, each another one, until it is stopped. */
function startFlood(addresses: number, userOf: (number: number) => string): Flood {
  const agent = new Agent({ keepAlive: true, ca: gateway.ca, maxSockets: 500 })
  const ending = new AbortController()
  const answers = new Map<number, number>()
  const underWay = new Set<Promise<void>>()
  let sent = 0
  let withoutRetryAfter = 0

  function guess(): Promise<void> {
    sent += 1
    const headers = {
      authorization: basic(userOf(sent), `guess ${sent}`),
      'x-forwarded-for': `203.0.113.${sent % addresses}`,
    }
    return new Promise((resolve, reject) => {
      const options = { agent, headers, host: '127.0.0.1', port: gateway.port, servername: 'localhost', path: target }
      const asked = request(options, (response) => {
        const status = response.statusCode ?? 0
        answers.set(status, (answers.get(status) ?? 0) + 1)
        if (status !== 401 && response.headers['retry-after'] === undefined) withoutRetryAfter += 1
        response.resume().once('end', resolve).once('error', reject)
      })
      asked.once('error', reject).end()
    })
  }

  async function run(): Promise<void> {
    for await (const signal of setInterval(everyMs, ending.signal)) {
      if (signal.aborted) return
      for (let count = 0; count < groupSize; count += 1) {
        const answered = guess().finally(() => underWay.delete(answered))
        underWay.add(answered)
      }
    }
  }
  const running = run()
  return {
    answers,
    withoutRetryAfter: () => withoutRetryAfter,
    pending: () => underWay.size,
    stop: async () => {
      ending.abort()
      await running
      await Promise.all(underWay)
      agent.destroy()
    },
  }
}

async function metric(series: string): Promise<number> {
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
  const found = text.split('\n').find((line) => line.startsWith(`${series} `))
  return Number(found?.slice(series.length + 1) ?? Number.NaN)
}

const hashes = () => metric('wharfgate_password_hash_duration_seconds_count')
const turnedAway = () => metric('wharfgate_password_hashes_refused_total{reason="queueFull"}')
const statusAs = async (authorization: string, address: string): Promise<number> => {
  const headers = { authorization, 'x-forwarded-for': address }
  return (await gateway.ask({ path: target, headers })).status
}

/** A machine on which one hash takes longer than anybody may wait deserves another try; luck would need hundreds. */
async function firstOf(tries: number, ask: () => Promise<number>): Promise<number> {
  const status = await ask()
  return status === 200 || tries === 1 ? status : firstOf(tries - 1, ask)
}

describe('F-46 A-117 two hundred wrong passwords a second, of bcrypt cost 12, from fifty addresses', () => {
  test('keep nobody out: not who is logged in, nor who logs in anew, nor the health check', async () => {
    expect(await statusAs(basicOf('alice'), '192.0.2.1')).toBe(200)
    const flood = startFlood(50, (number) => `user${number}`)
    try {
      await until(async () => (await turnedAway()) > 100, { what: 'the flood fills the queue' })
      const hashedBefore = await hashes()
      const others: number[] = []
      for (let round = 0; round < 40; round += 1) {
        others.push(await statusAs(basicOf('alice'), '192.0.2.1'), (await gateway.ask({ path: '/healthz' })).status)
      }
      expect(new Set(others)).toEqual(new Set([200]))
      // Had hashing held the event loop, each of the 80 answers would have waited for a hash; three or so were made.
      expect((await hashes()) - hashedBefore).toBeLessThan(40)
      // Nobody from this address has failed, so it comes before those who have.
      expect(await firstOf(3, () => statusAs(basicOf('bob'), '192.0.2.2'))).toBe(200)
      // 64 may wait for a hash and one is hashed; failures wait for the floor. All the others were turned away at once.
      expect(flood.pending()).toBeLessThan(400)
    } finally {
      await flood.stop()
    }
    expect([...flood.answers.keys()].sort()).toEqual(expect.arrayContaining([401, 503]))
    expect([401, 429, 503]).toEqual(expect.arrayContaining([...flood.answers.keys()]))
    expect(flood.withoutRetryAfter()).toBe(0)
    expect(upstream.requestLines().filter((line) => line.includes('user'))).toEqual([])
  })
})

describe('two hundred wrong passwords a second from one address', () => {
  test('end in 429 without a hash, whoever they are for', async () => {
    const flood = startFlood(1, (number) => (number % 2 === 0 ? 'alice' : `user${number}`))
    try {
      await until(() => (flood.answers.get(429) ?? 0) > 500, { what: 'the address is locked' })
      // Fifty are free, and a guess in 4,096 is not counted.
      expect(await hashes()).toBeLessThan(60)
      expect(await statusAs(basicOf('alice'), '192.0.2.1')).toBe(200)
    } finally {
      await flood.stop()
    }
    expect(flood.withoutRetryAfter()).toBe(0)
  })
})
