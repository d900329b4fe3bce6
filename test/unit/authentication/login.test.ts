import { randomBytes } from 'node:crypto'
import { hashSync } from '@node-rs/bcrypt'
import { beforeAll, describe, expect, test } from '@jest/globals'
import { createAuthentication } from '../../../src/authentication/authentication.ts'
import type { Authentication } from '../../../src/authentication/authentication.ts'
import type { UserPrincipal } from '../../../src/authentication/authenticator.ts'
import { basicChallenges } from '../../../src/authentication/challenge.ts'
import { monotonicClock } from '../../../src/authentication/clock.ts'
import { createHtpasswd } from '../../../src/authentication/htpasswd-authenticator.ts'
import { parseHtpasswd } from '../../../src/authentication/htpasswd.ts'
import { createPasswordHashing, nativeBcrypt } from '../../../src/authentication/password-hashing.ts'
import { createVerifiedCredentials } from '../../../src/authentication/verified-credentials.ts'
import { parseRegistryRequest } from '../../../src/registry/route.ts'
import { basic, basicOf, htpasswdFile, passwords } from '../../support/personas.ts'
import type { Persona } from '../../support/personas.ts'

const address = '192.0.2.1'
const ping = parseRegistryRequest('GET', '/v2/')
/** Apache's `htpasswd -nbB alice72 …` would cut the password; its first 72 bytes are all that bcrypt sees. */
const long = 'p'.repeat(72)

describe('logins with the real parts', () => {
  let authentication: Authentication
  let hashed = 0

  beforeAll(async () => {
    const ignore = () => undefined
    const clock = monotonicClock
    const hashing = createPasswordHashing({
      ...{ maxConcurrent: 2, maxQueued: 1_000, maxQueueWaitMs: 20_000, clock, bcrypt: nativeBcrypt },
      events: { passwordHashed: () => (hashed += 1), hashTurnedAway: ignore },
    })
    const verified = createVerifiedCredentials<UserPrincipal>({
      ...{ secret: randomBytes(32), ttlMs: 60_000, negativeTtlMs: 10_000, capacity: 100, clock },
      events: { credentialCacheAsked: ignore },
    })
    const table = parseHtpasswd(`${htpasswdFile()}long:${hashSync(long, 4)}\n`)
    authentication = createAuthentication({
      authenticators: [await createHtpasswd({ table, hashing, verified, clock })],
      ...{ challenges: basicChallenges, failureFloorMs: 50, clock, events: { loginChecked: ignore } },
    })
  })

  const login = (authorization: string) => authentication.authenticate({ headers: { authorization } }, ping, address)

  test('everybody gets their own answer out of 200 at the same time', async () => {
    const names: readonly Persona[] = ['alice', 'bob', 'ci']
    const before = hashed
    const all = Array.from({ length: 200 }, async (_, index) => {
      const name = names[index % 3] ?? 'alice'
      const other = names[(index + 1) % 3] ?? 'bob'
      switch (index % 4) {
        case 0:
          return expect(await login(basicOf(name))).toMatchObject({ name })
        case 1:
          return expect(login(basic(name, passwords[other]))).rejects.toMatchObject({ id: 'credentialsInvalid' })
        case 2:
          return expect(login(basic(`${name}x`, passwords[name]))).rejects.toMatchObject({ id: 'credentialsInvalid' })
        default:
          return expect(login(basic('mallory', String(index)))).rejects.toMatchObject({ id: 'credentialsInvalid' })
      }
    })
    await Promise.all(all)
    // Three right ones, three wrong ones, three unknown names, and mallory's guesses, of which no two are the same.
    expect(hashed - before).toBe(3 + 3 + 3 + 50)
  })

  test.each([
    ['its 72 bytes', long, true],
    ['72 bytes and another one', `${long}p`, false],
    ['its first 71 bytes', long.slice(1), false],
    ['72 bytes and NUL', `${long}\0`, false],
  ])('a password of 72 bytes is known by %s: %j', async (_title, password, right) => {
    const outcome = login(basic('long', password))
    if (right) expect(await outcome).toMatchObject({ name: 'long' })
    else await expect(outcome).rejects.toMatchObject({ id: 'credentialsInvalid' })
  })

  test('a failed login is told no earlier than the floor', async () => {
    const startedAtMs = performance.now()
    await expect(login(basic('alice', ''))).rejects.toMatchObject({ id: 'credentialsInvalid' })
    expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(50)
  })
})
