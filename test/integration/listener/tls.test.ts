import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { spawn } from 'node:child_process'
import type { ConnectionOptions } from 'node:tls'
import type { TlsContexts } from '../../../src/listener/tls-contexts.ts'
import { soonMs, until } from '../../support/until.ts'
import {
  ask,
  connectPlain,
  contextsOf,
  getRequest,
  handshake,
  patientDeadlines,
  plainHttpAnswer,
  readToEnd,
  startListener,
} from './start-listener.ts'
import type { StartedListener } from './start-listener.ts'
import { overRawSocket } from './over-raw-socket.ts'
import { createTlsMaterial } from './tls-material.ts'

const material = createTlsMaterial()
const ec = material.make({ name: 'ec', names: 'DNS:localhost,DNS:ec.example.org' })
const rsa = material.make({ name: 'rsa', names: 'DNS:rsa.example.org,DNS:*.wild.example.org', key: 'rsa' })
const handshakeMs = 600
let contexts: TlsContexts
let started: StartedListener
/** Gives up a handshake after `handshakeMs`, for which honest ones take too long on a busy machine. */
let hasty: StartedListener

beforeAll(async () => {
  contexts = contextsOf(ec, rsa)
  started = await startListener({ tls: contexts })
  hasty = await startListener({ tls: contexts, deadlines: { ...patientDeadlines, handshakeMs } })
})
afterAll(async () => {
  await Promise.all([started.stop(), hasty.stop()])
  material.remove()
})

const connect = (options: ConnectionOptions = {}) => handshake({ port: started.port, ...options })
const commonNameFor = async (options: ConnectionOptions): Promise<unknown> => {
  const socket = await connect(options)
  const { CN } = socket.getPeerCertificate().subject
  expect(await ask(socket)).toContain('peer 127.0.0.1')
  return CN
}
/** What the observer was told since `act` began, once something beyond opening and closing is among it. */
async function failureAfter(act: () => Promise<unknown>, by = started): Promise<string | undefined> {
  await until(() => by.listener.connections() === 0, { what: 'the connections of earlier tests are gone' })
  const before = by.events.length
  await act()
  return until(() => by.events.slice(before).find((event) => event.includes(' ')), {
    what: 'a failure that is told',
  })
}
async function sendGarbage(bytes: string | Buffer, to = started): Promise<string> {
  const socket = await connectPlain(to.port)
  socket.write(bytes)
  return readToEnd(socket)
}

describe('the certificate', () => {
  test.each([
    [undefined, 'ec'],
    ['localhost', 'ec'],
    ['LOCALHOST', 'ec'],
    ['rsa.example.org', 'rsa'],
    ['RSA.Example.ORG', 'rsa'],
    ['any.wild.example.org', 'rsa'],
    ['ANY.WILD.example.org', 'rsa'],
    ['two.labels.wild.example.org', 'ec'],
    ['wild.example.org', 'ec'],
    ['unknown.example.com', 'ec'],
  ])('for %s is %s, by TLS 1.3 and 1.2', async (servername, expected) => {
    const options = servername === undefined ? {} : { servername }
    expect(await commonNameFor({ ...options, minVersion: 'TLSv1.3' })).toBe(expected)
    expect(await commonNameFor({ ...options, maxVersion: 'TLSv1.2' })).toBe(expected)
  })
  test('is another one from the next handshake on when it was replaced; connections stay', async () => {
    const own = contextsOf(ec)
    const other = await startListener({ tls: own })
    const standing = await handshake({ port: other.port })
    own.replace([rsa])
    const later = await handshake({ port: other.port, servername: 'localhost' })
    expect(later.getPeerCertificate().subject.CN).toBe('rsa')
    expect(await ask(later)).toContain('200 OK')
    expect(await ask(standing)).toContain('200 OK')
    await other.stop()
  })
})

describe('the floor', () => {
  test.each([
    ['TLSv1.3', 'localhost', 'TLS_AES_128_GCM_SHA256'],
    ['TLSv1.2', 'localhost', 'ECDHE-ECDSA-AES128-GCM-SHA256'],
    ['TLSv1.2', 'rsa.example.org', 'ECDHE-RSA-AES128-GCM-SHA256'],
  ] as const)('%s to %s speaks %s', async (version, servername, cipher) => {
    const socket = await connect({ minVersion: version, maxVersion: version, servername })
    expect([socket.getProtocol(), socket.getCipher().name]).toEqual([version, cipher])
    socket.destroy()
  })
  test('a client that asks for ChaCha20 first gets it', async () => {
    const socket = await connect({ ciphers: 'TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256' })
    expect(socket.getCipher().name).toBe('TLS_CHACHA20_POLY1305_SHA256')
    socket.destroy()
  })
  test.each([
    ['TLS 1.1', { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }, 'protocol_version'],
    ['TLS 1.0', { minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers: 'ALL:@SECLEVEL=0' }, 'protocol_version'],
    ['CBC', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA' }, 'no_shared_cipher'],
    [
      'CBC with RSA',
      { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-SHA256', servername: 'rsa.example.org' },
      'no_shared_cipher',
    ],
    [
      'RSA key exchange',
      { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256', servername: 'rsa.example.org' },
      'no_shared_cipher',
    ],
    [
      'DHE',
      { maxVersion: 'TLSv1.2', ciphers: 'DHE-RSA-AES128-GCM-SHA256', servername: 'rsa.example.org' },
      'no_shared_cipher',
    ],
    ['CCM', { ciphers: 'TLS_AES_128_CCM_SHA256', minVersion: 'TLSv1.3' }, 'no_shared_cipher'],
    [
      'no encryption',
      { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-NULL-SHA:@SECLEVEL=0', servername: 'rsa.example.org' },
      'no_shared_cipher',
    ],
  ] as const)('%s is refused with an alert', async (_title, options, reason) => {
    const told = await failureAfter(() => expect(connect(options)).rejects.toThrow(/alert/i))
    expect(told).toBe(`handshake ${reason}`)
  })
  test('of HTTP, 1.1 is all that is spoken', async () => {
    const both = await connect({ ALPNProtocols: ['h2', 'http/1.1'] })
    expect(both.alpnProtocol).toBe('http/1.1')
    expect(await ask(both)).toMatch(/^HTTP\/1\.1 200/)
    await expect(connect({ ALPNProtocols: ['h2'] })).rejects.toThrow(/no application protocol/)
    const silent = await connect()
    expect(silent.alpnProtocol).toBe(false)
    expect(await ask(silent)).toMatch(/^HTTP\/1\.1 200/)
  })
  test('renegotiation is refused, and the connection goes on', async () => {
    const said = await openssl(['-tls1_2'], 'R\n', /no renegotiation|RENEGOTIATING[\s\S]*read R BLOCK/)
    expect(said).toContain('RENEGOTIATING')
    expect(said).toContain('no renegotiation')
  })
  test('early data is not offered', async () => {
    const said = await openssl(['-tls1_3'], getRequest, /Max Early Data/)
    expect(said).toContain('Max Early Data: 0')
  })
  test('a client that does not know the authority is told apart', async () => {
    const told = await failureAfter(() => openssl(['-verify_return_error'], '', /verify failed/))
    expect(told).toBe('handshake certificate_not_trusted')
  })
})

describe('sessions', () => {
  /** TLS 1.3 tells a session after the handshake, TLS 1.2 in it. */
  const sessionOf = async (options: ConnectionOptions): Promise<Buffer> => {
    const socket = await connect(options)
    const told = new Promise<Buffer>((resolve) => {
      socket.once('session', resolve)
    })
    const known = options.maxVersion === 'TLSv1.2' ? socket.getSession() : undefined
    await ask(socket)
    return known ?? told
  }
  const isReused = async (options: ConnectionOptions): Promise<boolean> => {
    const socket = await connect(options)
    const reused = socket.isSessionReused()
    expect(await ask(socket)).toContain('200 OK')
    return reused
  }
  test.each([
    ['TLSv1.3', 'localhost'],
    ['TLSv1.3', 'rsa.example.org'],
    ['TLSv1.3', 'unknown.example.com'],
    ['TLSv1.2', 'localhost'],
    ['TLSv1.2', 'rsa.example.org'],
    ['TLSv1.2', 'unknown.example.com'],
  ] as const)('%s to %s are resumed until the keys of tickets change', async (version, servername) => {
    const options = { minVersion: version, maxVersion: version, servername } as const
    const session = await sessionOf(options)
    expect(await isReused({ ...options, session })).toBe(true)
    contexts.rotateTicketKeys()
    expect(await isReused({ ...options, session })).toBe(false)
  })
})

describe('a handshake', () => {
  test('byte by byte is as good as any', async () => {
    const socket = await overRawSocket({ port: started.port, bytewise: true, servername: 'RSA.example.org' })
    expect(socket.getPeerCertificate().subject.CN).toBe('rsa')
    expect(await ask(socket)).toContain('peer 127.0.0.1')
  })
  test.each([1, 7, 64])('of a ClientHello in records of %i bytes is as good as any', async (recordBytes) => {
    const socket = await overRawSocket({ port: started.port, recordBytes, servername: 'RSA.example.org' })
    expect(socket.getPeerCertificate().subject.CN).toBe('rsa')
    expect(await ask(socket)).toContain('peer 127.0.0.1')
  })
  test.each<readonly [string, readonly number[]]>([
    ['before the first byte', []],
    ['after the first byte', [0x16]],
    ['in the ClientHello', [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]],
  ])('that stalls %s is closed at its deadline', async (_title, bytes) => {
    const began = performance.now()
    const told = await failureAfter(() => sendGarbage(Buffer.from(bytes), hasty), hasty)
    const tookMs = performance.now() - began
    expect(told).toBe('handshake timeout')
    expect(tookMs).toBeGreaterThan(handshakeMs * 0.9)
    expect(tookMs).toBeLessThan(soonMs)
  })
  test('that trickles in is closed at the same deadline', async () => {
    const began = performance.now()
    const told = await failureAfter(async () => {
      const socket = await connectPlain(hasty.port)
      socket.write(Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]))
      const trickle = setInterval(() => socket.write('x'), handshakeMs / 20)
      socket.once('close', () => {
        clearInterval(trickle)
      })
      await readToEnd(socket)
    }, hasty)
    expect(told).toBe('handshake timeout')
    expect(performance.now() - began).toBeLessThan(soonMs)
  })
  test('that is done has no deadline any more', async () => {
    // No machine stalls for as long as this deadline, in which the handshake must have come.
    const limitMs = 2_000
    const limited = await startListener({ tls: contexts, deadlines: { ...patientDeadlines, handshakeMs: limitMs } })
    const socket = await handshake({ port: limited.port })
    const [first] = await Promise.all([
      new Promise((resolve) => setTimeout(resolve, limitMs * 1.2)),
      new Promise((resolve) => socket.once('data', resolve).write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')),
    ])
    expect(first).toBeUndefined()
    expect(await ask(socket)).toContain('200 OK')
    await limited.stop()
  })
})

describe('what is not TLS', () => {
  test('plain HTTP gets one answer and is closed', async () => {
    await until(() => started.listener.connections() === 0, { what: 'the connections of earlier tests are gone' })
    const before = started.events.length
    const socket = await connectPlain(started.port)
    expect(await ask(socket)).toBe(plainHttpAnswer)
    await until(() => started.events.slice(before).includes('closed'), { what: 'the end of the connection' })
    expect(started.events.slice(before)).toEqual(['opened', 'handshake plain_http', 'closed'])
  })
  test('a plain upload is answered, though its client reads only when it has sent everything', async () => {
    const socket = await connectPlain(started.port)
    const body = Buffer.alloc(16 * 1024 * 1024)
    await new Promise((resolve, reject) => {
      socket.once('error', reject)
      socket.write(`PUT /v2/x HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n`)
      socket.write(body, resolve)
    })
    expect(await readToEnd(socket)).toBe(plainHttpAnswer)
  })
  test.each<readonly [string, string | Buffer]>([
    ['SSH, lower case', 'ssh-2.0-x\r\n'],
    ['SSLv2', Buffer.from('802b0103010012000000100700c0030080010080', 'hex')],
    ['zeros', Buffer.alloc(64)],
    ['a record of another type', Buffer.from('170303000100', 'hex')],
    ['a handshake of SSL 3 size', Buffer.from('1603010005ffffffffff', 'hex')],
    ['a version that never was', Buffer.from('160000000000000000', 'hex')],
    ['a line feed', '\n'],
  ])('%s is closed at once', async (_title, bytes) => {
    const began = performance.now()
    const told = await failureAfter(() => sendGarbage(bytes))
    expect(told).toMatch(/^handshake (?:not_tls|other)$/)
    expect(performance.now() - began).toBeLessThan(soonMs)
  })
  test('a connection that says nothing and goes, as health checks do, is no failure', async () => {
    await until(() => started.listener.connections() === 0, { what: 'the connections of earlier tests are gone' })
    const before = started.events.length
    const socket = await connectPlain(started.port)
    socket.end()
    await until(() => started.events.slice(before).includes('closed'), { what: 'the end of the connection' })
    expect(started.events.slice(before)).toEqual(['opened', 'closed'])
  })
  test('a reset at any moment harms nobody', async () => {
    for (const bytes of ['', '\x16', '\x16\x03\x01\x02\x00\x01', 'GET / HT', 'PROXY ']) {
      const socket = await connectPlain(started.port)
      socket.write(bytes, 'latin1', () => socket.resetAndDestroy())
      await new Promise((resolve) => socket.once('close', resolve))
    }
    expect(await ask(await connect())).toContain('200 OK')
    await until(() => started.listener.connections() === 0, { what: 'no connection is left' })
  })
})

/** Runs `openssl s_client` until it has said something, or a second after its input. */
async function openssl(args: readonly string[], input: string, expected: RegExp): Promise<string> {
  const client = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${started.port}`, ...args])
  let said = ''
  const listen = (chunk: Buffer): void => {
    said += chunk.toString()
  }
  client.stdout.on('data', listen)
  client.stderr.on('data', listen)
  client.stdin.on('error', () => undefined)
  const ended = new Promise((resolve) => client.once('close', resolve))
  client.stdin.write(input)
  await until(() => expected.test(said), { what: `openssl says ${expected}` })
  client.stdin.end()
  client.kill()
  await ended
  return said
}
