import http from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { bytesOf, sha256 } from '../support/fault-bytes.ts'
import { connectFaultClient, headAs } from '../support/fault-client.ts'
import { endlessDownload } from '../support/fault-load.ts'
import { answerJson, startFaultUpstream } from '../support/fault-upstream.ts'
import type { FaultUpstream } from '../support/fault-upstream.ts'
import { createGatewaySite } from '../support/gateway-site.ts'
import type { GatewaySite } from '../support/gateway-site.ts'
import { createOwnHosts } from '../support/own-hosts.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import { resumeUpload } from '../support/resumed-upload.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'
import { soonMs, until } from '../support/until.ts'

const blob = `/v2/alice/app/blobs/sha256:${'a'.repeat(64)}` as const
const session = '/v2/alice/app/blobs/uploads/session-1?_state=x'

describe('an upstream', () => {
  let upstream: FaultUpstream
  let gateway: TestGateway
  const tags = () => gateway.as('alice', { path: '/v2/alice/app/tags/list' })

  beforeAll(async () => {
    upstream = await startFaultUpstream()
    gateway = await startGateway({
      upstreamUrl: upstream.url,
      settings: { upstream: { timeouts: { keepAliveMs: 1_000 } } },
    })
  })
  afterEach(() => {
    upstream.reset()
  })
  afterAll(async () => {
    await gateway.stop()
    await upstream.close()
  })

  test('F-17: is connected to anew after a while, however busy its connections are', async () => {
    const startedMs = performance.now()
    const ports = new Set<number | undefined>()
    upstream.play(({ res, connection }) => {
      ports.add(connection.socket.remotePort)
      answerJson(200, '{}')({ res })
    })
    let asked = 0
    while (ports.size < 3 && performance.now() - startedMs < soonMs) {
      await tags()
      asked += 1
    }
    // Each carries what comes within its second, and nothing after it.
    expect(ports.size).toBe(3)
    expect(ports.size).toBeLessThan(asked)
  })

  test('F-17: no upload meets a connection that has just come to its end', async () => {
    const brisk = await startGateway({
      upstreamUrl: upstream.url,
      settings: { upstream: { timeouts: { keepAliveMs: 20 } } },
    })
    upstream.play(({ req, res }) => {
      req.resume().on('end', () => {
        answerJson(202, '{}', { location: session })({ res })
      })
    })
    const endAt = performance.now() + 2_000
    const statuses = new Set<number>()
    const push = async (): Promise<void> => {
      while (performance.now() < endAt) {
        const { status } = await brisk.as('alice', { method: 'PATCH', path: session, body: Buffer.alloc(20_000) })
        statuses.add(status)
      }
    }
    await Promise.all(Array.from({ length: 6 }, push))
    await brisk.stop()
    expect([...statuses]).toEqual([202])
  })

  test('F-09: that sends without end takes no memory, and is let go of when the client leaves', async () => {
    const sent = new Map<Socket, number>()
    upstream.play(endlessDownload(sent))
    const client = await connectFaultClient(gateway.target)
    client.discard()
    await client.send(headAs(`GET ${blob}`))
    const total = (): number => [...sent.values()].reduce((sum, bytes) => sum + bytes, 0)
    await until(() => total() > 64 * 1024 * 1024, { what: 'the download flows' })
    const before = process.memoryUsage().arrayBuffers
    await until(() => total() > 320 * 1024 * 1024, { what: '256 MiB have come', deadlineMs: 90_000 })
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 * 1024)
    client.leave('reset')
    await until(() => upstream.open() === 0, { what: 'the upstream connection ends' })
  })

  test('F-13: that is slow with 50 downloads holds nobody else up', async () => {
    const stops: (() => void)[] = []
    upstream.play(({ req, res }) => {
      if (req.url !== blob) {
        answerJson(200, '{}')({ res })
        return
      }
      // Far more than comes: who had to wait for one of them would wait for ever.
      res.writeHead(200, { 'content-length': 1_000_000_000 })
      const timer = setInterval(() => res.write(Buffer.alloc(5_000)), 50)
      stops.push(() => {
        clearInterval(timer)
      })
    })
    const clients = await Promise.all(Array.from({ length: 50 }, () => connectFaultClient(gateway.target)))
    await Promise.all(clients.map((client) => client.send(headAs(`GET ${blob}`))))
    await until(() => clients.every((client) => client.received().length > 10_000), { what: 'all downloads flow' })
    for (let index = 0; index < 40; index += 1) {
      const startedMs = performance.now()
      expect((await tags()).status).toBe(200)
      expect(performance.now() - startedMs).toBeLessThan(soonMs)
    }
    expect(clients.filter((client) => client.isClosed())).toEqual([])
    for (const stop of stops) stop()
    for (const client of clients) client.leave('reset')
    await until(() => upstream.open() <= 1, { what: 'the downloads end' })
  })

  test('F-21: that comes and goes is connected to once a request, and serves at once when it is back', async () => {
    let connects = 0
    let asked = 0
    const flapping = await startFlapping(() => {
      connects += 1
    })
    const own = await startGateway({ upstreamUrl: `http://127.0.0.1:${flapping.port}` })
    try {
      for (const isUp of [true, false, true, false, true]) {
        if (isUp) await flapping.up()
        else flapping.down()
        const statuses: number[] = []
        for (let index = 0; index < 20; index += 1) {
          const { status, headers } = await own.as('alice', { path: '/v2/alice/app/tags/list' })
          if (status === 503) expect(headers['retry-after']).toBe('1')
          statuses.push(status)
          asked += 1
        }
        expect(new Set(statuses)).toEqual(new Set([isUp ? 200 : 503]))
      }
      expect(connects).toBeLessThanOrEqual(asked / 4)
    } finally {
      await own.stop()
      flapping.down()
    }
  })
})

/** A registry on one port that can be taken down and up again. */
async function startFlapping(onConnect: () => void) {
  let server: Server | undefined
  let port = 0
  const up = async (): Promise<void> => {
    const next = http.createServer((_req, res) => {
      answerJson(200, '{}')({ res })
    })
    next.on('connection', onConnect)
    await new Promise<void>((resolve) => next.listen(port, '127.0.0.1', resolve))
    port = (next.address() as AddressInfo).port
    server = next
  }
  const down = (): void => {
    server?.close()
    server?.closeAllConnections()
    server = undefined
  }
  await up()
  down()
  return { up, down, port }
}

describeWith(['network-namespace'], 'F-17, F-18: the name of the upstream', () => {
  let site: GatewaySite
  const servers: Server[] = []
  let port = 0

  /** A registry on one of the many addresses of loopback; says which one it is. */
  async function registryOn(address: string): Promise<void> {
    const server = http.createServer((_req, res) => {
      answerJson(200, JSON.stringify({ name: address, tags: [] }))({ res })
    })
    await new Promise<void>((resolve) => server.listen(port, address, resolve))
    port = (server.address() as AddressInfo).port
    servers.push(server)
  }

  beforeAll(async () => {
    await registryOn('127.0.0.2')
    await registryOn('127.0.0.3')
    site = await createGatewaySite({
      upstream: { url: `http://registry.example.test:${port}`, timeouts: { keepAliveMs: 500 } },
    })
  })
  afterAll(async () => {
    await site.remove()
    for (const server of servers) {
      server.close()
      server.closeAllConnections()
    }
  })

  test('is followed to another address under load, and its last one serves while it cannot be resolved', async () => {
    const hosts = createOwnHosts(site.directory)
    hosts.write({ 'registry.example.test': ['127.0.0.2'] })
    const gateway = await site.serve({ inside: hosts.inside })
    const answering = async (): Promise<unknown> => {
      const { status, body } = await gateway.asAlice({ path: '/v2/alice/app/tags/list' })
      expect(status).toBe(200)
      return (JSON.parse(body) as { readonly name: unknown }).name
    }
    expect(await answering()).toBe('127.0.0.2')
    hosts.write({ 'registry.example.test': ['127.0.0.3'] })
    // Asked without a pause, so that the connections to the old address are never idle for long.
    await until(async () => (await answering()) === '127.0.0.3', {
      what: 'the new address is used',
      intervalMs: 1,
    })
    expect(await answering()).toBe('127.0.0.3')
    hosts.write({})
    for (const startedMs = performance.now(); performance.now() - startedMs < 1_500;) {
      expect(await answering()).toBe('127.0.0.3')
    }
  })
})

describeWith(['docker-registry'], 'F-20: a registry that is restarted in the middle of 40 uploads', () => {
  test('has every one of them whole in the end', async () => {
    const registry = await startRealRegistry({ dataIn: 'memory', httpSecret: 'of all its lives' })
    const gateway = await startGateway({ upstreamUrl: registry.url })
    try {
      const content = bytesOf(400_000)
      let begun = 0
      const uploads = Array.from({ length: 40 }, (_, index) =>
        resumeUpload(
          (request) => gateway.as('alice', request),
          `alice/whole-${index}`,
          content,
          () => {
            begun += 1
          },
        ),
      )
      await until(() => begun >= 100, { what: 'the uploads are under way', intervalMs: 1 })
      await registry.restart()
      const done = await Promise.all(uploads)
      expect(new Set(done.map(({ digest }) => digest))).toEqual(new Set([sha256(content)]))
      expect(done.filter(({ broken }) => broken > 0)).not.toEqual([])
      expect(done.filter(({ begunAnew }) => begunAnew > 0).length).toBeLessThan(10)
    } finally {
      await gateway.stop()
      await registry.stop()
    }
  })
})
