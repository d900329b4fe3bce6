import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { pushBlob } from '../support/fault-push.ts'
import type { Framing, PushWay } from '../support/fault-push.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'

const kibibyte = 1024
const mebibyte = 1024 * kibibyte

describeWith(['docker-registry'], 'blobs through the gateway and back', () => {
  let registry: RealRegistry
  let gateway: TestGateway

  beforeAll(async () => {
    registry = await startRealRegistry({ dataIn: 'memory' })
    gateway = await startGateway({ upstreamUrl: registry.url })
  })
  afterAll(async () => {
    await gateway.stop()
    await registry.stop()
  })

  const edges = [16 * kibibyte, 64 * kibibyte, 4 * mebibyte].flatMap((size) => [size - 1, size, size + 1])
  const ways: readonly PushWay[] = ['POST monolithic', 'PATCH, then PUT', 'PUT with body']
  const framings: readonly Framing[] = ['sized', 'chunked']
  const shapes = ways.flatMap((way) => framings.map((framing) => ({ way, framing })))

  describe.each(shapes)('by $way, $framing', ({ way, framing }) => {
    test.each([0, 1, ...edges])('%i bytes come back with the same digest', async (bytes) => {
      const ask = (request: Parameters<TestGateway['as']>[1]) => gateway.as('alice', request)
      const repository = `alice/${framing}-${bytes}`
      const { digest, answer } = await pushBlob(ask, repository, bytes, { way, framing })
      expect(answer).toMatchObject({ status: 201, headers: { 'docker-content-digest': digest } })

      const pulled = await gateway.as('bob', { path: `/v2/${repository}/blobs/${digest}` })
      expect(pulled).toMatchObject({ status: 200, bytes, digest })
      expect(pulled.headers['content-length']).toBe(String(bytes))
      const up = await gateway.auditLineOf(String(answer.headers['x-request-id']))
      if (way !== 'PATCH, then PUT') expect(up).toMatchObject({ bytesUp: bytes, outcome: 'complete', user: 'alice' })
      const down = await gateway.auditLineOf(String(pulled.headers['x-request-id']))
      expect(down).toMatchObject({ bytesDown: bytes, outcome: 'complete', user: 'bob' })
    })
  })
})
