import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { Client, ResultCodeError } from 'ldapts'
import type { ClientOptions, Entry } from 'ldapts'
import {
  announce,
  answer,
  answerActiveDirectory,
  answerAndEnd,
  answerByteByByte,
  answerBytes,
  answerEntries,
  answerPart,
  answerReference,
  answerReferral,
  answerResult,
  answerReversed,
  answerTwice,
  answerUnknownId,
  cutAnswer,
  disconnect,
  endInstead,
  garbage,
  holdAnswers,
  neverAnswer,
  resetInstead,
  startTls,
} from '../support/ldap-fault-answers.ts'
import type { FaultScript } from '../support/ldap-fault-connection.ts'
import { startLdapFaultServer } from '../support/ldap-fault-server.ts'
import type { LdapFaultServer } from '../support/ldap-fault-server.ts'
import {
  baseDn,
  contractorsDn,
  groups,
  groupsDn,
  objectGuid,
  people,
  peopleDn,
  serviceAccount,
} from '../support/ldap-entries.ts'
import type { LdapAccount } from '../support/ldap-entries.ts'
import { countTraffic, parseLdapLog } from '../support/ldap-log.ts'
import { startLdapServer } from '../support/ldap-server.ts'
import type { LdapServer } from '../support/ldap-server.ts'
import { startLdapTap } from '../support/ldap-tap.ts'
import { part } from '../support/part.ts'
import { run } from '../support/processes.ts'
import { describeWith } from '../support/real-parts.ts'
import { until } from '../support/until.ts'

const clients: Client[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) await client.unbind().catch(() => undefined)
})

function clientOf(options: ClientOptions): Client {
  const client = new Client({ timeout: 20_000, connectTimeout: 20_000, ...options })
  clients.push(client)
  return client
}

/** `ok`, a result code, or what else a promise was rejected with. */
async function outcomeOf(work: Promise<unknown>): Promise<string | number> {
  try {
    await work
    return 'ok'
  } catch (error) {
    if (error instanceof ResultCodeError) return error.code
    const { code, message } = error as { readonly code?: string; readonly message: string }
    return code ?? message
  }
}

const bindOutcome = (url: string, { dn, password }: LdapAccount): Promise<string | number> =>
  outcomeOf(clientOf({ url }).bind(dn, password))

async function searching({ url }: { readonly url: string }): Promise<Client> {
  const client = clientOf({ url })
  await client.bind(serviceAccount.dn, serviceAccount.password)
  return client
}

async function namesOf(client: Client, filter: string, base = baseDn): Promise<readonly string[]> {
  const { searchEntries } = await client.search(base, { filter, attributes: ['1.1'], paged: { pageSize: 500 } })
  return searchEntries.map(({ dn }) => dn)
}

describeWith(['slapd', 'ldapsearch'], 'a real slapd', () => {
  let server: LdapServer

  beforeAll(async () => {
    server = await startLdapServer()
  })
  afterAll(async () => {
    await server.stop()
  })

  test('answers ldapsearch inside TLS, on its own port and after StartTLS', async () => {
    const words = [
      '-x',
      '-LLL',
      '-D',
      serviceAccount.dn,
      '-w',
      serviceAccount.password,
      '-b',
      baseDn,
      '(uid=alice)',
      'dn',
    ]
    const env = { ...process.env, LDAPTLS_CACERT: server.caFile }
    // It takes `localhost` for the name of the machine.
    const byAddress = (url: string): string => url.replace('localhost', '127.0.0.1')
    for (const connection of [
      ['-H', byAddress(server.ldapsUrl)],
      ['-ZZ', '-H', byAddress(server.url)],
    ]) {
      const { code, stdout, stderr } = await run(part('ldapsearch'), [...connection, ...words], { env })
      expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: `dn: ${people.alice.dn}\n\n`, stderr: '' })
    }
  })

  test.each(Object.entries(people))('knows %s', async (key, who) => {
    const refused = ['locked', 'expired']
    expect(await bindOutcome(server.url, who)).toBe(refused.includes(key) ? 49 : 'ok')
    expect(await bindOutcome(server.url, { dn: who.dn, password: 'wrong' })).toBe(49)
  })

  test('shows the entries that are unlike others', async () => {
    const client = await searching(server)
    const entryOf = async (dn: string): Promise<Entry | undefined> => {
      const attributes = ['uid', 'memberOf', 'objectGUID']
      const explicitBufferAttributes = ['objectGUID']
      return (await client.search(dn, { scope: 'base', attributes, explicitBufferAttributes })).searchEntries[0]
    }
    expect(await entryOf(people.loner.dn)).toMatchObject({ uid: 'loner', memberOf: [] })
    expect(await entryOf(people.dora.dn)).toMatchObject({ uid: ['dora', 'double'] })
    expect(await entryOf(people.nameless.dn)).toMatchObject({ uid: [] })
    expect(await entryOf(people.alice.dn)).toMatchObject({ objectGUID: objectGuid(people.alice.dn) })
    expect(await namesOf(client, '(uid=twin)')).toEqual([people.twin.dn, people.twinContractor.dn])
    expect(await namesOf(client, '(uid=twin)', contractorsDn)).toEqual([people.twinContractor.dn])
    expect(await namesOf(client, String.raw`(uid=odd,\28o\2ad\29\5c#\2b)`)).toHaveLength(1)
    expect(await namesOf(client, `(&(objectClass=groupOfNames)(member=${groups.devs.dn}))`)).toEqual([
      groups.platform.dn,
    ])
  })

  test('keeps everything but a bind from anybody else than the service account', async () => {
    const alice = clientOf({ url: server.url })
    await alice.bind(people.alice.dn, people.alice.password)
    expect(await outcomeOf(alice.search(peopleDn, { filter: '(uid=bob)' }))).toBe(32)
    const client = await searching(server)
    const { searchEntries } = await client.search(people.bob.dn, { attributes: ['userPassword'] })
    expect(searchEntries).toMatchObject([{ userPassword: [] }])
    // What makes an empty password dangerous.
    expect(await bindOutcome(server.url, { dn: people.alice.dn, password: '' })).toBe('ok')
  })

  test('takes changes while it runs', async () => {
    const client = await searching(server)
    const fresh = { dn: `uid=fresh,${peopleDn}`, password: 'fresh' }
    const attributes = {
      objectClass: ['inetOrgPerson'],
      uid: ['fresh'],
      cn: ['fresh'],
      sn: ['fresh'],
      userPassword: ['fresh'],
    }
    await server.add([{ dn: fresh.dn, attributes }])
    expect(await bindOutcome(server.url, fresh)).toBe('ok')
    await server.join(groups.devs.dn, fresh.dn)
    expect(await namesOf(client, `(memberOf=${groups.devs.dn})`)).toContain(fresh.dn)
    await server.leave(groups.devs.dn, fresh.dn)
    expect(await namesOf(client, `(memberOf=${groups.devs.dn})`)).not.toContain(fresh.dn)
    await server.setPassword(fresh.dn, 'new')
    expect(await bindOutcome(server.url, fresh)).toBe(49)
    await server.lock(fresh.dn)
    expect(await bindOutcome(server.url, { ...fresh, password: 'new' })).toBe(49)
    await server.unlock(fresh.dn)
    expect(await bindOutcome(server.url, { ...fresh, password: 'new' })).toBe('ok')
    await server.remove(fresh.dn)
    expect(await namesOf(client, '(uid=fresh)')).toEqual([])
    await expect(server.remove(fresh.dn)).rejects.toThrow(/No such object/)
  })

  test('counts what it is asked, and not what the test changes', async () => {
    const client = await searching(server)
    await server.forget()
    expect(countTraffic(await server.traffic())).toEqual({ connections: 0, binds: 0, searches: 0 })
    await namesOf(client, '(uid=alice)', peopleDn)
    await server.setPassword(people.bob.dn, people.bob.password)
    const secured = clientOf({ url: server.url })
    await secured.startTLS({ ca: server.ca, servername: 'localhost' })
    expect(await outcomeOf(secured.bind(people.alice.dn, 'wrong'))).toBe(49)
    const traffic = await server.traffic()
    expect(countTraffic(traffic)).toEqual({ connections: 1, binds: 1, searches: 1 })
    expect(traffic.operations).toMatchObject([
      { kind: 'srch', base: peopleDn, scope: 2, filter: '(uid=alice)', resultCode: 0, entries: 1, isEncrypted: false },
      { kind: 'ext', isEncrypted: false, resultCode: 0 },
      { kind: 'bind', dn: people.alice.dn, resultCode: 49, isEncrypted: true },
    ])
  })

  test('is frozen, killed and started again on the same port', async () => {
    const client = await searching(server)
    server.freeze()
    const search = namesOf(client, '(uid=alice)')
    expect(await outcomeOf(clientOf({ url: server.url, timeout: 50 }).bind(serviceAccount.dn, 'x'))).not.toBe('ok')
    server.thaw()
    expect(await search).toEqual([people.alice.dn])
    await server.kill()
    expect(await bindOutcome(server.url, people.alice)).toMatch(/ECONNREFUSED/)
    await server.restart()
    expect(await bindOutcome(server.url, people.alice)).toBe('ok')
    server.freeze()
    await server.restart()
    expect(await bindOutcome(server.url, people.alice)).toBe('ok')
  })

  test.each([
    ['expired', 'CERT_HAS_EXPIRED'],
    ['wrong-name', 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['self-signed', 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['other-authority', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ['none', 2],
    ['good', 'ok'],
  ] as const)('has a certificate that is %s', async (certificate, expected) => {
    await server.restart({ certificate })
    const client = clientOf({ url: server.url })
    expect(await outcomeOf(client.startTLS({ ca: server.ca, servername: 'localhost' }))).toBe(expected)
  })

  test('is tapped, byte by byte, and vanishes behind the tap', async () => {
    const tap = await startLdapTap(server.port)
    try {
      const clear = clientOf({ url: tap.url })
      await clear.bind(people.alice.dn, people.alice.password)
      expect(tap.fromClients.includes(people.alice.password)).toBe(true)
      const secured = clientOf({ url: tap.url })
      await secured.startTLS({ ca: server.ca, servername: 'localhost' })
      await secured.bind(people.bob.dn, people.bob.password)
      expect(tap.fromClients.includes(people.bob.password)).toBe(false)
      tap.freeze()
      const bound = clear.bind(people.alice.dn, people.alice.password)
      expect(await outcomeOf(clientOf({ url: tap.url, timeout: 50 }).bind(people.bob.dn, 'x'))).not.toBe(49)
      tap.thaw()
      await bound
      tap.cut()
      await until(() => tap.open() === 0, { what: 'the connections are gone' })
    } finally {
      await tap.close()
    }
  })
})

describeWith(['slapd', 'ldapsearch'], 'a slapd with limits', () => {
  test('gives 5,000 groups by pages and no more than 1,000 at once', async () => {
    const server = await startLdapServer({ crowdGroups: 5000, sizeLimit: 1000 })
    try {
      const client = await searching(server)
      const filter = `(member=${people.busy.dn})`
      expect(await namesOf(client, filter)).toHaveLength(5000)
      expect(await outcomeOf(client.search(groupsDn, { filter, attributes: ['cn'] }))).toBe(4)
      const { searchEntries } = await client.search(people.busy.dn, { scope: 'base', attributes: ['memberOf'] })
      expect(searchEntries[0]?.['memberOf']).toHaveLength(5000)
    } finally {
      await server.stop()
    }
  })

  test('refuses pages, clear text and an account with too many wrong passwords', async () => {
    const server = await startLdapServer({
      sizeLimit: 5,
      isPagingAllowed: false,
      isEncryptionRequired: true,
      lockoutAfter: 2,
    })
    try {
      expect(await bindOutcome(server.url, serviceAccount)).toBe(13)
      const bind = (account: LdapAccount): Promise<string | number> => {
        const client = clientOf({ url: server.ldapsUrl, tlsOptions: { ca: server.ca } })
        return outcomeOf(client.bind(account.dn, account.password))
      }
      const wrong = { dn: people.alice.dn, password: 'wrong' }
      expect([await bind(people.alice), await bind(wrong), await bind(wrong), await bind(people.alice)]).toEqual([
        'ok',
        49,
        49,
        49,
      ])
      const client = clientOf({ url: server.ldapsUrl, tlsOptions: { ca: server.ca } })
      await client.bind(serviceAccount.dn, serviceAccount.password)
      expect(await outcomeOf(namesOf(client, '(objectClass=groupOfNames)'))).toBe(4)
    } finally {
      await server.stop()
    }
  })
})

describe('the log of slapd', () => {
  test('tells of an operation before its connection', () => {
    const log = [
      'x 0x1 conn=1000 op=0 BIND dn="cn=\\"a\\"" method=128',
      'x 0x1 conn=1000 fd=12 ACCEPT from IP=127.0.0.1:1 (IP=127.0.0.1:389)',
      'x 0x1 conn=1001 op=0 BIND dn="" method=128',
      'x 0x1 conn=1001 fd=13 ACCEPT from PATH=/x (PATH=/x)',
    ].join('\n')
    expect(parseLdapLog(log, 2)).toEqual({
      connections: [{ id: '2/1000', port: 389, isEncrypted: false, isClosed: false }],
      operations: [{ connection: '2/1000', port: 389, isEncrypted: false, kind: 'bind', dn: 'cn=\\"a\\"' }],
      unanswered: 1,
    })
  })
})

describe('the LDAP fault server', () => {
  let server: LdapFaultServer

  beforeAll(async () => {
    server = await startLdapFaultServer()
  })
  afterEach(() => {
    server.reset()
  })
  afterAll(async () => {
    await server.close()
  })

  const secured = async (): Promise<Client> => {
    const client = clientOf({ url: server.url })
    await client.startTLS({ ca: server.ca, servername: 'localhost' })
    return client
  }

  test('answers like a directory when it plays nothing', async () => {
    const client = clientOf({ url: server.ldapsUrl, tlsOptions: { ca: server.ca } })
    await client.bind('alice@example.org', people.alice.password)
    expect(await outcomeOf(client.bind(String.raw`EXAMPLE\alice`, 'wrong'))).toBe(49)
    await client.bind(serviceAccount.dn, serviceAccount.password)
    expect(await namesOf(client, '(&(objectClass=inetOrgPerson)(uid=ALICE))')).toEqual([people.alice.dn])
    expect(await namesOf(client, '(uid=al*)')).toEqual([people.alice.dn, `uid=alias,${peopleDn}`])
    const nested = `(member:1.2.840.113556.1.4.1941:=${people.alice.dn})`
    const expected = [groups.devs, groups.readers, groups.platform, groups.everyone].map(({ dn }) => dn)
    expect(new Set(await namesOf(client, nested, groupsDn))).toEqual(new Set(expected))
    expect(await namesOf(client, '(!(uid=*))', peopleDn)).toContain(people.nameless.dn)
    expect(server.clearBinds).toEqual([])
    expect(server.wire.includes(people.alice.password)).toBe(false)
  })

  test('pages as it is asked to', async () => {
    const client = clientOf({ url: server.url })
    const paged = { filter: '(objectClass=*)', paged: { pageSize: 3 }, attributes: ['dn'] }
    const { searchEntries } = await client.search(baseDn, paged)
    const once = await client.search(baseDn, { ...paged, paged: false })
    expect(searchEntries).toEqual(once.searchEntries)
    expect(server.requests.length).toBeGreaterThan(10)
  })

  test('writes down binds in the clear', async () => {
    await clientOf({ url: server.url }).bind(people.alice.dn, people.alice.password)
    expect(server.clearBinds).toMatchObject([{ kind: 'bind', dn: people.alice.dn, password: people.alice.password }])
    expect(server.wire.includes(people.alice.password)).toBe(true)
  })

  test.each<readonly [string, FaultScript, string | number]>([
    ['refuses', answerResult({ code: 52, text: 'no TLS today' }), 52],
    ['drops', resetInstead, 'ECONNRESET'],
    ['sends garbage after it agreed to', startTls.garbage, 'ERR_SSL_'],
    ['ends before the handshake', startTls.end, 'ECONNRESET'],
    ['resets before the handshake', startTls.reset, 'ECONNRESET'],
    ['agrees to', answer, 'ok'],
    ['forges a bind answer in', startTls.injectBindSuccess, 'ok'],
    ['ends right after', startTls.endSecured, 'ok'],
  ])('%s StartTLS', async (_, script, expected) => {
    server.play({ startTls: script })
    expect(String(await outcomeOf(secured()))).toContain(String(expected))
    expect(server.connections).toHaveLength(1)
  })

  test.each<readonly [string, FaultScript, string | number]>([
    ['sub-code 775', answerActiveDirectory('775'), 49],
    ['a referral', answerReferral('ldap://127.0.0.1:1/'), 10],
    ['success, twice', answerTwice, 'ok'],
    ['success byte by byte', answerByteByByte, 'ok'],
    ['the answer to another id first', answerUnknownId({ isAlone: false }), 'ok'],
    ['the end of the connection', endInstead, 'Connection closed'],
    ['a part of the answer', cutAnswer(5), 'Connection closed'],
    ['success and the end', answerAndEnd, 'ok'],
    ['a notice of disconnection', disconnect(), 'onnection closed'],
  ])('answers a bind with %s', async (_, script, expected) => {
    server.play({ bind: script })
    expect(String(await bindOutcome(server.url, people.alice))).toContain(String(expected))
  })

  test.each([
    ['silence', startTls.silence],
    ['garbage at once', startTls.garbageAtOnce],
  ] as const)('agrees to StartTLS, and then there is %s', async (_, script) => {
    server.play({ startTls: script })
    const upgraded = outcomeOf(secured())
    await until(() => server.wire.includes('localhost'), { what: 'the handshake was begun' })
    // ldapts has no deadline for the handshake, and a socket that is destroyed on its own side does not end it either.
    server.connections[0]?.reset()
    expect(await upgraded).toBe('ECONNRESET')
    expect(server.requests).toMatchObject([{ kind: 'startTls' }])
  })

  test('sends no more of a flood than is read', async () => {
    server.play({ bind: announce(100e6, { isSent: true }) })
    const socket = connect(server.port, '127.0.0.1')
    socket.write(Buffer.from('300c020101600702010304008000', 'hex'))
    let read = 0
    await new Promise<void>((resolve) => {
      socket.on('data', (chunk: Buffer) => {
        read += chunk.length
        if (read > 10e6) socket.destroy()
      })
      socket.once('close', resolve)
    })
    await until(() => server.open() === 0, { what: 'the server sees the end' })
    expect(server.connections[0]?.isClosed).toBe(true)
  })

  test('sends the diagnostic message of Active Directory', async () => {
    server.play({ bind: answerActiveDirectory('52e') })
    const bind = clientOf({ url: server.url }).bind(people.alice.dn, 'x')
    await expect(bind).rejects.toThrow(
      /80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data 52e, v4563/,
    )
  })

  test('plays one script after the other', async () => {
    server.play({ bind: [answerResult({ code: 51 }), answer] })
    const outcomes = [await bindOutcome(server.url, people.bob), await bindOutcome(server.url, people.bob)]
    expect(outcomes).toEqual([51, 'ok'])
  })

  test('sends parts, references and entries of a test', async () => {
    const client = clientOf({ url: server.url })
    const search = () => client.search(groupsDn, { filter: '(objectClass=groupOfNames)', attributes: ['cn'] })
    server.play({ search: answerReference('ldap://127.0.0.1:1/dc=elsewhere') })
    expect((await search()).searchReferences).toEqual(['ldap://127.0.0.1:1/dc=elsewhere'])
    server.play({ search: answerPart(2, { code: 4 }) })
    expect(await outcomeOf(search())).toBe(4)
    server.play({ search: answerEntries([{ dn: 'cn=x', attributes: { 'memberOf;range=0-1': ['cn=a', 'cn=b'] } }]) })
    expect((await search()).searchEntries).toMatchObject([{ 'memberOf;range=0-1': ['cn=a', 'cn=b'] }])
  })

  test('answers out of order, and when it is told', async () => {
    const client = clientOf({ url: server.url })
    await client.bind(serviceAccount.dn, serviceAccount.password)
    const arrived: string[] = []
    const find = async (uid: string): Promise<readonly string[]> => {
      const { searchEntries } = await client.search(peopleDn, { filter: `(uid=${uid})`, attributes: ['1.1'] })
      arrived.push(uid)
      return searchEntries.map(({ dn }) => dn)
    }
    const both = [[people.alice.dn], [people.bob.dn]]
    server.play({ search: answerReversed(2) })
    expect(await Promise.all([find('alice'), find('bob')])).toEqual(both)
    const hold = holdAnswers()
    server.play({ search: hold.script })
    const found = Promise.all([find('alice'), find('bob')])
    await until(() => hold.held() === 2, { what: 'both searches are held' })
    hold.release('arrived')
    expect(await found).toEqual(both)
    expect(arrived).toEqual(['bob', 'alice', 'alice', 'bob'])
  })

  test.each<readonly [string, FaultScript]>([
    ['nothing', neverAnswer],
    ['an answer to another id', answerUnknownId({ isAlone: true })],
    ['an announced message of 100 MB', announce(100e6)],
    ...Object.entries(garbage).map(([name, bytes]) => [name, answerBytes(bytes)] as const),
  ])('never answers a bind properly: %s', async (_, script) => {
    server.play({ bind: script })
    const client = clientOf({ url: server.url, timeout: 100 })
    expect(await outcomeOf(client.bind(people.alice.dn, people.alice.password))).not.toBe('ok')
  })
})
