/** The rows of `npm run soak` that are about many clients, restarts and time. */
import { setTimeout as delay } from 'node:timers/promises'
import { join } from 'node:path'
import { initCertificates } from '../src/cli/certificate-files.ts'
import {
  idleConnections,
  manyTimes,
  serviceOf,
  shakeHands,
  slowHeaders,
  stalledHandshakes,
} from '../test/support/crowd.ts'
import type { Service } from '../test/support/crowd.ts'
import { bytesOf, sha256 } from '../test/support/fault-bytes.ts'
import { pushAndPullAtOnce } from '../test/support/fault-load.ts'
import { createGatewaySite } from '../test/support/gateway-site.ts'
import type { GatewaySite, ServedGateway, ServeOptions } from '../test/support/gateway-site.ts'
import { startRealRegistry } from '../test/support/real-registry.ts'
import type { RealRegistry } from '../test/support/real-registry.ts'
import { resumeUpload } from '../test/support/resumed-upload.ts'
import { until } from '../test/support/until.ts'
import { hold } from './hold.ts'
import type { SoakRow } from './soak-rows.ts'

const mebibyte = 1024 * 1024

type Place = { readonly registry: RealRegistry; readonly site: GatewaySite; readonly gateway: ServedGateway }

export const crowdRows: readonly SoakRow[] = [
  {
    name: 'rotation',
    kind: 'works',
    promise: 'certificates that change under load cost not one of 10,000 handshakes',
    measure: () => withSite(rotation),
  },
  {
    name: 'crowd',
    kind: 'works',
    promise: '1,000 stalled handshakes and 2,000 slow heads leave good clients unaffected',
    measure: () => withSite(crowd, { settings: { client: { handshakeMs: 60_000, requestHeadersMs: 60_000 } } }),
  },
  {
    name: 'idle',
    kind: 'works',
    promise: '5,000 idle connections cost at most 96 KiB each and slow nobody down',
    measure: () => withSite(idle, { settings: { client: { keepAliveMs: 600_000 } } }),
  },
  {
    name: 'restart',
    kind: 'works',
    promise: '100 uploads, in the middle of which the registry is restarted, all end with the right digest',
    measure: () => withSite(restart),
  },
  {
    name: 'heap',
    kind: 'works',
    promise: 'with 128 MiB of heap, 20 parallel pushes, then pulls, of 1 GiB are equal',
    // Twenty unfinished uploads of that size are more than a memory file system should hold.
    measure: () => withSite(smallHeap, { nodeOptions: ['--max-old-space-size=128'] }, 'disk'),
  },
  {
    name: 'steady',
    kind: 'works',
    promise: 'five minutes of mixed load: memory and descriptors stay where they were after the first',
    measure: () => withSite(steady),
  },
]

async function rotation({ site, gateway }: Place): Promise<string> {
  const state = { isOver: false, count: 0 }
  const rotate = async (): Promise<void> => {
    for (; !state.isOver; state.count += 1) {
      await initCertificates({ directory: join(site.directory, 'certs'), hosts: ['localhost'], force: true })
      gateway.process.kill('SIGHUP')
      await delay(100)
    }
  }
  const rotating = rotate()
  const hands = await manyTimes(10_000, () => shakeHands(gateway.target))
  state.isOver = true
  await rotating
  const failures = hands.flatMap((each) => ('failure' in each ? [each.failure] : []))
  const serials = new Set(hands.flatMap((each) => ('serial' in each ? [each.serial] : [])))
  hold(failures.length === 0, `${failures.length} failed: ${failures[0] ?? ''}`)
  hold(serials.size > 10, `${serials.size} certificates were seen`)
  return `0 failed, ${serials.size} certificates seen of ${state.count}`
}

async function crowd({ gateway }: Place): Promise<string> {
  const alone = await serviceOf(200, () => gateway.asAlice({ path: '/v2/' }))
  const stalled = await stalledHandshakes(gateway.target, 1_000)
  const slow = await slowHeaders(gateway.target, 2_000)
  const among = await serviceOf(200, () => gateway.asAlice({ path: '/v2/' }))
  const open = stalled.open() + slow.open()
  stalled.leave()
  slow.leave()
  const figure = `${serviceText(alone)} alone, ${serviceText(among)} among ${open}`
  hold(among.failed === 0 && open === 3_000 && among.medianMs <= 2 * alone.medianMs, figure)
  return figure
}

async function idle({ gateway }: Place): Promise<string> {
  const alone = await serviceOf(200, () => gateway.asAlice({ path: '/v2/' }))
  const before = gateway.memory().residentMiB
  const connections = await idleConnections(gateway.target, 5_000)
  const among = await serviceOf(200, () => gateway.asAlice({ path: '/v2/' }))
  // What the handshakes left behind is collected when there is time for it.
  await delay(10_000)
  await serviceOf(200, () => gateway.asAlice({ path: '/v2/' }))
  const each = ((gateway.memory().residentMiB - before) * 1024) / 5_000
  const open = connections.open()
  connections.leave()
  const figure = `${each.toFixed(1)} KiB each; ${serviceText(alone)} alone, ${serviceText(among)} among ${open}`
  hold(open === 5_000 && each <= 96 && among.failed === 0 && among.medianMs <= 1.5 * alone.medianMs, figure)
  return figure
}

async function restart({ registry, gateway }: Place): Promise<string> {
  const content = bytesOf(4 * mebibyte)
  let begun = 0
  const uploads = Array.from({ length: 100 }, (_, index) =>
    resumeUpload(gateway.asAlice, `alice/restart-${index}`, content, () => {
      begun += 1
    }),
  )
  await until(() => begun >= 300, { what: 'the uploads are under way', intervalMs: 1, deadlineMs: 60_000 })
  await registry.restart()
  const done = await Promise.all(uploads)
  const right = done.filter(({ digest }) => digest === sha256(content)).length
  const broken = done.filter((each) => each.broken > 0).length
  const begunAnew = done.filter((each) => each.begunAnew > 0).length
  hold(right === 100, `${right} of 100 were right`)
  return `100 of 100 right; ${broken} were broken off, ${begunAnew} of them begun anew`
}

async function smallHeap({ gateway }: Place): Promise<string> {
  const { pushed, pulled } = await pushAndPullAtOnce(gateway, 20, 1024 * mebibyte)
  const figure = `${pushed} and ${pulled} equal, at most ${gateway.memory().peakMiB.toFixed(0)} MiB resident`
  hold(pushed === 20 && pulled === 20, figure)
  return figure
}

/** A minute of warming up, four that are measured. */
async function steady({ gateway }: Place): Promise<string> {
  const content = bytesOf(mebibyte)
  const endAt = performance.now() + 300_000
  let requests = 0
  const work = async (worker: number): Promise<void> => {
    for (let index = 0; performance.now() < endAt; index += 1) {
      const { broken } = await resumeUpload(gateway.asAlice, `alice/steady-${worker}`, content)
      const { status } = await gateway.asAlice({ path: `/v2/alice/steady-${worker}/tags/list` })
      hold(broken === 0 && status < 500, `${broken} broken, status ${status}`)
      requests += 12
    }
  }
  const working = Promise.all([0, 1, 2, 3].map(work))
  await delay(60_000)
  const before = { memory: gateway.memory().residentMiB, descriptors: gateway.descriptors() }
  await working
  const after = { memory: gateway.memory().residentMiB, descriptors: gateway.descriptors() }
  const growth = after.memory - before.memory
  const figure = `${requests} requests; ${before.memory.toFixed(0)} MiB and ${before.descriptors} descriptors after a minute, ${after.memory.toFixed(0)} and ${after.descriptors} at the end`
  hold(growth < 32 && after.descriptors <= before.descriptors + 8, figure)
  return figure
}

function serviceText({ medianMs, slowestMs, failed }: Service): string {
  return `median ${medianMs.toFixed(1)} ms, slowest ${slowestMs.toFixed(0)} ms, ${failed} failed`
}

async function withSite(
  measure: (place: Place) => Promise<string>,
  options: ServeOptions = {},
  dataIn: 'disk' | 'memory' = 'memory',
): Promise<string> {
  const registry = await startRealRegistry({ dataIn, httpSecret: 'the same after a restart' })
  const site = await createGatewaySite({ upstream: { url: registry.url }, audit: { destination: 'audit.log' } })
  try {
    const gateway = await site.serve(options)
    // The first login and the first connection belong to no row.
    await gateway.asAlice({ path: '/v2/' })
    return await measure({ registry, site, gateway })
  } finally {
    await site.remove()
    await registry.stop()
  }
}
