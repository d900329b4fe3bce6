import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { groups, groupsDn, people, peopleDn, serviceAccount } from '../support/ldap-entries.ts'
import { countTraffic } from '../support/ldap-log.ts'
import { startLdapServer } from '../support/ldap-server.ts'
import type { LdapServer } from '../support/ldap-server.ts'
import { basic, passwords } from '../support/personas.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'
import type { TestGateway } from '../support/start-gateway.ts'
import { until } from '../support/until.ts'

const policy = `rules:
  - { allow: owner, to: group:admins, on: prod/** }
  - { allow: reader, to: group:readers, on: base/** }
  - { allow: reader, to: 'group:CN=Admins, OU=Groups, DC=Example, DC=Org', on: whole/** }
  - { allow: owner, to: user:ci, on: robots/** }
`

describeWith(['slapd', 'ldapsearch'], 'people of a directory', () => {
  let directory: LdapServer
  let upstream: RecordingUpstream
  let gateway: TestGateway

  beforeAll(async () => {
    directory = await startLdapServer()
    upstream = await startRecordingUpstream()
    gateway = await startGateway({
      upstreamUrl: upstream.url,
      policy,
      settings: {
        authentication: {
          failureFloorMs: 1,
          order: ['ldap', 'htpasswd'],
          ldap: {
            enabled: true,
            url: directory.ldapsUrl,
            caFile: directory.caFile,
            bindDn: serviceAccount.dn,
            bindPassword: serviceAccount.password,
            searchBase: peopleDn,
            groups: 'memberOf',
            groupSearchBase: groupsDn,
          },
        },
        lockout: { enabled: false },
      },
    })
  })
  afterAll(async () => {
    await gateway.stop()
    await upstream.close()
    await directory.stop()
  })

  const tags = (repository: string, username: string, password: string) =>
    gateway.ask({
      path: `/v2/${repository}/tags/list`,
      headers: { authorization: basic(username, password) },
    })

  test('log in with its password, under its name in lower case, and may what their groups may', async () => {
    const pulled = await tags('base/app', 'zo\u00eb', people.zoe.password)
    expect([pulled.status, (await tags('prod/app', 'zo\u00eb', people.zoe.password)).status]).toEqual([200, 403])
    expect((await tags('whole/app', 'carol', people.carol.password)).status).toBe(200)
    expect((await tags('whole/app', 'mallory', people.mallory.password)).status).toBe(403)
    const asAdmin = await tags('prod/app', 'CAROL', people.carol.password)
    expect(asAdmin.status).toBe(200)
    expect(await gateway.auditLineOf(String(asAdmin.headers['x-request-id']))).toMatchObject({
      user: 'carol',
      authentication: 'ldap',
      groups: expect.arrayContaining(['admins', groups.admins.dn]) as unknown,
    })
  })

  test('get nothing by a group of the same name that they made elsewhere', async () => {
    expect((await tags('prod/app', 'mallory', people.mallory.password)).status).toBe(403)
  })

  test('are refused alike with another password and under a name that nobody has', async () => {
    const wrong = await tags('base/app', 'bob', 'not-his')
    const unknown = await tags('base/app', 'nobody-has-this', 'not-his')
    expect([wrong.status, unknown.status]).toEqual([401, 401])
    expect(wrong.headers['www-authenticate']).toBe(unknown.headers['www-authenticate'])
    expect(wrong.body.replace(/request id [^"]*/, '')).toBe(unknown.body.replace(/request id [^"]*/, ''))
  })

  test('are asked for once, and cost the directory nothing while they are remembered', async () => {
    await tags('prod/a', 'carol', people.carol.password)
    await directory.forget()
    for (const repository of ['prod/a', 'prod/b', 'prod/c'])
      expect((await tags(repository, 'carol', people.carol.password)).status).toBe(200)
    expect(countTraffic(await directory.traffic())).toMatchObject({ binds: 0, searches: 0 })
  })

  test('lose what a group gave them when they leave it, at once after a reload', async () => {
    expect((await tags('base/app', 'dave', people.dave.password)).status).toBe(401)
    expect((await tags('base/app', 'bob', people.bob.password)).status).toBe(200)
    await directory.leave(groups.readers.dn, people.bob.dn)
    expect((await tags('base/app', 'bob', people.bob.password)).status).toBe(200)
    await gateway.server.reload()
    expect((await tags('base/app', 'bob', people.bob.password)).status).toBe(403)
  })

  test('get 503 while it is down, unless they are remembered; robots of the file of users go on', async () => {
    expect((await tags('prod/app', 'carol', people.carol.password)).status).toBe(200)
    await directory.kill()
    const down = await tags('base/app', 'loner', people.loner.password)
    expect([down.status, down.headers['retry-after']]).toEqual([503, '5'])
    expect(down.body).toContain('the password may well be right')
    expect((await tags('prod/app', 'carol', people.carol.password)).status).toBe(200)
    expect((await tags('robots/app', 'ci', passwords.ci)).status).toBe(200)
    await directory.restart()
    await until(async () => (await tags('base/app', 'loner', people.loner.password)).status === 403, {
      what: 'the directory is asked again',
    })
  })
})
