import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import type { RedisConnection } from '../../src/config/redis-settings.ts'
import type { Store } from '../../src/store/store.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRedisCluster } from '../support/redis-cluster.ts'
import type { RedisCluster } from '../support/redis-cluster.ts'
import { startStoreLoad, timesOf } from '../support/redis-load.ts'
import { startRedisRelay } from '../support/redis-relay.ts'
import { startRedisSentinels } from '../support/redis-sentinel.ts'
import type { RedisSentinels } from '../support/redis-sentinel.ts'
import { startRedisPair } from '../support/redis-servers.ts'
import type { RedisPair, RedisServer } from '../support/redis-servers.ts'
import { addScript, addTo, openRedisStore, readScript, standalone, withoutStalls } from '../support/redis-store.ts'
import type { Outcome } from '../support/redis-store.ts'
import { until } from '../support/until.ts'

function expectPrompt(outcomes: readonly Outcome[]): void {
  const { medianMs, slowestMs } = timesOf(outcomes)
  expect(medianMs).toBeLessThan(100)
  expect(slowestMs).toBeLessThan(2_000)
}

/** What is asked is five seconds; a busy machine gets more. The soak measures it. */
const recoveryMs = 20_000

function addressesOf(servers: readonly RedisServer[]) {
  return servers.map(({ port }) => ({ host: '127.0.0.1', port }))
}

function sentinelOf({ name, sentinels }: RedisSentinels) {
  return { kind: 'sentinel', name, addresses: addressesOf(sentinels) } as const
}

/** Waits until a count goes to that server, and not to one from which it has what was counted before. */
async function untilCountedBy(store: Store, server: RedisServer): Promise<void> {
  const isThere = async (): Promise<boolean> => {
    await addTo(store, '{after}')
    return (await server.command('EXISTS', 'wharfgate:{after}')) === 1
  }
  await until(isThere, { what: 'the new primary counts', deadlineMs: 30_000 })
}

describeWith(['redis-server'], 'a store whose Redis moves', () => {
  const ends: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end()
  })
  async function pairOf(): Promise<RedisPair> {
    const pair = await startRedisPair()
    ends.push(() => pair.stop())
    return pair
  }
  function storeOf(...options: Parameters<typeof openRedisStore>) {
    const watched = openRedisStore(...options)
    const load = startStoreLoad(watched.store)
    ends.push(
      () => watched.store.close(),
      () => load.stop(),
    )
    return { ...watched, load }
  }

  test('F-38: leaves a primary that became a replica for the one behind the same address', async () => {
    const { primary, replica } = await pairOf()
    const relay = await startRedisRelay(primary.port)
    ends.push(() => relay.close())
    const { load, states } = storeOf(standalone(relay))
    await load.untilAnswered()
    relay.pointTo(replica.port)
    await replica.command('REPLICAOF', 'NO', 'ONE')
    await primary.command('REPLICAOF', '127.0.0.1', replica.port)
    await load.untilAnswered({ deadlineMs: recoveryMs })
    await until(() => relay.open() === 1, { what: 'the old connection is given up' })
    const outcomes = await load.stop()
    expectPrompt(outcomes)
    expect(outcomes.some(({ end }) => end === 'readonly')).toBe(true)
    expect(withoutStalls(states).filter((state) => state !== 'readonly' && state !== 'up')).toEqual([])
  })

  test('F-38: counts again when the only server takes writes again', async () => {
    const { primary, replica } = await pairOf()
    const { load, states } = storeOf(standalone(primary))
    await load.untilAnswered()
    await primary.command('REPLICAOF', '127.0.0.1', replica.port)
    await until(() => states.length > 0, { what: 'the store tells that it cannot write' })
    await primary.command('REPLICAOF', 'NO', 'ONE')
    await load.untilAnswered({ deadlineMs: recoveryMs })
    expectPrompt(await load.stop())
    expect(withoutStalls(states)).toEqual(['readonly', 'up'])
  })

  test('F-38: goes on counting while Sentinel makes a failover that it was told to make', async () => {
    const site = await startRedisSentinels()
    ends.push(() => site.stop())
    const { store, load, states } = storeOf(sentinelOf(site))
    await load.untilAnswered()
    const first = await site.primary()
    await site.sentinels[0]?.command('SENTINEL', 'FAILOVER', site.name)
    await until(async () => (await site.primary()) !== first, { what: 'Sentinel names another primary' })
    await untilCountedBy(store, await site.primary())
    await load.untilAnswered({ deadlineMs: recoveryMs })
    expect(withoutStalls(states).filter((state) => !['readonly', 'down', 'up'].includes(state))).toEqual([])
    expectPrompt(await load.stop())
  })

  describe.each([1, 3])('watched by %i of Sentinel', (count) => {
    let site: RedisSentinels
    beforeAll(async () => {
      site = await startRedisSentinels({ sentinels: count, password: 'canary-redis-sentinel' })
    })
    afterAll(() => site.stop())

    test('F-43: finds the new primary when the old one is killed', async () => {
      const { store, load, states } = storeOf(sentinelOf(site), { login: { password: 'canary-redis-sentinel' } })
      await load.untilAnswered()
      const first = await site.primary()
      await first.kill()
      await load.untilFailed()
      // How long the sentinels need to agree, a second when idle, is theirs to say.
      await until(async () => (await site.primary()) !== first, { what: 'Sentinel names another primary' })
      await load.untilAnswered({ deadlineMs: recoveryMs })
      const second = await site.primary()
      expect(second).not.toBe(first)
      expectPrompt(await load.stop())
      expect(states.at(-1)).toBe('up')
      await untilCountedBy(store, second)
    })
  })
})

describeWith(['redis-server'], 'a store whose Redis Cluster moves', () => {
  let cluster: RedisCluster
  beforeAll(async () => {
    cluster = await startRedisCluster()
  })
  afterAll(() => cluster.stop())

  const open = (nodes = cluster.nodes, settings: Partial<RedisConnection> = {}) =>
    openRedisStore({ kind: 'cluster', addresses: addressesOf(nodes) }, settings)

  test('F-42: counts each call once before, while and after a slot moves', async () => {
    const { store, faults } = open(cluster.nodes, { commandTimeoutMs: 5_000 })
    const key = '{moving}'
    const count = (): Promise<number> => store.run(addScript, [key], [1, 600_000])
    await until(async () => (await addTo(store, key)).end === 'answered', { what: 'the store answers' })
    const slot = await cluster.slotOf(key)
    const owner = await cluster.ownerOf(slot)
    const others = cluster.nodes.filter((node) => node !== owner)
    for (const next of [...others, owner]) {
      const before = await store.run(readScript, [key], [])
      const move = await cluster.beginMove(slot, next)
      await expect(Promise.all(Array.from({ length: 20 }, count))).resolves.toContain(before + 20)
      await move.finish()
      await expect(Promise.all(Array.from({ length: 20 }, count))).resolves.toContain(before + 40)
    }
    expect(faults).toEqual([])
    await store.close()
  })

  test('F-42: finds the others by any of them', async () => {
    for (const node of cluster.nodes) {
      const { store } = open([node], { commandTimeoutMs: 5_000 })
      const names = Array.from({ length: 30 }, (_, index) => `{u=user-${index}}:count`)
      await until(async () => (await addTo(store)).end === 'answered', { what: 'the store answers' })
      await Promise.all(names.map((name) => store.run(addScript, [name], [1, 60_000])))
      await store.close()
    }
  })

  test('F-42: fails at once while a node is killed, and counts within 5 s of its return', async () => {
    const { store, states } = open()
    const keys = Array.from({ length: 12 }, (_, index) => `{u=user-${index}}:load`)
    const load = startStoreLoad(store, keys)
    try {
      await load.untilAnswered()
      const [node] = cluster.nodes
      await node?.kill()
      await until(() => states.length > 0, { what: 'the store tells of it' })
      await node?.restart()
      await until(async () => String(await node?.command('CLUSTER', 'INFO')).includes('cluster_state:ok'), {
        what: 'the node serves again',
      })
      for (const key of keys) {
        const isBack = async (): Promise<boolean> => (await addTo(store, key)).end === 'answered'
        await until(isBack, { what: `${key} is counted`, deadlineMs: recoveryMs })
      }
      expect(states.at(-1)).toBe('up')
    } finally {
      expectPrompt(await load.stop())
      await store.close()
    }
  })
})
