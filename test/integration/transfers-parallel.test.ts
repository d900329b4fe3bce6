import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { digestOf } from '../support/fault-bytes.ts'
import { startGatewayProcess } from '../support/fault-gateway.ts'
import type { GatewayProcess } from '../support/fault-gateway.ts'
import { eagerSender, endlessDownload, pushAndPullAtOnce, stalledReader, standstill } from '../support/fault-load.ts'
import { pushBlob } from '../support/fault-push.ts'
import { answerJson, startFaultUpstream } from '../support/fault-upstream.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import { until } from '../support/until.ts'

const mebibyte = 1024 * 1024
/** Gigabytes take half a minute here, and what they take elsewhere. */
const longMs = 600_000

describeWith(['docker-registry'], 'much at once', () => {
  let registry: RealRegistry
  let gateway: GatewayProcess
  let idleMiB: number

  beforeAll(async () => {
    registry = await startRealRegistry({ dataIn: 'memory' })
    gateway = await startGatewayProcess({ upstreamUrl: registry.url, nodeOptions: ['--max-old-space-size=128'] })
    await gateway.asAlice({ path: '/v2/' })
    idleMiB = gateway.memory().residentMiB
  })
  afterAll(async () => {
    await gateway.stop()
    await registry.stop()
  })

  test(
    'F-67: with 128 MiB of heap, 20 clients push and then pull 64 MiB each, and every digest is equal',
    async () => {
      expect(await pushAndPullAtOnce(gateway, 20, 64 * mebibyte)).toEqual({ pushed: 20, pulled: 20 })
    },
    longMs,
  )

  test(
    '1 GiB and a byte come back with the same digest',
    async () => {
      const bytes = 1024 * mebibyte + 1
      const { digest, answer } = await pushBlob(gateway.asAlice, 'alice/large', bytes, { way: 'PUT with body' })
      expect(answer.status).toBe(201)
      expect(await gateway.asAlice({ path: `/v2/alice/large/blobs/${digest}` })).toMatchObject({ bytes, digest })
    },
    longMs,
  )

  test('and the memory of the gateway was bounded all along', () => {
    // Coarse, as the garbage collector takes its time: nearly 5 GB went through.
    expect(gateway.memory().peakMiB - idleMiB).toBeLessThan(400)
  })
})

describe('backpressure', () => {
  /** What the kernel may hold on both sides of the gateway, for one connection. */
  const kernelBytes = 48 * mebibyte
  /** Includes what went through before the standstill and has not been collected yet. */
  const largestGrowthMiB = 250

  test(
    'F-14: clients that do not read hold the upstream back, and memory is bounded',
    async () => {
      const upstream = await startFaultUpstream()
      const gateway = await startGatewayProcess({ upstreamUrl: upstream.url })
      try {
        await gateway.asAlice({ path: '/v2/' })
        const before = gateway.memory().residentMiB
        const sent = new Map<Socket, number>()
        upstream.play(endlessDownload(sent))
        const clients = await Promise.all(Array.from({ length: 20 }, () => stalledReader(gateway)))
        await until(() => sent.size === 20, { what: 'every download has begun' })
        const total = await standstill(() => [...sent.values()].reduce((sum, bytes) => sum + bytes, 0))
        expect(total / 20).toBeLessThan(kernelBytes)
        expect(gateway.memory().residentMiB - before).toBeLessThan(largestGrowthMiB)
        expect((await gateway.asAlice({ path: '/v2/' })).status).toBe(200)
        for (const client of clients) client.leave('reset')
        await until(() => upstream.open() === 0, { what: 'the upstream connections end' })
      } finally {
        await gateway.stop()
        await upstream.close()
      }
    },
    longMs,
  )

  test(
    'F-15: an upstream that does not read holds the clients back; when it does, every byte arrives',
    async () => {
      const upstream = await startFaultUpstream()
      const gateway = await startGatewayProcess({ upstreamUrl: upstream.url })
      const bytes = 64 * mebibyte
      const reading = Promise.withResolvers<undefined>()
      try {
        await gateway.asAlice({ path: '/v2/' })
        const before = gateway.memory().residentMiB
        upstream.play(({ req, res }) => {
          const hash = createHash('sha256')
          void reading.promise.then(() => {
            req.on('data', (chunk: Buffer) => hash.update(chunk))
            req.on('end', () => {
              answerJson(202, `sha256:${hash.digest('hex')}`)({ res })
            })
          })
        })
        const senders = await Promise.all(Array.from({ length: 4 }, () => eagerSender(gateway, bytes)))
        const total = await standstill(() => senders.reduce((sum, { sent }) => sum + sent(), 0))
        expect(total / 4).toBeLessThan(kernelBytes)
        expect(gateway.memory().residentMiB - before).toBeLessThan(largestGrowthMiB)
        reading.resolve(undefined)
        const digest = await digestOf(bytes)
        for (const { client } of senders) {
          await until(() => client.received().endsWith(digest), {
            what: 'the digest of every byte',
            deadlineMs: 90_000,
          })
          client.leave('end')
        }
      } finally {
        await gateway.stop()
        await upstream.close()
      }
    },
    longMs,
  )
})
