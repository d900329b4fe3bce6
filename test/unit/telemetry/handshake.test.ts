import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { issueLeaf, makeAuthority } from '../../../src/cli/certificate-authority.ts'
import { parseCertificateHosts } from '../../../src/cli/certificate-host.ts'
import { handshakeFailureOf } from '../../../src/telemetry/handshake.ts'
import type { HandshakeFailure } from '../../../src/telemetry/labels.ts'
import { part } from '../../support/part.ts'
import { run } from '../../support/processes.ts'
import { describeWith } from '../../support/real-parts.ts'
import { soonMs } from '../../support/until.ts'

let server: tls.Server
let port: number
/** Gives up a handshake at once; honest ones take too long for it on a busy machine. */
let hasty: tls.Server

beforeAll(async () => {
  const hosts = parseCertificateHosts(['localhost'])
  const circumstances = { now: new Date(), randomBytes }
  const authority = await makeAuthority(hosts, circumstances)
  const leaf = await issueLeaf(authority, { hosts, algorithm: 'ec', days: 1 }, circumstances)
  const settings = {
    cert: leaf.certificatePem,
    key: leaf.keyPem,
    minVersion: 'TLSv1.2',
    ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384:TLS_AES_256_GCM_SHA384',
  } as const
  server = tls.createServer({ ...settings, handshakeTimeout: soonMs })
  hasty = tls.createServer({ ...settings, handshakeTimeout: 300 })
  for (const each of [server, hasty]) {
    each.listen(0, '127.0.0.1')
    await once(each, 'listening')
  }
  port = portOf(server)
})
afterAll(() => {
  server.close()
  hasty.close()
})

function portOf(listening: net.Server): number {
  return (listening.address() as AddressInfo).port
}

/** What the server makes of the first connection that fails. */
async function failureOf(connect: () => net.Socket, by = server): Promise<HandshakeFailure> {
  const failed = once(by, 'tlsClientError')
  const socket = connect().on('error', () => undefined)
  const [error] = (await failed) as readonly unknown[]
  socket.destroy()
  return handshakeFailureOf(error)
}

const plain = (bytes: string) => () => net.connect({ port, host: '127.0.0.1' }).end(bytes, 'latin1')
const secure = (options: tls.ConnectionOptions) => () => tls.connect({ port, host: '127.0.0.1', ...options })

describe('a handshake that failed', () => {
  test.each<[string, HandshakeFailure, () => net.Socket]>([
    ['plain HTTP', 'plain_http', plain('GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n')],
    ['an SSH client', 'not_tls', plain('SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n')],
    ['random bytes', 'not_tls', plain('\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d')],
    ['a client that leaves', 'closed', () => net.connect({ port, host: '127.0.0.1' }).end()],
    [
      'TLS 1.1',
      'protocol_version',
      secure({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    ],
    ['other ciphers', 'no_shared_cipher', secure({ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' })],
  ])('because of %s is told as %s', async (_title, expected, connect) => {
    expect(await failureOf(connect)).toBe(expected)
  })

  test('because of a client that says nothing is told as timeout', async () => {
    const silent = () => net.connect({ port: portOf(hasty), host: '127.0.0.1' })
    expect(await failureOf(silent, hasty)).toBe('timeout')
  })

  test.each([
    'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
    'ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE',
    'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE',
    'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_UNKNOWN',
  ])('with %s is a client that does not trust the certificate', (code) => {
    expect(handshakeFailureOf(Object.assign(new Error('alert'), { code }))).toBe('certificate_not_trusted')
  })

  test('for a reason that is not known is other', () => {
    expect(handshakeFailureOf(new Error('who knows'))).toBe('other')
    expect(handshakeFailureOf('no error')).toBe('other')
  })
})

describeWith(['openssl'], 'a client that does not know the authority', () => {
  test.each(['-tls1_2', '-tls1_3'])('is told as such with %s', async (version) => {
    const failed = once(server, 'tlsClientError')
    const args = [
      's_client',
      '-connect',
      `127.0.0.1:${port}`,
      '-verify_return_error',
      '-no-CAfile',
      '-no-CApath',
      version,
    ]
    const client = await run(part('openssl'), args)
    const [error] = (await failed) as readonly unknown[]
    expect(client.code).not.toBe(0)
    expect(handshakeFailureOf(error)).toBe('certificate_not_trusted')
  })
})
