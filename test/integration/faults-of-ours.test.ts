import { expect, test } from '@jest/globals'
import { startGatewayProcess } from '../support/gateway-process.ts'
import { basic } from '../support/personas.ts'
import { requestOver } from '../support/http-client.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import { until } from '../support/until.ts'

/** Nothing that a client can send throws past the stages, so the process is given something that does. */
const fault = "process.on('SIGUSR2', () => { throw new Error('a fault of a test') })"

test('F-62 an exception that reaches the process is logged, what is in flight ends, and the process fails', async () => {
  const upstream = await startRecordingUpstream()
  const gateway = await startGatewayProcess({
    upstreamUrl: upstream.url,
    hosts: ['localhost'],
    users: { alice: 'a-long-password' },
    nodeOptions: ['--import', `data:text/javascript,${encodeURIComponent(fault)}`],
  })
  let finish: (() => void) | undefined
  upstream.respondWith((connection, heads) => {
    if (!heads.some((head) => head.includes('/blobs/'))) return
    connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha')
    finish = () => connection.socket.write('lf')
    gateway.signal('SIGUSR2')
  })
  const asked = requestOver(
    { port: Number(new URL(gateway.url).port), ca: gateway.ca },
    { path: `/v2/a/blobs/sha256:${'a'.repeat(64)}`, headers: { authorization: basic('alice', 'a-long-password') } },
  )
  await until(() => gateway.log().includes('an unexpected fault'), { what: 'the fault is logged' })
  finish?.()
  expect((await asked).body).toBe('half')
  expect((await gateway.ended).code).toBe(1)
  expect(gateway.log()).toContain('a fault of a test')
  await gateway.stop()
  await upstream.close()
})
