import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { bytesOf, sha256 } from '../support/fault-bytes.ts'
import { startUpload, withDigest } from '../support/fault-push.ts'
import { connectFaultClient, headAs } from '../support/fault-client.ts'
import { createGatewaySite } from '../support/gateway-site.ts'
import type { GatewaySite, ServedGateway } from '../support/gateway-site.ts'
import type { ClientRequest, ClientResponse } from '../support/http-client.ts'
import { readAnswers } from '../support/raw-http-client.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import { resumeUpload } from '../support/resumed-upload.ts'
import { soonMs, until } from '../support/until.ts'

const readiness = async (gateway: ServedGateway): Promise<number> => (await fetch(`${gateway.adminUrl}/readyz`)).status

describeWith(['docker-registry'], 'the life of a gateway', () => {
  let registry: RealRegistry
  let site: GatewaySite
  beforeAll(async () => {
    registry = await startRealRegistry({ dataIn: 'memory', httpSecret: 'of all its lives' })
    site = await createGatewaySite({ upstream: { url: registry.url } })
  })
  afterAll(async () => {
    await site.remove()
    await registry.stop()
  })

  /** Begins an upload whose second half is sent by `finish`. */
  async function halfUploaded(gateway: ServedGateway, repository: string) {
    const content = bytesOf(200_000)
    const location = await startUpload(gateway.asAlice, repository)
    const client = await connectFaultClient(gateway.target)
    const lines = [`Content-Length: ${content.length}`, 'Expect: 100-continue'] as const
    await client.send(headAs(`PUT ${withDigest(location, sha256(content))}`, lines))
    // The gateway has taken the request: what it is told next comes after it.
    await until(() => readAnswers(client.received()).answers.length === 1, { what: '100 Continue' })
    await client.send(content.subarray(0, 100_000))
    return {
      client,
      status: () => readAnswers(client.received()).answers[1]?.status,
      finish: () => client.send(content.subarray(100_000)),
    }
  }

  test('F-59: at SIGTERM it is not ready at once, takes what still comes, then nothing new, and ends what it began', async () => {
    const delayMs = 4_000
    const gateway = await site.serve({ settings: { shutdown: { delayMs, timeoutSeconds: 60 } } })
    const upload = await halfUploaded(gateway, 'alice/ending')
    expect(await readiness(gateway)).toBe(200)
    gateway.process.kill('SIGTERM')
    const toldAt = performance.now()
    await until(async () => (await readiness(gateway)) === 503, { what: 'it is not ready', deadlineMs: delayMs })
    expect((await gateway.asAlice({ path: '/v2/' })).status).toBe(200)
    expect(performance.now() - toldAt).toBeLessThan(delayMs)
    await until(
      () =>
        gateway.asAlice({ path: '/v2/' }).then(
          () => false,
          () => true,
        ),
      { what: 'nothing new is taken' },
    )
    expect(performance.now() - toldAt).toBeGreaterThanOrEqual(0.9 * delayMs)
    expect(gateway.process.exitCode()).toBeUndefined()
    await upload.finish()
    await upload.client.closed
    expect(upload.status()).toBe(201)
    expect(upload.client.received()).toMatch(/^connection: close\r$/im)
    const { code, stdout, stderr } = await gateway.process.ended
    expect(code).toBe(0)
    expect(stderr).toMatch(/"cutOff":0\b/)
    expect(stdout.trim().split('\n').at(-1)).toMatch(/"method":"PUT".*"status":201/)
  })

  test('F-59: what has not ended at the deadline is cut off, counted and audited', async () => {
    const gateway = await site.serve({ settings: { shutdown: { timeoutSeconds: 1 } } })
    const upload = await halfUploaded(gateway, 'alice/too-long')
    gateway.process.kill('SIGTERM')
    await upload.client.closed
    const { code, stdout, stderr } = await gateway.process.ended
    expect(code).toBe(0)
    expect(upload.status()).toBeUndefined()
    expect(stderr).toMatch(/"cutOff":1\b/)
    expect(stdout).toMatch(/"method":"PUT".*"repository":"alice\/too-long"/)
  })

  test('F-61: after SIGKILL in the middle of an upload it serves again at once, and the upload goes on', async () => {
    let gateway = await site.serve()
    const ask = (request: ClientRequest): Promise<ClientResponse> => gateway.asAlice(request)
    const content = bytesOf(800_000)
    let begun = 0
    const upload = resumeUpload(ask, 'alice/killed', content, () => {
      begun += 1
      if (begun === 4) gateway.process.kill('SIGKILL')
    })
    await gateway.process.ended
    const diedAt = performance.now()
    gateway = await site.serve({ port: gateway.port })
    expect((await gateway.asAlice({ path: '/v2/' })).status).toBe(200)
    // Two seconds are promised, on a machine that does nothing else.
    expect(performance.now() - diedAt).toBeLessThan(soonMs)
    const { digest, broken, begunAnew } = await upload
    expect([digest, begunAnew]).toEqual([sha256(content), 0])
    expect(broken).toBeGreaterThan(0)
  })

  test('F-63: two gateways that are restarted in turn fail nobody who asks the one that is ready', async () => {
    // A balancer that is late is told long enough.
    const ending = { shutdown: { delayMs: 3_000, timeoutSeconds: 60 } }
    const gateways = await Promise.all([site.serve({ settings: ending }), site.serve({ settings: ending })])
    const ready = new Set(gateways)
    const isOver = { value: false }
    let turn = 0
    const statuses = new Map<string, number>()
    const ask = async (request: ClientRequest): Promise<ClientResponse> => {
      turn += 1
      const [...choices] = ready
      const gateway = choices[turn % choices.length]
      if (gateway === undefined) throw new Error('none is ready')
      const answer = await gateway.asAlice(request)
      const kind = `${Math.floor(answer.status / 100)}xx`
      statuses.set(kind, (statuses.get(kind) ?? 0) + 1)
      return answer
    }
    const whileItLasts = async (work: (index: number) => Promise<unknown>): Promise<void> => {
      for (let index = 0; !isOver.value; index += 1) await work(index)
    }
    const content = bytesOf(100_000)
    const load = [
      whileItLasts(() => ask({ path: '/v2/' })),
      whileItLasts(() => ask({ path: '/v2/' })),
      whileItLasts(async (index) => {
        const { digest, broken } = await resumeUpload(ask, `alice/rolling-${index}`, content)
        expect([digest, broken]).toEqual([sha256(content), 0])
      }),
    ]
    for (const old of gateways) {
      // As a balancer does: it is taken out when it says so, and put back in when it says so.
      old.process.kill('SIGTERM')
      await until(async () => (await readiness(old)) === 503, { what: 'it is not ready', intervalMs: 5 })
      ready.delete(old)
      expect((await old.process.ended).code).toBe(0)
      const next = await site.serve({ port: old.port, settings: ending })
      await until(async () => (await readiness(next)) === 200, { what: 'it is ready' })
      ready.add(next)
    }
    isOver.value = true
    await Promise.all(load)
    expect([...statuses.keys()]).toEqual(['2xx'])
    expect(statuses.get('2xx')).toBeGreaterThan(50)
  })

  test('F-68: with a quarter of a core it is slow, and takes nothing for a timeout', async () => {
    const gateway = await site.serve()
    // Stopped three quarters of the time, as the quota of a control group does.
    let slice = 0
    const starve = setInterval(() => {
      slice += 1
      gateway.process.kill(slice % 4 === 0 ? 'SIGCONT' : 'SIGSTOP')
    }, 25)
    try {
      const content = bytesOf(300_000)
      const uploads = await Promise.all(
        Array.from({ length: 8 }, (_, index) => resumeUpload(gateway.asAlice, `alice/starved-${index}`, content)),
      )
      expect(uploads).toEqual(uploads.map(() => ({ digest: sha256(content), broken: 0, begunAnew: 0 })))
      expect((await fetch(`${gateway.adminUrl}/livez`)).status).toBe(200)
    } finally {
      clearInterval(starve)
      gateway.process.kill('SIGCONT')
    }
    expect(gateway.log()).not.toMatch(/timeout|took longer/i)
  })
})
