import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import net from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import type { Network } from '../../../src/config/values.ts'
import { soonMs, until } from '../../support/until.ts'
import { overRawSocket } from './over-raw-socket.ts'
import type { RawHandshake } from './over-raw-socket.ts'
import { ask, contextsOf, getRequest, handshake, patientDeadlines, readToEnd, startListener } from './start-listener.ts'
import type { StartedListener } from './start-listener.ts'
import { createTlsMaterial } from './tls-material.ts'

const material = createTlsMaterial()
const certificate = material.make({ name: 'ec', names: 'DNS:localhost' })
/** The load balancer, as opposed to everybody else, who is 127.0.0.1. */
const balancer = '127.0.0.2'
const proxyProtocolFrom: readonly Network[] = [{ family: 'ipv4', address: balancer, prefixLength: 32 }]
let secure: StartedListener
let plain: StartedListener
let off: StartedListener
/** Ones whose deadline for the handshake comes soon, for those who are to miss it. */
let hastySecure: StartedListener
let hastyPlain: StartedListener

beforeAll(async () => {
  const deadlines = { ...patientDeadlines, handshakeMs: 600 }
  secure = await startListener({ tls: contextsOf(certificate), proxyProtocolFrom })
  plain = await startListener({ proxyProtocolFrom })
  off = await startListener({ tls: contextsOf(certificate) })
  hastySecure = await startListener({ tls: contextsOf(certificate), deadlines, proxyProtocolFrom })
  hastyPlain = await startListener({ deadlines, proxyProtocolFrom })
})
afterAll(async () => {
  await Promise.all([secure, plain, off, hastySecure, hastyPlain].map((started) => started.stop()))
  material.remove()
})

const version1 = Buffer.from('PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n')
const ipv4 = Buffer.from([203, 0, 113, 8, 10, 0, 0, 1, 0xdc, 0x04, 0x01, 0xbb])
const mapped = Buffer.from('00000000000000000000ffffcb007109fd00000000000000000000000000000200500051', 'hex')
const binary = (command: number, family: number, body: Buffer, length = body.length): Buffer =>
  Buffer.concat([
    Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
    Buffer.from([command, family, length >> 8, length & 0xff]),
    body,
  ])
const extension = Buffer.concat([Buffer.from([0x20, 0x0f, 0]), Buffer.alloc(0x0f00)])

const headers: readonly (readonly [string, Buffer, string])[] = [
  ['version 1', version1, '203.0.113.7'],
  ['version 1, IPv6', Buffer.from('PROXY TCP6 2001:DB8:0::1 fd00::2 80 81\r\n'), '2001:db8::1'],
  ['version 1, UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n'), balancer],
  ['version 2', binary(0x21, 0x11, ipv4), '203.0.113.8'],
  ['version 2, IPv4-mapped', binary(0x21, 0x21, mapped), '203.0.113.9'],
  ['version 2, LOCAL', binary(0x20, 0, Buffer.alloc(0)), balancer],
  ['version 2 with a long extension', binary(0x21, 0x11, Buffer.concat([ipv4, extension])), '203.0.113.8'],
]
const ways: readonly (readonly [string, Pick<RawHandshake, 'bytewise' | 'together'>])[] = [
  ['alone', {}],
  ['with the ClientHello', { together: true }],
  ['byte by byte', { bytewise: true }],
]

describe.each(headers)('%s in front of TLS', (_title, header, address) => {
  test.each(ways)('%s, gives the address of the client', async (_way, way) => {
    const socket = await overRawSocket({ port: secure.port, localAddress: balancer, header, ...way })
    expect(await ask(socket)).toMatch(new RegExp(`^HTTP/1.1 200 OK[^]*peer ${address}$`))
  })
})

/** Sends parts as they are from an address and reads to the end. */
async function send(port: number, localAddress: string, parts: readonly (string | Buffer)[]): Promise<string> {
  const socket = net.connect({ host: '127.0.0.1', port, localAddress, noDelay: true })
  const answer = readToEnd(socket)
  for (const part of parts) {
    socket.write(part)
    await turn()
  }
  return answer
}
const bytes = (whole: Buffer): readonly Buffer[] => [...whole].map((byte) => Buffer.of(byte))

describe.each(headers)('%s in front of plain HTTP', (_title, header, address) => {
  test.each([
    ['alone', [header, getRequest]],
    ['with the request', [Buffer.concat([header, Buffer.from(getRequest)])]],
    ['with half of the request', [Buffer.concat([header, Buffer.from(getRequest.slice(0, 9))]), getRequest.slice(9)]],
    ['byte by byte', bytes(Buffer.concat([header, Buffer.from(getRequest)]))],
  ])('%s, gives the address of the client', async (_way, parts) => {
    expect(await send(plain.port, balancer, parts)).toMatch(new RegExp(`^HTTP/1.1 200 OK[^]*peer ${address}$`))
  })
})

/** What was told about the only connection that `act` makes. */
async function toldAbout(started: StartedListener, act: () => Promise<unknown>): Promise<readonly string[]> {
  await until(() => started.listener.connections() === 0, { what: 'the connections of earlier tests are gone' })
  const before = started.events.length
  await act()
  await until(() => started.events.slice(before).includes('closed'), { what: 'the end of the connection' })
  return started.events.slice(before)
}
const refused = ['opened', 'refused proxy_header', 'closed']

describe('a listed peer', () => {
  test.each<readonly [string, readonly (string | Buffer)[]]>([
    ['a ClientHello', [Buffer.from('16030102000100', 'hex')]],
    ['a request', [getRequest]],
    ['a malformed header', ['PROXY TCP4 203.0.113.7\r\n']],
    ['two addresses of another family', ['PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n']],
    ['a header without an end', ['PROXY TCP4 ', 'x'.repeat(200)]],
    ['a length beyond the bound', [binary(0x21, 0x11, ipv4, 65_535), Buffer.alloc(70_000)]],
    ['an extension beyond the header', [binary(0x21, 0x11, Buffer.concat([ipv4, Buffer.from([2, 0xff, 0xff])]))]],
  ])('that sends %s is closed at once and told of', async (_title, parts) => {
    for (const started of [secure, plain]) {
      const began = performance.now()
      let answer = ''
      const told = await toldAbout(started, async () => {
        answer = await send(started.port, balancer, parts)
      })
      expect([answer, told]).toEqual(['', refused])
      expect(performance.now() - began).toBeLessThan(soonMs)
    }
  })
  test.each<readonly [string, readonly (string | Buffer)[]]>([
    ['nothing', []],
    ['half a header', ['PROXY TCP4 203.0']],
    ['half a binary header', [binary(0x21, 0x11, ipv4).subarray(0, 20)]],
  ])('that sends %s is closed at the deadline and told of', async (_title, parts) => {
    const told = await toldAbout(hastyPlain, () => send(hastyPlain.port, balancer, parts))
    expect(told.toSorted()).toEqual(refused.toSorted())
  })
  test('that sends a header and then stalls is closed at the same deadline', async () => {
    const began = performance.now()
    const told = await toldAbout(hastySecure, () => send(hastySecure.port, balancer, [version1, Buffer.of(0x16)]))
    expect(told).toEqual(['opened', 'handshake timeout', 'closed'])
    expect(performance.now() - began).toBeLessThan(soonMs)
  })
  test('that sends two headers is closed', async () => {
    const told = await toldAbout(secure, () => send(secure.port, balancer, [version1, version1]))
    expect(told).toEqual(refused)
  })
  test('that goes with or without its header, as health checks do, is no failure', async () => {
    for (const parts of [[], [binary(0x20, 0, Buffer.alloc(0))]]) {
      const told = await toldAbout(secure, async () => {
        const socket = net.connect({ host: '127.0.0.1', port: secure.port, localAddress: balancer })
        const ended = readToEnd(socket)
        for (const part of parts) socket.write(part)
        socket.end()
        await ended
      })
      expect(told).toEqual(['opened', 'closed'])
    }
  })
})

describe('a peer that is not listed', () => {
  test('is served without a header', async () => {
    expect(await ask(await handshake({ port: secure.port }))).toContain('peer 127.0.0.1')
    expect(await send(plain.port, '127.0.0.1', [getRequest])).toContain('peer 127.0.0.1')
  })
  test.each([
    ['version 1', version1],
    ['version 2', binary(0x21, 0x11, ipv4)],
    ['version 2 LOCAL', binary(0x20, 0, Buffer.alloc(0))],
  ])('cannot pretend by %s in front of TLS', async (_title, header) => {
    for (const started of [secure, off]) {
      const told = await toldAbout(started, async () => {
        const forged = overRawSocket({ port: started.port, header, together: true })
        await expect(forged).rejects.toThrow()
      })
      expect(told).toEqual(refused)
    }
  })
  test.each([
    ['version 1', version1],
    ['version 2', binary(0x21, 0x11, ipv4)],
  ])('cannot pretend by %s in front of plain HTTP', async (_title, header) => {
    const answer = await send(plain.port, '127.0.0.1', [header, getRequest])
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request/)
    expect(answer).not.toContain('peer')
  })
})
