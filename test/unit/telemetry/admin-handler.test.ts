import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import net from 'node:net'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { createAdminHandler } from '../../../src/telemetry/admin-handler.ts'
import { createHealth } from '../../../src/telemetry/health.ts'
import { createMetrics } from '../../../src/telemetry/metrics.ts'

const servers: Server[] = []
afterAll(() => {
  for (const server of servers) server.close()
})

async function listen(handler: ReturnType<typeof createAdminHandler>): Promise<number> {
  const server = createServer(handler).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** One request as raw bytes; the target goes out as it is. */
async function ask(port: number, method: string, target: string, headers = '') {
  const socket = net.connect({ port, host: '127.0.0.1' })
  socket.write(`${method} ${target} HTTP/1.1\r\nHost: evil.example\r\n${headers}Connection: close\r\n\r\n`)
  const answer = await text(socket)
  const [head = '', body = ''] = answer.split('\r\n\r\n')
  return { status: Number(head.split(' ')[1]), head: head.toLowerCase(), body }
}

const health = createHealth()
const metrics = createMetrics({ version: '0.1.0', revision: 'abc', nodejsVersion: 'v24' }, false)
let port: number
beforeAll(async () => {
  port = await listen(createAdminHandler({ metrics, health }))
})

describe('the admin listener', () => {
  test('tells orchestrators what phase it is in', async () => {
    const statuses = async (): Promise<readonly number[]> => {
      const answers = ['/livez', '/startupz', '/readyz'].map((path) => ask(port, 'GET', path))
      return (await Promise.all(answers)).map(({ status }) => status)
    }
    expect(await statuses()).toEqual([200, 503, 503])
    health.started()
    expect(await statuses()).toEqual([200, 200, 200])
    health.upstreamReachable(false)
    expect(await statuses()).toEqual([200, 200, 503])
    expect((await ask(port, 'GET', '/readyz')).body).toBe('{"status":"upstream unreachable"}\n')
    health.upstreamReachable(true)
    health.drain()
    expect(await statuses()).toEqual([200, 200, 503])
  })

  test('serves the metrics, with or without a query', async () => {
    for (const target of ['/metrics', '/metrics?name=wharfgate_connections']) {
      const { status, head, body } = await ask(port, 'GET', target)
      expect(status).toBe(200)
      expect(head).toContain('content-type: text/plain; version=0.0.4')
      expect(body).toMatch(/^wharfgate_build_info\{/m)
    }
  })

  test('answers HEAD like GET, without the body', async () => {
    const [get, head] = [await ask(port, 'GET', '/livez'), await ask(port, 'HEAD', '/livez')]
    expect([head.status, head.body]).toEqual([200, ''])
    expect(head.head).toContain(`content-length: ${get.body.length}`)
  })

  test.each([
    '/',
    '/v2/',
    '/v2/_catalog',
    '/metrics/',
    '/metrics/../v2/_catalog',
    '/METRICS',
    '//metrics',
    '/metrics%2f',
    '/healthz',
    '/debug',
    'http://127.0.0.1/metrics',
    '/__proto__',
  ])('does not know %s', async (target) => {
    const { status, head, body } = await ask(port, 'GET', target)
    expect([status, body]).toEqual([404, '{"status":"not found"}\n'])
    expect(head).toContain('content-type: application/json')
    expect(head).toContain('x-content-type-options: nosniff')
  })

  test.each(['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE'])('changes nothing by %s', async (method) => {
    const { status, head, body } = await ask(port, method, '/metrics', 'Content-Length: 0\r\n')
    expect([status, body]).toEqual([405, '{"status":"method not allowed"}\n'])
    expect(head).toContain('allow: get, head')
  })

  test('says 500 and no more when the metrics cannot be collected', async () => {
    const exposition = () => Promise.reject(new Error('canary'))
    const broken = await listen(createAdminHandler({ metrics: { exposition }, health }))
    const { status, body } = await ask(broken, 'GET', '/metrics')
    expect([status, body]).toEqual([500, '{"status":"the metrics could not be collected"}\n'])
  })
})
