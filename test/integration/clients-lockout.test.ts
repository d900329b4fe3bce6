import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hashSync } from '@node-rs/bcrypt'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { AuditLine } from '../../src/telemetry/audit-line.ts'
import type { RegistryClient } from '../support/client.ts'
import { clientCases } from '../support/client-cases.ts'
import type { ClientCase } from '../support/client-cases.ts'
import { expectFigures, expectShown, failureOf } from '../support/client-expectations.ts'
import { guessUntilLocked, limitSettings, otherClients, patientClients, runAdmin } from '../support/client-limits.ts'
import { startClientSite } from '../support/client-site.ts'
import type { ClientSite } from '../support/client-site.ts'
import { installTrust } from '../support/client-trust.ts'
import { passwords } from '../support/personas.ts'
import { describeWith } from '../support/real-parts.ts'

const alice = { username: 'alice', password: passwords.alice }
const robotOf = ({ name }: ClientCase) => ({ username: `robot-${name}`, password: `password of robot-${name}` })
const parts = ['docker-registry', 'network-namespace', 'ip', ...clientCases.flatMap((clientCase) => clientCase.parts)]

describeWith(parts, 'clients at a gateway that counts wrong passwords', () => {
  let site: ClientSite
  let clients: ReadonlyMap<string, RegistryClient>

  beforeAll(async () => {
    const robots = patientClients.map(robotOf).map(({ username, password }) => [username, password] as const)
    const { lockout } = limitSettings
    site = await startClientSite(alice, { users: Object.fromEntries(robots), settings: { lockout } })
    installTrust(site.namespace, site.host, site.gateway.ca)
    const created = clientCases.map(async ({ name, create }) => {
      return [name, await create({ trust: { kind: 'installed' }, place: site.namespace })] as const
    })
    clients = new Map(await Promise.all(created))
  })
  afterAll(async () => {
    await Promise.all([...clients.values()].map((client) => client.stop()))
    await site.stop()
  })

  function clientOf({ name }: Pick<ClientCase, 'name'>): RegistryClient {
    const client = clients.get(name)
    if (client === undefined) throw new Error(`${name} was not created`)
    return client
  }

  const linesOf = (user: string): readonly AuditLine[] =>
    site.gateway.auditLines().filter(({ attemptedUser }) => attemptedUser === user)

  test('a docker with an old password that asks again and again locks nobody out', async () => {
    const docker = clientOf({ name: 'docker' })
    const image = `${site.host}/alice/app:1`
    expect(failureOf(await docker.login(site.host, alice))).toBeUndefined()
    const file = join(site.gateway.directory, 'htpasswd')
    const renewed = { ...alice, password: 'a new password of alice' }
    const line = `alice:${hashSync(renewed.password, 4)}`
    writeFileSync(
      file,
      readFileSync(file, 'utf8').replace(/^alice:.*$/m, () => line),
    )
    await runAdmin(site, ['reload'])

    const attempts = 3 * (limitSettings.lockout.freeAttempts + 1)
    for (let attempt = 1; attempt <= attempts; attempt += 1) {
      expect((await docker.pull(image)).stderr).toContain('unauthorized: the user name or the password is wrong')
    }
    const answers = linesOf('alice').map(({ errorId }) => errorId)
    expect(answers).not.toContain('loginLocked')
    expect(answers.length).toBeGreaterThanOrEqual(attempts)
    expect(await runAdmin(site, ['lockout', 'list'])).toContain('nobody is locked out')
    for (const name of ['skopeo', 'docker']) {
      expect(failureOf(await clientOf({ name }).login(site.host, renewed))).toBeUndefined()
    }
  })

  test('docker, ctr, crane and oras show that a login is not checked', async () => {
    await guessUntilLocked(site, 'mallory', 25)
    const shown = otherClients.map(async (clientCase) => {
      const client = clientOf(clientCase)
      const result = await client.login(site.host, { username: 'mallory', password: 'one more guess' })
      return [clientCase, result.code === 0 ? await client.pull(`${site.host}/alice/app:1`) : result] as const
    })
    for (const [clientCase, result] of await Promise.all(shown)) {
      expectShown(clientCase, 'Login while locked out', result, site.host)
      expectFigures(clientCase, 'Login while locked out', [result.code])
    }
  })

  test('podman, buildah and skopeo wait as long as they are told, and are logged in', async () => {
    const waited = patientClients.map(async (clientCase) => {
      const robot = robotOf(clientCase)
      await guessUntilLocked(site, robot.username, 8)
      expect(failureOf(await clientOf(clientCase).login(site.host, robot))).toBeUndefined()
    })
    await Promise.all(waited)
    const lines = site.gateway
      .auditLines()
      .filter(({ userAgent }) => /containers|libpod|buildah|skopeo/i.test(userAgent ?? ''))
    const locked = lines.filter(({ errorId }) => errorId === 'loginLocked')
    expect(locked.length).toBeGreaterThanOrEqual(patientClients.length)
  })
})
