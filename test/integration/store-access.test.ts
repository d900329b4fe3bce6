import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import type { RedisConnection } from '../../src/config/redis-settings.ts'
import { describeWith } from '../support/real-parts.ts'
import { askRedis } from '../support/redis-client.ts'
import { startStoreLoad, timesOf } from '../support/redis-load.ts'
import { startRedis } from '../support/redis-servers.ts'
import type { RedisServer } from '../support/redis-servers.ts'
import { addTo, openRedisStore, readScript, standalone, withoutStalls } from '../support/redis-store.ts'
import type { WatchedStore } from '../support/redis-store.ts'
import { until } from '../support/until.ts'
import { makeUpstreamCertificate } from '../support/upstream-certificate.ts'
import type { UpstreamCertificate } from '../support/upstream-certificate.ts'

const right = 'canary-redis-right'
const wrong = 'canary-redis-wrong'

describeWith(['redis-server'], 'F-44: a store that Redis does not let in', () => {
  const ends: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end()
  })
  async function redisOf(...options: Parameters<typeof startRedis>): Promise<RedisServer> {
    const redis = await startRedis(...options)
    ends.push(redis.stop)
    return redis
  }
  function storeOf(...options: Parameters<typeof openRedisStore>): WatchedStore {
    const watched = openRedisStore(...options)
    ends.push(() => watched.store.close())
    return watched
  }

  /** Fails at first, for this reason and without a word of the password; answers within 5 s once it is mended. */
  async function expectMended(
    { store, states, told }: WatchedStore,
    fault: string,
    mend: () => Promise<unknown> | undefined,
  ): Promise<void> {
    await until(() => states.length > 0, { what: 'the store tells that it is not let in' })
    const load = startStoreLoad(store)
    try {
      await load.untilFailed()
      const error: unknown = await store.run(readScript, ['{load}'], []).catch((thrown: unknown) => thrown)
      await mend()
      await load.untilAnswered({ deadlineMs: 20_000 })
      expect(withoutStalls(states)).toEqual([fault, 'up'])
      expect(inspect([error, told], { depth: 20, showHidden: true })).not.toMatch(/canary-redis|rediss?:\/\//)
    } finally {
      const { medianMs, slowestMs } = timesOf(await load.stop())
      expect(medianMs).toBeLessThan(100)
      expect(slowestMs).toBeLessThan(2_000)
    }
  }

  const accept = (user: string) => (redis: RedisServer) =>
    redis.command('ACL', 'SETUSER', user, 'on', `>${wrong}`, '~*', '&*', '+@all')

  test.each<readonly [string, RedisConnection['login'], (redis: RedisServer) => Promise<unknown>]>([
    ['a wrong password', { password: wrong }, accept('default')],
    ['a user that there is not', { username: 'wharfgate', password: wrong }, accept('wharfgate')],
    ['no password', undefined, (redis) => redis.command('ACL', 'SETUSER', 'default', 'nopass')],
  ])('fails for %s, and counts when it is mended', async (_title, login, mend) => {
    const redis = await redisOf({ password: right })
    await expectMended(storeOf(standalone(redis), login === undefined ? {} : { login }), 'login', () => mend(redis))
  })

  test('fails when its password was changed, at its next connection, and counts when that is taken back', async () => {
    const redis = await redisOf({ password: right })
    const watched = storeOf(standalone(redis), { login: { password: right } })
    await until(async () => (await addTo(watched.store)).end === 'answered', { what: 'the store answers' })
    await redis.command('ACL', 'SETUSER', 'admin', 'on', `>${right}`, '~*', '&*', '+@all')
    const asAdmin = (...words: readonly string[]) =>
      askRedis({ port: redis.port, username: 'admin', password: right }, [words])
    await asAdmin('ACL', 'SETUSER', 'default', 'resetpass', `>${wrong}`)
    await asAdmin('CLIENT', 'KILL', 'TYPE', 'normal')
    await expectMended(watched, 'login', () => asAdmin('ACL', 'SETUSER', 'default', `>${right}`))
  })

  test('needs no more rights than its own keys and scripts', async () => {
    const redis = await redisOf({ password: right })
    const rights = ['~wharfgate:*', '+client|setname', '+eval', '+evalsha', '+get', '+set', '+incrby', '+pexpire']
    await redis.command('ACL', 'SETUSER', 'wharfgate', 'on', `>${wrong}`, ...rights)
    const login = { username: 'wharfgate', password: wrong }
    const watched = storeOf(standalone(redis), { login, commandTimeoutMs: 5_000 })
    await expect(addTo(watched.store)).resolves.toMatchObject({ end: 'answered' })
    await redis.command('CLIENT', 'KILL', 'TYPE', 'normal')
    await until(async () => (await addTo(watched.store)).end === 'answered', { what: 'the store answers again' })
    expect(await redis.command('ACL', 'LOG')).toEqual([])
  })

  describeTls()

  function describeTls(): void {
    let trusted: UpstreamCertificate
    let other: UpstreamCertificate
    let directory: string
    beforeAll(async () => {
      trusted = await makeUpstreamCertificate()
      other = await makeUpstreamCertificate()
      directory = mkdtempSync(join(tmpdir(), 'wharfgate-redis-tls-'))
    })
    afterAll(() => {
      rmSync(directory, { recursive: true, force: true })
    })
    const fileOf = (name: string, pem: string): string => {
      const file = join(directory, name)
      writeFileSync(file, pem)
      return file
    }
    const onLocalhost = ({ port }: RedisServer) => ({ kind: 'standalone', host: 'localhost', port }) as const
    const login = { password: right }

    test('fails for a certificate of an authority that it does not trust, until it is told to', async () => {
      const redis = await redisOf({ tls: trusted, password: right })
      const caFile = fileOf('untrusted.pem', other.ca)
      const watched = storeOf(onLocalhost(redis), { login, tls: { caFile } })
      await expectMended(watched, 'down', () => void fileOf('untrusted.pem', trusted.ca))
    })

    test('fails for a certificate of another name, and takes it under the name that it is told', async () => {
      const redis = await redisOf({ tls: trusted, password: right })
      const caFile = fileOf('name.pem', trusted.ca)
      const asAddress = storeOf(standalone(redis), { login, tls: { caFile } })
      const asNamed = storeOf(standalone(redis), { login, tls: { caFile, serverName: 'localhost' } })
      await until(async () => (await addTo(asNamed.store)).end === 'answered', { what: 'the store answers' })
      await until(() => asAddress.states.length > 0, { what: 'the store tells of the name' })
      await expect(addTo(asAddress.store)).resolves.not.toMatchObject({ end: 'answered' })
    })

    test('goes on with a renewed certificate, and with a renewed authority in the file', async () => {
      const redis = await redisOf({ tls: trusted, password: right })
      const caFile = fileOf('renewed.pem', trusted.ca)
      const watched = storeOf(onLocalhost(redis), { login, tls: { caFile } })
      await until(async () => (await addTo(watched.store)).end === 'answered', { what: 'the store answers' })
      fileOf('renewed.pem', other.ca)
      const files = ['tls-cert-file', fileOf('new.crt', other.cert), 'tls-key-file', fileOf('new.key', other.key)]
      await redis.command('CONFIG', 'SET', ...files)
      await askRedis({ port: redis.port, ca: other.ca, password: right }, [['CLIENT', 'KILL', 'TYPE', 'normal']])
      await until(async () => (await addTo(watched.store)).end === 'answered', {
        what: 'it answers',
        deadlineMs: 20_000,
      })
    })

    test('tells plain Redis from one that wants TLS, and the other way round', async () => {
      const [plain, secure] = [await redisOf({ password: right }), await redisOf({ tls: trusted, password: right })]
      const caFile = fileOf('both.pem', trusted.ca)
      const stores = [storeOf(onLocalhost(plain), { login, tls: { caFile } }), storeOf(onLocalhost(secure), { login })]
      for (const { store, states, told } of stores) {
        await until(() => states.length > 0, { what: 'the store tells that it cannot' })
        await expect(addTo(store)).resolves.not.toMatchObject({ end: 'answered' })
        expect(inspect(told, { depth: 20 })).not.toMatch(/canary-redis/)
      }
    })
  }
})
