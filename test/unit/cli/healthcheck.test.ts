import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createServer as createTcpServer } from 'node:net'
import { describe, expect, test } from '@jest/globals'
import { adminUrl, askHealth } from '../../../src/cli/healthcheck.ts'
import { soonMs } from '../../support/until.ts'

async function withServer(status: number | 'silent' | 'closed', work: (url: URL) => Promise<void>): Promise<void> {
  const server =
    typeof status === 'number'
      ? createServer((_req, res) => res.writeHead(status).end())
      : // Read, or the end of the connection would not be seen, and it would hold the process.
        createTcpServer((socket) => socket.resume())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/livez`)
  if (status === 'closed') server.close()
  try {
    await work(url)
  } finally {
    if (status !== 'closed') server.close()
  }
}

describe('the health check', () => {
  test('is content with 200', async () => {
    await withServer(200, async (url) => {
      expect(await askHealth(url, soonMs)).toEqual({ healthy: true, sentence: `${url.href} says 200` })
    })
  })
  test.each([503, 404, 302])('is not content with %i', async (status) => {
    await withServer(status, async (url) => {
      expect(await askHealth(url, soonMs)).toEqual({ healthy: false, sentence: `${url.href} says ${status}` })
    })
  })
  test('tells that nobody listens', async () => {
    await withServer('closed', async (url) => {
      const { healthy, sentence } = await askHealth(url, soonMs)
      expect(healthy).toBe(false)
      expect(sentence).toContain('ECONNREFUSED')
    })
  })
  test('waits for a bounded time', async () => {
    await withServer('silent', async (url) => {
      const { healthy, sentence } = await askHealth(url, 50)
      expect(healthy).toBe(false)
      expect(sentence).toContain('no answer within 50 ms')
    })
  })
  test.each([
    ['127.0.0.1', 'http://127.0.0.1:9090/livez'],
    ['0.0.0.0', 'http://127.0.0.1:9090/livez'],
    ['::', 'http://[::1]:9090/livez'],
    ['fd00::7', 'http://[fd00::7]:9090/livez'],
    ['localhost', 'http://localhost:9090/livez'],
  ])('asks a gateway that listens on %s at %s', (host, expected) => {
    expect(adminUrl({ host, port: 9090 }, '/livez').href).toBe(expected)
  })
})
