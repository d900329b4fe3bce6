import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { abortMany, blob, phases, stalledAnswer, upload } from '../support/fault-aborts.ts'
import { connectFaultClient, headAs } from '../support/fault-client.ts'
import type { Leaving } from '../support/fault-client.ts'
import { startGatewayProcess } from '../support/fault-gateway.ts'
import { neverAnswer, startFaultUpstream } from '../support/fault-upstream.ts'
import type { FaultUpstream } from '../support/fault-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { AuditLine, TestGateway } from '../support/start-gateway.ts'
import { makeUpstreamCertificate, writeUpstreamCa } from '../support/upstream-certificate.ts'
import { until } from '../support/until.ts'

const leavings: readonly Leaving[] = ['reset', 'end']

const schemes = ['http', 'https'] as const

/** An upstream, and the configuration that trusts it. */
async function startUpstream(scheme: (typeof schemes)[number]) {
  const certificate = scheme === 'https' ? await makeUpstreamCertificate() : undefined
  const trusted = certificate && writeUpstreamCa(certificate)
  const upstream = await startFaultUpstream(certificate)
  return {
    upstream,
    settings: { url: upstream.url, ...(trusted && { caFile: trusted.caFile }) },
    stop: async () => {
      await upstream.close()
      trusted?.remove()
    },
  }
}

describe.each(schemes)('a client that leaves, before an upstream with %s,', (scheme) => {
  let behind: Awaited<ReturnType<typeof startUpstream>>
  let upstream: FaultUpstream
  let gateway: TestGateway

  beforeAll(async () => {
    behind = await startUpstream(scheme)
    upstream = behind.upstream
    gateway = await startGateway({ upstreamUrl: upstream.url, settings: { upstream: behind.settings } })
  })
  afterEach(() => {
    upstream.reset()
  })
  afterAll(async () => {
    await gateway.stop()
    await behind.stop()
  })

  let clients = 0
  /** By which the audit lines of one client are found. */
  function nameOfClient(): string {
    clients += 1
    return `client-${clients}`
  }
  function linesOf(agent: string): readonly AuditLine[] {
    return gateway.auditLines().filter(({ userAgent }) => userAgent === agent)
  }

  const cases = phases.flatMap((phase) => leavings.map((how) => ({ ...phase, how })))
  test.each(cases)('$phase: the upstream connection goes with it ($how)', async ({ script, send, reached, how }) => {
    upstream.play(script)
    const client = await connectFaultClient(gateway.target)
    const agent = nameOfClient()
    await client.send(send.replace('\r\n\r\n', `\r\nUser-Agent: ${agent}\r\n\r\n`))
    await until(() => reached(upstream, client), { what: 'the moment to leave', intervalMs: 2 })
    expect(upstream.open()).toBe(1)
    client.leave(how)
    await until(() => upstream.open() === 0, { what: 'the upstream connection ends' })
    await until(() => linesOf(agent).length === 1, { what: 'an audit line' })
    expect(linesOf(agent)).toMatchObject([{ outcome: 'aborted-by-client' }])
  })

  test.each(leavings)('is not taken for an upstream that closed a pooled connection (%s)', async (how) => {
    // The answer leaves a connection in the pool, and the next request goes over it.
    await gateway.as('alice', { path: blob })
    upstream.play(neverAnswer)
    const before = upstream.requests.length
    const client = await connectFaultClient(gateway.target)
    await client.send(headAs(`GET ${blob}`))
    await until(() => upstream.requests.length > before, { what: 'the request upstream', intervalMs: 2 })
    client.leave(how)
    await until(() => upstream.open() === 0, { what: 'the upstream connection ends' })
    expect(upstream.requests.length).toBe(before + 1)
  })

  test.each(leavings)('leaves nothing upstream when it goes before its head is whole (%s)', async (how) => {
    const client = await connectFaultClient(gateway.target)
    await client.send(headAs(`GET ${blob}`).slice(0, -4))
    client.leave(how)
    const other = await gateway.as('bob', { path: '/v2/bob/app/tags/list' })
    expect(other.status).toBe(200)
    expect(upstream.requests).toEqual(['GET /v2/bob/app/tags/list'])
  })

  const pipelined = [stalledAnswer, neverAnswer].flatMap((script) => leavings.map((how) => ({ script, how })))
  test.each(pipelined)('takes its pipelined requests along as well ($how)', async ({ script, how }) => {
    upstream.play(script)
    const client = await connectFaultClient(gateway.target)
    const agent = nameOfClient()
    await client.send(headAs(`GET ${blob}`, [`User-Agent: ${agent}`]).repeat(3))
    await until(() => upstream.open() === 3, { what: 'three requests upstream' })
    client.leave(how)
    await until(() => upstream.open() === 0, { what: 'the upstream connections end' })
    await until(() => linesOf(agent).length === 3, { what: 'three audit lines' })
    expect(new Set(linesOf(agent).map(({ outcome }) => outcome))).toEqual(new Set(['aborted-by-client']))
  })

  test('does not end an upload that was cut off as if it were whole', async () => {
    let body = ''
    let whole = false
    upstream.play(({ req }) => {
      req.on('data', (chunk: Buffer) => {
        body += chunk.toString()
      })
      req.on('end', () => {
        whole = true
      })
    })
    const client = await connectFaultClient(gateway.target)
    await client.send(`${headAs(`PATCH ${upload}`, ['Transfer-Encoding: chunked'])}5\r\nhello\r\n`)
    await until(() => body === 'hello', { what: 'the first chunk arrives' })
    client.leave('end')
    await until(() => upstream.open() === 0, { what: 'the upstream connection ends' })
    expect(whole).toBe(false)
  })
})

describe('500 clients that leave', () => {
  test.each(schemes)('leave no socket behind, in the gateway or at an upstream with %s', async (scheme) => {
    const { upstream, settings, stop } = await startUpstream(scheme)
    const gateway = await startGatewayProcess({ upstreamUrl: upstream.url, settings: { upstream: settings } })
    try {
      await gateway.asAlice({ path: '/v2/' })
      const before = gateway.descriptors()
      await abortMany(gateway.target, upstream, 500)
      await until(() => upstream.open() === 0, { what: 'the upstream connections end' })
      // The pool may keep idle connections: those of answered requests, such as the health probe.
      await until(() => gateway.descriptors() <= before + 2, { what: 'the gateway has closed its sockets' })
      expect((await gateway.asAlice({ path: '/v2/' })).status).toBe(200)
    } finally {
      await gateway.stop()
      await stop()
    }
  })
})
