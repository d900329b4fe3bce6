import { freePort } from '../../tools/free-port.ts'
import { startRedis } from './redis-servers.ts'
import type { RedisServer } from './redis-servers.ts'
import { until } from './until.ts'

/** Three primaries without replicas that share the slots. */
export type RedisCluster = {
  readonly nodes: readonly RedisServer[]
  slotOf(key: string): Promise<number>
  /** Who serves a slot. */
  ownerOf(slot: number): Promise<RedisServer>
  /**
   * Begins to move a slot with all its keys to another node: who asks the old one for a key of it that is not there is
   * sent on (ASK) until `finish`, after which who asks it for any key of the slot is told where it lives now (MOVED).
   */
  beginMove(slot: number, to: RedisServer): Promise<{ finish(): Promise<void> }>
  stop(): Promise<void>
}

const slots = 16_384
const nodeCount = 3

/** Starts a Redis Cluster on free ports of loopback and waits until every node serves. */
export async function startRedisCluster(): Promise<RedisCluster> {
  const nodes = await Promise.all(Array.from({ length: nodeCount }, startNode))
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.stop()))
  }
  try {
    await join(nodes)
  } catch (error) {
    await stop()
    throw error
  }
  const ownerOf = async (slot: number): Promise<RedisServer> => {
    for (const node of nodes) if (await owns(node, slot)) return node
    throw new Error(`nobody has the slot ${slot}`)
  }
  return {
    nodes,
    slotOf: async (key) => Number(await nodes[0]?.command('CLUSTER', 'KEYSLOT', key)),
    ownerOf,
    beginMove: async (slot, to) => {
      const from = await ownerOf(slot)
      const target = await idOf(to)
      await to.command('CLUSTER', 'SETSLOT', slot, 'IMPORTING', await idOf(from))
      await from.command('CLUSTER', 'SETSLOT', slot, 'MIGRATING', target)
      const keys = await from.command('CLUSTER', 'GETKEYSINSLOT', slot, 1_000)
      const names = Array.isArray(keys) ? keys.map(String) : []
      if (names.length > 0) await from.command('MIGRATE', '127.0.0.1', to.port, '', 0, 5_000, 'KEYS', ...names)
      const finish = async (): Promise<void> => {
        for (const node of [to, from]) await node.command('CLUSTER', 'SETSLOT', slot, 'NODE', target)
      }
      return { finish }
    },
    stop,
  }
}

/** The port of the bus is a free one too: that of Redis's own choice, 10,000 above, may be beyond the last. */
async function startNode(): Promise<RedisServer> {
  const busPort = await freePort()
  const configuration = ['cluster-enabled yes', `cluster-port ${busPort}`, 'cluster-node-timeout 2000']
  return startRedis({ configuration })
}

async function join(nodes: readonly RedisServer[]): Promise<void> {
  const [first] = nodes
  for (const [index, node] of nodes.entries()) {
    const from = Math.ceil((slots * index) / nodeCount)
    const to = Math.ceil((slots * (index + 1)) / nodeCount) - 1
    await node.command('CLUSTER', 'ADDSLOTSRANGE', from, to)
    await node.command('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)
    if (first !== node) await first?.command('CLUSTER', 'MEET', '127.0.0.1', node.port, await busPortOf(node))
  }
  for (const node of nodes) {
    await until(() => isJoined(node), { what: `the node on port ${node.port} serves in the cluster` })
  }
}

async function busPortOf(node: RedisServer): Promise<number> {
  const [, address] = await ownLineOf(node)
  return Number(address?.split('@')[1])
}

async function isJoined(node: RedisServer): Promise<boolean> {
  const state = String(await node.command('CLUSTER', 'INFO'))
  const serving = (await linesOf(node)).filter((line) => / connected \d+-\d+/.test(line))
  return state.includes('cluster_state:ok') && serving.length === nodeCount
}

/** What a node says of each node: id, address, flags, and the slots that it serves. */
async function linesOf(node: RedisServer): Promise<readonly string[]> {
  return String(await node.command('CLUSTER', 'NODES'))
    .trim()
    .split('\n')
}

async function idOf(node: RedisServer): Promise<string> {
  return String(await node.command('CLUSTER', 'MYID'))
}

/** The words of a node about itself. */
async function ownLineOf(node: RedisServer): Promise<readonly string[]> {
  const own = (await linesOf(node)).find((line) => line.includes('myself'))
  return own?.split(' ') ?? []
}

async function owns(node: RedisServer, slot: number): Promise<boolean> {
  const ranges = (await ownLineOf(node)).slice(8).map((range) => range.split('-').map(Number))
  return ranges.some(([from = Number.NaN, to = from]) => from <= slot && slot <= to)
}
