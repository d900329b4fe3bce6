/** The row of `npm run soak` in which Redis fails in every way while a gateway counts in it. */
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { createGatewaySite } from '../test/support/gateway-site.ts'
import type { GatewaySite } from '../test/support/gateway-site.ts'
import { basicOf } from '../test/support/personas.ts'
import { startRedisSentinels } from '../test/support/redis-sentinel.ts'
import { startRedis } from '../test/support/redis-servers.ts'
import type { RedisServer } from '../test/support/redis-servers.ts'
import { until } from '../test/support/until.ts'
import { atMost, figuresText, threadFigure } from './figures.ts'
import type { Figure } from './figures.ts'
import { eventLoopThread } from './measure.ts'
import type { SoakRow } from './soak-rows.ts'
import { createKeptClient, startSteadyLoad, statusText, timesOf, timesText } from './steady-load.ts'
import type { Answer, SteadyLoad, Times } from './steady-load.ts'
import { manifestType } from './upstream.ts'

export const storeRows: readonly SoakRow[] = [
  {
    name: 'store-faults',
    kind: 'works',
    promise: 'a Redis that fails adds at most 50 ms to a request and no error, and counts again within 5 s',
    measure: storeFaults,
  },
]

const perSecond = 100
const controlsPerSecond = 50
const addedMs = 50
/** The same with what a timer and a turn of the event loop are late: two waits for Redis, one after the other, would show. */
const firstAddedMs = 60
const calmMs = 2_000
/** After the first request that is counted again: so long it is watched whether all the others are. */
const settledMs = 1_000

/** Of every unit, so that leases are renewed and bytes charged while Redis fails; nobody reaches a quota. */
const buckets = [
  { name: 'pulls', scope: 'user', class: 'pull', quota: 1_000_000, windowSeconds: 3_600 },
  { name: 'bytes', scope: 'user', class: 'pull', unit: 'bytes', direction: 'down', quota: 1e12, windowSeconds: 3_600 },
  { name: 'transfers', scope: 'user', class: 'pull', unit: 'concurrent', quota: 10_000 },
  { name: 'requests', scope: 'global', class: 'requests', quota: 1_000_000, windowSeconds: 3_600 },
]

/** Each is of another repository: the mark of its pull tells for a minute where it was counted. */
type Pull = Answer & { readonly repository: string }

/** A gateway whose limits are in a Redis, while alice pulls a manifest a hundred times a second. */
type Scene = {
  readonly load: SteadyLoad<Pull>
  /** Requests that ask no Redis: what happens to them, the machine does. */
  readonly control: SteadyLoad<Answer>
  readonly memoryMiB: () => number
  /** What the machine let the gateway have. */
  readonly thread: () => Figure
  /** Stops the load and the gateway. */
  readonly end: () => Promise<void>
}

type Fault = {
  readonly name: string
  /** How long it is left alone; 0 for what is over at once. */
  readonly lastsMs: number
  readonly fail: () => Promise<unknown>
  /** Resolves when Redis would answer again. */
  readonly mend?: () => Promise<unknown>
  /** How long they take counts as well. */
  readonly isMendedByOthers?: boolean
  /** The Redis that counts afterwards; rejects while there is none. */
  readonly countedBy: () => Promise<RedisServer>
  readonly backWithinSeconds: number
  /** Tells how the memory of the gateway grew meanwhile. */
  readonly isMemoryTold?: boolean
}

async function storeFaults(): Promise<string> {
  const upstream = await startManifests()
  const site = await createGatewaySite({
    upstream: { url: upstream.url },
    rateLimit: { enabled: true, onStoreError: 'local', buckets },
    client: { keepAliveMs: 600_000 },
    audit: { destination: 'audit.log' },
  })
  try {
    const alone = await withOneRedis(site)
    const behindSentinel = await withSentinel(site)
    return figuresText([...alone, ...behindSentinel])
  } finally {
    await site.remove()
    upstream.close()
  }
}

/** A registry that has a manifest of every name. */
async function startManifests(): Promise<{ readonly url: string; readonly close: () => void }> {
  const body = JSON.stringify({ schemaVersion: 2, mediaType: manifestType })
  const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`
  const headers = { 'content-type': manifestType, 'content-length': body.length, 'docker-content-digest': digest }
  const server = createServer((_request, response) => response.writeHead(200, headers).end(body))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

async function withOneRedis(site: GatewaySite): Promise<readonly Figure[]> {
  const redis = await startRedis()
  try {
    const scene = await startScene(site, { url: `redis://127.0.0.1:${redis.port}` })
    return await measureAll(scene, faultsOf(redis))
  } finally {
    await redis.stop()
  }
}

function faultsOf(redis: RedisServer): readonly Fault[] {
  const common = { countedBy: () => Promise.resolve(redis), backWithinSeconds: 5 }
  return [
    { ...common, name: 'killed, refusing', lastsMs: 3_000, fail: redis.kill, mend: redis.restart },
    { ...common, name: 'stalled', lastsMs: 8_000, ...stallOf(redis), isMemoryTold: true },
    { ...common, name: 'scripts flushed', lastsMs: 0, fail: () => redis.command('SCRIPT', 'FLUSH') },
    { ...common, name: 'restarted', lastsMs: 0, fail: redis.restart },
    {
      ...common,
      name: 'readonly',
      lastsMs: 3_000,
      fail: () => redis.command('REPLICAOF', '127.0.0.1', '1'),
      mend: () => redis.command('REPLICAOF', 'NO', 'ONE'),
    },
  ]
}

function stallOf(redis: RedisServer): Pick<Fault, 'fail' | 'mend'> {
  const now = (act: () => void) => (): Promise<void> => {
    act()
    return Promise.resolve()
  }
  return { fail: now(redis.stall), mend: now(redis.resume) }
}

async function withSentinel(site: GatewaySite): Promise<readonly Figure[]> {
  const watched = await startRedisSentinels()
  try {
    const addresses = watched.sentinels.map(({ port }) => `127.0.0.1:${port}`)
    const scene = await startScene(site, { sentinels: { name: watched.name, addresses } })
    const first = await watched.primary()
    const countedBy = async (): Promise<RedisServer> => {
      const primary = await watched.primary()
      if (primary === first) throw new Error('Sentinel has named no other primary yet')
      return primary
    }
    const fault = {
      name: 'failover',
      lastsMs: 0,
      fail: first.kill,
      countedBy,
      backWithinSeconds: 10,
      isMendedByOthers: true,
    }
    return await measureAll(scene, [fault])
  } finally {
    await watched.stop()
  }
}

async function startScene(site: GatewaySite, redis: Readonly<Record<string, unknown>>): Promise<Scene> {
  const gateway = await site.serve({ settings: { redis: { enabled: true, ...redis } } })
  const client = createKeptClient(gateway.target)
  const pull = async (repository: string): Promise<Pull> => {
    const headers = { accept: manifestType, authorization: basicOf('alice') }
    return { ...(await client.ask({ path: `/v2/${repository}/manifests/v1`, headers })), repository }
  }
  // The login, the connections and the compiler belong to no figure.
  for (let round = 0; round < 20; round += 1) {
    await Promise.all(Array.from({ length: 30 }, (_value, index) => pull(`warm-up/${index}`)))
  }
  const before = eventLoopThread(gateway.process.pid)
  const load = startSteadyLoad(perSecond, (number) => pull(`alice/app-${number}`))
  const control = startSteadyLoad(controlsPerSecond, () => client.ask({ path: '/healthz' }))
  return {
    load,
    control,
    memoryMiB: () => gateway.memory().residentMiB,
    thread: () => threadFigure(before, eventLoopThread(gateway.process.pid)),
    end: async () => {
      await Promise.all([load.stop(), control.stop()])
      client.close()
      await gateway.process.stop()
    },
  }
}

async function measureAll(scene: Scene, faults: readonly Fault[]): Promise<readonly Figure[]> {
  try {
    const figures: Figure[] = []
    for (const fault of faults) figures.push(...(await measure(scene, fault)))
    return [...figures, scene.thread()]
  } finally {
    await scene.end()
  }
}

async function measure({ load, control, memoryMiB }: Scene, fault: Fault): Promise<readonly Figure[]> {
  const { name, lastsMs, backWithinSeconds } = fault
  const calmFromMs = performance.now()
  await delay(calmMs)
  const failedFromMs = performance.now()
  const before = memoryMiB()
  await fault.fail()
  await delay(lastsMs)
  const growth = memoryMiB() - before
  await fault.mend?.()
  const mendedMs = fault.isMendedByOthers === true ? failedFromMs : performance.now()
  await untilCounted(load, fault)
  await delay(settledMs)
  const endMs = performance.now()
  await until(() => load.answers.some(({ sentMs }) => sentMs >= endMs), { what: 'requests are answered' })
  const counted = await repositoriesIn(await fault.countedBy())
  const lastUncounted = sentIn(load, mendedMs, endMs).findLast(({ repository }) => !counted.has(repository))
  const backSeconds = ((lastUncounted?.sentMs ?? mendedMs) - mendedMs) / 1000
  const calmAndFailing = <Each extends Answer>(of: SteadyLoad<Each>) =>
    [sentIn(of, calmFromMs, failedFromMs), sentIn(of, failedFromMs, endMs)] as const
  return [
    ...requestFigures(name, calmAndFailing(load), calmAndFailing(control)),
    atMost(`${name}, the last request that Redis did not count`, backSeconds, backWithinSeconds, 's', 2),
    ...(fault.isMemoryTold === true
      ? [atMost(`${name}, resident memory (${before.toFixed(0)} MiB before) grew by`, growth, 32, 'MiB', 1)]
      : []),
  ]
}

/** Until the latest request was counted. */
async function untilCounted({ answers }: SteadyLoad<Pull>, { name, countedBy }: Fault): Promise<void> {
  const isCounted = async (): Promise<boolean> => {
    const latest = answers.at(-1)
    return (await (await countedBy()).command('EXISTS', keyOf(latest?.repository ?? ''))) === 1
  }
  await until(isCounted, { what: `${name}: Redis counts again`, deadlineMs: 15_000 })
}

/** Those whose pull was counted there in the last minute. */
async function repositoriesIn(redis: RedisServer): Promise<ReadonlySet<string>> {
  const keys = await redis.command('KEYS', keyOf('*'))
  return new Set(Array.isArray(keys) ? keys.map((key) => String(key).slice(keyOf('').length)) : [])
}

function keyOf(repository: string): string {
  return `wharfgate:limit:{u=alice}:pull:${repository}`
}

/** The slowest of what was sent in the first tenth of a second, in milliseconds. */
function firstOf(answers: readonly Answer[]): number {
  const fromMs = answers[0]?.sentMs ?? Number.NaN
  return timesOf(answers.filter(({ sentMs }) => sentMs < fromMs + 100)).slowestMs
}

/** In the order in which they were sent. */
function sentIn<Each extends Answer>({ answers }: SteadyLoad<Each>, fromMs: number, toMs: number): readonly Each[] {
  const sent = answers.filter(({ sentMs }) => sentMs >= fromMs && sentMs < toMs)
  return sent.toSorted((a, b) => a.sentMs - b.sentMs)
}

type CalmAndFailing = readonly [calm: readonly Answer[], failing: readonly Answer[]]

/** What a machine that others use too adds to requests that ask no Redis is none of its doing. */
function requestFigures(name: string, pulls: CalmAndFailing, controls: CalmAndFailing): readonly Figure[] {
  const [was, is] = [timesOf(pulls[0]), timesOf(pulls[1])]
  const [controlWas, controlIs] = [timesOf(controls[0]), timesOf(controls[1])]
  const added = (key: keyof Times): number => is[key] - was[key] - Math.max(0, controlIs[key] - controlWas[key])
  // Those that wait for Redis until it is given up; of all of them they are too few for p99.
  const [first, controlFirst] = [firstOf(pulls[1]), firstOf(controls[1])]
  const firstAdded = first - was.p99Ms - Math.max(0, controlFirst - controlWas.p99Ms)
  const statuses = statusText([...pulls[1], ...controls[1]])
  return [
    { what: `${name}, pulls before`, measured: timesText(was) },
    { what: `${name}, pulls meanwhile`, measured: timesText(is) },
    { what: `${name}, /healthz before`, measured: timesText(controlWas) },
    { what: `${name}, /healthz meanwhile`, measured: timesText(controlIs) },
    atMost(`${name}, added at p50`, added('p50Ms'), addedMs, 'ms', 1),
    atMost(`${name}, added at p99`, added('p99Ms'), addedMs, 'ms', 1),
    atMost(`${name}, added to the first (${first.toFixed(1)} ms) beyond p99 before`, firstAdded, firstAddedMs, 'ms', 1),
    { what: `${name}, statuses`, held: /^200 \d+$/.test(statuses), measured: statuses, asked: '200 alone' },
  ]
}
