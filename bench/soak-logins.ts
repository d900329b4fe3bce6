/** The row of `npm run soak` in which passwords are guessed faster than they can be hashed. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { hashSync } from '@node-rs/bcrypt'
import { createGatewaySite } from '../test/support/gateway-site.ts'
import type { ServedGateway } from '../test/support/gateway-site.ts'
import { basic } from '../test/support/personas.ts'
import { atMost, figuresText, threadFigure } from './figures.ts'
import type { Figure } from './figures.ts'
import { hold } from './hold.ts'
import { cpuSeconds, eventLoopThread } from './measure.ts'
import type { SoakRow } from './soak-rows.ts'
import { median } from './statistics.ts'
import { createKeptClient, startSteadyLoad, statusText, timesOf, timesText } from './steady-load.ts'
import type { Answer, KeptClient, SteadyLoad } from './steady-load.ts'
import { manifestType, startUpstream } from './upstream.ts'

export const loginRows: readonly SoakRow[] = [
  {
    name: 'login-flood',
    kind: 'works',
    promise: '200 wrong passwords a second, of bcrypt cost 12, keep nobody out and slow nobody down',
    measure: loginFlood,
  },
]

const guessesPerSecond = 200
const addresses = 50
const floodMs = 20_000
const warmUpMs = 2_000
const calmMs = 5_000
const bystandersPerSecond = 25
/** One every two seconds, each from an address of their own from which nobody has failed. */
const newcomers = Array.from({ length: 9 }, (_value, index) => `newcomer-${index}`)
const newcomerEveryMs = 2_000
const cost = 12
const password = 'correct horse: battery staple'
/** Passwords that may wait to be hashed: the default of `authentication.maxQueuedHashes`. */
const queueLength = 64
/** Of one new user: whoever is sent away again is kept out. */
const mostRefusals = 1
/** How far apart event loops are looked at, the gateway's too; one that is never late shows as this. */
const lagIntervalMs = 10
/** A hash of that cost takes 250 ms where nothing else is done: on the event loop it would show. */
const mostLagMs = 100
const lagSeries = 'nodejs_eventloop_lag_p99_seconds'

async function loginFlood(): Promise<string> {
  const upstream = await startUpstream(1_024)
  const site = await createGatewaySite({
    upstream: { url: upstream.registry.url },
    trustedProxies: ['127.0.0.1'],
    // What bounds the flood is as delivered.
    authentication: { htpasswd: { enabled: true, file: 'htpasswd' } },
    client: { keepAliveMs: 600_000 },
    audit: { destination: 'audit.log' },
  })
  try {
    const line = hashSync(password, cost)
    writeFileSync(join(site.directory, 'htpasswd'), ['alice', ...newcomers].map((name) => `${name}:${line}\n`).join(''))
    const gateway = await site.serve()
    const client = createKeptClient(gateway.target)
    const figures = await measure({ gateway, client, path: upstream.manifestPath })
    client.close()
    return figuresText(figures)
  } finally {
    await site.remove()
    await upstream.registry.stop()
  }
}

type Scene = { readonly gateway: ServedGateway; readonly client: KeptClient; readonly path: string }

async function measure(scene: Scene): Promise<readonly Figure[]> {
  const { client, path } = scene
  const first = await client.ask({ path, headers: headersOf('alice', password, '192.0.2.1') })
  hold(first.status === 200, `alice was answered ${first.status}`)
  // The connections and the compiler belong to no figure.
  await bystanders(scene, warmUpMs)
  await metricsOf(scene.gateway)
  const calm = await bystanders(scene, calmMs)
  const before = await metricsOf(scene.gateway)
  const flood = startSteadyLoad(guessesPerSecond, (number) => guess(scene, number))
  try {
    return await measureFlood(scene, flood, { calm, before })
  } finally {
    await flood.stop()
  }
}

async function measureFlood(
  scene: Scene,
  flood: SteadyLoad<Answer>,
  { calm, before }: { readonly calm: Bystanders; readonly before: Metrics },
): Promise<readonly Figure[]> {
  const { pid } = scene.gateway.process
  const [cpuBefore, threadBefore] = [cpuSeconds([pid]), eventLoopThread(pid)]
  const lag = monitorEventLoopDelay({ resolution: lagIntervalMs })
  lag.enable()
  const entering = Promise.all(newcomers.map((name, index) => enter(scene, name, index)))
  const flooded = await bystanders(scene, floodMs)
  const after = await metricsOf(scene.gateway)
  const processors = (cpuSeconds([pid]) - cpuBefore) / (floodMs / 1000)
  const thread = threadFigure(threadBefore, eventLoopThread(pid))
  lag.disable()
  const entered = await entering
  const guesses = await flood.stop()
  return [
    ...bystanderFigures(calm, flooded),
    ...loginFigures(entered),
    ...guessFigures(guesses, flood.mostUnderWay()),
    ...hashFigures(before, after),
    { what: `the gateway’s event loop late, p99 before`, measured: `${(before(lagSeries) * 1000).toFixed(1)} ms` },
    atMost('the gateway’s event loop late, p99 in the flood', after(lagSeries) * 1000, mostLagMs, 'ms', 1),
    { what: 'the measuring event loop late, p99', measured: `${(lag.percentile(99) / 1e6).toFixed(1)} ms` },
    thread,
    { what: 'processors that the gateway used', measured: processors.toFixed(2) },
  ]
}

function headersOf(user: string, its: string, address: string): Readonly<Record<string, string>> {
  return { accept: manifestType, authorization: basic(user, its), 'x-forwarded-for': address }
}

/** Each is another one; half of them for somebody who exists, and who goes on working. */
function guess({ client, path }: Scene, number: number): Promise<Answer> {
  const user = number % 2 === 0 ? 'alice' : `user${number}`
  return client.ask({ path, headers: headersOf(user, `guess ${number}`, `203.0.113.${number % addresses}`) })
}

type Bystanders = { readonly health: readonly Answer[]; readonly remembered: readonly Answer[] }

async function bystanders({ client, path }: Scene, forMs: number): Promise<Bystanders> {
  const headers = headersOf('alice', password, '192.0.2.1')
  const health = startSteadyLoad(bystandersPerSecond, () => client.ask({ path: '/healthz' }))
  const remembered = startSteadyLoad(bystandersPerSecond, () => client.ask({ path, headers }))
  await delay(forMs)
  return { health: await health.stop(), remembered: await remembered.stop() }
}

type Entry = {
  /** The last of them let the user in, or was nothing that tells when to come again. */
  readonly attempts: readonly Answer[]
  readonly totalMs: number
}

/** Logs in when the turn has come, and again when told to come again. */
async function enter({ client, path }: Scene, name: string, index: number): Promise<Entry> {
  await delay((index + 0.5) * newcomerEveryMs)
  const headers = headersOf(name, password, `198.51.100.${index}`)
  const attempts: Answer[] = []
  const startedMs = performance.now()
  for (;;) {
    const answer = await client.ask({ path, headers })
    attempts.push(answer)
    const { status, retryAfterSeconds } = answer
    const isToldWhen = (status === 503 || status === 429) && retryAfterSeconds !== undefined
    if (!isToldWhen || attempts.length > mostRefusals) return { attempts, totalMs: performance.now() - startedMs }
    await delay(retryAfterSeconds * 1000)
  }
}

function bystanderFigures(calm: Bystanders, flooded: Bystanders): readonly Figure[] {
  const statuses = statusText([...flooded.health, ...flooded.remembered])
  return [
    { what: '/healthz before', measured: timesText(timesOf(calm.health)) },
    { what: '/healthz in the flood', measured: timesText(timesOf(flooded.health)) },
    atMost('/healthz in the flood, p99', timesOf(flooded.health).p99Ms, 20, 'ms', 1),
    { what: 'a remembered user before', measured: timesText(timesOf(calm.remembered)) },
    { what: 'a remembered user in the flood', measured: timesText(timesOf(flooded.remembered)) },
    atMost('a remembered user in the flood, p99', timesOf(flooded.remembered).p99Ms, 100, 'ms', 1),
    { what: 'statuses of both', held: /^200 \d+$/.test(statuses), measured: statuses, asked: '200 alone' },
  ]
}

function loginFigures(entries: readonly Entry[]): readonly Figure[] {
  const attempts = entries.flatMap((entry) => entry.attempts)
  const totals = entries.map(({ totalMs }) => totalMs)
  return [
    atMost(`${entries.length} new users, the slowest answer`, timesOf(attempts).slowestMs / 1000, 3, 's', 2),
    {
      what: 'new users, statuses',
      held: entries.every((entry) => entry.attempts.at(-1)?.status === 200),
      measured: statusText(attempts),
      asked: `200, after ${mostRefusals} clear refusal at most`,
    },
    {
      what: 'new users, until they were in',
      measured: `median ${median(totals).toFixed(0)} ms, slowest ${Math.max(...totals).toFixed(0)}`,
    },
  ]
}

function guessFigures(guesses: readonly Answer[], mostUnderWay: number): readonly Figure[] {
  const clear = guesses.every(({ status, retryAfterSeconds }) => status === 401 || retryAfterSeconds !== undefined)
  const allowed = guesses.every(({ status }) => [401, 429, 503].includes(status))
  return [
    {
      what: 'guesses, statuses',
      held: clear && allowed,
      measured: statusText(guesses),
      asked: '401, and 429 and 503 with Retry-After',
    },
    { what: 'guesses a second', measured: (guesses.length / (floodMs / 1000)).toFixed(0) },
    { what: 'guesses, time until the answer', measured: timesText(timesOf(guesses)) },
    atMost('guesses under way at one time', mostUnderWay, queueLength + guessesPerSecond, ''),
  ]
}

/** Reads a series; NaN where there is none. */
type Metrics = (series: string) => number

/** Reading begins the measurement of the event loop's lag anew. */
async function metricsOf({ adminUrl }: ServedGateway): Promise<Metrics> {
  const lines = (await (await fetch(`${adminUrl}/metrics`)).text()).split('\n')
  return (series) => {
    const found = lines.find((line) => line.startsWith(`${series} `))
    return Number(found?.slice(series.length + 1) ?? Number.NaN)
  }
}

function hashFigures(before: Metrics, after: Metrics): readonly Figure[] {
  const grown = (series: string): number => after(series) - before(series)
  const mean = (name: string): string => {
    const milliseconds = (grown(`${name}_sum`) / grown(`${name}_count`)) * 1000
    return `${milliseconds.toFixed(0)} ms`
  }
  const turnedAway = (reason: string): number => grown(`wharfgate_password_hashes_refused_total{reason="${reason}"}`)
  return [
    {
      what: 'passwords hashed',
      measured: `${grown('wharfgate_password_hash_duration_seconds_count')}, each in ${mean('wharfgate_password_hash_duration_seconds')} after a wait of ${mean('wharfgate_password_hash_wait_seconds')}`,
    },
    {
      what: 'passwords turned away',
      measured: `${turnedAway('queueFull')} because the queue was full, ${turnedAway('queueWait')} because their turn did not come in time`,
    },
  ]
}
