import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { AuditLine } from '../../src/telemetry/audit-line.ts'
import type { RegistryClient } from '../support/client.ts'
import { clientCases } from '../support/client-cases.ts'
import type { ClientCase } from '../support/client-cases.ts'
import { expectFigures, expectShown, expectText, failureOf } from '../support/client-expectations.ts'
import { askInside, fewRequests, holdPlace, leftOf } from '../support/client-limits.ts'
import { limitSettings, otherClients, patientClients, runAdmin, stubbornClients } from '../support/client-limits.ts'
import { startClientSite } from '../support/client-site.ts'
import type { ClientSite } from '../support/client-site.ts'
import { installTrust } from '../support/client-trust.ts'
import type { Situation } from '../support/client-words.ts'
import { passwords } from '../support/personas.ts'
import type { Persona } from '../support/personas.ts'
import type { RunResult } from '../support/processes.ts'
import { describeWith } from '../support/real-parts.ts'
import { until } from '../support/until.ts'

const credentialsOf = (username: Persona) => ({ username, password: passwords[username] })
const parts = ['docker-registry', 'network-namespace', 'ip', ...clientCases.flatMap((clientCase) => clientCase.parts)]

/** The tests share one gateway and one of each client, and build on each other: ci pushes what alice and bob pull. */
describeWith(parts, 'clients at their limits', () => {
  let site: ClientSite
  let clients: ReadonlyMap<string, RegistryClient>

  beforeAll(async () => {
    site = await startClientSite(credentialsOf('alice'), { users: passwords, settings: limitSettings })
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

  async function login(clientCase: ClientCase, persona: Persona): Promise<RegistryClient> {
    const client = clientOf(clientCase)
    expect(failureOf(await client.login(site.host, credentialsOf(persona)))).toBeUndefined()
    return client
  }

  /** By a way past the gateway. */
  async function seed(args: readonly string[]): Promise<void> {
    const words = args.map((word) => word.replaceAll('REGISTRY', site.registry.host))
    expect(failureOf(await clientOf({ name: 'crane' }).command(words))).toBeUndefined()
  }

  function linesOf(repository: string): readonly AuditLine[] {
    return site.gateway.auditLines().filter((line) => line.repository === repository)
  }

  const refusalsOf = (repository: string): readonly AuditLine[] =>
    linesOf(repository).filter(({ errorId }) => errorId === 'rateLimited')

  // buildah and oras take long to make one, and push as podman and crane do.
  const pushing = clientCases.filter(({ name }) => !['buildah', 'oras'].includes(name))
  describe.each(pushing)('$name', (clientCase) => {
    test('completes a push of ten layers that began with the last one of the limit', async () => {
      const repository = `ci/${clientCase.name}`
      const image = `${site.host}/${repository}:1`
      const files = Array.from({ length: 10 }, (_, index) => ({ name: `file${index}`, content: randomBytes(30_000) }))
      await runAdmin(site, ['limits', 'reset', '--user', 'ci'])
      const client = await login(clientCase, 'ci')
      expect(failureOf(await client.makeImage(image, files))).toBeUndefined()
      expect(failureOf(await client.push(image))).toBeUndefined()
      const isTagged = () => linesOf(repository).some(({ route, method }) => route === 'manifest' && method === 'PUT')
      await until(isTagged, { what: 'the audit has the push' })
      expect(refusalsOf(repository)).toEqual([])
      const admitted = linesOf(repository).filter(({ status }) => status !== 401)
      expect(admitted.length).toBeGreaterThan(fewRequests)
      for (const bucket of ['pushes', 'few', 'bytes']) expect(await leftOf(site, 'ci', bucket)).toBe(0)
    })
  })

  describe.each(otherClients.filter(({ name }) => ['docker', 'ctr'].includes(name)))('$name', (clientCase) => {
    test('pulls an index and an image of it as one pull', async () => {
      const repository = `index/${clientCase.name}`
      const images = ['docker', 'crane'].flatMap((name) => ['--manifest', `REGISTRY/ci/${name}:1`])
      await seed(['index', 'append', ...images, '--tag', `REGISTRY/${repository}:1`])
      await runAdmin(site, ['limits', 'reset', '--user', 'alice'])
      const client = await login(clientCase, 'alice')
      const remaining = async () => {
        const head = { method: 'HEAD', path: `/v2/${repository}/manifests/1` }
        return (await askInside(site, { ...head, ...credentialsOf('alice') })).headers['ratelimit-remaining']
      }
      expect(await remaining()).toBe('1;w=3600')
      expect(failureOf(await client.pull(`${site.host}/${repository}:1`))).toBeUndefined()
      expect(await remaining()).toBe('0;w=3600')
      const digests = linesOf(repository)
        .filter(({ method, route, status }) => method === 'GET' && route === 'manifest' && status === 200)
        .map(({ reference }) => reference)
      expect(new Set(digests).size).toBeGreaterThan(1)
    })
  })

  describe('beyond a limit', () => {
    const results = new Map<string, RunResult>()
    let askedUpstream: readonly string[] = []
    let refused: readonly AuditLine[] = []

    beforeAll(async () => {
      await Promise.all(clientCases.map(prepare))
      // Whatever alice had left is used up in repositories that nobody asks for afterwards.
      await askInside(site, { path: '/v2/ci/docker/manifests/1', ...credentialsOf('alice') })
      await askInside(site, { method: 'POST', path: '/v2/alice/app/blobs/uploads/', ...credentialsOf('alice') })
      const held = holdPlace(site, credentialsOf('bob'), 'bob/held')
      const isHeld = async () => (await leftOf(site, 'bob', 'one-request')) === 0
      await until(isHeld, { what: 'the one request of bob is under way' })
      const stubborn = stubbornClients.map(goBeyond)
      const logins = patientClients.map(async (clientCase) => {
        const login = await clientOf(clientCase).login(site.host, credentialsOf('bob'))
        results.set(`${clientCase.name} Login while locked out`, login)
      })
      await Promise.all([...clientCases.filter((one) => !stubbornClients.includes(one)).map(goBeyond), ...logins])
      const repositories = stubbornClients.flatMap(({ name }) => [`own/${name}`, `beyond/${name}`])
      const isAgain = () => repositories.every((repository) => refusalsOf(repository).length > 5)
      await until(isAgain, { what: 'podman and buildah begin again', deadlineMs: 90_000 })
      refused = site.gateway.auditLines().filter(({ errorId }) => errorId === 'rateLimited')
      askedUpstream = site.registry.requests().map(({ method, target }) => `${method} ${target}`)
      await held.stop({ graceMs: 1_000 })
      await Promise.all(stubborn)
    })

    async function prepare(clientCase: ClientCase): Promise<void> {
      await seed(['copy', 'REGISTRY/ci/skopeo:1', `REGISTRY/beyond/${clientCase.name}:1`])
      const client = await login(clientCase, otherClients.includes(clientCase) ? 'alice' : 'bob')
      const files = [{ name: 'file', content: clientCase.name }]
      expect(failureOf(await client.makeImage(`${site.host}/own/${clientCase.name}:1`, files))).toBeUndefined()
    }

    async function goBeyond(clientCase: ClientCase): Promise<void> {
      const { name } = clientCase
      const client = clientOf(clientCase)
      const [pushed, pulled] = await Promise.all([
        client.push(`${site.host}/own/${name}:1`),
        client.pull(`${site.host}/beyond/${name}:1`),
      ])
      results.set(`${name} Push beyond a limit`, pushed)
      results.set(`${name} Pull beyond a limit`, pulled)
    }

    /** Before the place was given back. */
    const refusedOf = (repository: string): readonly string[] =>
      refused.filter((line) => line.repository === repository).map(({ method, route }) => `${method} ${String(route)}`)
    const resultOf = ({ name }: ClientCase, situation: Situation): RunResult =>
      results.get(`${name} ${situation}`) ?? { code: 0, stdout: '', stderr: 'it did not run' }

    test.each(clientCases)('$name shows why its push is refused, which is refused before a byte', (clientCase) => {
      const result = resultOf(clientCase, 'Push beyond a limit')
      expectText(clientCase, 'Push beyond a limit', result, site.host)
      const own = `own/${clientCase.name}`
      expect(new Set(refusedOf(own))).toEqual(new Set(['POST upload-start']))
      expect(askedUpstream.filter((line) => line.includes(own) && !line.startsWith('HEAD '))).toEqual([])
      if (stubbornClients.includes(clientCase)) expect(failureOf(result)).toBeUndefined()
      else expectFigures(clientCase, 'Push beyond a limit', [result.code])
    })

    test.each(clientCases)('$name shows why its pull is refused', (clientCase) => {
      const result = resultOf(clientCase, 'Pull beyond a limit')
      expectText(clientCase, 'Pull beyond a limit', result, site.host)
      const asked = refusedOf(`beyond/${clientCase.name}`)
      expect(new Set(asked)).toEqual(new Set(['GET manifest']))
      if (stubbornClients.includes(clientCase)) expect(failureOf(result)).toBeUndefined()
      else expectFigures(clientCase, 'Pull beyond a limit', [result.code, asked.length])
    })

    test.each(patientClients)(
      '$name shows a login that is refused as it shows one that is locked out',
      (clientCase) => {
        const result = resultOf(clientCase, 'Login while locked out')
        expectShown(clientCase, 'Login while locked out', result, site.host)
        expectFigures(clientCase, 'Login while locked out', [result.code])
      },
    )
  })
})
