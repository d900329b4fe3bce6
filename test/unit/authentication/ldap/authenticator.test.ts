import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { monotonicClock } from '../../../../src/authentication/clock.ts'
import type { Clock } from '../../../../src/authentication/clock.ts'
import { createBindBudget } from '../../../../src/authentication/ldap/bind-budget.ts'
import { createMemoryStore } from '../../../../src/store/memory-store.ts'
import { StoreError } from '../../../../src/store/store.ts'
import {
  answer,
  answerActiveDirectory,
  answerEntries,
  answerPart,
  answerReference,
  answerReferral,
  answerResult,
  answerReversed,
  answerUnknownId,
  endInstead,
  holdAnswers,
  neverAnswer,
  resetInstead,
} from '../../../support/ldap-fault-answers.ts'
import type { FaultScript } from '../../../support/ldap-fault-connection.ts'
import { startLdapFaultServer } from '../../../support/ldap-fault-server.ts'
import type { LdapFaultServer } from '../../../support/ldap-fault-server.ts'
import { baseDn, groupsDn, people, peopleDn, serviceAccount } from '../../../support/ldap-entries.ts'
import { until } from '../../../support/until.ts'
import { attemptOf, ldapSettings, openSite } from './ldap-site.ts'
import type { LdapSite, SiteOptions } from './ldap-site.ts'

let server: LdapFaultServer
const sites: LdapSite[] = []

beforeAll(async () => {
  server = await startLdapFaultServer()
})
afterEach(async () => {
  for (const site of sites.splice(0)) await site.close()
  server.reset()
})
afterAll(() => server.close())

function site(keys: Readonly<Record<string, unknown>> = {}, more: Partial<SiteOptions> = {}): LdapSite {
  const settings = ldapSettings({ url: server.url, operationTimeoutMs: 20_000, ...keys })
  const opened = openSite({ settings, ca: server.ca, ...more })
  sites.push(opened)
  return opened
}

/** The real clock, which a test can also put forward. */
function shiftedClock(): Clock & { readonly shift: (byMs: number) => void } {
  let shiftMs = 0
  return {
    nowMs: () => monotonicClock.nowMs() + shiftMs,
    after: (delayMs, run) => monotonicClock.after(delayMs, run),
    shift: (byMs) => {
      shiftMs += byMs
    },
  }
}

const { alice, bob } = people
const userBinds = (): readonly string[] =>
  server.requests.flatMap((one) => (one.kind === 'bind' && one.dn !== serviceAccount.dn ? [one.dn] : []))
const bindsOf = (dn: string): number => userBinds().filter((one) => one === dn).length

/** Plays something for users, and answers the service account properly. */
const forUsers =
  (script: FaultScript): FaultScript =>
  (operation) => {
    const { request } = operation
    if (request.kind === 'bind' && request.dn === serviceAccount.dn) answer(operation)
    else script(operation)
  }

describe('wrong passwords', () => {
  test('reach the directory three times for one user, from all addresses', async () => {
    const { login } = site()
    const results: string[] = []
    for (let turn = 0; turn < 5; turn += 1) results.push(await login('alice', `wrong ${turn}`, `192.0.2.${turn}`))
    expect(results).toEqual(['refused', 'refused', 'refused', 'loginLocked', 'loginLocked'])
    expect(await login('ALICE', 'wrong 6')).toBe('loginLocked')
    expect(bindsOf(alice.dn)).toBe(3)
    expect(await login('bob', bob.password)).toBe('bob')
  })

  test('leave the user a way in from where they were right lately', async () => {
    const { login } = site()
    expect(await login('alice', alice.password, '192.0.2.1')).toBe('alice')
    for (let turn = 0; turn < 3; turn += 1) await login('alice', `wrong ${turn}`, '198.51.100.7')
    expect(await login('alice', alice.password, '198.51.100.7')).toBe('loginLocked')
    expect(await login('alice', alice.password, '192.0.2.1')).toBe('alice')
  })

  test('that are the same again do not reach it twice, from wherever they come', async () => {
    const { login, told } = site()
    for (let turn = 0; turn < 6; turn += 1) expect(await login('alice', 'wrong', `192.0.2.${turn}`)).toBe('refused')
    expect(bindsOf(alice.dn)).toBe(1)
    expect(told('ldapBindWithheld')).toEqual(Array.from({ length: 5 }, () => 'repeated'))
    expect(await login('alice', alice.password)).toBe('alice')
  })

  test('may be right when the entry has changed since', async () => {
    const { login } = site()
    const entry = { dn: alice.dn, attributes: { uid: ['alice'], modifyTimestamp: ['20260101000000Z'] } }
    const later = { ...entry, attributes: { ...entry.attributes, modifyTimestamp: ['20260102000000Z'] } }
    const refuse = forUsers(answerResult({ code: 49 }))
    server.play({ search: answerEntries([entry]), bind: refuse })
    expect(await login('alice', 'next')).toBe('refused')
    expect(await login('alice', 'next')).toBe('refused')
    server.play({ search: answerEntries([later]), bind: answerResult({ code: 0 }) })
    expect(await login('alice', 'next')).toBe('alice')
  })

  test('are asked about again at once after everything was forgotten', async () => {
    const { login, ldap } = site()
    await login('alice', 'wrong')
    ldap.forget()
    await login('alice', 'wrong')
    expect(bindsOf(alice.dn)).toBe(2)
  })

  test('are not sent while the store does not answer', async () => {
    const down = {
      isSharded: false,
      run: () => Promise.reject(new StoreError('down', 'down')),
      close: () => Promise.resolve(),
    }
    const { login } = site({}, { store: down })
    expect(await login('alice', alice.password)).toContain('unavailable')
    expect(userBinds()).toEqual([])
  })

  test('are counted for gateways that share a store', async () => {
    const clock = monotonicClock
    const store = createMemoryStore({ clock, maxKeys: 100 })
    const other = createBindBudget({ maxFailedBinds: 3, windowMs: 900_000, store })
    const account = alice.dn
    for (let turn = 0; turn < 3; turn += 1) await other.ask(account, '192.0.2.9')
    expect(await site({}, { store }).login('alice', alice.password)).toBe('loginLocked')
  })
})

describe('names that nobody has', () => {
  /** What the stage does with a login that no backend knows. */
  async function unknown({ login, ldap }: LdapSite, name: string, password: string): Promise<string> {
    const answered = await login(name, password)
    if (answered !== 'notMine') return answered
    return ldap.checkUnknown(attemptOf(name, password)).then(
      () => 'refused',
      (error: unknown) => (error instanceof Error && 'id' in error ? String(error.id) : String(error)),
    )
  }

  test.each([
    ['other passwords', ['a', 'b', 'c', 'd', 'e']],
    ['one password', ['a', 'a', 'a', 'a', 'a']],
    ['some', ['a', 'b', 'a', 'c', 'b', 'd', 'a']],
  ])('are refused as those of somebody, bind for bind, with %s', async (_, passwords) => {
    const results: Record<string, readonly string[]> = {}
    for (const name of ['alice', 'nobody']) {
      const opened = site()
      const answers: string[] = []
      const before = userBinds().length
      for (const password of passwords)
        answers.push(`${await unknown(opened, name, password)} ${userBinds().length - before}`)
      results[name] = answers
    }
    expect(results['nobody']).toEqual(results['alice'])
  })

  test('are bound as an entry that is not there, with a password that nobody typed', async () => {
    await unknown(site(), 'nobody', 'canary')
    expect(userBinds()).toEqual([expect.stringMatching(/^uid=nobody-[0-9a-f]{16},ou=people,dc=example,dc=org$/)])
    expect(server.wire.includes('canary')).toBe(false)
  })

  test('never hold the name of somebody else', async () => {
    const { login } = site()
    expect(await login(`alice,${peopleDn}`, alice.password)).toBe('notMine')
    expect(await login(`alice)(uid=*`, alice.password)).toBe('notMine')
    expect(userBinds()).toEqual([])
  })
})

describe('a directory that is at fault', () => {
  test.each<[string, FaultScript, string]>([
    ['busy', answerResult({ code: 51 }), 'bindRefused'],
    ['unavailable', answerResult({ code: 52 }), 'bindRefused'],
    ['in another place', answerReferral('ldap://evil.example.org'), 'bindRefused'],
    ['stricter than thought', answerResult({ code: 8 }), 'bindRefused'],
    ['in need of TLS', answerResult({ code: 13 }), 'bindRefused'],
    ['in error', answerResult({ code: 80 }), 'bindRefused'],
    ['wrong about names', answerResult({ code: 34 }), 'bindRefused'],
    ['gone', endInstead, 'connectionLost'],
    ['gone at once', resetInstead, 'connectionLost'],
    ['confused', answerUnknownId({ isAlone: true }), 'protocolFault'],
  ])('says nothing of a password when it is %s', async (_, script, fault) => {
    server.play({ bind: forUsers(script) })
    const { login } = site()
    expect(await login('alice', alice.password)).toBe(`unavailable ${fault}`)
    expect(await login('alice', 'wrong')).toBe(`unavailable ${fault}`)
    server.play({})
    expect(await login('alice', alice.password)).toBe('alice')
    expect(await login('alice', 'wrong')).toBe('refused')
  })

  test.each<[string, FaultScript, string]>([
    ['is cut off by size, after one', answerPart(1, { code: 4 }), 'partialAnswer'],
    ['is cut off by time', answerPart(0, { code: 3 }), 'partialAnswer'],
    ['is cut off by an administrator', answerPart(0, { code: 11 }), 'partialAnswer'],
    ['is refused', answerResult({ code: 50 }), 'searchRefused'],
    ['is elsewhere', answerReferral('ldap://evil.example.org'), 'searchRefused'],
    ['has no base', answerResult({ code: 32 }), 'baseMissing'],
    ['has no end', endInstead, 'connectionLost'],
  ])('does not let anybody in when the search for them %s', async (_, script, fault) => {
    server.play({ search: script })
    expect(await site().login('alice', alice.password)).toBe(`unavailable ${fault}`)
  })

  test.each<[string, FaultScript]>([
    ['is cut off by size', answerPart(1, { code: 4 })],
    ['is cut off by time', answerPart(1, { code: 3 })],
    ['is refused', answerResult({ code: 53 })],
    ['is elsewhere', answerReferral('ldap://evil.example.org')],
    ['gives a name that is none', answerEntries([{ dn: 'no name', attributes: {} }])],
  ])('does not let anybody in with some of their groups, when the search for them %s', async (_, script) => {
    server.play({ search: [answer, script] })
    const { login } = site({ groupSearchBase: groupsDn })
    expect(await login('alice', alice.password)).toMatch(/^unavailable/)
  })

  test('refers to other places, where nobody goes', async () => {
    server.play({ search: answerReference('ldap://evil.example.org/dc=example') })
    expect(await site().login('alice', alice.password)).toBe('alice')
  })

  test('is not asked for more than fits a turn', async () => {
    const { script, held, release } = holdAnswers()
    server.play({ bind: forUsers(script) })
    const { login, told } = site({ maxConcurrentLogins: 2, maxQueuedLogins: 1, maxFailedBinds: 100 })
    const logins = ['alice', 'bob', 'ci', 'carol'].map((name) => login(name, 'wrong'))
    expect(await logins[3]).toBe('unavailable overloaded')
    await until(() => held() === 2, { what: 'two binds' })
    release()
    await until(() => held() === 1, { what: 'a third bind' })
    release()
    expect(await Promise.all(logins.slice(0, 3))).toEqual(['refused', 'refused', 'refused'])
    expect(told('ldapTurnedAway')).toEqual(['queueFull'])
  })

  test('does not wait for ever, nor makes others wait', async () => {
    server.play({ bind: forUsers(neverAnswer) })
    const { login } = site({ operationTimeoutMs: 100 })
    expect(await login('alice', alice.password)).toBe('unavailable operationTimeout')
    server.play({})
    expect(await login('alice', alice.password)).toBe('alice')
  })

  test('mixes nobody up with anybody when its answers come in another order', async () => {
    server.play({ search: answerReversed(4) })
    const { login } = site({ maxConcurrentLogins: 4 })
    const names = ['alice', 'bob', 'ci', 'loner'] as const
    for (let round = 0; round < 5; round += 1) {
      const results = await Promise.all(names.map((name) => login(name, people[name].password)))
      expect(results).toEqual(names)
    }
  })

  test('is left alone after five failures, and asked again when it is back', async () => {
    const spare = await startLdapFaultServer()
    const { login, told } = site({ url: spare.url })
    await spare.close()
    const results: string[] = []
    for (let turn = 0; turn < 7; turn += 1) results.push(await login('alice', alice.password))
    expect(results).toEqual([
      ...Array.from({ length: 5 }, () => 'unavailable connectFailed'),
      ...['unavailable down', 'unavailable down'],
    ])
    expect(told('ldapServerChanged')).toEqual([expect.objectContaining({ isUp: false })])
  })
})

describe('several servers', () => {
  test('cost one failure, and then the one that answers is kept', async () => {
    const spare = await startLdapFaultServer()
    const { login, told } = site({ url: undefined, urls: [spare.url, server.url] })
    await spare.close()
    for (let turn = 0; turn < 3; turn += 1) expect(await login('alice', alice.password)).toBe('alice')
    const failed = told('ldapOperationEnded').filter((one) => JSON.stringify(one).includes('connectFailed'))
    expect(failed.length).toBeLessThanOrEqual(2)
  })

  test('are told apart when one is lost in the middle', async () => {
    const spare = await startLdapFaultServer()
    const { login } = site({ url: undefined, urls: [spare.url, server.url] })
    expect(await login('alice', alice.password)).toBe('alice')
    expect(server.connections).toEqual([])
    await spare.close()
    await until(async () => (await login('bob', bob.password)) === 'bob', { what: 'the other server is asked' })
  })
})

describe('memory', () => {
  test('answers without the directory, and a removed password is out after its time', async () => {
    const clock = shiftedClock()
    const { login } = site({}, { credentialTtlMs: 60_000, clock })
    expect(await login('alice', alice.password)).toBe('alice')
    const asked = server.requests.length
    expect(await login('alice', alice.password)).toBe('alice')
    expect(server.requests).toHaveLength(asked)
    server.play({ bind: forUsers(answerResult({ code: 49 })) })
    expect(await login('alice', 'new one')).toBe('refused')
    clock.shift(60_000)
    expect(await login('alice', alice.password)).toBe('refused')
  })

  const down = { search: endInstead, bind: endInstead } as const

  test('serves nobody while the directory is down, unless told', async () => {
    const clock = shiftedClock()
    const { login } = site({}, { credentialTtlMs: 60_000, clock })
    await login('alice', alice.password)
    server.play(down)
    expect(await login('alice', alice.password)).toBe('alice')
    clock.shift(60_000)
    expect(await login('alice', alice.password)).toMatch(/^unavailable/)
  })

  test('serves for some time who was right from there, and nobody else', async () => {
    const clock = shiftedClock()
    const { login, told } = site({ staleSeconds: 600 }, { credentialTtlMs: 1_000, clock })
    await login('alice', alice.password)
    server.play(down)
    clock.shift(1_000)
    expect(await login('alice', alice.password)).toBe('alice')
    expect(told('ldapServedStale')).toHaveLength(1)
    clock.shift(1_000)
    expect(await login('alice', 'wrong')).toMatch(/^unavailable/)
    expect(await login('alice', alice.password, '198.51.100.7')).toMatch(/^unavailable/)
    expect(await login('bob', bob.password)).toMatch(/^unavailable/)
    clock.shift(600_000)
    expect(await login('alice', alice.password)).toMatch(/^unavailable/)
  })

  test('does not serve a login that the directory has refused since, nor one it cannot say all of', async () => {
    const clock = shiftedClock()
    const { login } = site({ staleSeconds: 600 }, { credentialTtlMs: 1_000, clock })
    await login('alice', alice.password)
    await login('bob', bob.password)
    clock.shift(1_000)
    server.play({ search: answerPart(0, { code: 3 }) })
    expect(await login('bob', bob.password)).toBe('unavailable partialAnswer')
    server.play({ bind: forUsers(answerResult({ code: 49 })) })
    expect(await login('alice', alice.password)).toBe('refused')
    server.play(down)
    expect(await login('alice', alice.password)).toMatch(/^unavailable/)
  })
})

describe('Active Directory', () => {
  test.each([
    ['52e', 'wrongPassword'],
    ['525', 'noSuchUser'],
    ['530', 'logonHours'],
    ['531', 'workstation'],
    ['532', 'passwordExpired'],
    ['533', 'disabled'],
    ['701', 'accountExpired'],
    ['773', 'mustChangePassword'],
    ['775', 'locked'],
  ] as const)('says with %s that it is %s, to operators', async (code, reason) => {
    server.play({ bind: forUsers(answerActiveDirectory(code)) })
    const { login, told } = site({ searchFilter: '(sAMAccountName={{username}})', nameAttribute: 'sAMAccountName' })
    expect(await login('alice', alice.password)).toBe('refused')
    expect(told('ldapUserRefused')).toEqual([{ user: alice.dn, reason }])
  })

  const upn = {
    bindDn: undefined,
    bindPassword: undefined,
    searchBase: baseDn,
    userDnTemplate: '{{username}}@example.org',
  }
  const bySam = { ...upn, searchFilter: '(sAMAccountName={{username}})', nameAttribute: 'sAMAccountName' }

  test('binds users by their principal name, without a service account', async () => {
    const { login, groupsOf } = site({ ...bySam, groups: 'memberOf', groupSearchBase: groupsDn })
    expect(await login('Alice', alice.password)).toBe('alice')
    expect(await login('alice', 'wrong')).toBe('refused')
    expect(await groupsOf('alice', alice.password)).toContain('devs')
    expect(new Set(userBinds())).toEqual(new Set(['Alice@example.org', 'alice@example.org']))
  })

  test.each(['alice@elsewhere.example', String.raw`OTHER\alice`, 'a b', 'alice/x', '"alice"'])(
    'takes no domain, nor anything else, from the name %s',
    async (name) => {
      expect(await site(bySam).login(name, alice.password)).toBe('notMine')
      expect(userBinds()).toEqual([])
    },
  )

  test('does not take one account for another whose principal name is alike', async () => {
    // mallory has given herself the principal name of somebody whose account name it is.
    const victim = {
      dn: bob.dn,
      attributes: { sAMAccountName: ['alice'], userPrincipalName: ['bob@example.org'] },
    }
    server.play({ search: answerEntries([victim]) })
    expect(await site(bySam).login('alice', alice.password)).toBe('unavailable unusableEntry')
  })

  test('follows groups of groups by its own rule', async () => {
    const { groupsOf } = site({ groupSearchBase: groupsDn, nestedGroups: 'matchingRule' })
    const found = await groupsOf('alice', alice.password)
    expect(found).toEqual(expect.arrayContaining(['devs', 'platform', 'everyone']))
  })

  test('gives a long memberOf in parts', async () => {
    const names = Array.from({ length: 5 }, (_, at) => `cn=g${at},${groupsDn}`)
    const part = (range: string, from: number, to: number) =>
      answerEntries([
        { dn: alice.dn, attributes: { uid: ['alice'], [`memberOf;range=${range}`]: names.slice(from, to) } },
      ])
    server.play({ search: [part('0-1', 0, 2), part('2-3', 2, 4), part('4-*', 4, 5)] })
    expect(await site({ groups: 'memberOf' }).groupsOf('alice', alice.password)).toEqual(names)
  })

  test('that never comes to the end of a memberOf gives no groups', async () => {
    const entry = { dn: alice.dn, attributes: { uid: ['alice'], 'memberOf;range=0-1': [`cn=a,${groupsDn}`] } }
    server.play({ search: answerEntries([entry]) })
    expect(await site({ groups: 'memberOf' }).login('alice', alice.password)).toBe('unavailable partialAnswer')
  })
})

describe('an entry', () => {
  const named = (attributes: Readonly<Record<string, readonly (string | Buffer)[]>>) =>
    answerEntries([{ dn: alice.dn, attributes }])

  test.each([
    ['no name', {}, 'unusableEntry'],
    ['a name that is no text', { uid: [Buffer.from([0xff, 0xfe])] }, 'unusableEntry'],
    ['a name with a colon', { uid: ['ali:ce'] }, 'unusableEntry'],
    ['a name that cannot be seen', { uid: ['ali\u200bce'] }, 'unusableEntry'],
    ['a name in the other direction', { uid: ['\u202ealice'] }, 'unusableEntry'],
    ['a name with a Kelvin sign', { uid: ['\u212aelly'] }, 'unusableEntry'],
    ['a name that is too long', { uid: ['x'.repeat(300)] }, 'unusableEntry'],
    ['groups that are no text', { uid: ['alice'], memberOf: [Buffer.from([0xff, 0xfe])] }, 'unusableEntry'],
    ['a group without a name', { uid: ['alice'], memberOf: [''] }, 'unusableEntry'],
  ])('with %s lets nobody in', async (_, attributes, fault) => {
    server.play({ search: named(attributes) })
    expect(await site({ groups: 'memberOf' }).login('alice', alice.password)).toBe(`unavailable ${fault}`)
  })

  test.each([
    ['a photograph', { uid: ['alice'], jpegPhoto: [Buffer.alloc(1_000, 0xff)] }, 'alice'],
    ['two names, one of them in its DN', { uid: ['other', 'alice'] }, 'alice'],
    ['no groups', { uid: ['alice'] }, 'alice'],
    ['full-width letters', { uid: ['\uff21lice'] }, '\uff41lice'],
  ])('with %s is somebody', async (_, attributes, expected) => {
    server.play({ search: named(attributes) })
    expect(await site({ groups: 'memberOf' }).login('alice', alice.password)).toBe(expected)
  })

  test('of a group whose short name would be a DN, or looks like one, gives no such name', async () => {
    const evil = String.raw`cn=cn\=admins\,ou\=groups\,dc\=example\,dc\=org,ou=north,${groupsDn}`
    server.play({ search: named({ uid: ['alice'], memberOf: [evil] }) })
    const found = await site({ groups: 'memberOf', groupSearchBase: groupsDn }).groupsOf('alice', alice.password)
    expect(found).toHaveLength(1)
    expect(found).not.toContain('cn=admins,ou=groups,dc=example,dc=org')
  })
})

describe('connections', () => {
  test('are kept, few, and no password is ever on one for searches', async () => {
    const { login } = site({ maxFailedBinds: 100 })
    for (let turn = 0; turn < 10; turn += 1) await login('alice', turn % 2 === 0 ? alice.password : `wrong ${turn}`)
    expect(server.connections).toHaveLength(2)
    const bound = new Set(server.requests.filter(({ kind }) => kind === 'search').map(({ connection }) => connection))
    const users = server.requests.filter((one) => one.kind === 'bind' && one.dn !== serviceAccount.dn)
    for (const { connection } of users) expect(bound.has(connection)).toBe(false)
  })

  test('that were cut while idle are replaced', async () => {
    const { login } = site()
    expect(await login('alice', alice.password)).toBe('alice')
    for (const connection of server.connections) connection.reset()
    await until(() => server.open() === 0, { what: 'all are closed' })
    expect(await login('bob', bob.password)).toBe('bob')
  })

  test('of which a search was lost are replaced; a bind is not sent twice', async () => {
    const { login } = site()
    await login('loner', people.loner.password)
    server.play({ search: [endInstead, answer] })
    expect(await login('alice', alice.password)).toBe('alice')
    server.play({ bind: forUsers(endInstead) })
    const before = userBinds().length
    expect(await login('bob', bob.password)).toBe('unavailable connectionLost')
    expect(userBinds()).toHaveLength(before + 1)
  })

  test('are all let go of at the end', async () => {
    const { login, ldap } = site()
    await login('alice', alice.password)
    ldap.close()
    await until(() => server.open() === 0, { what: 'all are closed' })
    expect(await login('alice', alice.password)).toMatch(/^unavailable/)
  })
})
