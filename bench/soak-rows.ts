import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { abortMany } from '../test/support/fault-aborts.ts'
import { digestOf, piecesOf } from '../test/support/fault-bytes.ts'
import { startGatewayProcess } from '../test/support/fault-gateway.ts'
import type { GatewayProcess } from '../test/support/fault-gateway.ts'
import { endlessDownload, pushAndPullAtOnce, stalledReader, standstill } from '../test/support/fault-load.ts'
import { pushBlob, startUpload, withDigest } from '../test/support/fault-push.ts'
import type { Framing } from '../test/support/fault-push.ts'
import { startFaultUpstream } from '../test/support/fault-upstream.ts'
import type { FaultUpstream } from '../test/support/fault-upstream.ts'
import { startRealRegistry } from '../test/support/real-registry.ts'
import { until } from '../test/support/until.ts'
import { hold } from './hold.ts'
import { crowdRows } from './soak-crowds.ts'
import { limitRows } from './soak-limits.ts'
import { loginRows } from './soak-logins.ts'
import { storeRows } from './soak-store.ts'

export type SoakRow = {
  readonly name: string
  /** `waits` costs next to no CPU and runs beside the others. */
  readonly kind: 'works' | 'waits'
  readonly promise: string
  /** Resolves with the figure that was measured. @throws Error when the promise did not hold */
  readonly measure: () => Promise<string>
}

const mebibyte = 1024 * 1024
const gibibyte = 1024 * mebibyte

/** Every row, in the order in which they run. */
export const soakRows: readonly SoakRow[] = [
  {
    name: 'slow-push',
    kind: 'waits',
    promise: 'a PATCH of six minutes and more goes through, byte for byte',
    measure: () => withRegistry(slowPush),
  },
  {
    name: 'gigabyte',
    kind: 'works',
    promise: '1 GiB + 1 byte, sized and chunked, comes back with equal SHA-256',
    measure: () =>
      withRegistry(async (gateway) => {
        const sized = await roundTrip(gateway, gibibyte + 1, 'sized')
        return `sized ${sized}; chunked ${await roundTrip(gateway, gibibyte + 1, 'chunked')}`
      }),
  },
  {
    name: 'five-gb',
    kind: 'works',
    promise: '5 GiB come back with equal SHA-256, in bounded memory',
    measure: () => withRegistry(fiveGigabytes),
  },
  {
    name: 'parallel',
    kind: 'works',
    promise: '20 parallel pushes, then pulls, of 64 MiB: all equal, in bounded memory',
    measure: () => withRegistry(parallel),
  },
  {
    name: 'aborts',
    kind: 'works',
    promise: '1,000 clients that leave in every phase leave no socket',
    measure: () => withFaultUpstream(aborts),
  },
  {
    name: 'endless',
    kind: 'works',
    promise: 'a body without end for a minute: memory stays flat, and the client’s leaving ends it within a second',
    measure: () => withFaultUpstream(endless),
  },
  {
    name: 'stalled',
    kind: 'works',
    promise: '50 clients that read nothing hold the upstream back, in bounded memory',
    measure: () => withFaultUpstream(stalled),
  },
  ...crowdRows,
  ...limitRows,
  ...storeRows,
  ...loginRows,
]

async function slowPush(gateway: GatewayProcess): Promise<string> {
  const seconds = 370
  const perSecond = 64 * 1024
  const bytes = seconds * perSecond
  const body = Readable.from(slowly(bytes, perSecond), { objectMode: false })
  const startedMs = performance.now()
  const location = await startUpload(gateway.asAlice, 'alice/slow')
  const headers = { 'content-length': bytes }
  const patched = await gateway.asAlice({ method: 'PATCH', path: location, headers, body })
  const tookSeconds = (performance.now() - startedMs) / 1000
  hold(patched.status === 202, `the PATCH was answered ${patched.status} after ${tookSeconds.toFixed(0)} s`)
  hold(tookSeconds > 360, `the PATCH took ${tookSeconds.toFixed(0)} s only`)
  const digest = await digestOf(bytes)
  const path = withDigest(patched.headers.location ?? '', digest)
  const committed = await gateway.asAlice({ method: 'PUT', path })
  hold(committed.status === 201, `the PUT was answered ${committed.status}`)
  return `${tookSeconds.toFixed(0)} s, ${bytes} bytes`
}

async function* slowly(bytes: number, perSecond: number): AsyncGenerator<Buffer> {
  for (const piece of piecesOf(bytes, perSecond / 4)) {
    yield piece
    await delay((piece.length / perSecond) * 1000)
  }
}

async function roundTrip(gateway: GatewayProcess, bytes: number, framing: Framing): Promise<string> {
  const repository = `alice/large-${framing}`
  const startedMs = performance.now()
  const { digest, answer } = await pushBlob(gateway.asAlice, repository, bytes, { framing })
  hold(answer.status === 201, `the push was answered ${answer.status}`)
  const pushedMs = performance.now()
  const pulled = await gateway.asAlice({ path: `/v2/${repository}/blobs/${digest}` })
  hold(pulled.status === 200 && pulled.bytes === bytes && pulled.digest === digest, 'the pull differs')
  const pulledMs = performance.now()
  const rate = (tookMs: number): string => `${(bytes / mebibyte / (tookMs / 1000)).toFixed(0)} MiB/s`
  return `push ${rate(pushedMs - startedMs)}, pull ${rate(pulledMs - pushedMs)}`
}

async function fiveGigabytes(gateway: GatewayProcess): Promise<string> {
  const idleMiB = gateway.memory().residentMiB
  const rates = await roundTrip(gateway, 5 * gibibyte, 'sized')
  return `${rates}, ${boundedGrowth(gateway, idleMiB, 256)}`
}

async function parallel(gateway: GatewayProcess): Promise<string> {
  const idleMiB = gateway.memory().residentMiB
  const { pushed, pulled } = await pushAndPullAtOnce(gateway, 20, 64 * mebibyte)
  hold(pushed === 20 && pulled === 20, `${pushed} pushes and ${pulled} pulls of 20 were equal`)
  return `20 and 20 equal, ${boundedGrowth(gateway, idleMiB, 400)}`
}

async function aborts(gateway: GatewayProcess, upstream: FaultUpstream): Promise<string> {
  const before = gateway.descriptors()
  await abortMany(gateway.target, upstream, 1_000)
  const startedMs = performance.now()
  await until(() => upstream.open() === 0, { what: 'the upstream connections end', deadlineMs: 1_000 })
  const tookMs = performance.now() - startedMs
  await until(() => gateway.descriptors() <= before + 2, { what: 'the gateway has closed its sockets' })
  return `${tookMs.toFixed(0)} ms until the last upstream connection ended, descriptors ${before} before, ${gateway.descriptors()} after`
}

async function endless(gateway: GatewayProcess, upstream: FaultUpstream): Promise<string> {
  const sent = new Map<Socket, number>()
  upstream.play(endlessDownload(sent))
  const client = await stalledReader(gateway)
  client.discard()
  client.resume()
  await delay(10_000)
  const early = gateway.memory().residentMiB
  await delay(50_000)
  const late = gateway.memory().residentMiB
  client.leave('reset')
  await until(() => upstream.open() === 0, { what: 'the upstream connection ends', deadlineMs: 1_000 })
  const gibibytes = [...sent.values()].reduce((sum, bytes) => sum + bytes, 0) / gibibyte
  const figure = `${gibibytes.toFixed(1)} GiB went through, ${early.toFixed(0)} MiB resident after 10 s, ${late.toFixed(0)} after 60 s`
  hold(late - early < 64, figure)
  return figure
}

async function stalled(gateway: GatewayProcess, upstream: FaultUpstream): Promise<string> {
  const idleMiB = gateway.memory().residentMiB
  const sent = new Map<Socket, number>()
  upstream.play(endlessDownload(sent))
  const clients = await Promise.all(Array.from({ length: 50 }, () => stalledReader(gateway)))
  const total = await standstill(() => [...sent.values()].reduce((sum, bytes) => sum + bytes, 0))
  for (const client of clients) client.leave('reset')
  await until(() => upstream.open() === 0, { what: 'the upstream connections end', deadlineMs: 1_000 })
  const each = total / 50 / mebibyte
  hold(each < 48, `${each.toFixed(1)} MiB a client were taken from the upstream`)
  return `${each.toFixed(1)} MiB a client in the buffers of the kernel, ${boundedGrowth(gateway, idleMiB, 300)}`
}

function boundedGrowth(gateway: GatewayProcess, idleMiB: number, mostMiB: number): string {
  const { peakMiB } = gateway.memory()
  const figure = `memory ${idleMiB.toFixed(0)} MiB before, ${peakMiB.toFixed(0)} at most`
  hold(peakMiB - idleMiB < mostMiB, figure)
  return figure
}

async function withRegistry(measure: (gateway: GatewayProcess) => Promise<string>): Promise<string> {
  const registry = await startRealRegistry({ dataIn: 'memory' })
  try {
    return await withGateway(registry.url, measure)
  } finally {
    await registry.stop()
  }
}

async function withFaultUpstream(
  measure: (gateway: GatewayProcess, upstream: FaultUpstream) => Promise<string>,
): Promise<string> {
  const upstream = await startFaultUpstream()
  try {
    return await withGateway(upstream.url, (gateway) => measure(gateway, upstream))
  } finally {
    await upstream.close()
  }
}

async function withGateway(url: string, measure: (gateway: GatewayProcess) => Promise<string>): Promise<string> {
  const gateway = await startGatewayProcess({ upstreamUrl: url })
  try {
    // The first login and the first connection belong to no row.
    await gateway.asAlice({ path: '/v2/' })
    return await measure(gateway)
  } finally {
    await gateway.stop()
  }
}
