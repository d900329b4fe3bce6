import { Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { PresenceFilter } from 'ldapts'
import { monotonicClock } from '../../../../src/authentication/clock.ts'
import { isProtected, openConnection } from '../../../../src/authentication/ldap/connection.ts'
import type { ConnectionOptions, LdapConnection } from '../../../../src/authentication/ldap/connection.ts'
import { LdapError } from '../../../../src/authentication/ldap/ldap-error.ts'
import type { LdapProtection, LdapServer } from '../../../../src/config/ldap-settings.ts'
import {
  announce,
  answerBytes,
  answerResult,
  answerTwice,
  answerUnknownId,
  answerUnknownOperation,
  cutAnswer,
  disconnect,
  endInstead,
  garbage,
  neverAnswer,
  resetInstead,
  startTls,
} from '../../../support/ldap-fault-answers.ts'
import type { FaultScript } from '../../../support/ldap-fault-connection.ts'
import { resultMessage } from '../../../support/ldap-messages.ts'
import { startLdapFaultServer } from '../../../support/ldap-fault-server.ts'
import type { LdapFaultServer } from '../../../support/ldap-fault-server.ts'
import { makeLdapCertificates } from '../../../support/ldap-certificates.ts'
import type { LdapCertificateKind } from '../../../support/ldap-certificates.ts'
import { baseDn, people, serviceAccount } from '../../../support/ldap-entries.ts'
import { until } from '../../../support/until.ts'

let server: LdapFaultServer
let otherAuthority = ''
const opened: LdapConnection[] = []

beforeAll(async () => {
  server = await startLdapFaultServer()
  otherAuthority = (await makeLdapCertificates()).ca
})
afterEach(() => {
  for (const connection of opened.splice(0)) connection.close()
  server.reset()
})
afterAll(() => server.close())

type Changes = Partial<ConnectionOptions & LdapServer> & { readonly connectTimeoutMs?: number }

async function open(protection: LdapProtection, changes: Changes = {}, at: LdapFaultServer = server) {
  const port = protection === 'tls' ? at.ldapsPort : at.port
  const connection = await openConnection(
    { url: 'ldap://directory', host: 'localhost', port, protection, ...changes },
    changes.connectTimeoutMs ?? 20_000,
    { ca: at.ca, allowInsecure: false, operationTimeoutMs: 20_000, clock: monotonicClock, ...changes },
  )
  opened.push(connection)
  return connection
}

async function faultOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    if (error instanceof LdapError) return error.fault
    throw error
  }
  throw new Error('there was no fault')
}

const bindAlice = (connection: LdapConnection) => connection.bind(people.alice.dn, people.alice.password)
const everything = {
  base: baseDn,
  scope: 'sub',
  filter: new PresenceFilter({ attribute: 'uid' }),
  sizeLimit: 50,
} as const
const searchAll = (connection: LdapConnection) => connection.search({ ...everything, attributes: ['uid'] })

describe('a connection', () => {
  test.each<LdapProtection>(['none', 'startTls', 'tls'])(
    'with protection %s binds and searches',
    async (protection) => {
      const connection = await open(protection)
      expect(await bindAlice(connection)).toEqual({ code: 0, message: '' })
      expect(await connection.bind(people.alice.dn, 'wrong')).toMatchObject({ code: 49 })
      const { entries } = await searchAll(connection)
      expect(entries.map(({ dn }) => dn)).toContain(people.alice.dn)
      expect(connection.tls?.protocol).toBe(protection === 'none' ? undefined : 'TLSv1.3')
      expect(server.clearBinds).toHaveLength(protection === 'none' ? 2 : 0)
    },
  )

  test('is polite at its end', async () => {
    const connection = await open('tls')
    connection.close()
    await until(() => server.requests.some(({ kind }) => kind === 'unbind'), { what: 'an unbind' })
    expect(connection.isOpen()).toBe(false)
    expect(await faultOf(bindAlice(connection))).toBe('connectionLost')
  })

  test('reads pages', async () => {
    const connection = await open('none')
    const first = await connection.search({ ...everything, attributes: ['1.1'], sizeLimit: 2, page: {} })
    expect(first.entries).toHaveLength(2)
    const cookie = first.cookie ?? Buffer.alloc(0)
    const next = await connection.search({ ...everything, attributes: ['1.1'], sizeLimit: 500, page: { cookie } })
    expect(next.cookie).toBeUndefined()
    expect(next.entries.length).toBeGreaterThan(10)
  })

  test.each([
    ['', 'x'],
    ['cn=x', ''],
  ])('never binds with name %j and password %j', async (name, password) => {
    const connection = await open('none')
    expect(await faultOf(connection.bind(name, password))).toBe('bindRefused')
    expect(server.requests).toEqual([])
  })

  test('does one thing at a time', async () => {
    server.play({ bind: neverAnswer })
    const connection = await open('none')
    void bindAlice(connection).catch(() => undefined)
    expect(await faultOf(bindAlice(connection))).toBe('connectionLost')
  })
})

describe('no password leaves in clear', () => {
  afterEach(() => {
    expect(server.clearBinds).toEqual([])
    expect(server.wire.includes(people.alice.password)).toBe(false)
  })

  test.each<[string, FaultScript, string]>([
    ['refuses StartTLS', answerResult({ code: 2 }), 'startTlsRefused'],
    ['cannot do StartTLS now', answerResult({ code: 52 }), 'startTlsRefused'],
    ['refers StartTLS elsewhere', answerResult({ code: 10 }), 'startTlsRefused'],
    ['hangs up', endInstead, 'connectionLost'],
    ['resets', resetInstead, 'connectionLost'],
    ['sends garbage', answerBytes(garbage.text), 'protocolFault'],
    ['says it shuts down', disconnect(), 'connectionLost'],
    ['agrees and hangs up', startTls.end, 'connectFailed'],
    ['agrees and resets', startTls.reset, 'connectFailed'],
    ['agrees and sends garbage', startTls.garbage, 'tlsFailed'],
    ['agrees and sends garbage at once', startTls.garbageAtOnce, 'protocolFault'],
    ['agrees and slips in the answer to a bind', startTls.injectBindSuccess, 'protocolFault'],
  ])('when the server %s', async (_, script, fault) => {
    server.play({ startTls: script })
    expect(await faultOf(open('startTls').then(bindAlice))).toBe(fault)
  })

  test('when the server agrees and says nothing more', async () => {
    server.play({ startTls: startTls.silence })
    expect(await faultOf(open('startTls', { connectTimeoutMs: 100 }))).toBe('connectTimeout')
  })

  test('when the server ends TLS right after the handshake', async () => {
    server.play({ startTls: startTls.endSecured })
    expect(await faultOf(open('startTls').then(bindAlice))).toMatch(/connectionLost|connectFailed/)
  })

  test.each<LdapProtection>(['startTls', 'tls'])('by %s with an authority that is not known', async (protection) => {
    const { message } = await errorOf(open(protection, { ca: otherAuthority }))
    expect(message).toContain('authentication.ldap.caFile')
  })

  test.each<LdapProtection>(['startTls', 'tls'])('by %s with another name', async (protection) => {
    const { message } = await errorOf(open(protection, { serverName: 'ldap.example.org' }))
    expect(message).toContain('authentication.ldap.serverName')
  })
})

describe('a connection in clear', () => {
  const server: LdapServer = { url: 'ldap://ldap.example.org', host: 'ldap.example.org', port: 389, protection: 'none' }
  // It is the address that answered which counts, whatever name led there.
  test.each<[address: string | undefined, allowInsecure: boolean, expected: boolean]>([
    ['192.0.2.1', false, false],
    ['2001:db8::1', false, false],
    ['::ffff:192.0.2.1', false, false],
    [undefined, false, false],
    ['127.0.0.1', false, true],
    ['::1', false, true],
    ['::ffff:127.0.0.1', false, true],
    ['192.0.2.1', true, true],
  ])('to %s carries passwords, where allowInsecure is %s: %s', (remoteAddress, allowInsecure, expected) => {
    const socket = Object.defineProperty(new Socket(), 'remoteAddress', { value: remoteAddress })
    expect(isProtected(socket, server, allowInsecure)).toBe(expected)
    expect(isProtected(socket, { ...server, protection: 'tls' }, allowInsecure)).toBe(false)
  })
})

describe('the certificate', () => {
  test.each<LdapProtection>(['startTls', 'tls'])('is checked for an address with %s', async (protection) => {
    const connection = await open(protection, { host: '127.0.0.1' })
    expect(connection.tls?.certificate.subjectaltname).toContain('127.0.0.1')
    expect(await faultOf(open(protection, { host: '127.0.0.1', serverName: '127.0.0.2' }))).toBe('tlsFailed')
  })

  test.each<[LdapCertificateKind, LdapProtection]>(
    (['expired', 'other-authority', 'self-signed', 'wrong-name'] as const).flatMap((kind) => [
      [kind, 'startTls'],
      [kind, 'tls'],
    ]),
  )('that is %s is refused with %s', async (certificate, protection) => {
    const bad = await startLdapFaultServer({ certificate })
    try {
      expect(await faultOf(open(protection, {}, bad).then(bindAlice))).toBe('tlsFailed')
      expect(bad.requests.filter(({ kind }) => kind === 'bind')).toEqual([])
    } finally {
      await bad.close()
    }
  })

  test('is checked whatever the environment says', async () => {
    const before = process.env['NODE_TLS_REJECT_UNAUTHORIZED']
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
    try {
      expect(await faultOf(open('tls', { ca: otherAuthority }))).toBe('tlsFailed')
    } finally {
      if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
      else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before
    }
  })
})

describe('a connection whose server misbehaves', () => {
  test.each<[string, FaultScript, string]>([
    ['answers under another id', answerUnknownId({ isAlone: true }), 'protocolFault'],
    ['answers under another id first', answerUnknownId({ isAlone: false }), 'protocolFault'],
    ['answers with an operation that is not known', answerUnknownOperation, 'protocolFault'],
    ['announces 100 MB', announce(100_000_000, { isSent: true }), 'answerTooLarge'],
    ['announces a little more than 1 MiB', announce(1_048_576), 'answerTooLarge'],
    ['hangs up', endInstead, 'connectionLost'],
    ['resets', resetInstead, 'connectionLost'],
    ['cuts its answer off', cutAnswer(5), 'connectionLost'],
    ['says it shuts down', disconnect(), 'connectionLost'],
    ...Object.entries(garbage).map(([name, bytes]): [string, FaultScript, string] => [
      `sends garbage: ${name}`,
      answerBytes(bytes),
      'protocolFault',
    ]),
  ])('is given up when it %s', async (_, script, fault) => {
    server.play({ bind: script, search: script })
    const forBind = await open('none')
    expect(await faultOf(bindAlice(forBind))).toBe(fault)
    expect(forBind.isOpen()).toBe(false)
    const forSearch = await open('none')
    expect(await faultOf(searchAll(forSearch))).toBe(fault)
    expect(forSearch.isOpen()).toBe(false)
  })

  test('takes no second answer for that of the next question', async () => {
    server.play({ bind: [answerTwice, answerResult({ code: 49 })] })
    const connection = await open('none')
    await bindAlice(connection)
    expect(await faultOf(connection.bind(people.bob.dn, 'guess'))).toMatch(/protocolFault|connectionLost/)
  })

  test('does not take the end of something else for that of a bind', async () => {
    server.play({
      bind: ({ connection, request }) =>
        connection.write(resultMessage({ kind: 'other', id: request.id }, { code: 0 })),
    })
    expect(await faultOf(bindAlice(await open('none')))).toBe('protocolFault')
  })

  test('stops at more entries than were asked for', async () => {
    const connection = await open('none')
    const asked = connection.search({ ...everything, attributes: ['1.1'], sizeLimit: 1 })
    expect(await faultOf(asked)).toBe('protocolFault')
  })

  test('waits no longer than it is told', async () => {
    server.play({ bind: neverAnswer })
    const connection = await open('none', { operationTimeoutMs: 50 })
    expect(await faultOf(bindAlice(connection))).toBe('operationTimeout')
    expect(connection.isOpen()).toBe(false)
    await until(() => server.open() === 0, { what: 'the connection is closed' })
  })

  test('says what cannot be reached', async () => {
    const { message, fault } = await errorOf(open('none', { port: 1 }))
    expect(fault).toBe('connectFailed')
    expect(message).toContain('cannot connect to ldap://directory')
  })

  test('tells no password', async () => {
    server.play({ bind: endInstead })
    const connection = await open('none')
    const { message } = await errorOf(connection.bind(serviceAccount.dn, serviceAccount.password))
    expect(message).not.toContain(serviceAccount.password)
  })
})

async function errorOf(promise: Promise<unknown>): Promise<LdapError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof LdapError) return error
  throw new Error('there was no fault', { cause: error })
}
