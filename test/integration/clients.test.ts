import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { AuditLine } from '../../src/telemetry/audit-line.ts'
import type { RegistryClient } from '../support/client.ts'
import { clientCases } from '../support/client-cases.ts'
import type { ClientCase } from '../support/client-cases.ts'
import { digestOf, expectShown, failureOf } from '../support/client-expectations.ts'
import { startClientSite } from '../support/client-site.ts'
import type { ClientSite } from '../support/client-site.ts'
import { documentedClients, situations } from '../support/client-words.ts'
import { describeWith } from '../support/real-parts.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import { writePolicy } from '../support/policies.ts'
import { until } from '../support/until.ts'

const alice = { username: 'alice', password: 'correct horse: battery staple' }
/** Beside everything else: a repository where alice may push and not pull, and one where she may do neither. */
const policy = `
rules:
  - { allow: owner, to: authenticated, on: '**' }
  - { deny: pull, to: user:alice, on: drop/** }
  - { deny: [pull, push], to: user:alice, on: prod/**, message: releases go through ci }
`
const site = ['docker-registry', 'network-namespace', 'ip']

test('the reference says of every client what it shows in every situation', () => {
  const documented = documentedClients()
  expect([...documented.keys()]).toEqual(clientCases.map(({ name }) => name))
  for (const { shows } of documented.values()) expect(Object.keys(shows)).toEqual(Object.keys(situations))
})

describe.each(clientCases)('$name through the gateway, on an address that no client trusts by itself', (clientCase) => {
  describeWith([...site, ...clientCase.parts], clientCase.name, () => {
    driveClient(clientCase)
  })
})

/** The tests of one client build on each other: what the first trusts, the third logs in to. */
function driveClient(clientCase: ClientCase): void {
  const { name } = clientCase
  const files = [
    { name: 'file', content: randomBytes(70_000) },
    { name: 'second', content: randomBytes(500) },
  ]
  let there: ClientSite
  let client: RegistryClient
  let image: string
  let unknown: string

  beforeAll(async () => {
    there = await startClientSite(alice)
    client = await clientCase.create({ trust: { kind: 'installed' }, place: there.namespace })
    image = `${there.host}/alice/app:1`
    unknown = `${there.host}/alice/unknown:1`
  })
  afterAll(async () => {
    await client.stop()
    await there.stop()
  })

  test('trusts the gateway by the lines that certs init printed, and not before', async () => {
    expect(failureOf(await client.makeImage(image, files))).toBeUndefined()
    const stranger = await client.push(image)
    expect(stranger).toMatchObject({ stderr: expect.stringContaining('x509: certificate signed by unknown authority') })
    expect(there.gateway.auditLines()).toEqual([])

    expect(failureOf(await there.follow(clientCase.trust))).toBeUndefined()
    const known = await client.push(image)
    expect(known.stderr).not.toMatch(/x509|hosts\.toml/)
    expectShown(clientCase, 'Push without a login', known, there.host)
  })

  test('gets nothing without a login or with a wrong password, and shows why', async () => {
    expectShown(clientCase, 'Pull without a login', await client.pull(unknown), there.host)
    const login = await client.login(there.host, { ...alice, password: 'wrong' })
    const refused = login.code === 0 ? await client.pull(unknown) : login
    expectShown(clientCase, 'Wrong password', refused, there.host)
    await client.logout(there.host)
    for (const line of there.gateway.auditLines()) {
      expect(line).toMatchObject({ status: 401, user: null, decision: 'none' })
    }
    expect(upstreamRequests(there.registry)).toEqual([])
  })

  test('logs in, pushes, pulls, mounts, pushes by other names and deletes, with equal digests', async () => {
    expect(failureOf(await client.login(there.host, alice))).toBeUndefined()
    expect(failureOf(await client.makeImage(image, files))).toBeUndefined()
    expect(failureOf(await client.push(image))).toBeUndefined()
    // oras writes the time into the manifest, so its digest is that of the last push.
    const digest = digestOf(await client.push(image))
    expect(digest).toBe(tagAt(there.registry, 'alice/app'))
    expect(digestOf(await client.pull(image))).toBe(digest)

    const others = [
      [there.host, 'alice/copy'],
      [there.secondHost, 'alice/second'],
      [there.addressHost, 'alice/third'],
    ] as const
    for (const [host, repository] of others) {
      expect(failureOf(await client.login(host, alice))).toBeUndefined()
      expect(digestOf(await client.copy(image, `${host}/${repository}:1`))).toBe(digest)
      expect(tagAt(there.registry, repository)).toBe(digest)
    }
    if (client.delete === undefined) return
    expect(failureOf(await client.delete(`${there.host}/alice/copy@${digest}`))).toBeUndefined()
  })

  test('is answered with nothing but success and what is truly not there, and every request is in the audit', async () => {
    const lines = await until(() => auditedAs(there), { what: 'the audit has just what the registry was asked' })
    const put = { user: 'alice', method: 'PUT', route: 'manifest', reference: '1', status: 201 }
    for (const repository of ['alice/app', 'alice/copy', 'alice/second', 'alice/third']) {
      expect(lines).toContainEqual(expect.objectContaining({ ...put, repository }))
    }
    const mount = { user: 'alice', method: 'POST', route: 'upload-start', mountFrom: 'alice/app', status: 201 }
    expect(lines).toContainEqual(expect.objectContaining({ ...mount, repository: 'alice/copy' }))
    // crane asks for a mount from another host too, and tells the host it means by `origin`: the gateway's own other name.
    const second = expect.objectContaining({ ...mount, repository: 'alice/second' })
    expect(lines.filter((line) => second.asymmetricMatch(line)).length > 0).toBe(name === 'crane')
    const deleted = { user: 'alice', method: 'DELETE', route: 'manifest', repository: 'alice/copy', status: 202 }
    if (client.delete !== undefined) expect(lines).toContainEqual(expect.objectContaining(deleted))
  })

  test('shows what does not exist, and a registry that is down', async () => {
    expectShown(clientCase, 'Pull of what does not exist', await client.pull(unknown), there.host)
    await there.registry.pause()
    const down = await client.pull(image)
    await there.registry.restart()
    expectShown(clientCase, 'Pull while the registry is down', down, there.host)
  })

  test('pushes where it may push and not pull, and is refused what the policy denies', async () => {
    const { gateway, registry, host } = there
    writePolicy(gateway.directory, policy)
    gateway.signal('SIGHUP')
    await until(() => gateway.log().includes('"generation":2'), { what: 'the policy is in force' })
    // The pull that failed while the registry was down may have cost the client its image.
    expect(failureOf(await client.pull(image))).toBeUndefined()
    const digest = digestOf(await client.copy(image, `${host}/drop/app:1`))
    // oras asks for the manifest that it has copied, with GET.
    if (name === 'oras') expect(digest).toContain('alice may not pull from drop/app')
    else expect(digest).toBe(tagAt(registry, 'drop/app'))
    const closed = `${host}/prod/app:1`
    expectShown(clientCase, 'Push that the policy does not allow', await client.copy(image, closed), host)
    expectShown(clientCase, 'Pull that the policy does not allow', await client.pull(closed), host)
    expect(upstreamRequests(registry).filter((request) => request.includes(' prod/app '))).toEqual([])
  })

  test('gets nothing after its logout', async () => {
    expect(failureOf(await client.logout(there.host))).toBeUndefined()
    expect((await client.pull(image)).code).not.toBe(0)
    await until(() => there.gateway.auditLines().at(-1)?.status === 401, { what: 'the refusal is in the audit' })
  })
}

/**
 * The audit, when it is whole: both it and the registry's own log may be some milliseconds behind the client.
 *
 * @throws Error when something went other than well, or the registry was not asked for just what was granted
 */
function auditedAs({ gateway, registry }: ClientSite): readonly AuditLine[] {
  const lines = gateway.auditLines()
  for (const line of lines.filter(({ status }) => status === 401)) {
    expect(line).toMatchObject({ user: null, decision: 'none' })
  }
  const granted = lines.filter(({ status }) => status !== 401)
  for (const line of granted) {
    expect(line).toMatchObject({ user: 'alice', authentication: 'htpasswd', decision: 'granted', outcome: 'complete' })
    expect([200, 201, 202, 404]).toContain(line.status)
  }
  const asked = granted.filter(({ route }) => route !== 'base')
  const told = asked.map(({ method, repository, status }) => `${method} ${String(repository)} ${String(status)}`)
  expect(told.toSorted()).toEqual(upstreamRequests(registry).toSorted())
  return lines
}

/** What the registry was asked, but for the base, which the gateway itself asks for too. */
function upstreamRequests(registry: RealRegistry): readonly string[] {
  return registry.requests().flatMap(({ method, target, status }) => {
    const repository = /^\/v2\/(.+?)\/(?:manifests|blobs|tags)\//.exec(target)?.[1]
    return repository === undefined ? [] : [`${method} ${repository} ${String(status)}`]
  })
}

/** The digest that the registry's own storage has under the tag `1`. */
function tagAt({ dataDirectory }: RealRegistry, repository: string): string {
  const tag = join('docker/registry/v2/repositories', repository, '_manifests/tags/1/current/link')
  return readFileSync(join(dataDirectory, 'data', tag), 'utf8')
}
