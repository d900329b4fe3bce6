import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { countTraffic } from '../../../support/ldap-log.ts'
import {
  baseDn,
  contractorsDn,
  elsewhereDn,
  groups,
  groupsDn,
  people,
  peopleDn,
  serviceAccount,
} from '../../../support/ldap-entries.ts'
import { startLdapServer } from '../../../support/ldap-server.ts'
import type { LdapServer } from '../../../support/ldap-server.ts'
import { describeWith } from '../../../support/real-parts.ts'
import { until } from '../../../support/until.ts'
import { ldapSettings, openSite } from './ldap-site.ts'
import type { LdapSite, SiteOptions } from './ldap-site.ts'

describeWith(['slapd'], 'the people of an OpenLDAP', () => {
  let server: LdapServer
  const sites: LdapSite[] = []

  beforeAll(async () => {
    server = await startLdapServer({ crowdGroups: 1_200 })
  }, 60_000)
  afterEach(async () => {
    for (const site of sites.splice(0)) await site.close()
  })
  afterAll(() => server.stop())

  function site(keys: Readonly<Record<string, unknown>> = {}, more: Partial<SiteOptions> = {}): LdapSite {
    const settings = ldapSettings({ url: server.url, maxFailedBinds: 1_000, ...keys })
    const opened = openSite({ settings, ca: server.ca, ...more })
    sites.push(opened)
    return opened
  }

  async function binds(): Promise<readonly string[]> {
    const { operations } = await server.traffic()
    return operations.flatMap(({ kind, dn }) => (kind === 'bind' ? [dn ?? ''] : []))
  }

  test.each([
    ['in clear on this machine', {}],
    ['by StartTLS', { startTls: true }],
    ['by ldaps', { url: 'ldaps' }],
  ])('log in %s', async (_, keys) => {
    const { login } = site({ ...keys, ...('url' in keys ? { url: server.ldapsUrl } : {}) })
    await server.forget()
    expect(await login('alice', people.alice.password)).toBe('alice')
    expect(await login('alice', people.bob.password)).toBe('refused')
    expect(await login('nobody', people.bob.password)).toBe('notMine')
    const { operations } = await server.traffic()
    const isClear = !('url' in keys) && !('startTls' in keys)
    expect(operations.filter(({ kind, isEncrypted }) => kind === 'bind' && !isEncrypted)).toHaveLength(isClear ? 3 : 0)
  })

  test.each([
    ['Alice', people.alice.password, 'alice'],
    ['ALICE', people.alice.password, 'alice'],
    [' alice ', people.alice.password, 'alice'],
    ['carol', people.carol.password, 'carol'],
    ['zo\u00eb', people.zoe.password, 'zo\u00eb'],
    ['zoe\u0308', people.zoe.password, 'zo\u00eb'],
    [String.raw`odd,(o*d)\#+`, people.odd.password, 'odd,(o*d)\\#+'],
    ['smith', people.smith.password, 'smith'],
    ['loner', people.loner.password, 'loner'],
  ])('%j is one canonical name', async (name, password, expected) => {
    expect(await site().login(name, password)).toBe(expected)
  })

  test('keep the capitals of the directory where that is wanted', async () => {
    expect(await site({ nameCase: 'keep' }).login('CAROL', people.carol.password)).toBe('Carol')
  })

  test.each([
    ...["$'", '$`', '$&', '$$', "a$'$`", '*', 'a*', 'ali*', ')(uid=*', '(uid=*)', '\\', '\\2a', 'al\u0000ice'],
    ...['x'.repeat(1_048_576), '😀', '\u202ealice', 'a/b', 'dom\\alice', 'alice@example.org', '{{username}}'],
  ])('nobody is called %.40s', async (name) => {
    const { login } = site()
    await server.forget()
    expect(await login(name, people.alice.password)).toBe('notMine')
    expect((await binds()).filter((dn) => dn !== serviceAccount.dn)).toEqual([])
    expect(countTraffic(await server.traffic()).searches).toBeLessThanOrEqual(1)
  })

  test.each([
    ['', 'empty'],
    ['\0', 'NUL'],
    [`${people.alice.password}\0`, 'the right one and NUL'],
    ['   ', 'blanks'],
    ['x'.repeat(1_025), 'too long'],
  ])('no bind is sent with the password %j: %s', async (password) => {
    const { login } = site()
    await server.forget()
    expect(await login('alice', password)).toBe('refused')
    expect(await binds()).toEqual([])
  })

  test('who is there twice is nobody, whichever password is given', async () => {
    const { login, told } = site({ searchBase: undefined, searchBases: [peopleDn, contractorsDn] })
    expect(await login('twin', people.twin.password)).toBe('refused')
    expect(await login('twin', people.twinContractor.password)).toBe('refused')
    expect(await login('dave', people.dave.password)).toBe('dave')
    expect(told('ldapUserRefused')[0]).toEqual({ user: 'twin', reason: 'ambiguous' })
    expect(await site({ searchBase: baseDn }).login('twin', people.twin.password)).toBe('refused')
  })

  test('an alias is nobody, whoever it stands for', async () => {
    expect(await site().login('alias', people.alice.password)).toBe('refused')
  })

  test('who is found twice below two bases that overlap is there once', async () => {
    const { login } = site({ searchBase: undefined, searchBases: [peopleDn, baseDn] })
    expect(await login('alice', people.alice.password)).toBe('alice')
  })

  test('who has two names and neither in the DN has none', async () => {
    expect(await site().login('dora', people.dora.password)).toBe('unavailable unusableEntry')
    expect(await site({ nameAttribute: 'mail' }).login('dora', people.dora.password)).toBe('dora@example.org')
  })

  test.each([
    ['locked', people.locked.password, 'wrongPassword'],
    ['expired', people.expired.password, 'passwordExpired'],
    ['reset', people.reset.password, 'mustChangePassword'],
    ['alice', 'wrong', 'wrongPassword'],
  ])('%s is refused, and only operators are told why', async (name, password, reason) => {
    const { login, told } = site()
    expect(await login(name, password)).toBe('refused')
    expect(told('ldapUserRefused')).toEqual([expect.objectContaining({ reason })])
  })

  const devs = 'cn=devs,ou=groups,dc=example,dc=org'
  const above = ['platform', 'everyone'].map((name) => `cn=${name},${groupsDn}`)
  test.each([
    ['by memberOf', { groups: 'memberOf' }, [devs, groups.readers.dn], []],
    ['by search', { groupSearchBase: groupsDn }, [devs, groups.readers.dn], ['devs', 'readers']],
    ['by memberOf, nested', { groups: 'memberOf', nestedGroups: 'walk' }, [devs, groups.readers.dn, ...above], []],
    [
      'by search, nested',
      { groupSearchBase: groupsDn, nestedGroups: 'walk' },
      [devs, groups.readers.dn, ...above],
      ['devs', 'readers', 'platform', 'everyone'],
    ],
    ['by the value of an attribute', { groupSearchBase: groupsDn, groupSearchFilter: '(cn={{username}})' }, [], []],
    ['not at all', {}, [], []],
  ])('have their groups %s', async (_, keys, dns, names) => {
    const found = await site(keys).groupsOf('alice', people.alice.password)
    expect([...found].sort()).toEqual([...dns, ...names].sort())
  })

  test('a circle of groups ends where it began', async () => {
    const found = await site({ groups: 'memberOf', nestedGroups: 'walk' }).groupsOf('bob', people.bob.password)
    expect(found).toEqual(expect.arrayContaining([groups.loopA.dn, groups.loopB.dn]))
  })

  test('a group of another part of the directory has no short name', async () => {
    const found = await site({ groups: 'memberOf', groupSearchBase: groupsDn }).groupsOf(
      'mallory',
      people.mallory.password,
    )
    expect(found).toEqual([`cn=admins,${elsewhereDn}`])
  })

  test('a short name that two groups have is nobody’s, not even for who is in one of them', async () => {
    const { groupsOf, told } = site({ groupSearchBase: groupsDn })
    const found = await groupsOf('ci', people.ci.password)
    expect([...found].sort()).toEqual(['robots', groups.qaSouth.dn, groups.robots.dn].sort())
    expect(told('ldapGroupAmbiguous')).toEqual([{ name: 'qa' }])
  })

  test('a comma in the name of a group changes nothing', async () => {
    const found = await site({ groupSearchBase: groupsDn }).groupsOf('smith', people.smith.password)
    expect(found).toEqual(
      expect.arrayContaining([String.raw`cn=berlin\, mitte,ou=groups,dc=example,dc=org`, 'berlin, mitte']),
    )
  })

  test.each([
    ['memberOf', { groups: 'memberOf', groupSearchBase: groupsDn }],
    ['search', { groupSearchBase: groupsDn }],
  ])('1,200 groups are all there by %s', async (_, keys) => {
    const found = await site(keys).groupsOf('busy', people.busy.password)
    expect(found).toHaveLength(2_400)
    expect(found).toContain('crowd-1199')
  })

  test('groups are what they are now, and not what they were', async () => {
    const { groupsOf } = site({ groupSearchBase: groupsDn })
    await server.join(groups.robots.dn, people.loner.dn)
    expect(await groupsOf('loner', people.loner.password)).toContain('robots')
    await server.leave(groups.robots.dn, people.loner.dn)
    expect(await groupsOf('loner', people.loner.password)).toEqual([])
  })

  test('log in without a service account, by the template of their DN', async () => {
    const keys = { bindDn: undefined, bindPassword: undefined, searchBase: undefined }
    const { login } = site({ ...keys, userDnTemplate: `uid={{username}},${peopleDn}` })
    // The directory of the tests shows people nothing, not even themselves.
    expect(await login('alice', people.alice.password)).toBe('unavailable baseMissing')
    expect(await login('alice', 'wrong')).toBe('refused')
    expect(await login(`alice,${peopleDn}`, people.alice.password)).toBe('refused')
  })

  test('whose name is a robot’s elsewhere do not become it by typing something else', async () => {
    const { login, told } = site({}, { isTaken: (name) => name === 'ci' })
    expect(await login('CI', people.ci.password)).toBe('refused')
    expect(told('ldapUserRefused')).toEqual([{ user: 'ci', reason: 'nameTaken' }])
    expect(await login('ci', people.ci.password)).toBe('ci')
  })

  test('are told nothing when the service account is refused; operators are, once', async () => {
    const { login, told } = site({ bindPassword: 'not the password' })
    await server.forget()
    expect(await login('alice', people.alice.password)).toBe('unavailable serviceRefused')
    expect(await login('bob', people.bob.password)).toBe('unavailable serviceRefused')
    expect(told('ldapServiceRefused')).toHaveLength(1)
    expect(JSON.stringify(told('ldapServiceRefused'))).toContain('bindPasswordFile')
    expect(await binds()).toEqual([serviceAccount.dn])
  })

  test('are told nothing when the base is not there', async () => {
    expect(await site({ searchBase: 'ou=nowhere,dc=example,dc=org' }).login('alice', 'x')).toBe(
      'unavailable baseMissing',
    )
  })

  test('300 at one time are each who they are', async () => {
    const { login, told } = site()
    const names = ['alice', 'bob', 'ci', 'loner', 'busy'] as const
    const results = await Promise.all(
      Array.from({ length: 300 }, async (_, at) => {
        const name = names[at % names.length] ?? 'alice'
        const isRight = at % 3 !== 0
        return [isRight ? name : 'refused', await login(name, isRight ? people[name].password : `wrong ${at}`)]
      }),
    )
    for (const [expected, result] of results) expect(result).toBe(expected)
    expect(told('ldapTurnedAway')).toEqual([])
  })
})

describeWith(['slapd'], 'a directory that gives pages', () => {
  test.each([
    [true, 130],
    [false, 'partialAnswer'],
  ])(
    'gives all groups or none: pages allowed %s',
    async (isPagingAllowed, expected) => {
      const server = await startLdapServer({ crowdGroups: 130, sizeLimit: 50, isPagingAllowed })
      const settings = ldapSettings({ url: server.url, groupSearchBase: groupsDn })
      const { login, groupsOf, close } = openSite({ settings })
      try {
        if (typeof expected === 'number') {
          const found = await groupsOf('busy', people.busy.password)
          expect(found.filter((name) => name.startsWith('cn='))).toHaveLength(expected)
        } else expect(await login('busy', people.busy.password)).toBe(`unavailable ${expected}`)
      } finally {
        await close()
        await server.stop()
      }
    },
    60_000,
  )
})

describeWith(['slapd'], 'a directory that comes and goes', () => {
  test('is waited for no longer than its time, and is there again when it is', async () => {
    const server = await startLdapServer()
    const settings = ldapSettings({ url: server.ldapsUrl, operationTimeoutMs: 500 })
    const { login, close } = openSite({ settings, ca: server.ca })
    const logIn = () => login('alice', people.alice.password)
    try {
      expect(await logIn()).toBe('alice')
      server.freeze()
      expect(await logIn()).toBe('unavailable operationTimeout')
      server.thaw()
      await until(async () => (await logIn()) === 'alice', { what: 'the thawed directory answers' })
      await server.kill()
      expect(await logIn()).toMatch(/^unavailable (connectFailed|connectionLost)$/)
      await server.restart()
      await until(async () => (await logIn()) === 'alice', { what: 'the new directory answers' })
      await server.restart({ certificate: 'wrong-name' })
      await server.forget()
      expect(await logIn()).toBe('unavailable tlsFailed')
      expect(countTraffic(await server.traffic()).binds).toBe(0)
    } finally {
      await close()
      await server.stop()
    }
  }, 120_000)

  test('is heard at once about a password that was changed, and about one that was wrong before', async () => {
    const server = await startLdapServer({ lockoutAfter: 5 })
    const { login, close, told } = openSite({ settings: ldapSettings({ url: server.url }), credentialTtlMs: 60_000 })
    try {
      for (let turn = 0; turn < 10; turn += 1) expect(await login('alice', 'the next one')).toBe('refused')
      // The directory writes down that a password was wrong, and its entry is still the same.
      expect(told('ldapBindWithheld')).toHaveLength(9)
      expect(await login('alice', people.alice.password)).toBe('alice')
      await server.setPassword(people.alice.dn, 'the next one')
      // What an administrator has set must be changed, by the policy of this directory.
      expect(await login('alice', 'the next one')).toBe('refused')
      expect(told('ldapUserRefused').at(-1)).toEqual({ user: people.alice.dn, reason: 'mustChangePassword' })
      await server.modify(`dn: ${people.alice.dn}\nchangetype: modify\nreplace: pwdReset\npwdReset: FALSE\n`)
      expect(await login('alice', 'the next one')).toBe('alice')
      await server.lock(people.bob.dn)
      expect(await login('bob', people.bob.password)).toBe('refused')
      expect(await login('bob', people.bob.password)).toBe('refused')
      await server.unlock(people.bob.dn)
      expect(await login('bob', people.bob.password)).toBe('bob')
    } finally {
      await close()
      await server.stop()
    }
  }, 60_000)
})
