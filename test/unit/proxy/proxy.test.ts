import http from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import net from 'node:net'
import type { AddressInfo } from 'node:net'
import { expect, test } from '@jest/globals'
import { evaluate } from '../../../src/authorization/evaluate.ts'
import { createProxy } from '../../../src/proxy/proxy.ts'
import type { Proxy } from '../../../src/proxy/proxy.ts'
import type { Grant } from '../../../src/registry/grant.ts'
import { parseRegistryRequest } from '../../../src/registry/route.ts'
import type { TransferOutcome } from '../../../src/registry/transfer.ts'
import { neverAnswer, startFaultUpstream } from '../../support/fault-upstream.ts'
import { authenticatedUsersOnly } from '../../support/fixed-policy.ts'
import { until } from '../../support/until.ts'

function grantFor(method: string, target: string): Grant {
  const alice = { kind: 'user', name: 'alice', groups: [], method: 'htpasswd' } as const
  const circumstances = { address: '127.0.0.1', now: 0, ownHosts: new Set<string>() }
  const decision = evaluate(authenticatedUsersOnly, alice, parseRegistryRequest(method, target), circumstances)
  if (decision.kind === 'refused') throw new Error('alice may do everything')
  return decision.grant
}

function proxyTo(url: string): Proxy {
  const limitMs = 60_000
  const timeouts = { connectMs: limitMs, headersMs: limitMs, commitHeadersMs: limitMs, inactivityMs: limitMs }
  return createProxy(
    {
      upstreamUrl: new URL(url),
      upstreamCa: undefined,
      credential: undefined,
      redirects: { mode: 'pass', hosts: new Set() },
      upstreamTimeouts: { ...timeouts, keepAliveMs: limitMs },
      clientInactivityMs: limitMs,
      clientWriteInactivityMs: limitMs,
    },
    {
      upstreamResponded: () => undefined,
      upstreamContact: () => undefined,
      upstreamRefusedGateway: () => undefined,
      upstreamRetried: () => undefined,
      blobAsked: () => undefined,
      catalogWalked: () => undefined,
      tagLockNotShared: () => undefined,
      tagLeaseLost: () => undefined,
    },
  )
}

const about = { requestId: 'x', clientAddress: '127.0.0.1', publicHost: 'localhost', publicProtocol: 'https' }

/** A request that has reached a server, from a client that can leave. */
async function arrival(head: string, body: string) {
  const arrived = Promise.withResolvers<readonly [IncomingMessage, ServerResponse]>()
  const server = http.createServer((req, res) => {
    arrived.resolve([req, res])
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const client = net.connect((server.address() as AddressInfo).port, '127.0.0.1')
  client.write(`${head} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  const [req, res] = await arrived.promise
  const stop = (): void => {
    client.destroy()
    server.close()
  }
  return { req, res, client, stop }
}

test('a transfer that fails to be counted ends an upload as a fault of the gateway, and the upstream’s part with it', async () => {
  const upstream = await startFaultUpstream()
  upstream.play(neverAnswer)
  const proxy = proxyTo(upstream.url)
  const target = '/v2/alice/app/blobs/uploads/session'
  const { req, res, stop } = await arrival(`PATCH ${target}`, 'hello')
  const transfer = { charge: () => Promise.reject(new Error('the limiter is gone')), end: () => undefined }
  const forwarded = proxy.forward(req, res, grantFor('PATCH', target), transfer, about)
  await expect(forwarded).rejects.toMatchObject({ id: 'gatewayFault' })
  await until(() => upstream.open() === 0, { what: 'the upstream connection ends' })
  stop()
  proxy.close()
  await upstream.close()
})

test.each([
  ['GET', '/v2/alice/app/tags/list', ''],
  ['DELETE', '/v2/alice/app/blobs/uploads/session', ''],
  ['PATCH', '/v2/alice/app/blobs/uploads/session', 'hello'],
])('a client that left before its %s was admitted costs the upstream nothing', async (method, target, body) => {
  const upstream = await startFaultUpstream()
  upstream.play(neverAnswer)
  const proxy = proxyTo(upstream.url)
  const { req, res, client, stop } = await arrival(`${method} ${target}`, body)
  const left = new Promise((resolve) => res.once('close', resolve))
  client.destroy()
  await left

  const outcomes: TransferOutcome[] = []
  const transfer = { charge: () => undefined, end: (outcome: TransferOutcome) => void outcomes.push(outcome) }
  await proxy.forward(req, res, grantFor(method, target), transfer, about)
  expect(outcomes).toEqual(['aborted-by-client'])
  expect(upstream.requests).toEqual([])
  stop()
  proxy.close()
  await upstream.close()
})
