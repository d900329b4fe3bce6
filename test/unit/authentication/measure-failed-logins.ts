/**
 * Measures whether the time of a failed login tells why it failed: wrong passwords of users with cheap and costly hashes,
 * unknown names, empty passwords. Not a test: it takes minutes and wants a quiet machine.
 *
 *   node test/unit/authentication/measure-failed-logins.ts [SAMPLES]
 */
import { randomBytes } from 'node:crypto'
import { createAuthentication } from '../../../src/authentication/authentication.ts'
import type { UserPrincipal } from '../../../src/authentication/authenticator.ts'
import { basicChallenges } from '../../../src/authentication/challenge.ts'
import { monotonicClock as clock } from '../../../src/authentication/clock.ts'
import { createHtpasswd } from '../../../src/authentication/htpasswd-authenticator.ts'
import { parseHtpasswd } from '../../../src/authentication/htpasswd.ts'
import { createPasswordHashing, hashPassword, nativeBcrypt } from '../../../src/authentication/password-hashing.ts'
import { createVerifiedCredentials } from '../../../src/authentication/verified-credentials.ts'
import { parseRegistryRequest } from '../../../src/registry/route.ts'
import { basic } from '../../support/personas.ts'

const samples = Number(process.argv[2] ?? 500)
const address = '192.0.2.1'
const ping = parseRegistryRequest('GET', '/v2/')
const ignore = () => undefined

const hashing = createPasswordHashing({
  ...{ maxConcurrent: 1, maxQueued: 64, maxQueueWaitMs: 2_000, clock, bcrypt: nativeBcrypt },
  events: { passwordHashed: ignore, hashTurnedAway: ignore },
})
const verified = createVerifiedCredentials<UserPrincipal>({
  ...{ secret: randomBytes(32), ttlMs: 60_000, negativeTtlMs: 10_000, capacity: 10_000, clock },
  events: { credentialCacheAsked: ignore },
})
const costs = [5, 10, 12]
const lines = await Promise.all(costs.map(async (cost) => `cost${cost}:${await hashPassword('right', cost)}`))
const htpasswd = await createHtpasswd({ table: parseHtpasswd(lines.join('\n')), hashing, verified, clock })
const authentication = createAuthentication({
  authenticators: [htpasswd],
  ...{ challenges: basicChallenges, failureFloorMs: 500, clock, events: { loginChecked: ignore } },
})

async function timeOf(username: string, password: string): Promise<number> {
  const startedAtMs = performance.now()
  const request = { headers: { authorization: basic(username, password) } }
  await authentication.authenticate(request, ping, address).then(
    () => Promise.reject(new Error('the login was expected to fail')),
    () => undefined,
  )
  return performance.now() - startedAtMs
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
const variance = (values: readonly number[]) => {
  const middle = mean(values)
  return mean(values.map((value) => (value - middle) ** 2))
}
const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

const kinds = [...costs.map((cost) => `cost${cost}`), 'unknown', 'empty password'] as const
const times = new Map<string, number[]>(kinds.map((kind) => [kind, []]))
for (let index = 0; index < samples; index += 1) {
  for (const kind of kinds) {
    const password = kind === 'empty password' ? '' : `wrong${index}`
    times.get(kind)?.push(await timeOf(kind === 'empty password' ? 'cost10' : kind, password))
  }
}

const unknown = times.get('unknown') ?? []
console.log(`slowest check with headroom: ${htpasswd.slowestCheckMs().toFixed(0)} ms; ${samples} samples each`)
for (const [kind, values] of times) {
  const welch = (mean(values) - mean(unknown)) / Math.sqrt((variance(values) + variance(unknown)) / samples)
  const row = {
    median: median(values),
    ratio: median(values) / median(unknown),
    welchT: kind === 'unknown' ? 0 : welch,
  }
  console.log(
    kind.padEnd(15),
    Object.entries(row)
      .map(([name, value]) => `${name} ${value.toFixed(4)}`)
      .join('  '),
  )
}
